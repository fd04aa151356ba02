//! A validator client: what it asks its node, what it signs with its share, and how it misbehaves.
//!
//! It is a process of its own: it survives its node's crashes, and signs a slot's head once. It knows duties from its node's
//! beacon node, as a real one does through the proxy.

mod signing;

use std::collections::{BTreeMap, BTreeSet};

use flotilla_crypto::ShareIndex;
use flotilla_duty::io::{ClientRequest, Item, PartialSet, Question, Reply};
use flotilla_types::{
    AttestationData, AttesterDuty, BeaconCommitteeSelection, Chain, Duty, DutyKind, ProposerDuty,
    RandaoReveal, Root, SignatureBytes, SignedData, Slot, SyncCommitteeDuty,
    SyncCommitteeSelection, is_attestation_aggregator, is_sync_aggregator,
};

use crate::scenario::Manners;
use crate::scheme::Scheme;

/// Slots that a client looks back to.
const MEMORY: u64 = 4;
/// Stands where a signature will be.
const UNSIGNED: SignatureBytes = SignatureBytes([0; 96]);

/// What a client sends its node.
#[derive(Clone, Debug)]
pub enum Call {
    /// A question.
    Ask(Question),
    /// Its share's signatures.
    Offer(PartialSet),
}

/// A piece of work that the clock sets a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// Reveal randomness, ask for the block.
    Propose,
    /// Prove selection for aggregations and contributions of the slot, ask for the group's proofs.
    Select,
    /// Ask what to attest.
    Attest,
    /// Sign the head.
    SignHead,
    /// Ask for the aggregates it was selected for.
    Aggregate,
    /// Ask for the contributions it was selected for.
    Contribute,
}

impl Errand {
    /// All of them.
    pub const ALL: [Errand; 6] = [
        Errand::Propose,
        Errand::Select,
        Errand::Attest,
        Errand::SignHead,
        Errand::Aggregate,
        Errand::Contribute,
    ];

    /// The duty whose due point it is done at; selection is done when its slot begins.
    pub const fn kind(self) -> DutyKind {
        match self {
            Errand::Propose => DutyKind::Proposer,
            Errand::Select => DutyKind::PrepareAggregator,
            Errand::Attest => DutyKind::Attester,
            Errand::SignHead => DutyKind::SyncMessage,
            Errand::Aggregate => DutyKind::Aggregator,
            Errand::Contribute => DutyKind::SyncContribution,
        }
    }

    /// Whether it can be done a slot ahead: what follows from nothing that comes later.
    pub const fn is_early(self) -> bool {
        matches!(self, Errand::Propose | Errand::Select | Errand::Attest)
    }
}

/// The duties of one slot, as the node's beacon node gives them.
#[derive(Clone, Debug, Default)]
pub struct Assigned {
    /// Who attests.
    pub attesters: Vec<AttesterDuty>,
    /// Who proposes.
    pub proposers: Vec<ProposerDuty>,
    /// Who is in the sync committee.
    pub members: Vec<SyncCommitteeDuty>,
    /// The head.
    pub head: Root,
}

/// What a client remembers of a slot.
#[derive(Debug, Default)]
struct Remembered {
    head: Option<Root>,
    attested: Option<AttestationData>,
    attesters: Vec<AttesterDuty>,
    members: Vec<SyncCommitteeDuty>,
    proposers: Vec<ProposerDuty>,
    selected: BTreeMap<(DutyKind, Item), SignatureBytes>,
    /// Errands whose time has come before everything that they need: done as that comes.
    open: Vec<Errand>,
    /// Aggregates and contributions asked for.
    asked: Vec<Question>,
}

/// One node's validator client.
#[derive(Debug)]
pub struct Client {
    share: ShareIndex,
    requests: u64,
    asked: BTreeMap<ClientRequest, Question>,
    slots: BTreeMap<Slot, Remembered>,
}

/// What a client signs with.
#[derive(Clone, Copy)]
pub struct Hand<'a> {
    /// The keys.
    pub scheme: &'a Scheme,
    /// The chain.
    pub chain: &'a Chain,
    /// How the client behaves now.
    pub manners: Manners,
}

