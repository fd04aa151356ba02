//! Validator clients: what they ask waits for the decision, what they hand in waits until it is known what to sign.
//!
//! A client that asks early waits; one that asks late, twice or never changes nothing for the cluster.

use std::collections::{BTreeMap, BTreeSet};

use flotilla_types::{
    AggregateValue, Attestation, AttestationData, CommitteeIndex, SignatureBytes, Timestamp,
    UnsignedData,
};

use super::{Life, Own};
use crate::engine::Facts;
use crate::io::{
    ClientRequest, Item, NotTaken, Output, Partial, PartialSet, Question, Reply, UnsignedSet,
};
use crate::kinds::{self, Object};

/// Questions and deliveries that may wait in one duty; past it they are answered with nothing.
const WAITING_LIMIT: usize = 1024;

/// Partial signatures of one request that are not all settled.
#[derive(Debug, Default)]
struct Delivery {
    open: BTreeMap<Item, Partial>,
    not_taken: Vec<(Item, NotTaken)>,
}

/// Everybody who waits for one duty.
#[derive(Debug, Default)]
pub(super) struct Clients {
    questions: BTreeMap<ClientRequest, Question>,
    deliveries: BTreeMap<ClientRequest, Delivery>,
}

impl Clients {
    fn is_full(&self) -> bool {
        self.questions.len() + self.deliveries.len() >= WAITING_LIMIT
    }

    /// Whether anything that was handed in is not settled.
    pub fn hold_any(&self) -> bool {
        !self.deliveries.is_empty()
    }

    /// The duty is over: nobody waits any longer.
    pub fn dismiss(&mut self, out: &mut Vec<Output>) {
        let questions = std::mem::take(&mut self.questions).into_keys();
        let questions = questions.map(|request| (request, Reply::None));
        let deliveries =
            std::mem::take(&mut self.deliveries)
                .into_iter()
                .map(|(request, delivery)| {
                    let late = delivery.open.into_keys();
                    let late = late.map(|item| (item, NotTaken::NotDue));
                    let not_taken = delivery.not_taken.into_iter().chain(late).collect();
                    (request, Reply::NotTaken(not_taken))
                });
        out.extend(
            questions
                .chain(deliveries)
                .map(|(request, reply)| told(request, reply)),
        );
    }
}

impl Life {
    /// A validator client asks.
    pub fn on_question(
        &mut self,
        request: ClientRequest,
        question: Question,
        out: &mut Vec<Output>,
    ) {
        if self.clients.is_full() {
            return out.push(told(request, Reply::None));
        }
        self.clients.questions.insert(request, question);
        self.answer(out);
    }

    /// A validator client hands in our share's signatures.
    pub fn on_offer(
        &mut self,
        now: Timestamp,
        request: ClientRequest,
        set: PartialSet,
        facts: &Facts<'_>,
        out: &mut Vec<Output>,
    ) {
        let mut delivery = Delivery::default();
        let full = self.clients.is_full();
        for (validator, partial) in set.items {
            let item = Item::of(validator, &partial.data);
            match full {
                true => delivery.not_taken.push((item, NotTaken::NotDue)),
                false => _ = delivery.open.insert(item, partial),
            }
        }
        self.clients.deliveries.insert(request, delivery);
        self.advance(now, facts, out);
    }

    /// A validator client no longer waits. What it has handed in may still be signed by its own will.
    pub fn forget(&mut self, request: ClientRequest) {
        self.clients.questions.remove(&request);
    }

