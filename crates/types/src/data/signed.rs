//! What members sign and exchange, with a share's signature or the group's.

use super::{
    aggregate::SignedAggregateAndProof, codec::DecodeError,
    contribution::SignedContributionAndProof, exit::SignedVoluntaryExit, proposal::SignedProposal,
    randao::RandaoReveal, registration::SignedValidatorRegistration,
    registration::VersionedRegistration, selections::BeaconCommitteeSelection,
    selections::SyncCommitteeSelection, signed_attestation::SignedAttestation,
    sync_message::SyncCommitteeMessage,
};
use crate::{
    Chain, DomainType, DutyKind, Epoch, ListSizes, Root, SignatureBytes, Slot, signing_root,
};

/// Signed data of one validator: a share's partial signature or the group's. One variant per kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignedData {
    /// A block.
    Proposer(SignedProposal),
    /// An attestation.
    Attester(SignedAttestation),
    /// A voluntary exit.
    Exit(SignedVoluntaryExit),
    /// A registration with block builders.
    BuilderRegistration(VersionedRegistration),
    /// A reveal of randomness.
    Randao(RandaoReveal),
    /// A proof of selection as an aggregator of attestations.
    PrepareAggregator(BeaconCommitteeSelection),
    /// An aggregate with its proof.
    Aggregator(SignedAggregateAndProof),
    /// A sync committee member's message.
    SyncMessage(SyncCommitteeMessage),
    /// A proof of selection as an aggregator of a sync subcommittee.
    PrepareSyncContribution(SyncCommitteeSelection),
    /// A contribution with its proof.
    SyncContribution(SignedContributionAndProof),
}

impl SignedData {
    /// The kind of duty this belongs to.
    pub const fn kind(&self) -> DutyKind {
        match self {
            Self::Proposer(_) => DutyKind::Proposer,
            Self::Attester(_) => DutyKind::Attester,
            Self::Exit(_) => DutyKind::Exit,
            Self::BuilderRegistration(_) => DutyKind::BuilderRegistration,
            Self::Randao(_) => DutyKind::Randao,
            Self::PrepareAggregator(_) => DutyKind::PrepareAggregator,
            Self::Aggregator(_) => DutyKind::Aggregator,
            Self::SyncMessage(_) => DutyKind::SyncMessage,
            Self::PrepareSyncContribution(_) => DutyKind::PrepareSyncContribution,
            Self::SyncContribution(_) => DutyKind::SyncContribution,
        }
    }

    /// The attestation, if it is one.
    pub const fn attester(&self) -> Option<&SignedAttestation> {
        match self {
            Self::Attester(signed) => Some(signed),
            _ => None,
        }
    }

    /// The slot this is for, as it says itself; `None` for what is for an epoch ([`Self::epoch`]), or for ever.
    pub const fn slot(&self) -> Option<Slot> {
        match self {
            Self::Proposer(signed) => Some(signed.proposal.slot()),
            Self::Attester(signed) => Some(signed.data().slot),
            Self::PrepareAggregator(selection) => Some(selection.slot),
            Self::Aggregator(signed) => Some(signed.slot()),
            Self::SyncMessage(message) => Some(message.slot),
            Self::PrepareSyncContribution(selection) => Some(selection.slot),
            Self::SyncContribution(signed) => Some(signed.message.contribution.slot),
            Self::Exit(_) | Self::BuilderRegistration(_) | Self::Randao(_) => None,
        }
    }

    /// The epoch this is for, as it says itself, if it names one instead of a slot.
    pub const fn epoch(&self) -> Option<Epoch> {
        match self {
            Self::Exit(signed) => Some(signed.message.epoch),
            Self::Randao(reveal) => Some(reveal.epoch),
            _ => None,
        }
    }

    /// Which of several objects that one validator signs in one duty: the subcommittee for the two kinds that have one,
    /// else 0.
    pub const fn item(&self) -> u64 {
        match self {
            Self::PrepareSyncContribution(selection) => selection.subcommittee_index,
            Self::SyncContribution(signed) => signed.message.contribution.subcommittee_index,
            _ => 0,
        }
    }

