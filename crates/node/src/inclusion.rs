//! What became of our work on the chain: were our blocks included, were attested heads right, were attestations included.
//!
//! It costs the beacon nodes nothing while duties run. Blocks and heads are judged by the events that they send anyway, a few
//! slots later, when reorganisations are over; attestations by one question about all our validators once an epoch. What
//! the events do not tell is called unknown, never right or wrong. It must not know of engines, HTTP or metrics libraries.

mod canon;
mod rewards;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flotilla_beacon::client::Event;
use flotilla_duty::io::Item;
use flotilla_types::{PublicKeyBytes, Root, SignedData, Slot};
use serde::Serialize;

use canon::{Block, Canon};
pub use rewards::EpochReport;
pub(crate) use watch::every_epoch;

/// Slots after which the fate of a block is looked up, as in the field (spec 30 §8.3).
const LAG_SLOTS: u64 = 6;
/// Slots after which what is not known by then never will be.
const GIVE_UP_SLOTS: u64 = 32;
/// Slots with own work that are remembered; older ones are given up before.
const SLOTS_LIMIT: usize = 64;

/// What the chain says of an attested head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// It was the chain's head at its slot.
    Correct,
    /// It was not.
    Wrong,
    /// The events do not tell.
    Unknown,
}

/// What became of a submitted block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is on the chain.
    Included,
    /// The chain has no block at its slot.
    Empty,
    /// The chain has another block at its slot.
    Replaced,
    /// The events do not tell.
    Unknown,
}

impl Fate {
    /// The label in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Included => "included",
            Self::Empty | Self::Replaced => "missed",
            Self::Unknown => "unknown",
        }
    }
}

/// One thing that has been found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Attestations of a slot.
    Heads {
        /// What the chain says of their heads.
        head: Head,
        /// How many validators attested to such.
        validators: u64,
    },
    /// A block.
    Block {
        /// Its slot.
        slot: Slot,
        /// Its proposer.
        validator: PublicKeyBytes,
        /// What became of it.
        fate: Fate,
    },
}

/// What the status page shows, counted since start.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Attestations, by what the chain says of their head.
    pub heads: BTreeMap<Head, u64>,
    /// Blocks, by what became of them.
    pub blocks: BTreeMap<Fate, u64>,
    /// The last block that was not included: its slot.
    pub last_missed_block: Option<u64>,
    /// The attestations of the last epoch that has been asked for; absent before, and where beacon nodes do not tell.
    pub last_epoch: Option<EpochReport>,
}

/// One cluster's work on its way into the chain. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Inclusion(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// By beacon node, of which there are a few.
    chains: BTreeMap<String, Canon>,
    /// Attested heads by slot and validator.
    heads: BTreeMap<Slot, BTreeMap<PublicKeyBytes, Root>>,
    blocks: BTreeMap<Slot, (PublicKeyBytes, Root)>,
    summary: Summary,
}

impl Inclusion {
    /// Objects are on their way to the beacon nodes. What is submitted again counts once.
    pub fn submitted(&self, items: &[(Item, SignedData)]) {
        let mut state = self.lock();
        for (item, data) in items {
            match data {
                SignedData::Attester(signed) => {
                    let data = signed.data();
                    let heads = state.heads.entry(data.slot).or_default();
                    heads.insert(item.validator, data.beacon_block_root);
                }
                SignedData::Proposer(signed) => {
                    let facts = signed.proposal.facts();
                    let block = (item.validator, facts.root);
                    state.blocks.insert(signed.proposal.slot(), block);
                }
                _ => {}
            }
        }
        while state.heads.len() > SLOTS_LIMIT {
            state.heads.pop_first();
        }
        while state.blocks.len() > SLOTS_LIMIT {
            state.blocks.pop_first();
        }
    }

    /// A beacon node told something.
    pub fn event(&self, endpoint: &str, event: &Event) {
        let mut state = self.lock();
        if !state.chains.contains_key(endpoint) {
            state.chains.insert(endpoint.to_owned(), Canon::default());
        }
        let Some(chain) = state.chains.get_mut(endpoint) else {
            return;
        };
        match *event {
            Event::Head { slot, block, .. } => chain.head(slot, block),
            Event::ChainReorg {
                slot,
                depth,
                new_head_block,
                ..
            } => chain.reorg(slot, depth, new_head_block),
            Event::Block { .. } | Event::BlockGossip { .. } => {}
        }
    }

    /// Judges what is old enough; `now` is the current slot.
    pub fn settle(&self, now: Slot) -> Vec<Finding> {
        let mut state = self.lock();
        let State {
            chains,
            heads,
            blocks,
            summary,
        } = &mut *state;
        // A beacon node that lags, or whose events have stopped, knows less.
        let none = Canon::default();
        let chain = chains
            .values()
            .max_by_key(|chain| chain.tip())
            .unwrap_or(&none);
        let is_due = |slot: Slot| slot.0 + LAG_SLOTS <= now.0;
        let is_given_up = |slot: Slot| slot.0 + GIVE_UP_SLOTS <= now.0;
        let mut findings = Vec::new();
        heads.retain(|&slot, roots| {
            let knows = chain.reaches(slot) || is_given_up(slot);
            let settled = is_due(slot) && knows;
            if settled {
                let mut judged: BTreeMap<Head, u64> = BTreeMap::new();
                for root in roots.values() {
                    *judged.entry(chain.judge_head(slot, *root)).or_insert(0) += 1;
                }
                let finding = |(head, validators)| Finding::Heads { head, validators };
                findings.extend(judged.into_iter().map(finding));
            }
            !settled
        });
        blocks.retain(|&slot, &mut (validator, root)| {
            let fate = match chain.block_at(slot) {
                Block::Known(found) if found == root => Fate::Included,
                Block::Known(_) => Fate::Replaced,
                Block::Empty => Fate::Empty,
                Block::Unknown => Fate::Unknown,
            };
            let settled = is_due(slot) && (fate != Fate::Unknown || is_given_up(slot));
            if settled {
                findings.push(Finding::Block {
                    slot,
                    validator,
                    fate,
                });
            }
            !settled
        });
        findings.iter().for_each(|finding| summary.add(finding));
        findings
    }

    /// An epoch's attestations have been asked for.
    pub fn epoch(&self, report: EpochReport) {
        self.lock().summary.last_epoch = Some(report);
    }

    /// What has been found out so far.
    pub fn summary(&self) -> Summary {
        self.lock().summary.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Summary {
    fn add(&mut self, finding: &Finding) {
        match *finding {
            Finding::Heads { head, validators } => {
                *self.heads.entry(head).or_insert(0) += validators;
            }
            Finding::Block { slot, fate, .. } => {
                *self.blocks.entry(fate).or_insert(0) += 1;
                if matches!(fate, Fate::Empty | Fate::Replaced) {
                    self.last_missed_block = Some(slot.0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
