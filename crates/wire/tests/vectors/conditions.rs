//! The table of conditions that decide whether a message is taken, each put into a message of its own.

use flotilla_crypto::IdentityKey;
use flotilla_types::Slot;
use flotilla_wire::hash::hash_bytes;
use flotilla_wire::proto::core::{Duty, QbftConsensusMsg, QbftMsg, UnsignedDataSet};
use prost::Message as _;
use prost_types::Any;
use serde_json::Value;

use crate::folder::{chain, codec, files, list, publics, text};

const SLOT: u64 = 40;
const DECIDED: i64 = 5;

/// Who could say something: a cluster of this size.
struct Cluster(Vec<IdentityKey>);

impl Cluster {
    fn new(nodes: u8) -> Self {
        Self(
            (1..=nodes)
                .map(|number| IdentityKey::from_bytes(&[number; 32]).unwrap())
                .collect(),
        )
    }

    /// A signed statement of peer 0, a COMMIT of round 1 unless changed.
    fn statement(&self, change: impl FnOnce(&mut QbftMsg)) -> QbftMsg {
        let duty = Duty {
            slot: SLOT,
            r#type: 2,
        };
        let mut statement = QbftMsg {
            r#type: 3,
            duty: Some(duty),
            round: 1,
            ..QbftMsg::default()
        };
        change(&mut statement);
        let author = usize::try_from(statement.peer_idx)
            .ok()
            .and_then(|index| self.0.get(index));
        let root = hash_bytes(&statement.encode_to_vec());
        statement.signature = author.unwrap_or(&self.0[0]).sign(&root).to_vec();
        statement
    }

    fn is_accepted(&self, message: &QbftConsensusMsg) -> bool {
        let chain = chain(0);
        let codec = codec(publics(&self.0));
        codec
            .decode(
                &message.encode_to_vec(),
                chain.slot_start(Slot(SLOT)),
                &chain,
            )
            .is_ok()
    }
}

/// One validator's attester value: 232 bytes with its two offsets.
fn value(number: u8) -> Any {
    let mut data = vec![number; 232];
    data[..8].copy_from_slice(&[8, 0, 0, 0, 136, 0, 0, 0]);
    let set = UnsignedDataSet {
        set: [(format!("0x{}", "ab".repeat(48)), data)].into(),
    };
    Any {
        type_url: "type.googleapis.com/core.corepb.v1.UnsignedDataSet".into(),
        value: set.encode_to_vec(),
    }
}

fn case(name: &str) -> bool {
    let four = Cluster::new(4);
    let valid = || four.statement(|_| ());
    let message = |msg, justification, values| QbftConsensusMsg {
        msg: Some(msg),
        justification,
        values,
    };
    match name {
        "no message field" => four.is_accepted(&QbftConsensusMsg {
            msg: None,
            ..QbftConsensusMsg::default()
        }),
        "type 0" => four.is_accepted(&message(
            four.statement(|msg| msg.r#type = 0),
            vec![],
            vec![],
        )),
        "round 0" => four.is_accepted(&message(
            four.statement(|msg| msg.round = 0),
            vec![],
            vec![],
        )),
        "unknown peer in justification" => {
            let stranger = four.statement(|msg| msg.peer_idx = 4);
            four.is_accepted(&message(valid(), vec![stranger], vec![]))
        }
        "justification same duty" => four.is_accepted(&message(valid(), vec![valid()], vec![])),
        "2 justifications, 1 node" => {
            let one = Cluster::new(1);
            let said = || one.statement(|_| ());
            one.is_accepted(&message(said(), vec![said(), said()], vec![]))
        }
        "6 values, 2 justifications" => four.is_accepted(&message(
            valid(),
            vec![valid(), valid()],
            (0..6).map(value).collect(),
        )),
        "value hash missing from values" => four.is_accepted(&message(
            four.statement(|msg| msg.value_hash = vec![1; 32]),
            vec![],
            vec![value(1)],
        )),
        "decided round differs from commits" => {
            let decided = four.statement(|msg| (msg.r#type, msg.round) = (DECIDED, 2));
            four.is_accepted(&message(decided, vec![valid()], vec![]))
        }
        _ => panic!("an unknown condition: {name}"),
    }
}

#[test]
fn wire_validation_vectors() {
    for file in files("consensus", "wire_validation") {
        for condition in list(&file, "cases") {
            let name = text(condition, "name");
            assert_eq!(case(name), is_accepted(condition), "{name}");
        }
    }
}

fn is_accepted(condition: &Value) -> bool {
    text(condition, "outcome").starts_with("accepted")
}

/// The limits are inclusive: one more of either is refused.
#[test]
fn one_more_than_the_limit_is_refused() {
    let one = Cluster::new(1);
    let said = || one.statement(|_| ());
    let message = |justifications: usize, values| QbftConsensusMsg {
        msg: Some(said()),
        justification: (0..justifications).map(|_| said()).collect(),
        values: (0..values).map(value).collect(),
    };
    assert!(one.is_accepted(&message(2, 6)));
    assert!(!one.is_accepted(&message(3, 6)));
    assert!(!one.is_accepted(&message(2, 7)));
}
