//! Messages of the sync committee, alone and joined to contributions.

use flotilla_types::{
    DomainType, DutyKind, Root, SignedContributionAndProof, Slot, SyncAggregatorSelectionData,
    SyncCommitteeContribution, SyncCommitteeMessage, Timestamp, ValidatorIndex, is_sync_aggregator,
};

use super::{Arrival, Claim, Fault, Judgement, Submission, World};

/// How many slots back messages and contributions are accepted: they are of use for the next block only.
const WINDOW: u64 = 1;

impl World {
    /// The contribution of the cluster's members of a subcommittee that signed this root, if there are any.
    pub fn contribution(
        &mut self,
        slot: Slot,
        root: Root,
        subcommittee: u64,
    ) -> Option<SyncCommitteeContribution> {
        // Without messages no committee needs to be drawn.
        self.messages.has(slot).then_some(())?;
        let committee = self.sync_committee_of(slot);
        self.messages
            .contribution(slot, root, subcommittee, &committee, &self.kitchen.sizes)
    }

    fn check_head(&self, slot: Slot, root: Root, at: Timestamp) -> Result<(), Fault> {
        let heads = self.history.right_heads(slot, at);
        let right = heads
            .into_iter()
            .any(|head| self.history.root_by(head) == root);
        if right { Ok(()) } else { Err(Fault::WrongHead) }
    }
}

impl Submission for SyncCommitteeMessage {
    const KIND: DutyKind = DutyKind::SyncMessage;

    fn validator(&self) -> ValidatorIndex {
        self.validator_index
    }

    fn claims(&self, world: &mut World, _: Timestamp) -> Result<Vec<(Claim, Fault)>, Fault> {
        let epoch = world.chain().epoch_of(self.slot);
        let claim = world.claim(
            self.validator_index,
            (DomainType::SYNC_COMMITTEE, epoch),
            self.beacon_block_root,
            self.signature,
        );
        Ok(vec![(claim, Fault::BadSignature)])
    }

    fn place(&self, world: &mut World, _: Timestamp, arrival: Arrival) -> Result<Judgement, Fault> {
        world.check_slot(self.slot, arrival.at, WINDOW)?;
        let epoch = world.chain().epoch_of(self.slot);
        // In the last slot of a period the old committee and the new one are both heard.
        let (serving, next) = (
            world.sync_committee(epoch),
            world.sync_committee_of(self.slot),
        );
        let is_member = |committee: &super::SyncCommittee| {
            !committee.positions(self.validator_index).is_empty()
        };
        if !is_member(&serving) && !is_member(&next) {
            return Err(Fault::NotInSyncCommittee(self.validator_index.0));
        }
        world.check_head(self.slot, self.beacon_block_root, arrival.at)?;
        world.messages.add(
            self.slot,
            self.beacon_block_root,
            self.validator_index,
            self.signature,
        );
        Ok(world.note(Self::KIND, self.slot, (self.validator_index, 0), arrival))
    }
}

impl Submission for SignedContributionAndProof {
    const KIND: DutyKind = DutyKind::SyncContribution;

    fn validator(&self) -> ValidatorIndex {
        self.message.aggregator_index
    }

    fn claims(&self, world: &mut World, now: Timestamp) -> Result<Vec<(Claim, Fault)>, Fault> {
        let contribution = &self.message.contribution;
        let (slot, subcommittee_index) = (contribution.slot, contribution.subcommittee_index);
        world.check_slot(slot, now, WINDOW)?;
        let committee = world.sync_committee_of(slot);
        let seats: std::collections::BTreeMap<u64, ValidatorIndex> =
            committee.subcommittee(subcommittee_index).collect();
        let ones = contribution.aggregation_bits.ones();
        let signers: Option<Vec<_>> = ones.map(|seat| seats.get(&seat).copied()).collect();
        let epoch = world.chain().epoch_of(slot);
        let own = world.claim(
            self.validator(),
            (DomainType::CONTRIBUTION_AND_PROOF, epoch),
            self.message.tree_hash_root(),
            self.signature,
        );
        let data = SyncAggregatorSelectionData {
            slot,
            subcommittee_index,
        };
        let proof = world.claim(
            self.validator(),
            (DomainType::SYNC_COMMITTEE_SELECTION_PROOF, epoch),
            data.tree_hash_root(),
            self.message.selection_proof,
        );
        let sum = Claim {
            signers: signers
                .filter(|signers| !signers.is_empty())
                .ok_or(Fault::WrongBits)?,
            ..world.claim(
                self.validator(),
                (DomainType::SYNC_COMMITTEE, epoch),
                contribution.beacon_block_root,
                contribution.signature,
            )
        };
        Ok(vec![
            (own, Fault::BadSignature),
            (proof, Fault::BadSelectionProof),
            (sum, Fault::BadAggregate),
        ])
    }

    fn place(&self, world: &mut World, _: Timestamp, arrival: Arrival) -> Result<Judgement, Fault> {
        let contribution = &self.message.contribution;
        let (slot, subcommittee) = (contribution.slot, contribution.subcommittee_index);
        let committee = world.sync_committee_of(slot);
        if !committee
            .subcommittees(self.validator())
            .contains(&subcommittee)
        {
            return Err(Fault::NotInSyncCommittee(self.validator().0));
        }
        if !is_sync_aggregator(&self.message.selection_proof, &world.kitchen.sizes) {
            return Err(Fault::NotAggregator);
        }
        world.check_head(slot, contribution.beacon_block_root, arrival.at)?;
        Ok(world.note(Self::KIND, slot, (self.validator(), subcommittee), arrival))
    }
}
