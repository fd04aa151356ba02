//! The lines of the log.

use std::fmt::Write as _;

use flotilla_duty::Input;

/// The first bytes of a hash, to tell values apart.
pub(super) fn short(hash: &[u8; 32]) -> String {
    hash[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An input as one line of the log; the legend is in docs/testing.md.
pub(super) fn describe_input(line: &mut String, node: usize, input: &Input) {
    let _ = match input {
        Input::Wake => write!(line, "wake       n{node}"),
        Input::Duties {
            epoch, attesters, ..
        } => write!(
            line,
            "duties     n{node} epoch {epoch}: {}",
            attesters.len()
        ),
        Input::Head { epoch, .. } => write!(line, "head       n{node} epoch {epoch}"),
        Input::DutiesFailed { epoch, .. } => write!(line, "no duties  n{node} epoch {epoch}"),
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
