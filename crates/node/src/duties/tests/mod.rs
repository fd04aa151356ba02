//! What is asked of beacon nodes and made of their answers, against a small server on loopback.
#![allow(clippy::unwrap_used)]

mod beacon;
mod chain;
mod fetch;
mod rosters;
mod submit;
mod synthetic;

use std::time::Duration;

use flotilla_types::{
    AttesterDuty, Chain, ChainSpec, CommitteeIndex, ForkVersion, PublicKeyBytes, Root, Slot,
    Timestamp, ValidatorIndex,
};

/// Slots per epoch.
const SLOTS: u64 = 8;

/// A chain at Fulu with slots of this length.
fn chain(slot: Duration) -> Chain {
    Chain {
        spec: ChainSpec::mainnet_like(slot, SLOTS, ForkVersion([1, 0, 0, 0])),
        genesis_time: Timestamp::from_secs(0),
        genesis_validators_root: Root([9; 32]),
    }
}

/// One with slots long enough for a loaded machine.
fn patient_chain() -> Chain {
    chain(Duration::from_secs(60))
}

fn key(number: u8) -> PublicKeyBytes {
    PublicKeyBytes([number; 48])
}

/// The duty of a validator in this committee of a slot.
fn attester(number: u8, slot: u64, committee: u64) -> AttesterDuty {
    AttesterDuty {
        pubkey: key(number),
        slot: Slot(slot),
        validator_index: ValidatorIndex(number.into()),
        committee_index: CommitteeIndex(committee),
        committee_length: 4,
        committees_at_slot: 2,
        validator_committee_index: 0,
    }
}
