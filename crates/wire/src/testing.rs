//! What several tests of this crate need: a chain, keys, a cluster.

use std::time::Duration;

use flotilla_crypto::{IdentityKey, IdentityPublicKey};
use flotilla_types::{Chain, ChainSpec, ForkVersion, PublicKeyBytes, Root, Slot, Timestamp};

/// A chain with 12-second slots and 32 of them in an epoch.
pub(crate) fn chain() -> Chain {
    Chain {
        spec: ChainSpec::mainnet_like(Duration::from_secs(12), 32, ForkVersion([0x10, 0, 0, 0])),
        genesis_time: Timestamp::from_secs(1_700_000_000),
        genesis_validators_root: Root([7; 32]),
    }
}

/// The middle of a slot.
pub(crate) fn noon(slot: Slot) -> Timestamp {
    chain().slot_start(slot) + Duration::from_secs(6)
}

/// A validator's group key; no point of the curve, which nobody here asks for.
pub(crate) fn key(number: u8) -> PublicKeyBytes {
    PublicKeyBytes([number; 48])
}

/// The identity keys of a cluster.
pub(crate) fn identities(nodes: u8) -> Vec<IdentityKey> {
    (1..=nodes).map(|number| IdentityKey::from_bytes(&[number; 32]).expect("small scalars are keys")).collect()
}

/// Their public keys.
pub(crate) fn publics(keys: &[IdentityKey]) -> Vec<IdentityPublicKey> {
    keys.iter().map(IdentityKey::public).collect()
}