    /// Settles what clients have handed in, as far as it is known what to sign; what may be sent now.
    pub(super) fn take_offers(
        &mut self,
        now: Timestamp,
        facts: &Facts<'_>,
        out: &mut Vec<Output>,
    ) -> Vec<(Item, SignatureBytes)> {
        let mut ready = Vec::new();
        // S10: a client may be early, its share of the randomness must not.
        if now < self.opens {
            return ready;
        }
        let mut deliveries = std::mem::take(&mut self.clients.deliveries);
        let mut taken_now = BTreeSet::new();
        for delivery in deliveries.values_mut() {
            for (item, partial) in std::mem::take(&mut delivery.open) {
                match self.settle(item, &partial, taken_now.contains(&item), facts) {
                    Settled::Ready => {
                        taken_now.insert(item);
                        ready.push((item, *partial.data.signature()));
                    }
                    Settled::Repeated => {}
                    Settled::No(reason) => delivery.not_taken.push((item, reason)),
                    Settled::Open => _ = delivery.open.insert(item, partial),
                }
            }
        }
        let (open, settled): (BTreeMap<_, _>, BTreeMap<_, _>) = deliveries
            .into_iter()
            .partition(|(_, delivery)| !delivery.open.is_empty());
        self.clients.deliveries = open;
        out.extend(settled.into_iter().map(|(request, delivery)| {
            let reply = match delivery.not_taken.is_empty() {
                true => Reply::Taken,
                false => Reply::NotTaken(delivery.not_taken),
            };
            told(request, reply)
        }));
        ready
    }

    fn settle(
        &mut self,
        item: Item,
        partial: &Partial,
        taken_now: bool,
        facts: &Facts<'_>,
    ) -> Settled {
        if facts.builtin.contains(&item.validator) {
            return Settled::No(NotTaken::Builtin);
        }
        if facts.paused {
            return Settled::No(NotTaken::Paused);
        }
        if let Err(_fault) = kinds::check_fork(self.duty, facts.chain) {
            return Settled::No(NotTaken::NothingAgreed);
        }
        self.aim_by_offer(item, partial, facts);
        let nothing = self.fault.is_some() || self.leaves_out(item);
        let Some(state) = self.items.get(&item) else {
            return match nothing {
                true => Settled::No(NotTaken::NothingAgreed),
                false => Settled::Open,
            };
        };
        let same = state
            .mine
            .as_ref()
            .map(|mine| mine.root == partial.signing_root);
        match (&state.own, same) {
            (Own::Sent, Some(true)) => Settled::Repeated,
            (Own::Ready, Some(true)) if taken_now => Settled::Repeated,
            (Own::Sent, _) => Settled::No(NotTaken::SignedBefore),
            (Own::Refused(refusal), _) => Settled::No(NotTaken::Slashing(refusal.clone())),
            (_, Some(false)) => Settled::No(NotTaken::NotAgreed),
            (Own::Ready, Some(true)) => Settled::Ready,
            (Own::Idle | Own::Recording, Some(true)) => Settled::Open,
            (_, None) if nothing => Settled::No(NotTaken::NothingAgreed),
            (_, None) => Settled::Open,
        }
    }

    /// Where the node can not tell by itself what the share signs, the client's object is it: a head, an exit, or an object
    /// around the decided value that carries a selection proof which this node has not seen.
    fn aim_by_offer(&mut self, item: Item, partial: &Partial, facts: &Facts<'_>) {
        let object = || Object::new(partial.data.clone(), facts.chain);
        if self.agreement.is_none() {
            let state = self.items.entry(item).or_default();
            if state.mine.is_none() {
                state.mine = Some(object());
            }
            if state.own == Own::Idle && !facts.paused {
                state.own = Own::Ready;
            }
            return;
        }
        let decided = self.decided.as_ref().filter(|_| self.sound);
        let data = decided.and_then(|value| value.set.get(&item.validator));
        if data.is_some_and(|data| kinds::stems_from(data, &partial.data)) {
            self.aim(item, object());
            if let Some(state) = self.items.get_mut(&item)
                && state.own == Own::Idle
            {
                state.own = Own::Ready;
            }
        }
    }

    /// Whether the cluster has decided, and on nothing for this item.
    fn leaves_out(&self, item: Item) -> bool {
        let decided = self.decided.as_ref().filter(|_| self.sound);
        decided.is_some_and(|value| !value.set.contains_key(&item.validator))
    }

    /// Answers what can be answered.
    pub(super) fn answer(&mut self, out: &mut Vec<Output>) {
        let mut questions = std::mem::take(&mut self.clients.questions);
        questions.retain(|&request, question| {
            let reply = self.reply(question);
            let open = reply.is_none();
            out.extend(reply.map(|reply| told(request, reply)));
            open
        });
        self.clients.questions = questions;
    }

