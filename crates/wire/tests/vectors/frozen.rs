//! Own bytes that must never change: the wire is shared with other software, and logs outlive the version that wrote them.
//!
//! `tests/data/frozen.json` was written when this crate agreed with all shared vectors; it lets a build without them
//! notice a slip. Identity keys are 32 times their number.

use flotilla_crypto::{IdentityKey, ShareIndex};
use flotilla_duty::io::{
    ConsensusDraft, LoggedVote, Partial, PartialSet, QbftMessage, Value as AgreedValue,
};
use flotilla_qbft::{Draft, MessageKind};
use flotilla_types::{
    AttesterValue, Duty, DutyKind, Fork, PeerIndex, PublicKeyBytes, Root, SignatureBytes,
    SignedAttestation, SignedData, Slot, Timestamp, UnsignedData,
};
use flotilla_wire::consensus::{Codec, Sealed};
use flotilla_wire::hash::hash_bytes;
use flotilla_wire::peer_info::PeerInfo;
use flotilla_wire::{signatures, votes};
use serde_json::{Value, json};

use crate::folder::{bytes, chain, codec, own, publics};

const DUTY: Duty = Duty::attester(Slot(1_000_001));
const ME: usize = 1;

fn keys() -> Vec<IdentityKey> {
    (1..=4)
        .map(|number| IdentityKey::from_bytes(&[number; 32]).unwrap())
        .collect()
}

fn attester_value() -> AttesterValue {
    let mut value = AttesterValue::default();
    value.data.slot = DUTY.slot;
    value.data.beacon_block_root = Root([0xbb; 32]);
    value.data.source.epoch.0 = 31_249;
    value.data.target.epoch.0 = 31_250;
    value.duty.pubkey = PublicKeyBytes([0xaa; 48]);
    value.duty.slot = DUTY.slot;
    (
        value.duty.validator_index.0,
        value.duty.committee_length,
        value.duty.committees_at_slot,
    ) = (77, 128, 64);
    value
}

fn say(
    codec: &Codec,
    author: usize,
    draft: Draft,
    justification: &[QbftMessage],
    value: &AgreedValue,
) -> Sealed {
    let draft = ConsensusDraft {
        duty: DUTY,
        draft,
        justification: justification.to_vec(),
        values: vec![value.clone()],
    };
    codec
        .seal(draft, PeerIndex::new(author), &keys()[author])
        .unwrap()
}

/// A ROUND-CHANGE with its certificate, and the log of what led to it.
fn round_change() -> (Sealed, Vec<u8>) {
    let codec = codec(publics(&keys()));
    let value = codec.value(
        [(
            PublicKeyBytes([0xaa; 48]),
            UnsignedData::Attester(attester_value()),
        )]
        .into(),
    );
    let prepare = Draft {
        kind: MessageKind::Prepare,
        round: 1,
        value: Some(value.hash),
        prepared_round: 0,
        prepared_value: None,
    };
    let prepares: Vec<_> = (0..3)
        .map(|author| say(&codec, author, prepare.clone(), &[], &value))
        .collect();
    let certificate: Vec<_> = prepares
        .iter()
        .map(|sealed| sealed.message.message.clone())
        .collect();
    let round_change = Draft {
        kind: MessageKind::RoundChange,
        round: 2,
        value: None,
        prepared_round: 1,
        prepared_value: Some(value.hash),
    };
    let sealed = say(&codec, ME, round_change, &certificate, &value);
    let log = [
        votes::sent(&prepares[ME]),
        votes::prepared(&codec, &value, &certificate).unwrap(),
        votes::sent(&sealed),
    ];
    (sealed, log.concat())
}

fn partial_set() -> PartialSet {
    let signed =
        SignedAttestation::from_value(&attester_value(), Fork::Fulu, SignatureBytes([0xcc; 96]))
            .unwrap();
    let data = SignedData::Attester(signed);
    let signing_root = data.signing_root(&chain(0));
    let items = [(PublicKeyBytes([0xaa; 48]), Partial { data, signing_root })].into();
    PartialSet {
        duty: DUTY,
        share: ShareIndex::from_peer(ME),
        items,
    }
}

fn peer_info() -> PeerInfo {
    PeerInfo {
        version: "v1.11.0".into(),
        lock_hash: vec![0xdd; 32],
        sent_at: Some(Timestamp::from_millis(1_786_000_000_500)),
        started_at: Some(Timestamp::from_secs(1_785_990_000)),
        git_hash: "0123abc".into(),
        builder_api: true,
        nickname: "first".into(),
        client: "flotilla".into(),
    }
}

fn current() -> Value {
    let (sealed, log) = round_change();
    json!({
        "hash_of_100_bytes": hex::encode(hash_bytes(&[0xee; 100])),
        "round_change": hex::encode(&sealed.bytes),
        "vote_log": hex::encode(log),
        "partial_signatures": hex::encode(signatures::encode(&partial_set())),
        "peer_info": hex::encode(peer_info().encode()),
    })
}

#[test]
fn bytes_are_those_of_the_own_vectors() {
    let (frozen, current) = (own("frozen.json"), current());
    for (name, bytes) in current.as_object().unwrap() {
        assert_eq!(frozen[name], *bytes, "{name}");
    }
}

#[test]
fn own_vectors_are_read_back() {
    let frozen = own("frozen.json");
    let codec = codec(publics(&keys()));
    let (now, chain) = (chain(0).slot_start(DUTY.slot), chain(0));
    let (sealed, _) = round_change();
    assert_eq!(
        codec.decode(&bytes(&frozen, "round_change"), now, &chain),
        Ok(sealed.message.clone())
    );
    let log = votes::decode(&bytes(&frozen, "vote_log"), &codec, PeerIndex::new(ME)).unwrap();
    let [
        LoggedVote::Sent(_),
        LoggedVote::Prepared { certificate, .. },
        LoggedVote::Sent(last),
    ] = &*log.votes
    else {
        panic!("{:?}", log.votes)
    };
    assert_eq!((certificate.len(), last), (3, &sealed.message));
    let validators = [PublicKeyBytes([0xaa; 48])].into();
    let set = signatures::decode(
        &bytes(&frozen, "partial_signatures"),
        PeerIndex::new(ME),
        &validators,
        &[DutyKind::Attester],
        &chain,
        now,
    );
    assert_eq!(set, Ok(partial_set()));
    assert_eq!(
        PeerInfo::decode(&bytes(&frozen, "peer_info")),
        Ok(peer_info())
    );
}
