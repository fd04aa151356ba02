//! What is particular to the kinds without agreement: what each share signs follows from the assignment alone, or, for sync
//! committee messages, from the head that the own beacon node follows.

use flotilla_types::{
    BeaconCommitteeSelection, Chain, Duty, DutyKind, PublicKeyBytes, RandaoReveal, Root,
    SignedData, SyncCommitteeMessage, SyncCommitteeSelection,
};

use super::{Object, UNSIGNED};
use crate::io::Item;
use crate::schedule::{Definition, Definitions};

/// Whether what is signed follows from the assignment alone.
pub(crate) const fn is_fixed(kind: DutyKind) -> bool {
    matches!(
        kind,
        DutyKind::Randao | DutyKind::PrepareAggregator | DutyKind::PrepareSyncContribution
    )
}

/// What the assigned validators sign in a duty of a fixed kind; nothing for other kinds.
pub(crate) fn fixed_objects(
    duty: Duty,
    definitions: &Definitions,
    chain: &Chain,
) -> Vec<(Item, Object)> {
    let objects = |(validator, definition): (&PublicKeyBytes, &Definition)| {
        let signed: Vec<SignedData> = match duty.kind {
            DutyKind::Randao => vec![SignedData::Randao(RandaoReveal {
                epoch: chain.epoch_of(duty.slot),
                signature: UNSIGNED,
            })],
            DutyKind::PrepareAggregator => {
                vec![SignedData::PrepareAggregator(BeaconCommitteeSelection {
                    validator_index: definition.index(),
                    slot: duty.slot,
                    selection_proof: UNSIGNED,
                })]
            }
            DutyKind::PrepareSyncContribution => seats(duty, definition, chain),
            _ => Vec::new(),
        };
        let item = |data: SignedData| (Item::of(*validator, &data), Object::new(data, chain));
        signed.into_iter().map(item).collect::<Vec<_>>()
    };
    definitions.iter().flat_map(objects).collect()
}

fn seats(duty: Duty, definition: &Definition, chain: &Chain) -> Vec<SignedData> {
    let subcommittees = definition
        .sync()
        .map(|duty| duty.subcommittees(&chain.spec.sizes))
        .unwrap_or_default();
    let selection = |subcommittee_index| {
        SignedData::PrepareSyncContribution(SyncCommitteeSelection {
            validator_index: definition.index(),
            slot: duty.slot,
            subcommittee_index,
            selection_proof: UNSIGNED,
        })
    };
    subcommittees.into_iter().map(selection).collect()
}

/// What the members of the sync committee sign when the own beacon node's head is `root`.
pub(crate) fn head_objects(
    duty: Duty,
    definitions: &Definitions,
    root: Root,
    chain: &Chain,
) -> Vec<(Item, Object)> {
    let object = |(validator, definition): (&PublicKeyBytes, &Definition)| {
        let data = SignedData::SyncMessage(SyncCommitteeMessage {
            slot: duty.slot,
            beacon_block_root: root,
            validator_index: definition.index(),
            signature: UNSIGNED,
        });
        (Item::whole(*validator), Object::new(data, chain))
    };
    definitions.iter().map(object).collect()
}
