//! Validators that leave.

use flotilla_types::{DomainType, DutyKind, SignedVoluntaryExit, Timestamp, ValidatorIndex};

use super::{Arrival, Claim, Fault, Judgement, Submission, World};

impl Submission for SignedVoluntaryExit {
    const KIND: DutyKind = DutyKind::Exit;

    fn validator(&self) -> ValidatorIndex {
        self.message.validator_index
    }

    fn claims(&self, world: &mut World, _: Timestamp) -> Result<Vec<(Claim, Fault)>, Fault> {
        let claim = world.claim(
            self.validator(),
            (DomainType::VOLUNTARY_EXIT, self.message.epoch),
            self.message.tree_hash_root(),
            self.signature,
        );
        Ok(vec![(claim, Fault::BadSignature)])
    }

    /// An exit is due when it is brought, so it counts in the slot of its arrival.
    fn place(&self, world: &mut World, _: Timestamp, arrival: Arrival) -> Result<Judgement, Fault> {
        let slot = world.chain().slot_at(arrival.at).unwrap_or_default();
        let current = world.chain().epoch_of(slot);
        if self.message.epoch > current {
            return Err(Fault::ExitTooEarly(self.message.epoch.0));
        }
        if world.intents.exit(self.validator(), current).is_none() {
            return Ok(Judgement::Duplicate);
        }
        Ok(world.note(Self::KIND, slot, (self.validator(), 0), arrival))
    }
}
