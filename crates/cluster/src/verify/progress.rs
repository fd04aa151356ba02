//! How far a long verification is.

use super::VerifyOptions;
use crate::lock::Lock;

/// How much of a lock is verified. A check is all keys of one validator, or one of its signatures;
/// both take about as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Checks made; never decreases.
    pub done: usize,
    /// Checks there are; does not change.
    pub total: usize,
}

/// Counts checks and tells the observer.
pub(super) struct Tracker<'a> {
    observer: Option<&'a dyn Fn(Progress)>,
    progress: Progress,
}

impl<'a> Tracker<'a> {
    /// Nothing of `lock` is verified yet.
    pub(super) fn new(lock: &Lock, options: &VerifyOptions<'a>) -> Self {
        let validators = lock.validators.len();
        let registrations = if lock.definition.version.has_registrations() {
            validators
        } else {
            0
        };
        let deposits = if options.extra_checks {
            let each = lock.validators.iter();
            each.map(|validator| validator.deposits.len()).sum()
        } else {
            0
        };
        Self {
            observer: options.progress,
            progress: Progress {
                done: 0,
                total: validators + registrations + deposits,
            },
        }
    }

    /// As many more checks are made.
    pub(super) fn advance(&mut self, checks: usize) {
        self.progress.done += checks;
        if let Some(observer) = self.observer {
            observer(self.progress);
        }
    }

    /// All is done; what was missing or malformed needed no check.
    pub(super) fn finish(mut self) {
        let rest = self.progress.total - self.progress.done;
        if rest > 0 {
            self.advance(rest);
        }
    }
}
