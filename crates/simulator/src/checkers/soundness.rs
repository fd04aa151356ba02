//! What an honest node could sign: each object against the assignment, the chain and the group's other signatures.

use std::collections::BTreeMap;

use flotilla_duty::io::Item;
use flotilla_types::{
    Chain, Duty, Epoch, PublicKeyBytes, RandaoReveal, SignatureBytes, SignedData, Slot,
    SyncCommitteeSelection, ValidatorIndex,
};

use crate::beacon::fee_recipient;
use crate::scheme::Scheme;

/// What objects are held against.
#[derive(Clone, Copy)]
pub struct Measure<'a> {
    /// The chain.
    pub chain: &'a Chain,
    /// The keys.
    pub scheme: &'a Scheme,
    /// The validators' numbers on the chain.
    pub indexes: &'a BTreeMap<PublicKeyBytes, ValidatorIndex>,
}

impl Measure<'_> {
    /// Whether an object may have come from an honest node, its own signature aside.
    pub fn is_sound(&self, duty: Duty, item: Item, data: &SignedData) -> bool {
        let validator = item.validator;
        let index = self.indexes.get(&validator).copied();
        let epoch = self.chain.epoch_of(duty.slot);
        let in_slot = data.kind() == duty.kind
            && data.item() == item.part
            && data.slot().is_none_or(|slot| slot == duty.slot);
        in_slot
            && match data {
                SignedData::Attester(signed) => {
                    let vote = signed.data();
                    vote.target.epoch == epoch
                        && vote.source.epoch <= vote.target.epoch
                        && vote.index.0 == 0
                }
                SignedData::Proposer(signed) => {
                    let (proposal, facts) = (&signed.proposal, signed.proposal.facts());
                    let paid = proposal.is_blinded()
                        || facts.fee_recipient == Some(fee_recipient(&validator));
                    proposal.fork() == self.chain.fork_at(epoch)
                        && index == Some(facts.header.proposer_index)
                        && paid
                        && self.is_reveal(&validator, epoch, facts.randao_reveal)
                }
                SignedData::Aggregator(signed) => {
                    let message = signed.message();
                    index == Some(message.aggregator_index)
                        && self.is_selection(&validator, duty.slot, message.selection_proof)
                }
                SignedData::SyncContribution(signed) => {
                    let message = &signed.message;
                    let selection = SyncCommitteeSelection {
                        validator_index: message.aggregator_index,
                        slot: duty.slot,
                        subcommittee_index: item.part,
                        selection_proof: message.selection_proof,
                    };
                    index == Some(message.aggregator_index)
                        && self
                            .is_groups(&validator, &SignedData::PrepareSyncContribution(selection))
                }
                SignedData::SyncMessage(message) => index == Some(message.validator_index),
                SignedData::Exit(signed) => index == Some(signed.message.validator_index),
                SignedData::Randao(reveal) => reveal.epoch == epoch,
                SignedData::PrepareAggregator(_) | SignedData::PrepareSyncContribution(_) => true,
                SignedData::BuilderRegistration(_) => false,
            }
    }

    fn is_reveal(&self, validator: &PublicKeyBytes, epoch: Epoch, reveal: SignatureBytes) -> bool {
        let reveal = RandaoReveal {
            epoch,
            signature: reveal,
        };
        self.is_groups(validator, &SignedData::Randao(reveal))
    }

    fn is_selection(&self, validator: &PublicKeyBytes, slot: Slot, proof: SignatureBytes) -> bool {
        let selection = flotilla_types::BeaconCommitteeSelection {
            validator_index: ValidatorIndex(0),
            slot,
            selection_proof: proof,
        };
        self.is_groups(validator, &SignedData::PrepareAggregator(selection))
    }

    /// Whether an object carries the group's signature.
    pub fn is_groups(&self, validator: &PublicKeyBytes, data: &SignedData) -> bool {
        let root = data.signing_root(self.chain);
        self.scheme.check_group(*validator, root, *data.signature())
    }
}
