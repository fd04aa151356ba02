//! The group signature's track: collect, combine, check, submit; and what partial signatures prove (S8).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use flotilla_types::{DutyKind, PeerIndex, Root, SignedData, Timestamp};

use super::{Group, Life};
use crate::engine::Facts;
use crate::io::{Claim, Combination, Combined, FetchError, Item, Output, PartialSet, Rejected};
use crate::kinds::{self, Object, aggregation, alone};
use crate::knowledge::Weighed;
use crate::schedule::retry_delay;
use crate::signatures::Standing;

/// How long f + 1 matching partial signatures wait for the own decision before they are checked as proof of one (S8).
///
/// In a healthy cluster the own decision follows within a network delay; checking earlier would cost every node a needless
/// verification for every duty.
const PROOF_GRACE: Duration = Duration::from_millis(250);

impl Life {
    /// Partial signatures of peer `from`, whose share they are by construction.
    pub fn on_partials(
        &mut self,
        now: Timestamp,
        from: PeerIndex,
        set: PartialSet,
        facts: &Facts<'_>,
        out: &mut Vec<Output>,
    ) {
        if self.ended && !alone::is_fixed(self.duty.kind) {
            return;
        }
        // Without a deadline there is no due point either: a peer's wish is reason enough to be at work.
        self.begun |= self.duty.kind == DutyKind::Exit;
        let proof = facts.cluster.faulty() + 1;
        let mut second_root = false;
        for (validator, partial) in set.items {
            let item = Item::of(validator, &partial.data);
            let state = self.items.entry(item).or_default();
            // Of what is done the book is closed; peers may be ahead of us with other assignments.
            if self.ended && state.ended() {
                continue;
            }
            second_root |= state
                .book
                .insert(set.share, partial, Standing::Claimed)
                .is_err();
            if self.agreement.is_some()
                && state.target.is_none()
                && state.book.contender(item, proof).is_some()
            {
                self.prove_at.get_or_insert(now + PROOF_GRACE);
            }
        }
        if second_root {
            out.push(Output::Rejected {
                from,
                duty: self.duty,
                reason: Rejected::SecondRoot,
            });
        }
        self.advance(now, facts, out);
    }

    /// S8: has the cluster decided without us? Asks for a check of claims that would prove it.
    pub(super) fn prove(&mut self, facts: &Facts<'_>, out: &mut Vec<Output>) {
        self.prove_at = None;
        let proof = facts.cluster.faulty() + 1;
        let mut claims: BTreeMap<Root, Vec<Claim>> = BTreeMap::new();
        for (item, state) in &mut self.items {
            if state.target.is_some() || state.checking || self.proven.contains_key(item) {
                continue;
            }
            if let Some((root, mut found)) = state.book.contender(*item, proof) {
                state.checking = true;
                claims.entry(root).or_default().append(&mut found);
            }
        }
        out.extend(
            claims
                .into_iter()
                .map(|(signing_root, claims)| Output::Check {
                    duty: self.duty,
                    signing_root,
                    claims,
                }),
        );
    }

    /// A worker's verdict on claimed partial signatures.
    pub fn on_checked(
        &mut self,
        now: Timestamp,
        good: &[Claim],
        bad: &[Claim],
        facts: &Facts<'_>,
        out: &mut Vec<Output>,
    ) {
        self.mark(good, Standing::Good);
        self.mark(bad, Standing::Bad);
        self.report_bad(bad.iter().map(|claim| claim.share.peer()).collect(), out);
        let touched: BTreeSet<Item> = good.iter().chain(bad).map(|claim| claim.item).collect();
        let proof = facts.cluster.faulty() + 1;
        for item in touched {
            let Some(state) = self.items.get_mut(&item) else {
                continue;
            };
            state.checking = false;
            if state.target.is_none()
                && let Some(partial) = state.book.proven(proof)
            {
                self.proven.insert(item, partial.data.clone());
                self.stages.agreed.get_or_insert(now);
            }
        }
        self.advance(now, facts, out);
    }

    /// Takes objects that were proven to be decided, once they have passed S1 and the guard.
    pub(super) fn adopt(&mut self, facts: &Facts<'_>, out: &mut Vec<Output>) {
        for (item, data) in std::mem::take(&mut self.proven) {
            match self
                .knowledge
                .weigh_proven(&item.validator, &data, facts, out)
            {
                Ok(object) => self.aim(item, object),
                Err(Weighed::Bad(fault)) => self.fault = Some(fault),
                Err(Weighed::Open | Weighed::Good) => _ = self.proven.insert(item, data),
            }
        }
    }

    fn mark(&mut self, claims: &[Claim], standing: Standing) {
        for claim in claims {
            if let Some(state) = self.items.get_mut(&claim.item) {
                state
                    .book
                    .mark(claim.share, Some(claim.signature), standing);
            }
        }
    }

    fn report_bad(&self, peers: BTreeSet<usize>, out: &mut Vec<Output>) {
        out.extend(peers.into_iter().map(|peer| Output::Rejected {
            from: PeerIndex::new(peer),
            duty: self.duty,
            reason: Rejected::BadSignature,
        }));
    }

