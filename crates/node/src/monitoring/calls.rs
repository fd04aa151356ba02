//! Whether a validator client calls (spec 30 §8.6).

use flotilla_types::Epoch;
use tokio::time::Instant;

/// Looks at the calls of one cluster's validator clients, once a slot.
#[derive(Clone, Debug, Default)]
pub struct CallWatch {
    /// The epoch that goes on, and when it was first looked at.
    current: Option<(Epoch, Instant)>,
    /// Whether that was its beginning.
    is_whole: bool,
    /// No call came in the whole epoch before.
    is_silent: bool,
}

impl CallWatch {
    /// Whether no call came in the whole previous epoch, nor since. At start a client is taken to be there, until a whole
    /// epoch says otherwise.
    pub fn is_silent(&mut self, epoch: Epoch, now: Instant, last_call: Option<Instant>) -> bool {
        match self.current {
            None => self.current = Some((epoch, now)),
            Some((before, began)) if epoch > before => {
                self.is_silent = self.is_whole && last_call.is_none_or(|call| call < began);
                // A look that comes more than an epoch late begins anew.
                self.is_whole = epoch.0 == before.0 + 1;
                self.current = Some((epoch, now));
            }
            Some((_, began)) => {
                self.is_silent &= last_call.is_none_or(|call| call < began);
            }
        }
        self.is_silent
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_client_is_silent_after_a_whole_epoch_without_a_call_until_it_calls() {
        let mut watch = CallWatch::default();
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        // Started in the middle of epoch 5, whose rest does not count.
        assert!(!watch.is_silent(Epoch(5), at(0), None));
        assert!(!watch.is_silent(Epoch(6), at(100), None));
        assert!(!watch.is_silent(Epoch(6), at(400), None));
        assert!(watch.is_silent(Epoch(7), at(484), None));
        assert!(watch.is_silent(Epoch(7), at(500), None));
        assert!(!watch.is_silent(Epoch(7), at(512), Some(at(510))));
        // One call in an epoch is enough.
        assert!(!watch.is_silent(Epoch(8), at(868), Some(at(510))));
        assert!(watch.is_silent(Epoch(9), at(1252), Some(at(510))));
    }
}
