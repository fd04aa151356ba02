//! Attestations, alone and aggregated.

use flotilla_types::{
    Attestation, AttestationData, AttesterDuty, CommitteeIndex, DomainType, DutyKind, Root,
    SignedAggregateAndProof, SingleAttestation, Slot, Timestamp, ValidatorIndex,
    is_attestation_aggregator,
};

use super::pools::Vote;
use super::{Arrival, Claim, Fault, Judgement, Submission, World};

impl World {
    /// The aggregate of a committee's attestations known for the data with this root, if there are any.
    pub fn aggregate(
        &self,
        slot: Slot,
        data: Root,
        committee: CommitteeIndex,
    ) -> Option<Attestation> {
        self.votes
            .aggregate(slot, data, committee, &self.kitchen.sizes)
    }

    /// Compares attestation data with what the chain expects of the slot.
    fn check_data(&self, data: &AttestationData, now: Timestamp) -> Result<(), Fault> {
        if data.index.0 != 0 {
            return Err(Fault::IllegalIndex(data.index.0));
        }
        let heads = self.history.right_heads(data.slot, now);
        let expected = heads
            .into_iter()
            .map(|head| self.history.attestation_data(data.slot, head))
            .find(|expected| expected.beacon_block_root == data.beacon_block_root)
            .ok_or(Fault::WrongHead)?;
        if data.source != expected.source {
            return Err(Fault::WrongSource);
        }
        if data.target != expected.target {
            return Err(Fault::WrongTarget);
        }
        Ok(())
    }

    /// The attester duty of a validator in a slot.
    fn duty_in(&mut self, validator: ValidatorIndex, slot: Slot) -> Result<AttesterDuty, Fault> {
        let duties = self.duties(self.chain().epoch_of(slot));
        let duty = duties.get(&validator).filter(|duty| duty.slot == slot);
        duty.copied().ok_or(Fault::WrongSlot(slot.0))
    }
}

impl Submission for SingleAttestation {
    const KIND: DutyKind = DutyKind::Attester;

    fn validator(&self) -> ValidatorIndex {
        self.attester_index
    }

    fn claims(&self, world: &mut World, _: Timestamp) -> Result<Vec<(Claim, Fault)>, Fault> {
        let claim = world.claim(
            self.attester_index,
            (DomainType::BEACON_ATTESTER, self.data.target.epoch),
            self.data.tree_hash_root(),
            self.signature,
        );
        Ok(vec![(claim, Fault::BadSignature)])
    }

    fn witness(&self, world: &mut World) {
        world.watch.note(self.attester_index, &self.data);
    }

    fn place(&self, world: &mut World, _: Timestamp, arrival: Arrival) -> Result<Judgement, Fault> {
        let slot = self.data.slot;
        world.check_slot(slot, arrival.at, world.slots_kept())?;
        let duty = world.duty_in(self.attester_index, slot)?;
        if duty.committee_index != self.committee_index {
            let (expected, found) = (duty.committee_index.0, self.committee_index.0);
            return Err(Fault::WrongCommittee { expected, found });
        }
        world.check_data(&self.data, arrival.at)?;
        let vote = Vote {
            duty,
            signature: self.signature,
            at: arrival.at,
        };
        world.votes.add(self, vote);
        Ok(world.note(Self::KIND, slot, (self.attester_index, 0), arrival))
    }
}

/// The bits of an aggregate of one committee.
fn bits_of(aggregate: &Attestation, duty: &AttesterDuty) -> Result<Vec<u64>, Fault> {
    let Attestation::Electra {
        aggregation_bits,
        committee_bits,
        ..
    } = aggregate
    else {
        return Err(Fault::WrongBits);
    };
    let found = committee_bits.only().ok_or(Fault::WrongBits)?;
    let expected = duty.committee_index.0;
    if found != expected {
        return Err(Fault::WrongCommittee { expected, found });
    }
    let ones: Vec<u64> = aggregation_bits.ones().collect();
    if aggregation_bits.length() != duty.committee_length || ones.is_empty() {
        return Err(Fault::WrongBits);
    }
    Ok(ones)
}

impl Submission for SignedAggregateAndProof {
    const KIND: DutyKind = DutyKind::Aggregator;

    fn validator(&self) -> ValidatorIndex {
        self.message().aggregator_index
    }

    fn claims(&self, world: &mut World, now: Timestamp) -> Result<Vec<(Claim, Fault)>, Fault> {
        let (slot, message) = (self.slot(), self.message());
        world.check_slot(slot, now, world.slots_kept())?;
        let duty = world.duty_in(self.validator(), slot)?;
        let ones = bits_of(&message.aggregate, &duty)?;
        let epoch = world.chain().epoch_of(slot);
        let duties = world.duties(epoch);
        let signer = |place: &u64| {
            let mut members = duties.values();
            let member = members.find(|member| {
                member.slot == slot
                    && member.committee_index == duty.committee_index
                    && member.validator_committee_index == *place
            });
            member.map(|member| member.validator_index)
        };
        let signers: Option<Vec<_>> = ones.iter().map(signer).collect();
        let own = world.claim(
            self.validator(),
            (DomainType::AGGREGATE_AND_PROOF, epoch),
            self.message_root(),
            *self.signature(),
        );
        let proof = world.claim(
            self.validator(),
            (DomainType::SELECTION_PROOF, epoch),
            slot.tree_hash_root(),
            message.selection_proof,
        );
        let data = message.aggregate.data();
        let sum = Claim {
            signers: signers.ok_or(Fault::WrongBits)?,
            ..world.claim(
                self.validator(),
                (DomainType::BEACON_ATTESTER, data.target.epoch),
                data.tree_hash_root(),
                *message.aggregate.signature(),
            )
        };
        Ok(vec![
            (own, Fault::BadSignature),
            (proof, Fault::BadSelectionProof),
            (sum, Fault::BadAggregate),
        ])
    }

    fn place(&self, world: &mut World, _: Timestamp, arrival: Arrival) -> Result<Judgement, Fault> {
        let (slot, message) = (self.slot(), self.message());
        let duty = world.duty_in(self.validator(), slot)?;
        let target = world.kitchen.sizes.target_aggregators_per_committee;
        if !is_attestation_aggregator(&message.selection_proof, duty.committee_length, target) {
            return Err(Fault::NotAggregator);
        }
        let data = message.aggregate.data();
        world.check_data(data, arrival.at)?;
        // What came in the first half of the slot was there when the aggregate was asked for, at two thirds.
        let half = world.chain().slot_start(slot) + world.chain().spec.slot_duration / 2;
        let bits = message.aggregate.aggregation_bits();
        let votes = world
            .votes
            .of_committee(slot, data.tree_hash_root(), duty.committee_index);
        let lacks = |vote: &Vote| vote.at < half && !bits.get(vote.duty.validator_committee_index);
        if votes.iter().any(lacks) {
            return Err(Fault::LacksAttestations);
        }
        Ok(world.note(Self::KIND, slot, (self.validator(), 0), arrival))
    }
}