    /// Signed by a threshold of shares: to the workers, all items in one request.
    pub(super) fn combine(&mut self, now: Timestamp, facts: &Facts<'_>, out: &mut Vec<Output>) {
        let threshold = facts.cluster.threshold;
        let alone = self.agreement.is_none();
        let mut items = Vec::new();
        for (item, state) in &mut self.items {
            if state.group != Group::Collecting {
                continue;
            }
            // Without agreement the group's object is the one that a threshold of shares has signed.
            if alone
                && state
                    .target
                    .as_ref()
                    .is_none_or(|target| state.book.shares(target.root).count() < threshold)
                && let Some((root, _)) = state.book.contender(*item, threshold)
                && let Some(sample) = state.book.sample(root)
            {
                state.target = Some(Object::new(sample.clone(), facts.chain));
            }
            let Some(target) = &state.target else {
                continue;
            };
            if state.book.shares(target.root).count() < threshold {
                continue;
            }
            state.quorum.get_or_insert(now);
            if state.permitted(target) {
                state.group = Group::Combining;
                let partials = state.book.usable(target.root);
                items.push(Combination {
                    item: *item,
                    signing_root: target.root,
                    partials,
                });
            }
        }
        if !items.is_empty() {
            out.push(Output::Combine {
                duty: self.duty,
                items,
            });
        }
    }

    /// What the workers made of claimed partial signatures.
    pub fn on_combined(
        &mut self,
        now: Timestamp,
        results: Vec<(Item, Combined)>,
        facts: &Facts<'_>,
        out: &mut Vec<Output>,
    ) {
        let submitted = kinds::is_submitted(self.duty.kind);
        let mut items = Vec::new();
        let mut culprits = BTreeSet::new();
        for (item, result) in results {
            let Some(state) = self
                .items
                .get_mut(&item)
                .filter(|state| state.group == Group::Combining)
            else {
                continue;
            };
            match (result, &state.target) {
                (Combined::Signature(signature), Some(target)) => {
                    let data = target.signed(signature.into_inner());
                    state.aggregated = Some(now);
                    state.signed = Some(data.clone());
                    self.news = true;
                    state.group = match submitted {
                        true => Group::Submitting,
                        false => Group::Done,
                    };
                    items.push((item, data));
                }
                (Combined::Signature(_), None) => state.group = Group::Collecting,
                (Combined::Short { bad, good }, _) => {
                    bad.iter()
                        .for_each(|&share| state.book.mark(share, None, Standing::Bad));
                    good.iter()
                        .for_each(|&share| state.book.mark(share, None, Standing::Good));
                    culprits.extend(bad.iter().map(|share| share.peer()));
                    state.group = Group::Collecting;
                }
            }
        }
        self.report_bad(culprits, out);
        self.announce_selected(&items, facts, out);
        if submitted && !items.is_empty() {
            out.push(Output::Submit {
                duty: self.duty,
                items,
            });
        }
        self.advance(now, facts, out);
    }

    /// The beacon node gathers what it is told will be aggregated.
    fn announce_selected(
        &self,
        signed: &[(Item, SignedData)],
        facts: &Facts<'_>,
        out: &mut Vec<Output>,
    ) {
        let selected = |(item, data): &(Item, SignedData)| {
            let SignedData::PrepareAggregator(selection) = data else {
                return None;
            };
            let duty = self
                .knowledge
                .definitions
                .get(&item.validator)?
                .attester()?;
            let chosen = aggregation::is_selected(duty, &selection.selection_proof, facts.chain);
            (chosen && facts.builtin.contains(&item.validator)).then_some(*duty)
        };
        let selected: Vec<_> = signed.iter().filter_map(selected).collect();
        if !selected.is_empty() {
            out.push(Output::Selected(selected));
        }
    }

    /// The beacon nodes' answer.
    pub fn on_submitted(
        &mut self,
        now: Timestamp,
        accepted: Vec<Item>,
        refused: Vec<(Item, FetchError)>,
        facts: &Facts<'_>,
        out: &mut Vec<Output>,
    ) {
        for item in accepted {
            if let Some(state) = self.items.get_mut(&item)
                && state.group == Group::Submitting
            {
                state.submitted = Some(now);
                state.group = Group::Done;
            }
        }
        for (item, error) in refused {
            let Some(state) = self
                .items
                .get_mut(&item)
                .filter(|state| state.group == Group::Submitting)
            else {
                continue;
            };
            // An exit may be too early today and right tomorrow.
            let again = error.temporary || self.duty.kind == DutyKind::Exit;
            state.group = match again {
                true => Group::Retrying(now + retry_delay(state.attempts), error.text),
                false => Group::NotAccepted(error.text),
            };
            state.attempts += 1;
        }
        self.advance(now, facts, out);
    }

    pub(super) fn retry_submissions(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let mut items = Vec::new();
        for (item, state) in &mut self.items {
            if let (Group::Retrying(at, _), Some(signed)) = (&state.group, &state.signed)
                && *at <= now
            {
                items.push((*item, signed.clone()));
                state.group = Group::Submitting;
            }
        }
        if !items.is_empty() {
            out.push(Output::Submit {
                duty: self.duty,
                items,
            });
        }
    }
}
