//! What a validator client signs with its share, and hands in.

use std::collections::BTreeMap;

use flotilla_duty::io::{Item, Partial, PartialSet};
use flotilla_types::{
    AggregateAndProof, AggregateValue, AttestationData, AttesterValue, CommitteeIndex,
    ContributionAndProof, Duty, DutyKind, Proposal, PublicKeyBytes, Root, SignatureBytes,
    SignedAggregateAndProof, SignedAttestation, SignedContributionAndProof, SignedData,
    SignedProposal, Slot, SyncCommitteeContribution, SyncCommitteeDuty, SyncCommitteeMessage,
};

use super::{Call, Client, Hand, UNSIGNED};
use crate::liar;
use crate::scenario::Manners;

/// Heads that no beacon node has, for clients that sign something else than they were told.
const OTHER_HEAD: Root = Root([0x66; 32]);

impl Client {
    pub(super) fn attest(
        &mut self,
        slot: Slot,
        committee: CommitteeIndex,
        mut data: AttestationData,
        hand: Hand<'_>,
    ) -> Vec<Call> {
        let Some(known) = self.slots.get_mut(&slot) else {
            return vec![];
        };
        known.attested = Some(data);
        if hand.manners == Manners::Other {
            data.beacon_block_root = OTHER_HEAD;
        }
        let fork = hand.chain.fork_at(hand.chain.epoch_of(slot));
        let ours = known.attesters.iter();
        let ours = ours.filter(|duty| duty.committee_index == committee);
        let objects = ours.filter_map(|&duty| {
            let value = AttesterValue { data, duty };
            let signed = SignedAttestation::from_value(&value, fork, UNSIGNED).ok()?;
            Some((duty.pubkey, SignedData::Attester(signed)))
        });
        let objects = objects.collect();
        self.hand_in(Duty::attester(slot), objects, hand)
    }

    pub(super) fn sign_block(&self, slot: Slot, proposal: Proposal, hand: Hand<'_>) -> Vec<Call> {
        let Some(known) = self.slots.get(&slot) else {
            return vec![];
        };
        let index = proposal.facts().header.proposer_index;
        let proposer = known
            .proposers
            .iter()
            .find(|proposer| proposer.validator_index == index);
        let Some(proposer) = proposer else {
            return vec![];
        };
        let proposal = match hand.manners {
            Manners::Other => liar::other_block(&proposal, hand.chain),
            _ => proposal,
        };
        let signed = SignedData::Proposer(SignedProposal {
            proposal,
            signature: UNSIGNED,
        });
        let duty = Duty::new(slot, DutyKind::Proposer);
        self.hand_in(duty, vec![(proposer.pubkey, signed)], hand)
    }

    pub(super) fn sign_head(&self, slot: Slot, head: Root, hand: Hand<'_>) -> Vec<Call> {
        let head = match hand.manners {
            Manners::Other => OTHER_HEAD,
            _ => head,
        };
        let Some(known) = self.slots.get(&slot) else {
            return vec![];
        };
        let message = |member: &SyncCommitteeDuty| {
            let message = SyncCommitteeMessage {
                slot,
                beacon_block_root: head,
                validator_index: member.validator_index,
                signature: UNSIGNED,
            };
            (member.pubkey, SignedData::SyncMessage(message))
        };
        let objects = known.members.iter().map(message).collect();
        self.hand_in(Duty::new(slot, DutyKind::SyncMessage), objects, hand)
    }

    pub(super) fn sign_aggregate(
        &self,
        slot: Slot,
        committee: CommitteeIndex,
        value: &AggregateValue,
        hand: Hand<'_>,
    ) -> Vec<Call> {
        let Some(known) = self.slots.get(&slot) else {
            return vec![];
        };
        let aggregate = match hand.manners {
            Manners::Other => liar::other_aggregate(value).aggregate,
            _ => value.aggregate.clone(),
        };
        let fork = hand.chain.fork_at(hand.chain.epoch_of(slot));
        let object = |(item, proof): (Item, SignatureBytes)| {
            let mut attesters = known.attesters.iter();
            let duty = attesters.find(|duty| duty.pubkey == item.validator)?;
            let message = AggregateAndProof {
                aggregator_index: duty.validator_index,
                aggregate: aggregate.clone(),
                selection_proof: proof,
            };
            let sizes = &hand.chain.spec.sizes;
            let signed = SignedAggregateAndProof::new(fork, message, UNSIGNED, sizes).ok()?;
            (duty.committee_index == committee)
                .then_some((item.validator, SignedData::Aggregator(signed)))
        };
        let selected = self.selected(slot, DutyKind::PrepareAggregator);
        let objects = selected.into_iter().filter_map(object).collect();
        self.hand_in(Duty::new(slot, DutyKind::Aggregator), objects, hand)
    }

    pub(super) fn sign_contribution(
        &self,
        slot: Slot,
        subcommittee: u64,
        contribution: &SyncCommitteeContribution,
        hand: Hand<'_>,
    ) -> Vec<Call> {
        let Some(known) = self.slots.get(&slot) else {
            return vec![];
        };
        let contribution = match hand.manners {
            Manners::Other => liar::other_contribution(contribution, &hand.chain.spec.sizes),
            _ => contribution.clone(),
        };
        let object = |(item, proof): (Item, SignatureBytes)| {
            let mut members = known.members.iter();
            let member = members.find(|member| member.pubkey == item.validator)?;
            let message = ContributionAndProof {
                aggregator_index: member.validator_index,
                contribution: contribution.clone(),
                selection_proof: proof,
            };
            let signed = SignedContributionAndProof {
                message,
                signature: UNSIGNED,
            };
            (item.part == subcommittee)
                .then_some((item.validator, SignedData::SyncContribution(signed)))
        };
        let selected = self.selected(slot, DutyKind::PrepareSyncContribution);
        let objects = selected.into_iter().filter_map(object).collect();
        self.hand_in(Duty::new(slot, DutyKind::SyncContribution), objects, hand)
    }

    /// Signs objects and hands them in, one message for each part of a validator.
    pub fn hand_in(
        &self,
        duty: Duty,
        objects: Vec<(PublicKeyBytes, SignedData)>,
        hand: Hand<'_>,
    ) -> Vec<Call> {
        let duty = match hand.manners {
            Manners::Never => return vec![],
            Manners::WrongSlot => Duty::new(Slot(duty.slot.0 + 1), duty.kind),
            _ => duty,
        };
        let mut parts: BTreeMap<u64, BTreeMap<PublicKeyBytes, Partial>> = BTreeMap::new();
        for (validator, data) in objects {
            let signing_root = data.signing_root(hand.chain);
            let signature = hand.scheme.sign(validator, self.share, signing_root);
            let part = data.item();
            let data = data.with_signature(signature);
            let partial = Partial { data, signing_root };
            parts.entry(part).or_default().insert(validator, partial);
        }
        let set = |items| {
            Call::Offer(PartialSet {
                duty,
                share: self.share,
                items,
            })
        };
        parts.into_values().map(set).collect()
    }
}