    fn reply(&self, question: &Question) -> Option<Reply> {
        if let Question::Combined { items, .. } = question {
            let signed = |item| self.items.get(item)?.signed.clone();
            let signed = items.iter().map(signed).collect::<Option<Vec<_>>>();
            return signed.map(Reply::Combined);
        }
        if self.fault.is_some() {
            return Some(Reply::None);
        }
        let value = self.decided.as_ref().filter(|_| self.sound)?;
        let found = match question {
            Question::Attestation { committee, .. } => {
                attestation_of(&value.set, *committee).map(Reply::Attestation)
            }
            other => value.set.values().find_map(|data| answer_from(data, other)),
        };
        Some(found.unwrap_or(Reply::None))
    }
}

fn told(request: ClientRequest, reply: Reply) -> Output {
    Output::Reply {
        request,
        reply: Box::new(reply),
    }
}

enum Settled {
    Ready,
    Repeated,
    No(NotTaken),
    Open,
}

/// What a committee attests. From Electra on the committee is no part of it, and clients that ask for committee 0 mean any.
fn attestation_of(set: &UnsignedSet, committee: CommitteeIndex) -> Option<AttestationData> {
    let values = || set.values().filter_map(UnsignedData::attester);
    let own = values().find(|value| value.duty.committee_index == committee);
    let any = || values().find(|value| committee.0 == 0 && value.data.index.0 == 0);
    Some(own.or_else(any)?.data)
}

fn answer_from(data: &UnsignedData, question: &Question) -> Option<Reply> {
    match (data, question) {
        (UnsignedData::Proposer(proposal), Question::Block { .. }) => {
            Some(Reply::Block(proposal.clone()))
        }
        (
            UnsignedData::Aggregator(value),
            Question::Aggregate {
                data_root,
                committee,
                ..
            },
        ) => {
            let asked = value.aggregate.data().tree_hash_root() == *data_root
                && committee_of(value).is_none_or(|found| found == committee.0);
            asked.then(|| Reply::Aggregate(value.clone()))
        }
        (
            UnsignedData::SyncContribution(value),
            Question::Contribution {
                subcommittee,
                block_root,
                ..
            },
        ) => value
            .items()
            .iter()
            .find(|contribution| {
                contribution.subcommittee_index == *subcommittee
                    && contribution.beacon_block_root == *block_root
            })
            .map(|contribution| Reply::Contribution(contribution.clone())),
        _ => None,
    }
}

/// The committee that an aggregate names outside its data, from Electra on.
fn committee_of(value: &AggregateValue) -> Option<u64> {
    match &value.aggregate {
        Attestation::Electra { committee_bits, .. } => committee_bits.only(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use flotilla_types::{AttesterValue, PublicKeyBytes};

    use super::*;

    fn set(entries: &[(u64, u64)]) -> UnsignedSet {
        let entry = |(place, &(committee, index)): (usize, &(u64, u64))| {
            let mut value = AttesterValue::default();
            value.duty.committee_index = CommitteeIndex(committee);
            value.data.index = CommitteeIndex(index);
            value.data.beacon_block_root.0[0] = place as u8;
            let key = PublicKeyBytes([place as u8; 48]);
            (key, UnsignedData::Attester(value))
        };
        entries.iter().enumerate().map(entry).collect()
    }

    fn place(set: &UnsignedSet, committee: u64) -> Option<u8> {
        let data = attestation_of(set, CommitteeIndex(committee))?;
        Some(data.beacon_block_root.0[0])
    }

    #[test]
    fn before_electra_every_committee_has_its_own_data() {
        let set = set(&[(1, 1), (0, 0)]);
        assert_eq!(place(&set, 0), Some(1));
        assert_eq!(place(&set, 1), Some(0));
        assert_eq!(place(&set, 2), None);
    }

    #[test]
    fn from_electra_on_committee_0_stands_for_any() {
        let set = set(&[(5, 0), (7, 0)]);
        assert_eq!(place(&set, 0), Some(0));
        assert_eq!(place(&set, 7), Some(1));
    }
}
