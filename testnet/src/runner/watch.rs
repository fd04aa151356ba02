//! A testnet at work, from genesis to its last slot.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flotilla_types::{Slot, Timestamp};
use reqwest::Client;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::StartError;
use super::faults::{Fault, Schedule};
use super::folders::RunDir;
use super::node::Node;
use super::outcomes::Heard;
use super::truth::Truth;
use crate::api::Server;
use crate::chain::{JUDGED, now};
use crate::proxy::Proxy;
use crate::report::{Distribution, Ledger, Link, Live, NodeReport, Report};

/// Between looks at processes that may have ended.
const LOOK: Duration = Duration::from_millis(250);
/// How far into a slot the previous one is told of: nodes have had their say about what was late.
const TELL_PERCENT: u32 = 60;
/// Slots that stay open for late words, at most.
const OPEN_SLOTS: u64 = 32;
/// What nodes are given to end by themselves.
const GRACE: Duration = Duration::from_secs(3);
/// Lines quoted from the log of a node that did not start.
const TAIL_LINES: usize = 12;

/// What is between the nodes.
#[derive(Debug)]
pub(super) enum Links {
    /// Loopback alone.
    Direct {
        /// Round trips measured, in milliseconds.
        round_trips_ms: Arc<Mutex<Vec<f64>>>,
        /// Measures them.
        task: JoinHandle<()>,
    },
    /// The proxy.
    Shaped(Box<Proxy>),
}

impl Links {
    fn round_trips_ms(&self) -> Vec<f64> {
        match self {
            Links::Direct { round_trips_ms, .. } => round_trips_ms
                .lock()
                .expect("no code panics while it holds this")
                .clone(),
            Links::Shaped(proxy) => proxy.round_trips_ms(),
        }
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        if let Links::Direct { task, .. } = self {
            task.abort();
        }
    }
}

/// Everything that runs. Dropping it ends all processes.
#[derive(Debug)]
pub(super) struct Testnet {
    pub(super) slots: Option<u64>,
    pub(super) warm_up_slots: u64,
    pub(super) schedule: Schedule,
    pub(super) ledger: Ledger,
    pub(super) validators: usize,
    pub(super) truth: Truth,
    /// The slot before the first that is judged: 0 on a chain of our own. Slots of options count from here.
    pub(super) base: u64,
    pub(super) servers: Vec<Server>,
    pub(super) nodes: Vec<Node>,
    pub(super) links: Links,
    pub(super) outcomes: mpsc::Receiver<Heard>,
    pub(super) listeners: Vec<JoinHandle<()>>,
    /// Nodes that ended unasked, and how.
    pub(super) ended: Vec<(usize, String)>,
    pub(super) live: Live,
    pub(super) client: Client,
    pub(super) dir: RunDir,
}

impl Drop for Testnet {
    fn drop(&mut self) {
        self.listeners.iter().for_each(JoinHandle::abort);
    }
}

/// Ctrl-C or SIGTERM came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interrupted;

/// The signals that end a run early.
struct Interrupts {
    ctrl_c: Signal,
    terminate: Signal,
}

