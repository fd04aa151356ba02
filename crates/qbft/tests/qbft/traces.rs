//! Recorded instances: what a Charon node did, we do.

use crate::files::{files, hash, index, list, message, number, shown};
use crate::frames::{Frame, frame, from_hex};
use flotilla_qbft::{
    Config, Draft, Faults, Hash, Input, Instance, Message, MessageKind, Mode, Output, Recipients,
    Rejection, RoundTimer,
};
use serde_json::Value;
use std::collections::VecDeque;
use std::time::Duration;

const START: Duration = Duration::from_secs(1_700_000_000);

fn config(nodes: usize, me: usize, leader_offset: u64) -> Config {
    let timer = RoundTimer::EagerDoubleLinear {
        start: START,
        extra: Duration::ZERO,
    };
    Config {
        nodes,
        me,
        leader_offset,
        timer,
        mode: Mode::Voting,
        faults: Faults::default(),
    }
}

/// The message of an event or a case: recorded bytes, or (in our own files) fields.
fn recorded(value: &Value, nodes: usize, leader_offset: u64) -> Frame {
    match value["frame"].as_str() {
        Some(hex) => frame(hex),
        None => {
            let said = &value["message"];
            Frame {
                message: message(said, nodes),
                shown: shown(said, nodes),
                leader_offset,
            }
        }
    }
}

fn leader_offset(file: &Value) -> u64 {
    number(&file["duty"], "slot") + number(&file["duty"], "type")
}

#[test]
fn single_messages_get_the_verdict_of_the_vectors() {
    for file in files("qbft_verdicts") {
        let (nodes, me) = (index(&file, "nodes"), index(&file, "node"));
        for case in list(&file, "cases") {
            let expected = match case["verdict"].as_str().unwrap() {
                "accepted" => true,
                "unjustified" => false,
                "rejected" => continue, // Refused before it gets here, by the wire format's rules.
                other => panic!("verdict {other}"),
            };
            let offset = leader_offset(&file);
            let frame = recorded(case, nodes, offset);
            if frame.leader_offset != offset {
                continue; // Of another duty: about what is let through to its instance.
            }
            let mut instance = Instance::new(config(nodes, me, offset), START);
            let mut out = Vec::new();
            instance.step(START, Input::Start, &mut out);
            instance.step(START, Input::Propose([0xee; 32]), &mut out);
            let input = Input::Message {
                message: frame.message,
                justification: frame.shown,
            };
            instance.step(START, input, &mut out);
            assert_eq!(
                rejections(&out).is_empty(),
                expected,
                "{}: {out:?}",
                case["name"]
            );
        }
    }
}

fn rejections(out: &[Output<Vec<u8>>]) -> Vec<Rejection> {
    out.iter()
        .filter_map(|output| match output {
            Output::Rejected { reason, .. } => Some(*reason),
            _ => None,
        })
        .collect()
}

#[test]
fn traces_of_the_vectors_replay() {
    for file in files("qbft_traces") {
        for trace in list(&file, "traces") {
            Replay::new(&file, trace).run();
        }
    }
}

/// A message of our own and what we showed with it.
type Echo = (Message<Vec<u8>>, Vec<Message<Vec<u8>>>);

/// One trace being replayed: inputs are fed, everything else is expected in its order.
struct Replay<'a> {
    name: &'a Value,
    me: usize,
    nodes: usize,
    leader_offset: u64,
    values: &'a Value,
    events: VecDeque<&'a Value>,
    instance: Instance<Vec<u8>>,
    started: bool,
    now: Duration,
    /// Own messages on their way back to us.
    echoes: VecDeque<Echo>,
}

impl<'a> Replay<'a> {
    fn new(file: &'a Value, trace: &'a Value) -> Self {
        let (nodes, me) = (index(file, "nodes"), index(trace, "node"));
        let mut replay = Self {
            name: &trace["name"],
            me,
            nodes,
            leader_offset: leader_offset(file),
            values: &file["values"],
            events: list(trace, "events").iter().collect(),
            instance: Instance::new(config(nodes, me, leader_offset(file)), START),
            started: false,
            now: START,
            echoes: VecDeque::new(),
        };
        // A Charon node has no second thoughts about values.
        for value in file["values"].as_object().unwrap().keys() {
            let value = replay.value(&Value::String(value.clone())).unwrap();
            replay.step(Input::Verdict { value, good: true });
        }
        replay
    }

