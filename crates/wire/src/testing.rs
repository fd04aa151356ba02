//! What several tests of this crate need: a chain, keys, a cluster.

use std::time::Duration;

use flotilla_crypto::{IdentityKey, IdentityPublicKey};
use flotilla_duty::io::{ConsensusDraft, QbftMessage, Value};
use flotilla_qbft::{Draft, MessageKind};
use flotilla_types::{
    AttesterValue, Chain, ChainSpec, Duty, DutyKind, ForkVersion, ListSizes, PeerIndex,
    PublicKeyBytes, Root, Slot, Timestamp, UnsignedData,
};

use crate::consensus::{Codec, Sealed};

/// What an engine handles that only attests.
pub(crate) const HANDLED: &[DutyKind] = &[DutyKind::Attester];

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
    (1..=nodes)
        .map(|number| IdentityKey::from_bytes(&[number; 32]).expect("small scalars are keys"))
        .collect()
}

/// Their public keys.
pub(crate) fn publics(keys: &[IdentityKey]) -> Vec<IdentityPublicKey> {
    keys.iter().map(IdentityKey::public).collect()
}

/// A cluster of four, each of which can speak.
pub(crate) struct Cluster {
    pub keys: Vec<IdentityKey>,
    pub codec: Codec,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let keys = identities(4);
        Self {
            codec: Codec::new(publics(&keys), HANDLED, ListSizes::MAINNET),
            keys,
        }
    }

    /// The value with this number: one validator's duty of a slot.
    pub(crate) fn value(&self, number: u8) -> Value {
        let mut value = AttesterValue::default();
        value.data.beacon_block_root = Root([number; 32]);
        self.codec
            .value([(key(1), UnsignedData::Attester(value))].into())
    }

    /// What a peer says about its draft.
    pub(crate) fn say(&self, author: usize, draft: ConsensusDraft) -> Sealed {
        self.codec
            .seal(draft, PeerIndex::new(author), &self.keys[author])
            .expect("a sound draft")
    }

    /// PREPAREs of these peers.
    pub(crate) fn prepares(
        &self,
        authors: impl IntoIterator<Item = usize>,
        value: &Value,
    ) -> Vec<QbftMessage> {
        let says = |author| {
            self.say(author, prepare(value))
                .message
                .into_inner()
                .message
        };
        authors.into_iter().map(says).collect()
    }
}

/// The duty everybody here talks about.
pub(crate) const DUTY: Duty = Duty::attester(Slot(40));

/// A PREPARE of round 1.
pub(crate) fn prepare(value: &Value) -> ConsensusDraft {
    let draft = Draft {
        kind: MessageKind::Prepare,
        round: 1,
        value: Some(value.hash),
        prepared_round: 0,
        prepared_value: None,
    };
    ConsensusDraft {
        duty: DUTY,
        draft,
        justification: Vec::new(),
        values: vec![value.clone()],
    }
}

/// A ROUND-CHANGE to round 2 that shows a certificate of round 1.
pub(crate) fn round_change(value: &Value, justification: Vec<QbftMessage>) -> ConsensusDraft {
    let draft = Draft {
        kind: MessageKind::RoundChange,
        round: 2,
        value: None,
        prepared_round: 1,
        prepared_value: Some(value.hash),
    };
    ConsensusDraft {
        duty: DUTY,
        draft,
        justification,
        values: vec![value.clone()],
    }
}