impl Interrupts {
    fn new() -> std::io::Result<Self> {
        Ok(Interrupts {
            ctrl_c: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.ctrl_c.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Processor time of each node at the start of a slot.
#[derive(Debug, Default)]
struct Snapshot {
    slot: u64,
    cpu_seconds: Vec<f64>,
}

/// How far a run has come.
#[derive(Debug, Default)]
struct Course {
    /// The start of the slots that figures are drawn from.
    start: Snapshot,
    /// The start of the slot after them.
    end: Option<Snapshot>,
    /// The last slot closed.
    closed: u64,
}

impl Testnet {
    /// Runs until the last slot or an interrupt, ends the processes, and reports.
    pub(super) async fn run(mut self) -> Result<Report, StartError> {
        let mut interrupts = Interrupts::new().map_err(StartError::io("listening for signals"))?;
        if let Err(error) = self.until_genesis(&mut interrupts).await {
            // The error names a log file.
            self.dir.keep();
            self.stop().await;
            return Err(error);
        }
        let mut course = Course {
            start: self.snapshot(self.base),
            closed: self.base,
            ..Course::default()
        };
        let mut slot = self.base;
        let interrupted = loop {
            match self.slot(slot, &mut course, &mut interrupts).await {
                Ok(()) if course.end.is_some() => break false,
                Ok(()) => slot += 1,
                Err(Interrupted) => break true,
            }
        };
        Ok(self.finish(course, interrupted).await)
    }

    /// One slot from its start to almost its end; the last one, in which attestations may still arrive, to its very end.
    async fn slot(
        &mut self,
        slot: u64,
        course: &mut Course,
        interrupts: &mut Interrupts,
    ) -> Result<(), Interrupted> {
        self.wait_until(self.start_of(slot), interrupts).await?;
        self.begin(slot).await;
        if slot == self.warm_up_slots + 1 {
            course.start = self.snapshot(slot);
        }
        let is_last = self.slots.is_some_and(|slots| slot == slots + 1);
        if is_last {
            course.end = Some(self.snapshot(slot));
        }
        let slot_duration = self.truth.chain().spec.slot_duration;
        self.wait_until(
            self.start_of(slot) + slot_duration * TELL_PERCENT / 100,
            interrupts,
        )
        .await?;
        self.tell(slot).await;
        self.close_before(course, slot.saturating_sub(self.open_slots()));
        if is_last {
            self.wait_until(self.start_of(slot + 1), interrupts).await?;
        }
        Ok(())
    }

    fn start_of(&self, slot: u64) -> Timestamp {
        self.truth.chain().slot_start(Slot(slot))
    }

    /// How long slots stay open: two epochs, in which nodes still bring attestations.
    fn open_slots(&self) -> u64 {
        OPEN_SLOTS.min(2 * self.truth.chain().spec.slots_per_epoch)
    }

    fn snapshot(&self, slot: u64) -> Snapshot {
        Snapshot {
            slot,
            cpu_seconds: self.nodes.iter().map(Node::cpu_seconds).collect(),
        }
    }

    /// Waits for genesis. A node that ends before it has failed to start.
    async fn until_genesis(&mut self, interrupts: &mut Interrupts) -> Result<(), StartError> {
        let genesis = self.start_of(self.base);
        while now() < genesis {
            let wait = genesis.saturating_since(now()).min(LOOK);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = interrupts.next() => {
                    let error = std::io::Error::from(std::io::ErrorKind::Interrupted);
                    return Err(StartError::io("waiting for genesis")(error));
                }
            }
            for (node, process) in self.nodes.iter_mut().enumerate() {
                if let Some(status) = process.exited() {
                    let log = process.log().to_owned();
                    return Err(StartError::NodeEnded {
                        node,
                        status,
                        tail: tail(&log),
                        log,
                    });
                }
            }
        }
        Ok(())
    }

    /// Listens to the nodes until a moment has come.
    async fn wait_until(
        &mut self,
        moment: Timestamp,
        interrupts: &mut Interrupts,
    ) -> Result<(), Interrupted> {
        loop {
            let wait = moment.saturating_since(now());
            if wait.is_zero() {
                return Ok(());
            }
            tokio::select! {
                () = tokio::time::sleep(wait.min(LOOK)) => self.look_for_ended(),
                Some((node, line)) = self.outcomes.recv() => self.ledger.note(node, line),
                () = interrupts.next() => return Err(Interrupted),
            }
        }
    }

    fn look_for_ended(&mut self) {
        for (index, node) in self.nodes.iter_mut().enumerate() {
            if let Some(status) = node.exited() {
                let log = node.log().display().to_string();
                self.live.say(&format!(
                    "node {index} has ended by itself ({status}); its log is {log}"
                ));
                self.ended.push((index, status.to_string()));
                self.dir.keep();
            }
        }
    }

    /// The start of a slot: faults, then a look at the nodes.
    async fn begin(&mut self, slot: u64) {
        for (node, fault) in self.schedule.at(slot - self.base).to_vec() {
            self.apply(slot, node, fault).await;
        }
        self.note_down(slot);
        self.nodes.iter_mut().for_each(Node::look);
    }

    async fn apply(&mut self, slot: u64, index: usize, fault: Fault) {
        let node = &mut self.nodes[index];
        // On somebody else's chain there are no servers, and no faults of theirs.
        let faults = self.servers.get(index).map(Server::faults);
        let what = match fault {
            Fault::Kill => {
                node.kill().await;
                "killed".into()
            }
            Fault::Restart => match node.restart() {
                Ok(()) => "started again".into(),
                Err(error) => format!("not started again: {error}"),
            },
            Fault::Pause => {
                node.pause();
                "stopped".into()
            }
            Fault::Resume => {
                node.resume();
                "going on".into()
            }
            Fault::SlowBeacon(Duration::ZERO) => {
                faults.inspect(|faults| faults.delay(Duration::ZERO));
                "has a beacon node that answers in time again".into()
            }
            Fault::SlowBeacon(delay) => {
                faults.inspect(|faults| faults.delay(delay));
                format!(
                    "has a beacon node that answers {} ms late",
                    delay.as_millis()
                )
            }
            Fault::Beacon(how) => {
                faults.inspect(|faults| faults.misbehave(how));
                match how {
                    Some(how) => format!("has a beacon node that is wrong: {}", how.name()),
                    None => "has a beacon node that is right again".into(),
                }
            }
        };
        self.live
            .say(&format!("slot {slot:>4}  node {index} {what}"));
    }

    fn note_down(&mut self, slot: u64) {
        for (index, node) in self.nodes.iter().enumerate() {
            if !node.is_running() {
                self.ledger.note_down(slot, index);
            }
        }
    }

    /// Late in a slot: tells how the previous one went.
    async fn tell(&mut self, slot: u64) {
        self.note_down(slot);
        futures::future::join_all(self.nodes.iter_mut().map(|node| node.ask(&self.client))).await;
        let Some(previous) = slot.checked_sub(1).filter(|previous| *previous > self.base) else {
            return;
        };
        if self.slots.is_some_and(|slots| previous > slots) {
            return;
        }
        let views: Vec<_> = JUDGED
            .iter()
            .map(|kind| {
                let chain = self.truth.presence(*kind, previous, &self.ledger);
                (kind.name(), self.ledger.view(previous, kind.name(), &chain))
            })
            .collect();
        let nodes: Vec<_> = self.nodes.iter().map(Node::view).collect();
        self.live.slot(previous, &views, &nodes);
    }

    /// Closes judged slots before `before`.
    fn close_before(&mut self, course: &mut Course, before: u64) {
        let last = before.saturating_sub(1).min(self.slots.unwrap_or(u64::MAX));
        for slot in course.closed + 1..=last {
            let kinds = JUDGED
                .iter()
                .map(|kind| (kind.name(), self.truth.presence(*kind, slot, &self.ledger)))
                .collect();
            self.ledger.close(slot, &kinds);
        }
        course.closed = course.closed.max(last);
    }

    /// Ends all processes and draws up the report.
    async fn finish(mut self, mut course: Course, interrupted: bool) -> Report {
        self.nodes.iter_mut().for_each(Node::look);
        futures::future::join_all(self.nodes.iter_mut().map(|node| node.ask(&self.client))).await;
        while let Ok((node, line)) = self.outcomes.try_recv() {
            self.ledger.note(node, line);
        }
        // A run that was interrupted has no end of its own: the slots before the current one can be judged.
        let end = course.end.take();
        let end = end.unwrap_or_else(|| self.snapshot(self.truth.current_slot().0));
        self.close_before(&mut course, end.slot);
        self.stop().await;
        self.report(&course, &end, interrupted)
    }

    fn report(mut self, course: &Course, end: &Snapshot, interrupted: bool) -> Report {
        let totals = self.truth.totals();
        let round_trips: Distribution = self.links.round_trips_ms().into_iter().collect();
        let mut report = Report {
            slots: course.closed.saturating_sub(self.warm_up_slots),
            duties: self.ledger.duties(),
            latency_ms: self.ledger.latency(),
            rejected: totals.rejected,
            duplicates: totals.duplicates,
            slashable: totals.slashable,
            link: Link {
                rtt_ms_p50: round_trips.percentiles().map(|percentiles| percentiles.p50),
            },
            nodes: self.node_reports(&course.start, end),
            faults: totals.faults,
            ended: std::mem::take(&mut self.ended),
            interrupted,
            kept_dir: None,
        };
        if report.exit_code() != 0 {
            self.dir.keep();
        }
        report.kept_dir = self.dir.is_kept().then(|| self.dir.path().to_owned());
        report
    }

    fn node_reports(&self, start: &Snapshot, end: &Snapshot) -> Vec<NodeReport> {
        let slots = end.slot.saturating_sub(start.slot).max(1);
        let epochs = slots as f64 / self.truth.chain().spec.slots_per_epoch as f64;
        let shares = epochs * self.validators.max(1) as f64;
        let used = end
            .cpu_seconds
            .iter()
            .zip(&start.cpu_seconds)
            .map(|(end, start)| end - start);
        let with_use = |(node, used): (&Node, f64)| NodeReport {
            cpu_ms_per_validator_epoch: used * 1e3 / shares,
            ..node.report()
        };
        self.nodes.iter().zip(used).map(with_use).collect()
    }

    /// Ends all processes.
    async fn stop(&mut self) {
        self.nodes.iter_mut().for_each(Node::terminate);
        let deadline = tokio::time::Instant::now() + GRACE;
        futures::future::join_all(self.nodes.iter_mut().map(|node| node.join(deadline))).await;
    }
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    let text = std::fs::read(log)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}