impl Client {
    /// The client of a share.
    pub fn new(share: ShareIndex) -> Self {
        Self {
            share,
            requests: 0,
            asked: BTreeMap::new(),
            slots: BTreeMap::new(),
        }
    }

    /// A name for the next request.
    pub fn request(&mut self, call: &Call) -> ClientRequest {
        self.requests += 1;
        let request = ClientRequest(self.requests);
        if let Call::Ask(question) = call {
            self.asked.insert(request, question.clone());
        }
        request
    }

    /// Does an errand with the duties of its slot.
    pub fn run(
        &mut self,
        errand: Errand,
        slot: Slot,
        assigned: Assigned,
        hand: Hand<'_>,
    ) -> Vec<Call> {
        self.slots.retain(|known, _| known.0 + MEMORY > slot.0);
        self.asked
            .retain(|_, question| question.duty().slot.0 + MEMORY > slot.0);
        let known = self.slots.entry(slot).or_default();
        match errand {
            Errand::Propose => {
                known.proposers = assigned.proposers;
                self.propose(slot, hand)
            }
            Errand::Select => {
                known.attesters = assigned.attesters;
                known.members = assigned.members;
                self.select(slot, hand)
            }
            Errand::Attest => {
                known.attesters = assigned.attesters;
                let committees = known.attesters.iter().map(|duty| duty.committee_index);
                let committees: BTreeSet<_> = committees.collect();
                let ask = |committee| Call::Ask(Question::Attestation { slot, committee });
                committees.into_iter().map(ask).collect()
            }
            Errand::SignHead => {
                known.members = assigned.members;
                let head = *known.head.get_or_insert(assigned.head);
                self.sign_head(slot, head, hand)
            }
            Errand::Aggregate | Errand::Contribute => {
                known.open.push(errand);
                self.go_on(slot)
            }
        }
    }

    /// Takes an answer; what follows.
    pub fn on_reply(&mut self, request: ClientRequest, reply: Reply, hand: Hand<'_>) -> Vec<Call> {
        let Some(question) = self.asked.remove(&request) else {
            return vec![];
        };
        match (question, reply) {
            (Question::Attestation { slot, committee }, Reply::Attestation(data)) => {
                let mut calls = self.attest(slot, committee, data, hand);
                calls.extend(self.go_on(slot));
                calls
            }
            (Question::Block { slot }, Reply::Block(proposal)) => {
                self.sign_block(slot, proposal, hand)
            }
            (
                Question::Aggregate {
                    slot, committee, ..
                },
                Reply::Aggregate(value),
            ) => self.sign_aggregate(slot, committee, &value, hand),
            (
                Question::Contribution {
                    slot, subcommittee, ..
                },
                Reply::Contribution(contribution),
            ) => self.sign_contribution(slot, subcommittee, &contribution, hand),
            (Question::Combined { duty, items }, Reply::Combined(signed)) => {
                self.learn(duty, items, &signed, hand.chain);
                self.go_on(duty.slot)
            }
            _ => vec![],
        }
    }

    fn propose(&self, slot: Slot, hand: Hand<'_>) -> Vec<Call> {
        let Some(known) = self
            .slots
            .get(&slot)
            .filter(|known| !known.proposers.is_empty())
        else {
            return vec![];
        };
        let epoch = hand.chain.epoch_of(slot);
        let reveal = SignedData::Randao(RandaoReveal {
            epoch,
            signature: UNSIGNED,
        });
        let duty = Duty::new(slot, DutyKind::Randao);
        let objects = known
            .proposers
            .iter()
            .map(|proposer| (proposer.pubkey, reveal.clone()));
        let mut calls = self.hand_in(duty, objects.collect(), hand);
        calls.push(Call::Ask(Question::Block { slot }));
        calls
    }

