//! Duties that build on others of their slot: a block carries the group's reveal of randomness, an aggregate needs a selection
//! proof and something to aggregate. What one duty brings is told to the other once, when there is news.

use flotilla_types::{Duty, DutyKind, PeerIndex, SignedData, Timestamp};

use super::Engine;
use crate::io::{Item, Output};
use crate::knowledge::Lessons;
use crate::life::Life;
use crate::outcome::Ingredient;

/// Which duties bring what to a duty of this kind.
const fn sources(kind: DutyKind) -> &'static [(DutyKind, Ingredient)] {
    match kind {
        DutyKind::Proposer => &[(DutyKind::Randao, Ingredient::Randao)],
        DutyKind::Aggregator => &[
            (DutyKind::PrepareAggregator, Ingredient::Selection),
            (DutyKind::Attester, Ingredient::Attestation),
        ],
        DutyKind::SyncContribution => &[
            (DutyKind::PrepareSyncContribution, Ingredient::Selection),
            (DutyKind::SyncMessage, Ingredient::SyncMessage),
        ],
        _ => &[],
    }
}

/// Whether duties of this kind build on others.
pub(crate) const fn builds_on_others(kind: DutyKind) -> bool {
    !sources(kind).is_empty()
}

/// The duty that builds on this one.
pub(super) fn consumer(source: Duty) -> Option<Duty> {
    let builds = |kind: &&DutyKind| sources(**kind).iter().any(|(from, _)| *from == source.kind);
    let kind = crate::io::HANDLED_KINDS.iter().find(builds)?;
    Some(Duty::new(source.slot, *kind))
}

impl Engine {
    /// Brings results of duties to those that wait for them.
    pub(super) fn feed(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        while let Some(duty) = self.unfed.pop_first() {
            // Whoever is not hungry yet is fed when it becomes so.
            if self.lives.get(&duty).is_some_and(Life::is_hungry) {
                let lessons = self.lessons(duty);
                self.with(duty, |life, facts| {
                    life.on_lessons(now, lessons, facts, out)
                });
            }
        }
    }

    fn lessons(&self, duty: Duty) -> Lessons {
        let life = |kind| self.lives.get(&Duty::new(duty.slot, kind));
        let results = |kind| life(kind).into_iter().flat_map(Life::results);
        let signatures = |kind| results(kind).map(|(item, data)| (item, *data.signature()));
        let mut lessons = Lessons::default();
        match duty.kind {
            DutyKind::Proposer => {
                lessons.randao = signatures(DutyKind::Randao)
                    .map(|(item, reveal)| (item.validator, reveal))
                    .collect();
            }
            DutyKind::Aggregator => {
                lessons.selections = signatures(DutyKind::PrepareAggregator).collect();
                lessons.attested = life(DutyKind::Attester)
                    .into_iter()
                    .flat_map(Life::attested)
                    .collect();
            }
            DutyKind::SyncContribution => {
                lessons.selections = signatures(DutyKind::PrepareSyncContribution).collect();
                let head = |(item, data): (Item, &SignedData)| match data {
                    SignedData::SyncMessage(message) => {
                        Some((item.validator, message.beacon_block_root))
                    }
                    _ => None,
                };
                lessons.heads = results(DutyKind::SyncMessage).filter_map(head).collect();
            }
            _ => {}
        }
        lessons
    }

    /// What another duty of the slot failed to bring to this one.
    pub(super) fn missing(&self, duty: Duty) -> Option<(Ingredient, Vec<PeerIndex>)> {
        let facts = self.state.facts();
        sources(duty.kind).iter().find_map(|&(kind, ingredient)| {
            let peers = match self.lives.get(&Duty::new(duty.slot, kind)) {
                Some(life) => life.shortfall(&facts)?,
                None => Vec::new(),
            };
            Some((ingredient, peers))
        })
    }
}
