//! What liars say. They have only their own key; everything else they must have heard.

use flotilla_duty::io::{ConsensusDraft, Partial, PartialSet, UnsignedSet, Value};
use flotilla_qbft::{self as qbft, MessageKind};
use flotilla_types::{
    Attestation, AttesterValue, Checkpoint, Epoch, PublicKeyBytes, SignedData, Slot, UnsignedData,
};

use crate::beacon::Beacons;
use crate::dice::Dice;

/// The view of the chain that no honest beacon node has.
const LIARS_VIEW: u64 = 99;

/// The same duties with another head: a value that is as good as the honest one.
pub fn other_value(beacons: &Beacons, honest: &UnsignedSet) -> UnsignedSet {
    let twist = |value: &AttesterValue| {
        let mut value = *value;
        value.data = beacons.data(value.data.slot, LIARS_VIEW);
        UnsignedData::Attester(value)
    };
    honest
        .iter()
        .filter_map(|(validator, data)| Some((*validator, twist(data.attester()?))))
        .collect()
}

/// A value that nobody should sign.
pub fn bad_value(honest: &UnsignedSet, dice: &mut Dice) -> UnsignedSet {
    let fault = dice.below(4);
    let twist = |value: &AttesterValue| {
        let mut value = *value;
        match fault {
            0 => {
                value.data.target = Checkpoint {
                    epoch: Epoch(value.data.target.epoch.0 + 1_000_000),
                    ..value.data.target
                }
            }
            1 => {
                value.data.source = Checkpoint {
                    epoch: Epoch(value.data.target.epoch.0 + 1),
                    ..value.data.source
                }
            }
            2 => value.data.slot = Slot(value.data.slot.0 + 1),
            _ => value.data.index.0 = 7,
        }
        UnsignedData::Attester(value)
    };
    honest
        .iter()
        .filter_map(|(validator, data)| Some((*validator, twist(data.attester()?))))
        .collect()
}

/// A draft that says the same about another value, in another round if need be, with nothing to justify it.
pub fn draft_for(
    honest: &ConsensusDraft,
    kind: MessageKind,
    round: u64,
    value: Option<Value>,
) -> ConsensusDraft {
    ConsensusDraft {
        duty: honest.duty,
        draft: qbft::Draft {
            kind,
            round,
            value: value.as_ref().map(|value| value.hash),
            prepared_round: 0,
            prepared_value: None,
        },
        justification: if kind == MessageKind::PrePrepare && round == honest.draft.round {
            honest.justification.clone()
        } else {
            vec![]
        },
        values: honest.values.iter().cloned().chain(value).collect(),
    }
}

/// Partial signatures that are no good: over another root, or garbage.
pub fn spoil(
    set: &mut PartialSet,
    beacons: &Beacons,
    dice: &mut Dice,
    mut sign: impl FnMut(PublicKeyBytes, &mut Partial),
) {
    let garbage = dice.permille(500);
    for (validator, partial) in &mut set.items {
        if garbage {
            let mut signature = *partial.data.signature();
            signature.0[..32].copy_from_slice(&dice.bytes());
            partial.data = partial.data.clone().with_signature(signature);
        } else {
            let SignedData::Attester(signed) = &mut partial.data else {
                continue;
            };
            let (Attestation::Phase0 { data, .. } | Attestation::Electra { data, .. }) =
                &mut signed.attestation;
            *data = beacons.data(data.slot, LIARS_VIEW);
            sign(*validator, partial);
        }
    }
}
