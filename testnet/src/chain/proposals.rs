//! Proposals of the cluster: what a beacon node makes for them, and what becomes of the blocks that come back.

use std::sync::Arc;

use flotilla_types::{
    DecodeError, DomainType, DutyKind, ExecutionAddress, Root, SignatureBytes, SignedProposal,
    Slot, Timestamp, ValidatorIndex,
};

use super::{
    Arrival, Block, Claim, Fault, Ingredients, Judgement, Maker, Proposer, Submission, World,
};

/// How many slots back a block is still taken note of.
const WINDOW: u64 = 1;
/// Bytes of offsets and signature before the block in signed contents: three offsets, one offset, a signature.
const BEFORE_BLOCK: usize = 12 + 4 + SignatureBytes::LENGTH;

/// What is asked for when a block is to be made.
#[derive(Clone, Copy, Debug)]
pub struct BlockRequest {
    /// The slot.
    pub slot: Slot,
    /// The reveal of randomness.
    pub randao: SignatureBytes,
    /// The proposer's free 32 bytes.
    pub graffiti: [u8; 32],
    /// Whether the builder may make the payload.
    pub builder: bool,
    /// Whose beacon node is asked.
    pub endpoint: usize,
}

/// Why a beacon node makes no block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MakeError {
    /// The slot is not the current one.
    #[error("slot {asked} is not the current slot {current}")]
    NotNow {
        /// The slot asked for.
        asked: u64,
        /// The current slot.
        current: u64,
    },
    /// The slot is a stranger's, whose reveal nobody here can check.
    #[error("slot {0} is not the turn of any of the cluster's validators")]
    NotOurs(u64),
    /// The slot has its block already.
    #[error("slot {0} has its block already")]
    Taken(u64),
    /// The endpoint was not told whom to pay.
    #[error("no fee recipient was prepared for validator {0} at this beacon node")]
    NoFeeRecipient(u64),
    /// The reveal is not the proposer's.
    #[error("the randao reveal does not verify under the proposer's public key")]
    BadRandao,
    /// What would be in the block does not fit.
    #[error(transparent)]
    Contents(#[from] DecodeError),
}

impl World {
    /// What the block of a request is made of, and the claim that its reveal is the proposer's.
    ///
    /// # Errors
    /// There is no block to be made now, or nobody to pay.
    pub fn ingredients(
        &mut self,
        request: &BlockRequest,
        now: Timestamp,
    ) -> Result<(Ingredients, Claim), MakeError> {
        let slot = request.slot;
        let current = self.chain().slot_at(now);
        if current != Some(slot) {
            let current = current.map_or(0, |current| current.0);
            let asked = slot.0;
            return Err(MakeError::NotNow { asked, current });
        }
        let Proposer::Cluster(proposer) = self.proposer(slot) else {
            return Err(MakeError::NotOurs(slot.0));
        };
        let head = self.history.head();
        if head.header.slot >= slot {
            return Err(MakeError::Taken(slot.0));
        }
        let parent = head.root;
        let registered = self.intents.registered(proposer);
        let (maker, fee_recipient) = match registered.filter(|_| request.builder) {
            Some(registration) => (Maker::Builder, Some(registration.fee_recipient)),
            None => (
                Maker::Local,
                self.intents.prepared(request.endpoint, proposer),
            ),
        };
        let epoch = self.chain().epoch_of(slot);
        let claim = self.claim(
            proposer,
            (DomainType::RANDAO, epoch),
            epoch.tree_hash_root(),
            request.randao,
        );
        let ingredients = Ingredients {
            slot,
            proposer,
            parent,
            randao: request.randao,
            graffiti: request.graffiti,
            fee_recipient: fee_recipient.ok_or(MakeError::NoFeeRecipient(proposer.0))?,
            timestamp: self.chain().slot_start(slot).as_secs(),
            attestations: self.attestations_for(slot),
            maker,
        };
        Ok((ingredients, claim))
    }

    /// A valid reveal was brought with a request for a block.
    pub fn revealed(&mut self, proposer: ValidatorIndex, slot: Slot, arrival: Arrival) {
        // The reveal of one node is that of all: later ones are no duplicates, but the same request elsewhere.
        if self.note(DutyKind::Randao, slot, (proposer, 0), arrival) != Judgement::Duplicate {
            self.accept(DutyKind::Randao);
        }
    }