    fn select(&self, slot: Slot, hand: Hand<'_>) -> Vec<Call> {
        let Some(known) = self.slots.get(&slot) else {
            return vec![];
        };
        let committees = known.attesters.iter().map(|duty| {
            let selection = BeaconCommitteeSelection {
                validator_index: duty.validator_index,
                slot,
                selection_proof: UNSIGNED,
            };
            (duty.pubkey, SignedData::PrepareAggregator(selection))
        });
        let seats = known.members.iter().flat_map(|member| {
            let seats = member.subcommittees(&hand.chain.spec.sizes);
            seats.into_iter().map(|subcommittee_index| {
                let selection = SyncCommitteeSelection {
                    validator_index: member.validator_index,
                    slot,
                    subcommittee_index,
                    selection_proof: UNSIGNED,
                };
                (
                    member.pubkey,
                    SignedData::PrepareSyncContribution(selection),
                )
            })
        });
        let mut calls = vec![];
        for (kind, objects) in [
            (DutyKind::PrepareAggregator, committees.collect::<Vec<_>>()),
            (DutyKind::PrepareSyncContribution, seats.collect()),
        ] {
            let duty = Duty::new(slot, kind);
            let items: Vec<Item> = objects
                .iter()
                .map(|(validator, data)| Item::of(*validator, data))
                .collect();
            if !items.is_empty() {
                calls.extend(self.hand_in(duty, objects, hand));
                calls.push(Call::Ask(Question::Combined { duty, items }));
            }
        }
        calls
    }

    /// Which of the proofs select.
    fn learn(&mut self, duty: Duty, items: Vec<Item>, signed: &[SignedData], chain: &Chain) {
        let Some(known) = self.slots.get_mut(&duty.slot) else {
            return;
        };
        let sizes = &chain.spec.sizes;
        for (item, data) in items.into_iter().zip(signed) {
            let proof = *data.signature();
            let of = |attester: &&AttesterDuty| attester.pubkey == item.validator;
            let selected = match duty.kind {
                DutyKind::PrepareAggregator => {
                    known.attesters.iter().find(of).is_some_and(|attester| {
                        let target = sizes.target_aggregators_per_committee;
                        is_attestation_aggregator(&proof, attester.committee_length, target)
                    })
                }
                _ => is_sync_aggregator(&proof, sizes),
            };
            if selected {
                known.selected.insert((duty.kind, item), proof);
            }
        }
    }

    /// Asks for what the clock has asked for and is now known to be wanted, once.
    fn go_on(&mut self, slot: Slot) -> Vec<Call> {
        let open = self.slots.get(&slot).map(|known| known.open.clone());
        let questions = open.unwrap_or_default().into_iter();
        let questions: Vec<Question> = questions
            .flat_map(|errand| match errand {
                Errand::Aggregate => self.aggregates(slot),
                _ => self.contributions(slot),
            })
            .collect();
        let Some(known) = self.slots.get_mut(&slot) else {
            return vec![];
        };
        let mut calls = vec![];
        for question in questions {
            if !known.asked.contains(&question) {
                known.asked.push(question.clone());
                calls.push(Call::Ask(question));
            }
        }
        calls
    }

    fn selected(&self, slot: Slot, kind: DutyKind) -> Vec<(Item, SignatureBytes)> {
        let known = self.slots.get(&slot).into_iter();
        let all = known.flat_map(|known| &known.selected);
        all.filter(|((of, _), _)| *of == kind)
            .map(|((_, item), proof)| (*item, *proof))
            .collect()
    }

    fn aggregates(&self, slot: Slot) -> Vec<Question> {
        let Some(data) = self.slots.get(&slot).and_then(|known| known.attested) else {
            return vec![];
        };
        let selected = self.selected(slot, DutyKind::PrepareAggregator);
        let committee = |(item, _): (Item, SignatureBytes)| {
            let known = self.slots.get(&slot)?;
            let mut attesters = known.attesters.iter();
            let duty = attesters.find(|duty| duty.pubkey == item.validator)?;
            Some(duty.committee_index)
        };
        let committees: BTreeSet<_> = selected.into_iter().filter_map(committee).collect();
        let ask = |committee| Question::Aggregate {
            slot,
            data_root: data.tree_hash_root(),
            committee,
        };
        committees.into_iter().map(ask).collect()
    }

    fn contributions(&self, slot: Slot) -> Vec<Question> {
        let Some(head) = self.slots.get(&slot).and_then(|known| known.head) else {
            return vec![];
        };
        let selected = self.selected(slot, DutyKind::PrepareSyncContribution);
        let seats: BTreeSet<u64> = selected.into_iter().map(|(item, _)| item.part).collect();
        let ask = |subcommittee| Question::Contribution {
            slot,
            subcommittee,
            block_root: head,
        };
        seats.into_iter().map(ask).collect()
    }
}
