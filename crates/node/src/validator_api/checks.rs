//! What a client's object is for, and what in it must already be the group's.

use std::convert::Infallible;

use flotilla_crypto::Verified;
use flotilla_duty::io::PartialSet;
use flotilla_types::{
    BeaconCommitteeSelection, Chain, Duty, PublicKeyBytes, SignedData, SyncCommitteeSelection,
};

use crate::workers::jobs::Signed;

/// The duty that an object belongs to. Objects that name an epoch belong to its first slot.
pub(super) fn duty_of(data: &SignedData, chain: &Chain) -> Duty {
    let of_epoch = || chain.first_slot(data.epoch().unwrap_or_default());
    Duty::new(data.slot().unwrap_or_else(of_epoch), data.kind())
}

/// The selection proof inside, which is the group's.
pub(super) fn inner(validator: PublicKeyBytes, data: &SignedData, chain: &Chain) -> Option<Signed> {
    let selection = match data {
        SignedData::Aggregator(signed) => {
            let message = signed.message();
            SignedData::PrepareAggregator(BeaconCommitteeSelection {
                validator_index: message.aggregator_index,
                slot: signed.slot(),
                selection_proof: message.selection_proof,
            })
        }
        SignedData::SyncContribution(signed) => {
            let message = &signed.message;
            SignedData::PrepareSyncContribution(SyncCommitteeSelection {
                validator_index: message.aggregator_index,
                slot: message.contribution.slot,
                subcommittee_index: message.contribution.subcommittee_index,
                selection_proof: message.selection_proof,
            })
        }
        _ => return None,
    };
    let root = selection.signing_root(chain);
    Some(Signed::by_group(validator, root, *selection.signature()))
}

/// Marks a set whose signatures were verified one by one before it was put together.
pub(super) fn verified(set: PartialSet) -> Verified<PartialSet> {
    let Ok(set) = Verified::check(set, |_| Ok::<(), Infallible>(()));
    set
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;
    use std::time::Duration;

    use flotilla_crypto::{SecretKey, os_rng};
    use flotilla_types::{
        AggregateAndProof, Attestation, AttestationData, Bitlist, ChainSpec, CommitteeBits,
        DutyKind, Epoch, Fork, ForkVersion, ListSizes, RandaoReveal, Root, SignatureBytes,
        SignedAggregateAndProof, SignedContributionAndProof, SignedVoluntaryExit, Slot,
        SubcommitteeBits, SyncCommitteeMessage, Timestamp, ValidatorIndex, VersionedRegistration,
    };

    use super::*;
    use crate::workers::Workers;
    use crate::workers::jobs::{KeyTable, verify};

    const SLOT: Slot = Slot(19);

    fn chain() -> Chain {
        Chain {
            spec: ChainSpec::mainnet_like(Duration::from_secs(12), 8, ForkVersion([1, 0, 0, 0])),
            genesis_time: Timestamp::from_secs(0),
            genesis_validators_root: Root([9; 32]),
        }
    }

    #[test]
    fn objects_belong_to_their_slot_or_to_the_first_of_their_epoch() {
        let message = SyncCommitteeMessage {
            slot: SLOT,
            ..SyncCommitteeMessage::default()
        };
        let mut exit = SignedVoluntaryExit::default();
        exit.message.epoch = Epoch(2);
        let reveal = RandaoReveal {
            epoch: Epoch(2),
            signature: SignatureBytes([1; 96]),
        };
        let registration = VersionedRegistration::default();
        for (data, slot, kind) in [
            (SignedData::SyncMessage(message), 19, DutyKind::SyncMessage),
            (SignedData::Exit(exit), 16, DutyKind::Exit),
            (SignedData::Randao(reveal), 16, DutyKind::Randao),
            (
                SignedData::BuilderRegistration(registration),
                0,
                DutyKind::BuilderRegistration,
            ),
        ] {
            assert_eq!(duty_of(&data, &chain()), Duty::new(Slot(slot), kind));
        }
    }

    /// An aggregate whose proof is this signature.
    fn aggregate(selection_proof: SignatureBytes) -> SignedData {
        let data = AttestationData {
            slot: SLOT,
            ..AttestationData::default()
        };
        let aggregate = Attestation::Electra {
            aggregation_bits: Bitlist::with_one(4, 1).unwrap(),
            data,
            signature: SignatureBytes([1; 96]),
            committee_bits: CommitteeBits::one(1).unwrap(),
        };
        let message = AggregateAndProof {
            aggregator_index: ValidatorIndex(5),
            aggregate,
            selection_proof,
        };
        let (sizes, outer) = (&ListSizes::MAINNET, SignatureBytes([2; 96]));
        let signed = SignedAggregateAndProof::new(Fork::Fulu, message, outer, sizes);
        SignedData::Aggregator(signed.unwrap())
    }

    /// A contribution of subcommittee 2 whose proof is this signature.
    fn contribution(selection_proof: SignatureBytes) -> SignedData {
        let mut signed = SignedContributionAndProof::default();
        signed.message.aggregator_index = ValidatorIndex(5);
        signed.message.contribution.slot = SLOT;
        signed.message.contribution.subcommittee_index = 2;
        let bits = SubcommitteeBits::from_bytes(&[1; 16], &ListSizes::MAINNET);
        signed.message.contribution.aggregation_bits = bits.unwrap();
        signed.message.selection_proof = selection_proof;
        SignedData::SyncContribution(signed)
    }

    fn aggregator_selection() -> SignedData {
        SignedData::PrepareAggregator(BeaconCommitteeSelection {
            validator_index: ValidatorIndex(5),
            slot: SLOT,
            selection_proof: SignatureBytes([0; 96]),
        })
    }

    fn contributor_selection() -> SignedData {
        SignedData::PrepareSyncContribution(SyncCommitteeSelection {
            validator_index: ValidatorIndex(5),
            slot: SLOT,
            subcommittee_index: 2,
            selection_proof: SignatureBytes([0; 96]),
        })
    }

    #[tokio::test]
    async fn a_proof_inside_must_be_the_groups() {
        let group = SecretKey::generate(&mut os_rng().unwrap());
        let share = SecretKey::generate(&mut os_rng().unwrap());
        let public = |key: &SecretKey| PublicKeyBytes(key.public_key().to_bytes());
        let validator = public(&group);
        let keys = Arc::new(KeyTable::new([(validator, vec![public(&share)])]).unwrap());
        let workers = Workers::start().unwrap();
        type Wrap = fn(SignatureBytes) -> SignedData;
        for (object, selection) in [
            (aggregate as Wrap, aggregator_selection()),
            (contribution as Wrap, contributor_selection()),
        ] {
            let root = selection.signing_root(&chain());
            for (signer, is_group) in [(&group, true), (&share, false)] {
                let proof = SignatureBytes(signer.sign(&root.0).to_bytes());
                let inside = inner(validator, &object(proof), &chain()).unwrap();
                let bad = verify(&workers, Arc::clone(&keys), vec![(0, inside)]);
                assert_eq!(bad.await.unwrap().is_empty(), is_group);
            }
        }
    }

    #[test]
    fn other_objects_have_no_proof_inside() {
        for data in [aggregator_selection(), contributor_selection()] {
            assert!(inner(PublicKeyBytes([1; 48]), &data, &chain()).is_none());
        }
    }
}