    /// The payload must be one that was made here, for somebody whom the validator wants to pay.
    fn check_payload(&self, block: &SignedProposal) -> Result<(), Fault> {
        let facts = block.proposal.facts();
        let (slot, parent) = (facts.header.slot, facts.header.parent_root);
        let proposer = facts.header.proposer_index;
        let to = facts.fee_recipient.ok_or(Fault::UnknownPayload)?;
        let made = |maker| Some(self.kitchen.payload_hash(slot, parent, to, maker));
        let wanted = match facts.block_hash {
            hash if hash == made(Maker::Local) => self.intents.is_prepared(proposer, to),
            hash if hash == made(Maker::Builder) => self.is_registered(proposer, to),
            _ => return Err(Fault::UnknownPayload),
        };
        if wanted {
            Ok(())
        } else {
            Err(Fault::WrongFeeRecipient)
        }
    }

    fn is_registered(&self, proposer: ValidatorIndex, to: ExecutionAddress) -> bool {
        let registered = self.intents.registered(proposer);
        registered.is_some_and(|registration| registration.fee_recipient == to)
    }

    /// As many blobs and proofs beside a full block as it commits to.
    fn check_blobs(&self, block: &SignedProposal) -> Result<(), Fault> {
        let expected = self.kitchen.bytes_beside(block.proposal.facts().blobs);
        let bytes = block.to_ssz().len();
        let beside = bytes.checked_sub(BEFORE_BLOCK + block.proposal.block().len());
        if block.proposal.is_blinded() || beside == Some(expected) {
            Ok(())
        } else {
            Err(Fault::WrongBlobs)
        }
    }

    /// The block with its payload, which the builder reveals if it was blinded.
    fn whole(&self, block: &SignedProposal) -> Result<SignedProposal, Fault> {
        match block.proposal.is_blinded() {
            false => Ok(block.clone()),
            true => self
                .kitchen
                .reveal(block)
                .map_err(|_| Fault::UnknownPayload),
        }
    }

    fn parent_of(&self, slot: Slot) -> Root {
        self.history.root_by(Slot(slot.0.saturating_sub(1)))
    }
}

impl Submission for SignedProposal {
    const KIND: DutyKind = DutyKind::Proposer;

    fn validator(&self) -> ValidatorIndex {
        self.proposal.facts().header.proposer_index
    }

    fn claims(&self, world: &mut World, _: Timestamp) -> Result<Vec<(Claim, Fault)>, Fault> {
        let facts = self.proposal.facts();
        let epoch = world.chain().epoch_of(facts.header.slot);
        let own = world.claim(
            self.validator(),
            (DomainType::BEACON_PROPOSER, epoch),
            facts.root,
            self.signature,
        );
        let reveal = world.claim(
            self.validator(),
            (DomainType::RANDAO, epoch),
            epoch.tree_hash_root(),
            facts.randao_reveal,
        );
        Ok(vec![(own, Fault::BadSignature), (reveal, Fault::BadRandao)])
    }

    fn witness(&self, world: &mut World) {
        let facts = self.proposal.facts();
        world
            .watch
            .note_block(self.validator(), facts.header.slot, facts.root);
    }

    fn place(
        &self,
        world: &mut World,
        now: Timestamp,
        arrival: Arrival,
    ) -> Result<Judgement, Fault> {
        let facts = *self.proposal.facts();
        let slot = facts.header.slot;
        world.check_slot(slot, arrival.at, WINDOW)?;
        let expected = world.proposer(slot).index();
        if expected != self.validator() {
            let (expected, found) = (expected.0, self.validator().0);
            return Err(Fault::WrongProposer { expected, found });
        }
        if let Some(block) = world.history.block(slot) {
            let known = block.root == facts.root;
            return if known {
                Ok(Judgement::Duplicate)
            } else {
                Err(Fault::SecondBlock(slot.0))
            };
        }
        if facts.header.parent_root != world.parent_of(slot) {
            return Err(Fault::WrongParent);
        }
        world.check_payload(self)?;
        world.check_blobs(self)?;
        let whole = world.whole(self)?;
        let judgement = world.note(Self::KIND, slot, (self.validator(), 0), arrival);
        if judgement == Judgement::Included && slot > world.history.head().header.slot {
            world.history.push(Block {
                header: facts.header,
                root: facts.root,
                seen_at: now,
                signed: Some(Arc::new(whole)),
            });
        }
        Ok(judgement)
    }
}
