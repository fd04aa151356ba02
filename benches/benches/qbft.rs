//! What an agreement costs apart from signatures and the network: all n instances of one duty in
//! one thread, every message delivered once, until each has decided.
#![allow(missing_docs)]

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use flotilla_qbft::{
    Config, Draft, Faults, Hash, Input, Instance, Message, MessageKind, Mode, Output, RoundTimer,
};

const START: Duration = Duration::from_secs(1_000);
const VALUE: Hash = [1; 32];

/// One cluster in one thread.
struct Cluster {
    instances: Vec<Instance<()>>,
    /// Messages that everybody is still to hear.
    on_the_way: VecDeque<(Message<()>, Vec<Message<()>>)>,
    out: Vec<Output<()>>,
    decided: usize,
}

impl Cluster {
    fn new(nodes: usize) -> Self {
        let timer = RoundTimer::EagerDoubleLinear {
            start: START,
            extra: Duration::ZERO,
        };
        let config = |me| Config {
            nodes,
            me,
            leader_offset: 0,
            timer,
            mode: Mode::Voting,
            faults: Faults::default(),
        };
        let instances = (0..nodes)
            .map(|me| Instance::new(config(me), START))
            .collect();
        let (on_the_way, out) = (VecDeque::new(), Vec::new());
        let mut cluster = Self {
            instances,
            on_the_way,
            out,
            decided: 0,
        };
        for at in 0..nodes {
            cluster.step(
                at,
                START,
                Input::Verdict {
                    value: VALUE,
                    good: true,
                },
            );
            cluster.step(at, START, Input::Propose(VALUE));
        }
        cluster
    }

    fn step(&mut self, at: usize, now: Duration, input: Input<()>) {
        self.instances[at].step(now, input, &mut self.out);
        for output in self.out.drain(..) {
            match output {
                Output::Send {
                    draft,
                    justification,
                    ..
                } => {
                    self.on_the_way
                        .push_back((sealed(at, &draft), justification));
                }
                Output::Decided { .. } => self.decided += 1,
                _ => {}
            }
        }
    }

    /// Lets everybody hear what is on the way, in order, until a message of the kind `until`.
    fn deliver(&mut self, now: Duration, until: Option<MessageKind>) {
        while let Some((message, justification)) = self.on_the_way.pop_front() {
            if Some(message.kind) == until {
                return;
            }
            for at in 0..self.instances.len() {
                let (message, justification) = (message.clone(), justification.clone());
                let input = Input::Message {
                    message,
                    justification,
                };
                self.step(at, now, input);
            }
        }
    }

    /// Round 1, nothing lost.
    fn decide(mut self) -> usize {
        (0..self.instances.len()).for_each(|at| self.step(at, START, Input::Start));
        self.deliver(START, None);
        self.decided
    }

    /// The COMMITs of round 1 are lost, so that round 2 carries certificates of it.
    fn decide_after_a_prepared_round(mut self) -> usize {
        (0..self.instances.len()).for_each(|at| self.step(at, START, Input::Start));
        self.deliver(START, Some(MessageKind::Commit));
        self.on_the_way.clear();
        let later = START + Duration::from_secs(10);
        (0..self.instances.len()).for_each(|at| self.step(at, later, Input::Timeout));
        self.deliver(later, None);
        self.decided
    }
}

fn sealed(source: usize, draft: &Draft) -> Message<()> {
    Message {
        kind: draft.kind,
        source,
        round: draft.round,
        value: draft.value,
        prepared_round: draft.prepared_round,
        prepared_value: draft.prepared_value,
        seal: (),
    }
}

fn decisions(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("qbft");
    group.throughput(Throughput::Elements(1));
    for nodes in [4, 7, 10, 13] {
        group.bench_function(format!("decide/n={nodes}"), |run| {
            run.iter_batched(
                || Cluster::new(nodes),
                |cluster| assert_eq!(cluster.decide(), nodes),
                BatchSize::SmallInput,
            );
        });
        group.bench_function(format!("decide_round_2/n={nodes}"), |run| {
            run.iter_batched(
                || Cluster::new(nodes),
                |cluster| assert_eq!(cluster.decide_after_a_prepared_round(), nodes),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// A peer that sends as many different messages as it can, each showing as much as it may.
fn flood(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("qbft");
    for nodes in [4, 10] {
        let messages = 1_000;
        group.throughput(Throughput::Elements(messages));
        group.bench_function(format!("flood/n={nodes}"), |run| {
            let vote = |kind, source, round| {
                let draft = Draft {
                    kind,
                    round,
                    value: Some(VALUE),
                    prepared_round: 0,
                    prepared_value: None,
                };
                sealed(source, &draft)
            };
            run.iter_batched(
                || {
                    let mut cluster = Cluster::new(nodes);
                    cluster.step(0, START, Input::Start);
                    cluster
                },
                |mut cluster| {
                    for round in 1..=messages {
                        let message = vote(MessageKind::Prepare, 1, round);
                        let justification = (0..2 * nodes)
                            .map(|it| vote(MessageKind::Commit, it % nodes, round + 1 + it as u64));
                        let justification = justification.collect();
                        cluster.step(
                            0,
                            START,
                            Input::Message {
                                message,
                                justification,
                            },
                        );
                    }
                    black_box(cluster.decided)
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, decisions, flood);
criterion_main!(benches);
