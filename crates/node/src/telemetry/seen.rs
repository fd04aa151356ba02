//! The little that must be remembered between two observations.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use flotilla_types::{ExecutionAddress, PublicKeyBytes, Slot};

use super::tally::Tally;

/// Paths of passed-on requests that have series of their own; clients choose them.
const PATHS: usize = 64;

/// What has been seen so far.
#[derive(Debug, Default)]
pub struct Seen {
    /// Names of requests to beacon nodes, of which there are a few fixed ones.
    pub requests: BTreeSet<&'static str>,
    /// By beacon node: the last block that came in, and how long after its slot's start.
    pub gossip: BTreeMap<String, (Slot, Duration)>,
    /// Head events since start.
    pub heads: u64,
    /// Those that came after a third of their slot.
    pub late_heads: u64,
    /// The last slot that began.
    pub slot: Option<Slot>,
    /// Each validator's status, as shown.
    pub statuses: BTreeMap<PublicKeyBytes, &'static str>,
    /// Validators that wait for their activation.
    pub pending_validators: usize,
    /// Submitted blocks that are not on the chain.
    pub missed_blocks: u64,
    /// Agreements that heard from too few peers.
    pub without_quorum: u64,
    /// Values that conflict with the chain of our own beacon nodes.
    pub chain_conflicts: u64,
    /// How long a slot lasts and how many an epoch has, once the chain is known.
    pub timing: Option<(Duration, u64)>,
    /// How duties ended.
    pub tally: Tally,
    /// Who is to receive the fees of each validator's blocks.
    pub fee_recipients: BTreeMap<PublicKeyBytes, ExecutionAddress>,
    paths: BTreeSet<String>,
}

impl Seen {
    /// Whether a path has a series or may have one.
    pub fn takes_path(&mut self, path: &str) -> bool {
        if self.paths.contains(path) {
            return true;
        }
        let has_room = self.paths.len() < PATHS;
        if has_room {
            self.paths.insert(path.to_owned());
        }
        has_room
    }

    /// A slot has begun; how many before it were slept through.
    pub fn begin(&mut self, slot: Slot) -> u64 {
        let before = self.slot.replace(slot);
        before.map_or(0, |before| slot.0.saturating_sub(before.0 + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_clients_make_only_so_many_series() {
        let mut seen = Seen::default();
        for number in 0..PATHS {
            assert!(seen.takes_path(&number.to_string()));
        }
        assert!(!seen.takes_path("one more"));
        assert!(seen.takes_path("0"));
    }

    #[test]
    fn slots_between_two_looks_were_skipped() {
        let mut seen = Seen::default();
        assert_eq!(seen.begin(Slot(70)), 0);
        assert_eq!(seen.begin(Slot(71)), 0);
        assert_eq!(seen.begin(Slot(71)), 0);
        assert_eq!(seen.begin(Slot(75)), 3);
    }
}
