//! How a duty ends: when there is nothing more to do, and what is told of every item.

use std::collections::{BTreeMap, BTreeSet};

use flotilla_qbft as qbft;
use flotilla_types::{DutyKind, PeerIndex};

use super::{Group, Life, Own, State};
use crate::engine::Facts;
use crate::io::{Item, Output};
use crate::kinds::Object;
use crate::outcome::{Fate, Ingredient, ItemOutcome, Outcome, Reason, Step};

impl Life {
    /// Ends the duty when all its items are settled. Late validator clients are still served until it expires.
    pub(super) fn end_if_complete(&mut self, facts: &Facts<'_>, out: &mut Vec<Output>) {
        let refused =
            self.fault.is_some() && self.items.values().all(|state| state.target.is_none());
        // An item that the decided value leaves out has nothing more to wait for; one that still lacks a selection proof
        // has.
        let decided = |item: &Item| {
            let value = self.decided.as_ref().filter(|_| self.sound);
            value.is_some_and(|value| !value.set.contains_key(&item.validator))
        };
        let settled =
            |item: &Item, state: &State| state.ended() || (state.target.is_none() && decided(item));
        let complete = self.expected().next().is_some()
            && self.expected().all(|(item, state)| settled(item, state))
            && !self.awaits_selections();
        if refused || complete {
            self.tell_end(facts, None, out);
            let done = self.items.values_mut().filter(|state| state.ended());
            done.for_each(|state| state.book.clear());
        }
    }

    /// The duty is over. Its end is told once, even if changed assignments have brought more work since.
    pub(super) fn tell_end(
        &mut self,
        facts: &Facts<'_>,
        missing: Option<(Ingredient, Vec<PeerIndex>)>,
        out: &mut Vec<Output>,
    ) {
        let told = std::mem::replace(&mut self.end_told, true);
        if !self.ended && !told {
            out.extend(self.outcome(facts, missing).map(Output::Ended));
        }
        self.ended = true;
    }

    /// Whether more items may become expected: validators whose selection proof is not known may be selected.
    fn awaits_selections(&self) -> bool {
        let selects = matches!(
            self.duty.kind,
            DutyKind::Aggregator | DutyKind::SyncContribution
        );
        selects && self.decided.is_none()
    }

    /// Items of this duty: by our beacon node, or by what was agreed.
    fn expected(&self) -> impl Iterator<Item = (&Item, &State)> {
        self.items
            .iter()
            .filter(|(_, state)| state.expected || (state.target.is_some() && self.begun))
    }

    /// How the duty stands; `None` when no validator of ours is known to have it. `missing` is what another duty of the slot
    /// failed to bring, if it did.
    pub(super) fn outcome(
        &self,
        facts: &Facts<'_>,
        missing: Option<(Ingredient, Vec<PeerIndex>)>,
    ) -> Option<Outcome> {
        let items: BTreeMap<_, _> = self
            .expected()
            .map(|(item, state)| {
                let outcome = ItemOutcome {
                    quorum: state.quorum,
                    aggregated: state.aggregated,
                    submitted: state.submitted,
                    fate: self.fate(*item, state, facts, missing.as_ref()),
                };
                (*item, outcome)
            })
            .collect();
        if items.is_empty() {
            return None;
        }
        let (round, leader) = self.decision.unzip();
        Some(Outcome {
            duty: self.duty,
            due: self.due,
            round,
            leader,
            stages: self.stages,
            items,
        })
    }

    fn fate(
        &self,
        item: Item,
        state: &State,
        facts: &Facts<'_>,
        missing: Option<&(Ingredient, Vec<PeerIndex>)>,
    ) -> Fate {
        let missed = |step, reason, peers| Fate::Missed {
            step,
            reason,
            peers,
        };
        match (&state.own, &state.group) {
            (_, Group::Done) => return Fate::Submitted,
            (_, Group::NotAccepted(text) | Group::Retrying(_, text)) => {
                return missed(Step::Submit, Reason::NotAccepted(text.clone()), vec![]);
            }
            (_, Group::Submitting) => return missed(Step::Submit, Reason::NoAnswer, vec![]),
            (Own::Refused(refusal), _) => {
                return missed(Step::Record, Reason::Slashing(refusal.clone()), vec![]);
            }
            _ => {}
        }
        match &state.target {
            None if self.agreement.is_some() => {
                let (step, reason, peers) = self.why_not_agreed(facts, missing);
                missed(step, reason, peers)
            }
            target => self.why_not_combined(item, state, target.as_ref(), facts),
        }
    }