    /// The signature inside.
    pub const fn signature(&self) -> &SignatureBytes {
        match self {
            Self::Proposer(signed) => &signed.signature,
            Self::Attester(signed) => signed.signature(),
            Self::Exit(signed) => &signed.signature,
            Self::BuilderRegistration(VersionedRegistration(signed)) => &signed.signature,
            Self::Randao(reveal) => &reveal.signature,
            Self::PrepareAggregator(selection) => &selection.selection_proof,
            Self::Aggregator(signed) => signed.signature(),
            Self::SyncMessage(message) => &message.signature,
            Self::PrepareSyncContribution(selection) => &selection.selection_proof,
            Self::SyncContribution(signed) => &signed.signature,
        }
    }

    /// Puts another signature in, such as the group's in place of a share's.
    pub fn with_signature(self, signature: SignatureBytes) -> Self {
        match self {
            Self::Proposer(signed) => Self::Proposer(SignedProposal {
                signature,
                ..signed
            }),
            Self::Attester(signed) => Self::Attester(signed.with_signature(signature)),
            Self::Exit(signed) => Self::Exit(SignedVoluntaryExit {
                signature,
                ..signed
            }),
            Self::BuilderRegistration(VersionedRegistration(signed)) => {
                Self::BuilderRegistration(VersionedRegistration(SignedValidatorRegistration {
                    signature,
                    ..signed
                }))
            }
            Self::Randao(reveal) => Self::Randao(RandaoReveal {
                signature,
                ..reveal
            }),
            Self::PrepareAggregator(selection) => {
                Self::PrepareAggregator(BeaconCommitteeSelection {
                    selection_proof: signature,
                    ..selection
                })
            }
            Self::Aggregator(signed) => Self::Aggregator(signed.with_signature(signature)),
            Self::SyncMessage(message) => Self::SyncMessage(SyncCommitteeMessage {
                signature,
                ..message
            }),
            Self::PrepareSyncContribution(selection) => {
                Self::PrepareSyncContribution(SyncCommitteeSelection {
                    selection_proof: signature,
                    ..selection
                })
            }
            Self::SyncContribution(signed) => Self::SyncContribution(SignedContributionAndProof {
                signature,
                ..signed
            }),
        }
    }

    /// The root of the signed object. Partial signatures are counted by it, so it leaves out whatever is not signed:
    /// validator index, committee and the signature itself.
    pub fn message_root(&self) -> Root {
        match self {
            Self::Proposer(signed) => signed.proposal.facts().root,
            Self::Attester(signed) => signed.data().tree_hash_root(),
            Self::Exit(signed) => signed.message.tree_hash_root(),
            Self::BuilderRegistration(registration) => registration.0.message.tree_hash_root(),
            Self::Randao(reveal) => reveal.epoch.tree_hash_root(),
            Self::PrepareAggregator(selection) => selection.slot.tree_hash_root(),
            Self::Aggregator(signed) => signed.message_root(),
            Self::SyncMessage(message) => message.beacon_block_root,
            Self::PrepareSyncContribution(selection) => selection.data().tree_hash_root(),
            Self::SyncContribution(signed) => signed.message.tree_hash_root(),
        }
    }

    /// The 32 bytes the signature covers. The fork is that of the object's own slot or epoch, for attestations that of
    /// the target's epoch; exits and registrations do not follow it ([`Chain::domain`]).
    pub fn signing_root(&self, chain: &Chain) -> Root {
        let own = || match (self.slot(), self.epoch()) {
            (Some(slot), _) => chain.epoch_of(slot),
            (None, epoch) => epoch.unwrap_or_default(),
        };
        let (domain_type, epoch) = match self {
            Self::Attester(signed) => return signed.data().signing_root(chain),
            Self::Proposer(_) => (DomainType::BEACON_PROPOSER, own()),
            Self::Exit(_) => (DomainType::VOLUNTARY_EXIT, own()),
            Self::BuilderRegistration(_) => (DomainType::APPLICATION_BUILDER, own()),
            Self::Randao(_) => (DomainType::RANDAO, own()),
            Self::PrepareAggregator(_) => (DomainType::SELECTION_PROOF, own()),
            Self::Aggregator(_) => (DomainType::AGGREGATE_AND_PROOF, own()),
            Self::SyncMessage(_) => (DomainType::SYNC_COMMITTEE, own()),
            Self::PrepareSyncContribution(_) => (DomainType::SYNC_COMMITTEE_SELECTION_PROOF, own()),
            Self::SyncContribution(_) => (DomainType::CONTRIBUTION_AND_PROOF, own()),
        };
        signing_root(self.message_root(), chain.domain(domain_type, epoch))
    }

