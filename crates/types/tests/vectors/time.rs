//! Deadlines and the gate for peers' duties.

use std::time::Duration;

use flotilla_types::{Chain, ChainSpec, Duty, DutyKind, ForkVersion, Root, Slot, Timestamp};

use crate::folder::json_files;

fn chain(genesis_secs: u64, slot: Duration, slots_per_epoch: u64) -> Chain {
    Chain {
        spec: ChainSpec::mainnet_like(slot, slots_per_epoch, ForkVersion([0; 4])),
        genesis_time: Timestamp::from_secs(genesis_secs),
        genesis_validators_root: Root::default(),
    }
}

#[test]
fn duty_deadlines_vectors() {
    for (name, file) in json_files("consensus", "duty_deadlines") {
        let number = |field: &str| file[field].as_u64().unwrap();
        let slot_duration = Duration::from_secs(number("slot_duration_s"));
        let chain = chain(
            number("genesis_unix"),
            slot_duration,
            number("slots_per_epoch"),
        );
        for case in file["cases"].as_array().unwrap() {
            let wire = i32::try_from(case["duty_type"].as_i64().unwrap()).unwrap();
            let duty = Duty::new(
                Slot(case["slot"].as_u64().unwrap()),
                DutyKind::from_wire(wire).unwrap(),
            );
            let expected = case["deadline_unix_ms"]
                .as_u64()
                .map(Timestamp::from_millis);
            assert_eq!(chain.deadline(duty), expected, "{name}: {duty}");
        }
    }
}

#[test]
fn duty_gater_vectors() {
    for (name, file) in json_files("consensus", "duty_gater") {
        // The files say it in words.
        let setup = file["setup"].as_str().unwrap();
        assert_eq!(
            setup, "current slot 0, 2 slots per epoch, 2 allowed future epochs",
            "{name}"
        );
        let chain = chain(1000, Duration::from_secs(12), 2);
        let passes = |pair: &serde_json::Value| {
            let wire = i32::try_from(pair[1].as_i64().unwrap()).unwrap();
            DutyKind::from_wire(wire).is_some_and(|kind| {
                chain
                    .gate(
                        Duty::new(Slot(pair[0].as_u64().unwrap()), kind),
                        chain.genesis_time,
                    )
                    .is_ok()
            })
        };
        for (field, expected) in [("allowed", true), ("rejected", false)] {
            for pair in file[field].as_array().unwrap() {
                assert_eq!(passes(pair), expected, "{name}: {pair}");
            }
        }
    }
}