    fn why_not_combined(
        &self,
        item: Item,
        state: &State,
        target: Option<&Object>,
        facts: &Facts<'_>,
    ) -> Fate {
        let shares: BTreeSet<usize> = match target {
            Some(target) => state.book.shares(target.root).map(|s| s.peer()).collect(),
            None => state.book.largest().map(|share| share.peer()).collect(),
        };
        let bad: Vec<PeerIndex> = state
            .book
            .bad()
            .map(|share| PeerIndex::new(share.peer()))
            .collect();
        let builtin = facts.builtin.contains(&item.validator);
        let (step, reason, peers) = match &state.own {
            _ if self.fault.is_some() && target.is_none() => {
                let (step, reason, peers) = self.why_not_agreed(facts, None);
                (step, reason, peers)
            }
            Own::Idle if builtin && target.is_some() => (Step::Record, Reason::Paused, vec![]),
            Own::Recording => (Step::Record, Reason::DatabaseSilent, vec![]),
            Own::Ready if !shares.contains(&facts.cluster.me.get()) => {
                let reason = match builtin {
                    true => Reason::Unsigned,
                    false => Reason::ClientSilent,
                };
                (Step::Sign, reason, vec![])
            }
            Own::Idle if !builtin && target.is_some() => (Step::Sign, Reason::ClientSilent, vec![]),
            _ if !bad.is_empty() => (Step::Aggregate, Reason::BadPartials { bad: bad.len() }, bad),
            _ => match (&self.fetch.error, &state.mine) {
                (Some(text), None) => (Step::Fetch, Reason::NoData(text.clone()), vec![]),
                _ => (
                    Step::Exchange,
                    Reason::TooFewPartials {
                        have: shares.len(),
                        needed: facts.cluster.threshold,
                    },
                    others(facts, &shares),
                ),
            },
        };
        Fate::Missed {
            step,
            reason,
            peers,
        }
    }

    fn why_not_agreed(
        &self,
        facts: &Facts<'_>,
        missing: Option<&(Ingredient, Vec<PeerIndex>)>,
    ) -> (Step, Reason, Vec<PeerIndex>) {
        if let Some(fault) = &self.fault {
            let leader = self
                .decision
                .map(|(_, leader)| leader)
                .into_iter()
                .collect();
            return (Step::Agree, Reason::Refused(fault.clone()), leader);
        }
        if let Some((ingredient, peers)) = missing {
            return (Step::Fetch, Reason::Missing(*ingredient), peers.clone());
        }
        if self.decision.is_some() {
            return (Step::Agree, Reason::NotInValue, vec![]);
        }
        let Some(agreement) = &self.agreement else {
            return (Step::Fetch, Reason::NoData("not asked".into()), vec![]);
        };
        let mut heard = agreement.heard().clone();
        let needed = qbft::quorum(facts.cluster.nodes);
        if heard.len() < needed {
            let count = heard.len();
            heard.insert(facts.cluster.me.get());
            let reason = Reason::NoQuorum {
                heard: count,
                needed,
            };
            return (Step::Agree, reason, others(facts, &heard));
        }
        match &self.fetch.error {
            Some(text) => (Step::Fetch, Reason::NoData(text.clone()), vec![]),
            None => (
                Step::Agree,
                Reason::NoDecision {
                    rounds: agreement.round(),
                },
                vec![],
            ),
        }
    }

    /// What this duty failed to get for another one: the peers whose shares are missing. `None` if it has brought all.
    pub fn shortfall(&self, facts: &Facts<'_>) -> Option<Vec<PeerIndex>> {
        let short = self.items.values().find(|state| state.signed.is_none())?;
        let shares = short.book.largest().map(|share| share.peer()).collect();
        Some(others(facts, &shares))
    }
}

/// All peers but these.
fn others(facts: &Facts<'_>, these: &BTreeSet<usize>) -> Vec<PeerIndex> {
    (0..facts.cluster.nodes)
        .filter(|peer| !these.contains(peer))
        .map(PeerIndex::new)
        .collect()
}
