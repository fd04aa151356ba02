//! Partial signatures, as recorded. Verdicts that depend on a BLS signature are the workers'; here such messages must
//! pass, with the signing roots on record.

use std::collections::{BTreeMap, BTreeSet};

use flotilla_crypto::{PublicKey, Signature, verify};
use flotilla_duty::io::{HANDLED_KINDS, Partial, PartialSet};
use flotilla_types::{Chain, ChainSpec, DutyKind, PeerIndex, PublicKeyBytes, Slot, Timestamp};
use flotilla_wire::Reject;
use flotilla_wire::proto::core::{Duty, ParSigExMsg, ParSignedData, ParSignedDataSet};
use flotilla_wire::signatures::{decode, encode};
use prost::Message as _;
use serde_json::Value;

use crate::folder::{bytes, chain, content, files, list, number, text};

/// Start of slot 0 of the Hoodi network.
const HOODI_GENESIS: u64 = 1_742_213_400;

/// The Hoodi chain, by way of the configuration that a beacon node would serve.
fn hoodi() -> Chain {
    let mut chain = chain(HOODI_GENESIS);
    for file in files("duties", "signing_roots") {
        let meta = &file["meta"];
        let mut config = chain.spec.to_config();
        for fork in list(meta, "fork_schedule") {
            let name = text(fork, "name").to_uppercase();
            config.insert(format!("{name}_FORK_VERSION"), text(fork, "version").into());
            if name != "GENESIS" {
                config.insert(format!("{name}_FORK_EPOCH"), text(fork, "epoch").into());
            }
        }
        chain.spec = ChainSpec::from_config(&BTreeMap::from_iter(config)).unwrap();
        chain.genesis_validators_root = text(meta, "genesis_validators_root").parse().unwrap();
    }
    chain
}

fn validators(file: &Value) -> BTreeSet<PublicKeyBytes> {
    list(file, "validators")
        .iter()
        .map(|validator| text(validator, "public_key").parse().unwrap())
        .collect()
}

/// The kind a message claims to be of, and the share its first entry claims.
fn envelope(content: &[u8]) -> (i32, i32) {
    let message = ParSigExMsg::decode(content).unwrap();
    let kind = message.duty.map_or(0, |duty| duty.r#type);
    let share = message
        .data_set
        .and_then(|set| set.set.into_values().next())
        .map_or(1, |item| item.share_idx);
    (kind, share)
}

/// Reads as if the sender were the holder of the claimed share, if there is one.
fn read(
    content: &[u8],
    file: &Value,
    handled: &[DutyKind],
    at: Timestamp,
) -> Result<PartialSet, Reject> {
    let (_, share) = envelope(content);
    let from = usize::try_from(share - 1)
        .ok()
        .filter(|index| *index < 4)
        .unwrap_or(0);
    decode(
        content,
        PeerIndex::new(from),
        &validators(file),
        handled,
        &hoodi(),
        at,
    )
}

#[test]
fn parsigex_messages_vectors() {
    for file in files("consensus", "parsigex_messages") {
        let chain = hoodi();
        for message in list(&file, "messages") {
            let (name, content) = (text(message, "name"), content(message, "frame"));
            // Old messages are taken in their own time.
            let slot = Slot(number(&message["duty"], "slot"));
            let at = chain.slot_start(slot);
            let set = read(&content, &file, DutyKind::ALL, at);
            let as_handled = read(&content, &file, HANDLED_KINDS, at);
            let set = set.unwrap_or_else(|reject| panic!("{name}: {reject}"));
            assert_eq!(
                u64::from(set.share.get()),
                number(message, "share_idx"),
                "{name}"
            );
            assert_eq!(encode(&set), content, "{name}");
            check_root(&file, message, &set);
            let kind = set.duty.kind;
            let expected = match HANDLED_KINDS.contains(&kind) {
                true => Ok(set),
                // Registrations come from the lock: nobody signs them in a running cluster.
                false => Err(Reject::UnsupportedKind(DutyKind::BuilderRegistration)),
            };
            assert_eq!(as_handled, expected, "{name}: {kind}");
        }
    }
}

/// The signing root is that on record, and the one that the share signed.
fn check_root(file: &Value, message: &Value, set: &PartialSet) {
    let name = text(message, "name");
    let partial = set.items.values().next().unwrap();
    assert_eq!(
        partial.signing_root.0.as_slice(),
        bytes(message, "signing_root"),
        "{name}"
    );
    assert!(holds(file, set), "{name}");
}

/// Whether every partial signature of a set is its share's.
fn holds(file: &Value, set: &PartialSet) -> bool {
    let mut items = set.items.iter();
    items.all(|(validator, partial)| signed_by_share(file, set.share.peer(), validator, partial))
}

fn signed_by_share(
    file: &Value,
    share: usize,
    validator: &PublicKeyBytes,
    partial: &Partial,
) -> bool {
    let shares = list(file, "validators")
        .iter()
        .find(|entry| bytes(entry, "public_key") == validator.0)
        .unwrap();
    let share = list(shares, "public_shares")[share].as_str().unwrap();
    let share = PublicKey::from_bytes(&hex::decode(share).unwrap().try_into().unwrap()).unwrap();
    let signature = Signature::from_bytes(&partial.data.signature().0).unwrap();
    verify(&share, &partial.signing_root.0, &signature)
}

/// Messages are taken in their own time: that a duty is over is noticed here, and only in the store by the node that gave
/// the verdicts. A message that passes here is refused for a BLS signature if for anything.
#[test]
fn parsigex_verdicts_vectors() {
    for file in files("consensus", "parsigex_messages") {
        let now = Timestamp::from_secs(number(&file, "now_unix"));
        for case in list(&file, "verdicts") {
            let (name, content) = (text(case, "name"), content(case, "frame"));
            let duty = ParSigExMsg::decode(&*content)
                .unwrap()
                .duty
                .unwrap_or_default();
            let at = now.min(hoodi().slot_start(Slot(duty.slot)));
            let verdict = read(&content, &file, HANDLED_KINDS, at);
            let label = verdict.as_ref().map_or_else(Reject::label, |_| "passed");
            assert!(expected(case).contains(&label), "{name}: {label}");
            if let Ok(set) = verdict {
                let accepted = text(case, "verdict") == "accepted";
                assert_eq!(holds(&file, &set), accepted, "{name}");
            }
        }
    }
}

fn expected(case: &Value) -> &'static [&'static str] {
    match (text(case, "name"), case["reason"].as_str()) {
        // No node emits it, and refusing it is allowed.
        ("electra-form attestation marked deneb", None) => &["data"],
        ("duty long ago", None) => &["wrong_slot"],
        ("two validators with different share indexes", None)
        | ("two validators, one entry bad", _) => &["foreign_share"],
        (_, Some("duty gater or duty type")) => &["duty_type", "too_far_ahead"],
        (_, Some("duty or data set missing")) => &["missing_field", "duty_type"],
        (_, Some("deprecated duty type" | "no such partial signature")) => &["wrong_kind"],
        (_, Some("data cannot be decoded")) => &["data", "wrong_kind"],
        (_, Some("empty set")) => &["empty_set"],
        (_, Some("validator not in the cluster")) => &["unknown_validator"],
        (_, Some("no such share")) => &["foreign_share"],
        (_, None | Some("signature does not verify")) => &["passed"],
        (name, Some(reason)) => panic!("{name}: an unknown reason: {reason}"),
    }
}

