//! The lines of the log.

use std::fmt::Write as _;

use flotilla_duty::io::Reply;
use flotilla_duty::{Fate, Input, Outcome};

/// The first bytes of a hash, to tell values apart.
pub(super) fn short(hash: &[u8; 32]) -> String {
    hash[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An input as one line of the log; the legend is in docs/testing.md.
pub(super) fn describe_input(line: &mut String, node: usize, input: &Input) {
    let _ = match input {
        Input::Wake => write!(line, "wake       n{node}"),
        Input::Duties {
            epoch, assignments, ..
        } => {
            let roster = assignments.roster();
            write!(line, "duties     n{node} epoch {epoch}: {roster:?}")
        }
        Input::Head { epoch, .. } => write!(line, "head       n{node} epoch {epoch}"),
        Input::DutiesFailed { epoch, roster, .. } => {
            write!(line, "no duties  n{node} epoch {epoch}: {roster:?}")
        }
        Input::HeadRoot { duty, result } => {
            let root = result.as_ref().map(|root| short(&root.0));
            let root = root.unwrap_or_default();
            write!(line, "head root  n{node} {duty} {root}")
        }
        Input::Examined { duty, verdict, .. } => {
            write!(line, "examined   n{node} {duty} {verdict:?}")
        }
        Input::Ask { request, question } => {
            write!(
                line,
                "ask        n{node} #{} {}",
                request.0,
                question.duty()
            )
        }
        Input::Offer { request, set } => {
            write!(line, "offer      n{node} #{} {}", request.0, set.duty)
        }
        Input::Forget(request) => write!(line, "forget     n{node} #{}", request.0),
        Input::Exit { exit, .. } => {
            write!(line, "exit       n{node} epoch {}", exit.epoch)
        }
        Input::Kept(set) => {
            let share = set.share.get();
            write!(line, "kept       n{node} {} share {share}", set.duty)
        }
        Input::FeeRecipients(known) => write!(line, "fees       n{node} {}", known.len()),
        Input::Plural(plural) => write!(line, "plural     n{node} {plural}"),
        Input::Fetched { duty, result } => {
            write!(line, "fetched    n{node} {duty} {}", result.is_ok())
        }
        Input::Consensus(message) => {
            let said = &message.message;
            let value = said.value.as_ref().map(short).unwrap_or_default();
            write!(
                line,
                "hear       n{node} {} {:?} from n{} round {} {value}",
                message.duty, said.kind, said.source, said.round
            )
        }
        Input::Partials { from, set } => {
            write!(line, "partials   n{node} {} from n{}", set.duty, from.get())
        }
        Input::Recorded { duty, results } => {
            let refused = results.iter().filter(|(_, result)| result.is_err()).count();
            write!(line, "recorded   n{node} {duty} {refused} refused")
        }
        Input::Signed { duty, .. } => write!(line, "signed     n{node} {duty}"),
        Input::Checked {
            duty, good, bad, ..
        } => {
            write!(
                line,
                "checked    n{node} {duty} {} good {} bad",
                good.len(),
                bad.len()
            )
        }
        Input::Combined { duty, .. } => write!(line, "combined   n{node} {duty}"),
        Input::Submitted { duty, .. } => write!(line, "submitted  n{node} {duty}"),
        Input::Pause(paused) => write!(line, "pause      n{node} {paused}"),
    };
}

/// How each item of a duty ended, after the line of its end.
pub(super) fn describe_fates(line: &mut String, outcome: &Outcome) {
    for (item, ended) in &outcome.items {
        let _ = match &ended.fate {
            Fate::Submitted => write!(line, " done"),
            Fate::Missed { step, reason, .. } => {
                write!(line, " [{} {}: {reason}]", item.part, step.name())
            }
        };
    }
}

/// What a validator client is told, in a word or two.
pub(super) fn describe_reply(line: &mut String, reply: &Reply) {
    let _ = match reply {
        Reply::Attestation(_) => write!(line, "attestation"),
        Reply::Block(_) => write!(line, "block"),
        Reply::Aggregate(_) => write!(line, "aggregate"),
        Reply::Contribution(_) => write!(line, "contribution"),
        Reply::Combined(signed) => write!(line, "combined {}", signed.len()),
        Reply::Taken => write!(line, "taken"),
        Reply::NotTaken(items) => {
            let reasons: Vec<String> = items.iter().map(|(_, why)| why.to_string()).collect();
            write!(line, "not taken: {}", reasons.join(", "))
        }
        Reply::None => write!(line, "nothing"),
    };
}