    fn run(mut self) {
        while let Some(event) = self.events.pop_front() {
            let is_bad = event["verdict"] == "rejected" || event["verdict"] == "unjustified";
            let input = match event["event"].as_str().unwrap() {
                "start" => {
                    self.started = true;
                    Input::Start
                }
                "input" => Input::Propose(self.value(&event["value"]).unwrap()),
                "recv" if event["verdict"] == "rejected" => continue,
                "recv" => {
                    let frame = recorded(event, self.nodes, self.leader_offset);
                    Input::Message {
                        message: frame.message,
                        justification: frame.shown,
                    }
                }
                "timer_fires" => {
                    self.now = self.now.max(self.instance.deadline().unwrap());
                    Input::Timeout
                }
                _ => panic!("{}: expected {event}, nothing happened", self.name),
            };
            let dropped = self.step(input);
            assert_eq!(
                !dropped.is_empty(),
                is_bad,
                "{}: {event}: {dropped:?}",
                self.name
            );
            while let Some((message, justification)) = self.echoes.pop_front() {
                let dropped = self.step(Input::Message {
                    message,
                    justification,
                });
                assert_eq!(dropped, [], "{}: a message of our own", self.name);
            }
        }
    }

    /// Feeds one input and holds its outputs against the next events.
    fn step(&mut self, input: Input<Vec<u8>>) -> Vec<Rejection> {
        let mut out = Vec::new();
        self.instance.step(self.now, input, &mut out);
        let mut is_decided = false;
        for output in &out {
            match output {
                Output::Send {
                    to,
                    draft,
                    justification,
                } => {
                    assert_eq!(*to, Recipients::All, "{}", self.name);
                    self.expect_send(draft, justification);
                }
                Output::RoundChanged { round, .. } => {
                    let event = self.next("round");
                    assert_eq!(*round, number(event, "to_round"), "{}: {event}", self.name);
                }
                Output::Decided {
                    value,
                    round,
                    commits,
                } => {
                    let event = self.next("decide");
                    assert_eq!(
                        Some(*value),
                        self.value(&event["value"]),
                        "{}: {event}",
                        self.name
                    );
                    assert_eq!(*round, number(event, "round"), "{}: {event}", self.name);
                    assert_eq!(
                        commits.len(),
                        index(event, "commits"),
                        "{}: {event}",
                        self.name
                    );
                    is_decided = true;
                }
                Output::Validate(_) => panic!("{}: the verdict is known", self.name),
                Output::Prepared { .. } | Output::Rejected { .. } => {}
            }
        }
        while self
            .events
            .front()
            .is_some_and(|event| self.is_armed_as(event))
        {
            self.events.pop_front();
        }
        assert!(
            !is_decided || self.instance.deadline().is_none(),
            "{}: the timer stops",
            self.name
        );
        rejections(&out)
    }

    /// The next event, past the timer requests that this step has made on its way.
    fn next(&mut self, kind: &str) -> &'a Value {
        loop {
            let event = self.events.pop_front();
            let event = event.unwrap_or_else(|| panic!("{}: an unexpected {kind}", self.name));
            if event["event"] == kind {
                return event;
            }
            let is_armed = event["event"] == "timer_set" && self.started;
            assert!(is_armed, "{}: {kind} where {event} is expected", self.name);
            let is_passed = self
                .instance
                .deadline()
                .is_none_or(|due| due >= deadline(event));
            assert!(is_passed, "{}: the timer is not set as {event}", self.name);
        }
    }

    fn is_armed_as(&self, event: &Value) -> bool {
        event["event"] == "timer_set"
            && self.instance.round() == number(event, "round")
            && self.instance.deadline() == Some(deadline(event))
    }

    fn expect_send(&mut self, draft: &Draft, justification: &[Message<Vec<u8>>]) {
        let event = self.next("send");
        let frame = recorded(event, self.nodes, self.leader_offset);
        let said = Message {
            kind: draft.kind,
            source: self.me,
            round: draft.round,
            value: draft.value,
            prepared_round: draft.prepared_round,
            prepared_value: draft.prepared_value,
            seal: frame.message.seal.clone(),
        };
        assert_eq!(said, frame.message, "{}: {}", self.name, event["type"]);
        assert_eq!(
            sorted(justification),
            sorted(&frame.shown),
            "{}: {}",
            self.name,
            event["type"]
        );
        self.echoes
            .push_back((frame.message, justification.to_vec()));
    }

    fn value(&self, name: &Value) -> Option<Hash> {
        let value = &self.values[name.as_str()?];
        match value["hash"].as_str() {
            Some(hex) => Some(from_hex(hex).try_into().unwrap()),
            None => hash(value),
        }
    }
}

fn deadline(event: &Value) -> Duration {
    START + Duration::from_secs(number(event, "round") * number(event, "request"))
}

type Statement = (
    MessageKind,
    usize,
    u64,
    Option<Hash>,
    u64,
    Option<Hash>,
    Vec<u8>,
);

fn sorted(messages: &[Message<Vec<u8>>]) -> Vec<Statement> {
    let mut sorted: Vec<Statement> = messages
        .iter()
        .map(|it| {
            (
                it.kind,
                it.source,
                it.round,
                it.value,
                it.prepared_round,
                it.prepared_value,
                it.seal.clone(),
            )
        })
        .collect();
    sorted.sort();
    sorted
}
