//! What one share, or one group, has signed: one root per duty and item, and nothing slashable.

use std::collections::BTreeMap;

use flotilla_types::{Duty, Epoch, Root, SignedData};

/// Everything that was signed for one validator by one signer.
#[derive(Debug, Default)]
pub(super) struct Signed {
    /// By duty and part. Blocks of a slot have one duty, so that two of them are two roots.
    duties: BTreeMap<(Duty, u64), Root>,
    /// Attestations: source and root by target.
    targets: BTreeMap<Epoch, (Epoch, Root)>,
}

/// What must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clash {
    /// Two roots for one duty and item.
    Duty,
    /// Two roots for one target.
    Target(Epoch),
    /// A vote that surrounds another one, or is surrounded.
    Surround(Epoch),
}

impl Signed {
    /// Takes what was signed; what it clashes with.
    pub fn note(&mut self, duty: Duty, data: &SignedData, root: Root) -> Option<Clash> {
        let first = *self.duties.entry((duty, data.item())).or_insert(root);
        if first != root {
            return Some(Clash::Duty);
        }
        let vote = data.attester()?.data();
        let (source, target) = (vote.source.epoch, vote.target.epoch);
        let surrounds = |(&other, &(from, _)): (&Epoch, &(Epoch, Root))| {
            (source < from && other < target) || (from < source && target < other)
        };
        if self.targets.iter().any(surrounds) {
            return Some(Clash::Surround(target));
        }
        let (_, known) = *self.targets.entry(target).or_insert((source, root));
        (known != root).then_some(Clash::Target(target))
    }
}