    /// The bytes on the cluster's wire (spec 30 §2.5).
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Proposer(signed) => signed.encode(),
            Self::Attester(signed) => signed.encode(),
            Self::Exit(signed) => signed.encode(),
            Self::BuilderRegistration(registration) => registration.encode(),
            Self::Randao(reveal) => reveal.encode(),
            Self::PrepareAggregator(selection) => selection.encode(),
            Self::Aggregator(signed) => signed.encode(),
            Self::SyncMessage(message) => message.encode(),
            Self::PrepareSyncContribution(selection) => selection.encode(),
            Self::SyncContribution(signed) => signed.encode(),
        }
    }

    /// Reads the bytes on the cluster's wire, on a chain with these list sizes.
    ///
    /// # Errors
    /// [`DecodeError`]; [`DecodeError::Kind`] for kinds that sign nothing for the chain.
    pub fn decode(kind: DutyKind, bytes: &[u8], sizes: &ListSizes) -> Result<Self, DecodeError> {
        match kind {
            DutyKind::Proposer => SignedProposal::decode(bytes, sizes).map(Self::Proposer),
            DutyKind::Attester => SignedAttestation::decode(bytes).map(Self::Attester),
            DutyKind::Exit => SignedVoluntaryExit::decode(bytes).map(Self::Exit),
            DutyKind::BuilderRegistration => {
                VersionedRegistration::decode(bytes).map(Self::BuilderRegistration)
            }
            DutyKind::Randao => RandaoReveal::decode(bytes).map(Self::Randao),
            DutyKind::PrepareAggregator => {
                BeaconCommitteeSelection::decode(bytes).map(Self::PrepareAggregator)
            }
            DutyKind::Aggregator => {
                SignedAggregateAndProof::decode(bytes, sizes).map(Self::Aggregator)
            }
            DutyKind::SyncMessage => SyncCommitteeMessage::decode(bytes).map(Self::SyncMessage),
            DutyKind::PrepareSyncContribution => {
                SyncCommitteeSelection::decode(bytes).map(Self::PrepareSyncContribution)
            }
            DutyKind::SyncContribution => {
                SignedContributionAndProof::decode(bytes, sizes).map(Self::SyncContribution)
            }
            DutyKind::Signature | DutyKind::BuilderProposer | DutyKind::InfoSync => {
                Err(DecodeError::Kind(kind))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{AttesterValue, CommitteeIndex, Fork, ValidatorIndex};

    #[test]
    fn the_message_root_leaves_out_what_is_not_signed() {
        let signed = |index, byte| {
            let mut value = AttesterValue::default();
            value.duty.validator_index = ValidatorIndex(index);
            value.duty.committee_index = CommitteeIndex(index);
            let signed =
                SignedAttestation::from_value(&value, Fork::Fulu, SignatureBytes([byte; 96]))
                    .unwrap();
            SignedData::Attester(signed)
        };
        assert_ne!(signed(1, 1), signed(2, 2));
        assert_eq!(signed(1, 1).message_root(), signed(2, 2).message_root());
    }

    #[test]
    fn another_signature_leaves_the_message_as_it_was() {
        for data in [
            SignedData::Randao(RandaoReveal::default()),
            SignedData::Exit(SignedVoluntaryExit::default()),
            SignedData::BuilderRegistration(VersionedRegistration::default()),
            SignedData::PrepareAggregator(BeaconCommitteeSelection::default()),
            SignedData::SyncMessage(SyncCommitteeMessage::default()),
            SignedData::PrepareSyncContribution(SyncCommitteeSelection::default()),
            SignedData::SyncContribution(SignedContributionAndProof::default()),
        ] {
            let signature = SignatureBytes([9; 96]);
            let signed = data.clone().with_signature(signature);
            assert_eq!(*signed.signature(), signature);
            assert_eq!(signed.message_root(), data.message_root());
            assert_eq!(signed.with_signature(*data.signature()), data);
        }
    }
}
