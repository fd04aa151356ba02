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