/// The envelope alone: its data are of a kind to come.
#[test]
fn parsigex_frame_vectors() {
    for file in files("consensus", "parsigex_frame") {
        let duty = Duty {
            slot: number(&file["duty"], "slot"),
            r#type: envelope(&content(&file, "framed_hex")).0,
        };
        let item = ParSignedData {
            data: text(&file, "data_utf8").into(),
            signature: bytes(&file, "signature_hex"),
            share_idx: i32::try_from(number(&file, "share_idx")).unwrap(),
        };
        let data_set = ParSignedDataSet {
            set: [(text(&file, "pubkey").to_owned(), item)].into(),
        };
        let message = ParSigExMsg {
            duty: Some(duty),
            data_set: Some(data_set),
        };
        assert_eq!(message.encode_to_vec(), content(&file, "framed_hex"));
    }
}

/// Whole messages beside the data types' own vectors.
#[test]
fn wire_payloads_vectors() {
    for file in files("duties", "wire_payloads") {
        let messages = file
            .as_array()
            .unwrap()
            .iter()
            .filter(|case| case["kind"] == "protobuf ParSigExMsg");
        for case in messages {
            let (name, content) = (text(case, "name"), bytes(case, "bytes"));
            let message = ParSigExMsg::decode(&*content).unwrap();
            let keys = message.data_set.unwrap().set.into_keys();
            let validators = keys.map(|key| key.parse().unwrap()).collect();
            let duty = message.duty.unwrap();
            let (kind, share) = envelope(&content);
            let from = PeerIndex::new(usize::try_from(share - 1).unwrap());
            let chain = chain(0);
            let set = decode(
                &content,
                from,
                &validators,
                DutyKind::ALL,
                &chain,
                chain.slot_start(Slot(duty.slot)),
            );
            assert_eq!(encode(&set.unwrap()), content, "{name}: {kind}");
        }
    }
}

/// The gater, through the decoder: an empty set is looked at only if its duty is.
#[test]
fn duty_gater_vectors() {
    for file in files("consensus", "duty_gater") {
        let mut chain = chain(1000);
        chain.spec.slots_per_epoch = 2;
        let label = |pair: &Value| {
            let duty = Duty {
                slot: pair[0].as_u64().unwrap(),
                r#type: i32::try_from(pair[1].as_i64().unwrap()).unwrap(),
            };
            let message = ParSigExMsg {
                duty: Some(duty),
                data_set: Some(ParSignedDataSet::default()),
            };
            let now = chain.slot_start(Slot(0));
            decode(
                &message.encode_to_vec(),
                PeerIndex::new(0),
                &BTreeSet::new(),
                DutyKind::ALL,
                &chain,
                now,
            )
            .unwrap_err()
            .label()
        };
        for pair in list(&file, "allowed") {
            assert_eq!(label(pair), "empty_set", "{pair}");
        }
        for pair in list(&file, "rejected") {
            assert!(
                ["too_far_ahead", "duty_type"].contains(&label(pair)),
                "{pair}"
            );
        }
    }
}
