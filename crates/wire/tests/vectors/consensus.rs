//! Messages of the agreement, as recorded.

use flotilla_crypto::IdentityKey;
use flotilla_duty::io::{ConsensusDraft, QbftMessage, Value as AgreedValue};
use flotilla_qbft::{Draft, MessageKind};
use flotilla_types::{Duty, DutyKind, PeerIndex, Slot, Timestamp};
use flotilla_wire::Reject;
use flotilla_wire::consensus::Codec;
use flotilla_wire::hash::hash_bytes;
use flotilla_wire::proto::core::QbftMsg;
use prost::Message as _;
use serde_json::Value;

use crate::folder::{bytes, chain, codec, content, files, hash, keys, list, number, publics, text};

/// Every message is read, and said again from its parts: the bytes must be those on record.
#[test]
fn qbft_signed_messages_vectors() {
    for file in files("consensus", "qbft_signed_messages") {
        let keys = keys(&file);
        let codec = codec(publics(&keys));
        let chain = chain(0);
        for case in list(&file, "messages") {
            let label = text(case, "label");
            let now = chain.slot_start(Slot(number(case, "slot")));
            let heard = codec
                .decode(&content(case, "framed_consensus_msg_hex"), now, &chain)
                .unwrap()
                .into_inner();
            assert_eq!(*heard.message.seal, *bytes(case, "qbft_msg_hex"), "{label}");
            assert_eq!(heard.message.kind, kind(number(case, "type")), "{label}");
            assert_eq!(
                heard.message.source as u64,
                number(case, "peer_idx"),
                "{label}"
            );
            assert_eq!(heard.message.round, number(case, "round"), "{label}");
            assert_eq!(
                heard.message.value.unwrap_or_default(),
                hash(case, "value_hash_hex"),
                "{label}"
            );
            assert_eq!(
                heard.justification.len(),
                list(case, "justification").len(),
                "{label}"
            );
            let unsigned = QbftMsg {
                signature: Vec::new(),
                ..QbftMsg::decode(&*heard.message.seal).unwrap()
            };
            assert_eq!(
                hash_bytes(&unsigned.encode_to_vec()),
                hash(case, "signing_root_hex"),
                "{label}"
            );

            let said = say(&codec, &keys, case, heard.justification, heard.values);
            assert_eq!(said, content(case, "framed_consensus_msg_hex"), "{label}");
        }
    }
}

fn say(
    codec: &Codec,
    keys: &[IdentityKey],
    case: &Value,
    justification: Vec<QbftMessage>,
    values: Vec<AgreedValue>,
) -> Vec<u8> {
    let non_null = |field| Some(hash(case, field)).filter(|hash| *hash != [0; 32]);
    let me = usize::try_from(number(case, "peer_idx")).unwrap();
    let draft = Draft {
        kind: kind(number(case, "type")),
        round: number(case, "round"),
        value: non_null("value_hash_hex"),
        prepared_round: number(case, "prepared_round"),
        prepared_value: non_null("prepared_value_hash_hex"),
    };
    let duty = Duty::new(Slot(number(case, "slot")), duty_kind(case));
    let draft = ConsensusDraft {
        duty,
        draft,
        justification,
        values,
    };
    codec
        .seal(draft, PeerIndex::new(me), &keys[me])
        .unwrap()
        .bytes
        .to_vec()
}

fn duty_kind(case: &Value) -> DutyKind {
    DutyKind::from_wire(i32::try_from(number(case, "duty_type")).unwrap()).unwrap()
}

fn kind(number: u64) -> MessageKind {
    [
        MessageKind::PrePrepare,
        MessageKind::Prepare,
        MessageKind::Commit,
        MessageKind::RoundChange,
        MessageKind::Decided,
    ][usize::try_from(number).unwrap() - 1]
}

/// What is rejected there is rejected here and for the same reason; the rest passes on to the agreement.
#[test]
fn qbft_verdicts_vectors() {
    for file in files("consensus", "qbft_verdicts") {
        let chain = chain(number(&file, "genesis_unix"));
        let now = Timestamp::from_secs(number(&file, "now_unix"));
        for case in list(&file, "cases") {
            let name = text(case, "name");
            // A codec for each case, so that nothing is accepted from memory.
            let heard = codec(publics(&keys(&file))).decode(&content(case, "frame"), now, &chain);
            let label = heard.as_ref().map_or_else(Reject::label, |_| "passed");
            assert!(
                expected(case).contains(&label),
                "{name}: {label}, {:?}",
                heard.err()
            );
        }
    }
}

/// The labels that fit a verdict.
fn expected(case: &Value) -> &'static [&'static str] {
    if text(case, "verdict") != "rejected" {
        // Their values are an attester's, which the node that gave the verdicts looks into only once they are decided.
        let is_proposer = text(case, "name").starts_with("proposer");
        return if is_proposer { &["data"] } else { &["passed"] };
    }
    match text(case, "reason") {
        "signature cannot be recovered"
        | "signature is not by the claimed peer"
        | "no signature" => &["bad_signature"],
        "peer index not in the cluster" => &["unknown_peer"],
        "message type" => &["message_type"],
        "round not positive" | "negative prepared round" => &["round"],
        "duty type" => &["duty_type"],
        "message or duty missing" => &["missing_field"],
        "duty gater" => &["too_far_ahead"],
        "duty expired or exempt" => &["expired", "wrong_kind", "data"],
        "value hash without value" => &["missing_value"],
        "value cannot be decoded" => &["value_type", "malformed"],
        "more than 2(j+1) values" | "more than 2n justifications" => &["too_many"],
        "justification for another duty" => &["justification"],
        reason if reason.starts_with("bad justification") => &["justification"],
        reason => panic!("an unknown reason: {reason}"),
    }
}

/// Everything that was received or sent in whole instances is read, in the order it came.
#[test]
fn qbft_traces_vectors() {
    for file in files("consensus", "qbft_traces") {
        let codec = codec(publics(&keys(&file)));
        let chain = chain(0);
        let now = chain.slot_start(Slot(number(&file["duty"], "slot")));
        for trace in list(&file, "traces") {
            let frames: Vec<_> = list(trace, "events")
                .iter()
                .filter(|event| event["frame"].is_string())
                .collect();
            assert!(!frames.is_empty(), "{} has no frames", trace["name"]);
            for event in frames {
                let heard = codec.decode(&content(event, "frame"), now, &chain);
                let rejected = event["verdict"].as_str() == Some("rejected");
                assert_eq!(
                    heard.is_err(),
                    rejected,
                    "{}: {:?}",
                    trace["name"],
                    heard.err()
                );
            }
        }
    }
}
