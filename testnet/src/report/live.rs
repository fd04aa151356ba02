//! Progress for a person: a line for each slot, and on a terminal a table of nodes below that is drawn anew each time.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

use super::SlotView;

/// How a node is doing, for the table.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NodeView {
    /// Running, and not paused.
    pub running: bool,
    /// Peers it is connected to, if it says.
    pub peers: Option<usize>,
    /// Processor use since the last look, in percent of a core.
    pub cpu_percent: f64,
    /// Memory resident, in bytes.
    pub rss_bytes: u64,
}

/// Misses shown with a slot; the summary has them all.
const MISSES_SHOWN: usize = 3;

/// Writes progress to standard error, unless told to be quiet.
#[derive(Debug)]
pub struct Live {
    quiet: bool,
    terminal: bool,
    /// Lines of the table that is on the screen now.
    drawn: usize,
}

impl Live {
    /// Finds out whether standard error is a terminal.
    pub fn new(quiet: bool) -> Self {
        Live {
            quiet,
            terminal: io::stderr().is_terminal(),
            drawn: 0,
        }
    }

    /// Tells one thing.
    pub fn say(&mut self, text: &str) {
        self.write(text, &[]);
    }

    /// Tells how a slot went, by kind of duty, and how the nodes are doing.
    pub fn slot(&mut self, slot: u64, views: &[(&str, SlotView)], nodes: &[NodeView]) {
        self.write(&lines_of_kinds(slot, views), nodes);
    }

    /// Progress is a courtesy: a standard error that is closed must not stop a run.
    fn write(&mut self, text: &str, nodes: &[NodeView]) {
        if self.quiet {
            return;
        }
        let mut screen = String::new();
        if self.drawn > 0 {
            // Back to the top of the table, and clear from there.
            let _ = write!(screen, "\x1b[{}A\x1b[J", self.drawn);
            self.drawn = 0;
        }
        screen.push_str(text);
        screen.push('\n');
        if self.terminal && !nodes.is_empty() {
            let table = node_table(nodes);
            self.drawn = table.lines().count();
            screen.push_str(&table);
        }
        let _ = io::stderr().lock().write_all(screen.as_bytes());
    }
}

/// A line for each kind that was due.
fn lines_of_kinds(slot: u64, views: &[(&str, SlotView)]) -> String {
    let due = views.iter().filter(|(_, view)| view.due > 0);
    let lines: Vec<_> = due.map(|(kind, view)| slot_lines(kind, view)).collect();
    if lines.is_empty() {
        return format!("slot {slot:>4}  no duties");
    }
    lines.join("\n")
}

/// A slot's duties of a kind in a line, and its first misses below it.
fn slot_lines(kind: &str, view: &SlotView) -> String {
    let mut text = format!(
        "slot {:>4}  {kind:<17} {:>3} of {:<3} included",
        view.slot, view.included, view.due
    );
    let round = view.round.map_or("-".to_owned(), |round| round.to_string());
    let _ = write!(text, "  round {round}");
    if !view.stages.is_empty() {
        let stages = view
            .stages
            .iter()
            .map(|(stage, first, node)| format!("{stage} {first:.0}/{node:.0}"));
        let _ = write!(text, "  {} ms", stages.collect::<Vec<_>>().join("  "));
    }
    for miss in view.missed.iter().take(MISSES_SHOWN) {
        let _ = write!(text, "\n           missed {}", miss_text(miss));
    }
    if view.missed.len() > MISSES_SHOWN {
        let _ = write!(
            text,
            "\n           and {} more",
            view.missed.len() - MISSES_SHOWN
        );
    }
    text
}

/// A miss as people read it.
pub(super) fn miss_text(miss: &super::Miss) -> String {
    let key = miss.validator.to_string();
    let short = key.get(..10).unwrap_or(&key);
    let mut text = format!("{short}…: {}: {}", miss.step, miss.reason);
    if !miss.peers.is_empty() {
        let peers: Vec<_> = miss.peers.iter().map(usize::to_string).collect();
        let _ = write!(text, " (nodes {})", peers.join(", "));
    }
    text
}

fn node_table(nodes: &[NodeView]) -> String {
    let mut text = "node  state    peers    cpu     memory\n".to_owned();
    for (index, node) in nodes.iter().enumerate() {
        let state = if node.running { "running" } else { "stopped" };
        let peers = node.peers.map_or("-".to_owned(), |peers| peers.to_string());
        let memory = node.rss_bytes as f64 / 1e6;
        let _ = writeln!(
            text,
            "{index:>4}  {state:<8} {peers:>4}  {:>5.1} %  {memory:>5.1} MB",
            node.cpu_percent
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use flotilla_types::PublicKeyBytes;

    use super::super::Miss;
    use super::*;

    #[test]
    fn a_slot_shows_its_stages_and_misses() {
        let miss = Miss {
            slot: 6,
            validator: PublicKeyBytes([0xab; 48]),
            step: "exchange".into(),
            reason: "2 of 3 partial signatures".into(),
            peers: vec![2, 3],
        };
        let view = SlotView {
            slot: 6,
            due: 5,
            included: 1,
            round: Some(2),
            stages: vec![("agreed", 20.4, 25.5)],
            missed: vec![miss; 4],
        };
        let text = slot_lines("attester", &view);
        assert!(
            text.contains("1 of 5") && text.contains("round 2") && text.contains("agreed 20/26 ms"),
            "{text}"
        );
        assert!(
            text.contains("missed 0xabababab…: exchange: 2 of 3 partial signatures (nodes 2, 3)"),
            "{text}"
        );
        assert!(text.ends_with("and 1 more"), "{text}");
    }

    #[test]
    fn a_slot_without_duties_says_so() {
        let view = SlotView {
            slot: 3,
            ..SlotView::default()
        };
        assert_eq!(
            lines_of_kinds(3, &[("attester", view)]),
            "slot    3  no duties"
        );
    }

    #[test]
    fn the_table_has_a_line_for_each_node() {
        let nodes = [
            NodeView {
                running: true,
                peers: Some(3),
                cpu_percent: 1.25,
                rss_bytes: 42_000_000,
            },
            NodeView::default(),
        ];
        let table = node_table(&nodes);
        assert_eq!(table.lines().count(), 3);
        assert!(
            table.contains("running     3    1.2 %   42.0 MB"),
            "{table}"
        );
    }
}
