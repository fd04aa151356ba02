//! What was done and what failed, by kind.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use flotilla_types::Slot;
use serde::Serialize;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal;)*) => {
        /// What is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            const ALL: &'static [Self] = &[$(Self::$kind),*];
        }

        impl fmt::Display for Kind {
            /// The name as in the report.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$kind => $name,)*
                })
            }
        }
    };
}

kinds! {
    /// Attestations submitted.
    Attestations = "attestations";
    /// Aggregates submitted.
    Aggregates = "aggregates";
    /// Messages to the sync committee submitted.
    SyncMessages = "sync_messages";
    /// Contributions submitted.
    Contributions = "contributions";
    /// Blocks submitted.
    Blocks = "blocks";
    /// Selection proofs combined by the node.
    Selections = "selections";
    /// Voluntary exits submitted.
    Exits = "exits";
    /// Builder registrations submitted.
    Registrations = "registrations";
    /// Fee recipients and subscriptions told to the node.
    Preparations = "preparations";
    /// Lists of validators and of duties read.
    Duties = "duties";
    /// Events of new heads; a failure is a stream that ended.
    Events = "events";
}

/// How often something was done and how often it failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Done.
    pub done: u64,
    /// Failed.
    pub failed: u64,
}

/// Counts by kind; every kind is in it.
pub type Report = BTreeMap<Kind, Count>;

/// The counts of a running client.
#[derive(Debug)]
pub(super) struct Counts(Mutex<Report>);

impl Counts {
    /// All zero.
    pub(super) fn new() -> Self {
        let zero = |kind: &Kind| (*kind, Count::default());
        Self(Mutex::new(Kind::ALL.iter().map(zero).collect()))
    }

    /// Counts what was done.
    pub(super) fn done(&self, kind: Kind, count: u64) {
        self.of(&mut self.lock(), kind, |entry| entry.done += count);
    }

    /// Counts and logs what failed. A slot of `None` is a time before genesis.
    pub(super) fn failed(
        &self,
        kind: Kind,
        slot: Option<Slot>,
        count: u64,
        why: &impl fmt::Display,
    ) {
        let slot = slot.map_or_else(|| "none".to_owned(), |slot| slot.to_string());
        tracing::warn!(%kind, %slot, count, "failed: {why}");
        self.of(&mut self.lock(), kind, |entry| entry.failed += count);
    }

    /// The counts by now.
    pub(super) fn report(&self) -> Report {
        self.lock().clone()
    }

    fn of(&self, report: &mut Report, kind: Kind, change: impl FnOnce(&mut Count)) {
        change(report.entry(kind).or_default());
    }

    fn lock(&self) -> MutexGuard<'_, Report> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_report_names_every_kind() {
        let counts = Counts::new();
        counts.done(Kind::SyncMessages, 3);
        counts.failed(Kind::SyncMessages, Some(Slot(7)), 1, &"no");
        let json = serde_json::to_value(counts.report()).unwrap();
        assert_eq!(
            json["sync_messages"],
            serde_json::json!({"done": 3, "failed": 1})
        );
        for kind in Kind::ALL {
            assert!(json.get(kind.to_string()).is_some(), "{kind}");
        }
    }
}
