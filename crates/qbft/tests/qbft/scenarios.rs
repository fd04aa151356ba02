//! Whole networks: the scenarios of the vectors, and any that chance comes up with.

use crate::files::{files, hash, list};
use crate::world::{Network, Role, START, World};
use flotilla_qbft::{Draft, Hash, MessageKind};
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(4_000);
const SEEDS: u64 = 10;

fn one_second(_round: u64) -> Duration {
    Duration::from_secs(1)
}

fn doubling(round: u64) -> Duration {
    Duration::from_secs(1 << (round - 1).min(20))
}

fn value(number: u64) -> Hash {
    hash(&number.into()).unwrap()
}

/// The entry of process `number` in a table of milliseconds.
fn delay(table: &Value, number: u64) -> Option<Duration> {
    table
        .get(number.to_string())?
        .as_u64()
        .map(Duration::from_millis)
}

/// The processes of the vectors are 1 to 4, and nobody leads the rounds that would be process 0's.
/// Here 4 has index 0, so it leads them, but never gets to propose.
fn roles() -> Vec<Role> {
    (1..=4)
        .map(|number| {
            let me = usize::try_from(number % 4).unwrap();
            let mute = |draft: &Draft| draft.kind == MessageKind::PrePrepare;
            let role = Role::new(me, value(number));
            if me == 0 { Role { mute, ..role } } else { role }
        })
        .collect()
}

#[test]
fn networks_decide_as_the_vectors_say() {
    for file in files("qbft_network_scenarios") {
        for scenario in list(&file, "scenarios") {
            for seed in 0..SEEDS {
                run_scenario(scenario, seed);
            }
        }
    }
}

fn run_scenario(scenario: &Value, seed: u64) {
    let instance = scenario["instance"].as_u64().unwrap();
    let decide_round = scenario["decide_round"].as_u64();
    let leader = |round: u64| (instance + round) % 4;
    let mut roles = roles();
    for (number, role) in (1..).zip(&mut roles) {
        let starts = delay(&scenario["start_delay_ms"], number).unwrap_or_default();
        role.starts_at = START + starts;
        role.input = match delay(&scenario["value_delay_ms"], number) {
            // A moment later, so that a value due when a round ends comes after its end.
            Some(delay) => Some((START + delay + Duration::from_millis(1), value(number))),
            None if decide_round == Some(1) && leader(1) != number => None,
            None => Some((role.starts_at, value(number))),
        };
        match scenario["commits_only_after_round"].as_u64() {
            None => {}
            Some(1) if role.me == 0 => {
                role.mute = |draft| draft.kind == MessageKind::PrePrepare || is_early_commit(draft);
            }
            Some(1) => role.mute = is_early_commit,
            Some(other) => panic!("commits_only_after_round {other}: {scenario}"),
        }
    }
    let jitter = scenario["bcast_jitter_ms"]
        .as_u64()
        .map(Duration::from_millis);
    let low = Duration::from_millis(1);
    let network = Network {
        latency: jitter.map_or((low, 5 * low), |jitter| (jitter, 2 * jitter)),
        loss_percent: scenario["drop_probability"]
            .as_f64()
            .map_or(0, |it| (it * 100.0) as u64),
        repeat_percent: 10,
        heals_at: Duration::MAX,
    };
    let is_constant = scenario["const_period"].as_bool().unwrap_or(false);
    let period = if is_constant { one_second } else { doubling };
    let (decided, rounds) = World::new(4, instance, roles, network, seed)
        .with_period(period)
        .run(LIMIT)
        .unwrap_or_else(|broken| panic!("{scenario}, seed {seed}: {broken}"));
    if let Some(round) = decide_round {
        assert_eq!(rounds, BTreeSet::from([round]), "{scenario}, seed {seed}");
        let expected = scenario["decide_value"].as_u64().unwrap_or(leader(round));
        assert_eq!(decided, value(expected), "{scenario}, seed {seed}");
    }
}

fn is_early_commit(draft: &Draft) -> bool {
    draft.kind == MessageKind::Commit && draft.round <= 1
}

#[test]
fn differing_views_decide_as_the_vectors_say() {
    for file in files("qbft_chain_split") {
        for case in list(&file, "cases") {
            for seed in 0..SEEDS {
                let mut roles = roles();
                for (number, role) in (1..=4u64).zip(&mut roles) {
                    let local = hash(&case["local_values"][number.to_string()]).unwrap();
                    role.input = Some((START, local));
                    role.accepts = Some(vec![local]);
                }
                let world = World::new(4, 0, roles, lossless(), seed).with_period(doubling);
                let (decided, rounds) = world.run(LIMIT).unwrap();
                assert_eq!(
                    rounds,
                    BTreeSet::from([case["decide_round"].as_u64().unwrap()]),
                    "{case}"
                );
                assert_eq!(Some(decided), hash(&case["value"]), "{case}");
            }
        }
    }
}

fn lossless() -> Network {
    let low = Duration::from_millis(1);
    Network {
        latency: (low, 5 * low),
        loss_percent: 0,
        repeat_percent: 10,
        heals_at: START,
    }
}

/// A network with losses at first, up to f liars (twins), late values and verdicts, and crashes.
#[derive(Clone, Debug)]
struct Trouble {
    nodes: usize,
    liars: usize,
    loss_percent: u64,
    latency_ms: u64,
    thinks_ms: u64,
    late_inputs: bool,
    crashes: Vec<(usize, u64)>,
    seed: u64,
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let sizes = prop_oneof![Just((4, 1)), Just((7, 2)), Just((10, 3))];
    let crashes = proptest::collection::vec((0..10usize, 0..20_000u64), 0..6);
    (
        sizes,
        any::<u64>(),
        0..50u64,
        1..800u64,
        0..1_500u64,
        any::<bool>(),
        crashes,
        0..4usize,
    )
        .prop_map(
            |(
                (nodes, faulty),
                seed,
                loss_percent,
                latency_ms,
                thinks_ms,
                late_inputs,
                crashes,
                liars,
            )| {
                let liars = liars.min(faulty);
                Trouble {
                    nodes,
                    liars,
                    loss_percent,
                    latency_ms,
                    thinks_ms,
                    late_inputs,
                    crashes,
                    seed,
                }
            },
        )
}

impl Trouble {
    fn roles(&self) -> Vec<Role> {
        let mut roles = Vec::new();
        for me in 0..self.nodes {
            let mut role = Role::new(me, value(me as u64 + 1));
            role.thinks = Duration::from_millis(self.thinks_ms);
            if self.late_inputs {
                role.input = Some((
                    START + Duration::from_millis(700 * me as u64),
                    value(me as u64 + 1),
                ));
            }
            if me < self.liars {
                roles.push(Role::new(me, value(100 + me as u64)));
            } else {
                let mine = self.crashes.iter().filter(|(at, _)| at % self.nodes == me);
                role.crashes_at = mine
                    .map(|(_, ms)| START + Duration::from_millis(*ms))
                    .collect();
            }
            roles.push(role);
        }
        roles
    }

    fn world(&self) -> World {
        self.world_of(self.roles())
    }

    fn world_of(&self, roles: Vec<Role>) -> World {
        let network = Network {
            latency: (
                Duration::from_millis(1),
                Duration::from_millis(self.latency_ms),
            ),
            loss_percent: self.loss_percent,
            repeat_percent: 10,
            heals_at: START + Duration::from_secs(20),
        };
        World::new(self.nodes, self.seed % 17, roles, network, self.seed)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// Q1–Q11: whatever happens, the honest agree, nobody votes twice, and everybody gets there.
    #[test]
    fn trouble_delays_agreement_but_never_breaks_it(trouble in trouble()) {
        let outcome = trouble.world().run(Duration::from_secs(3_000));
        prop_assert!(outcome.is_ok(), "{outcome:?}");
    }
}

#[test]
fn a_healthy_network_decides_the_first_leaders_value_in_round_1() {
    for nodes in [1, 2, 3, 4, 7, 10, 13] {
        let roles = (0..nodes)
            .map(|me| Role::new(me, value(me as u64 + 1)))
            .collect();
        let (decided, rounds) = World::new(nodes, 0, roles, lossless(), 7)
            .run(LIMIT)
            .unwrap();
        assert_eq!(rounds, BTreeSet::from([1]), "n = {nodes}");
        assert_eq!(decided, value(1 % nodes as u64 + 1), "n = {nodes}");
    }
}

/// A network in which the checks of the world have something to see.
fn harsh(seed: u64) -> Trouble {
    Trouble {
        nodes: 4,
        liars: 1,
        loss_percent: 20,
        latency_ms: 600,
        thinks_ms: 0,
        late_inputs: false,
        crashes: (0..4).map(|at| (at, 300 + 100 * at as u64)).collect(),
        seed,
    }
}

fn breaks(outcome: Result<(Hash, BTreeSet<u64>), String>, rule: &str) -> bool {
    outcome.is_err_and(|broken| broken.starts_with(rule))
}

/// Q10: without the restored votes, processes contradict themselves; with them, none does.
#[test]
fn forgotten_votes_are_noticed() {
    let run = |seed, forgets: bool| {
        let mut roles = harsh(seed).roles();
        roles.iter_mut().for_each(|role| role.forgets = forgets);
        harsh(seed).world_of(roles).run(LIMIT)
    };
    assert!((0..500).any(|seed| breaks(run(seed, true), "one vote")));
    assert!((0..500).all(|seed| run(seed, false).is_ok()));
}

#[cfg(feature = "faults")]
#[test]
fn a_quorum_one_too_low_is_noticed() {
    let faults = flotilla_qbft::Faults {
        quorum_one_too_low: true,
        ..Default::default()
    };
    let run = |seed| harsh(seed).world().with_faults(faults).run(LIMIT);
    assert!((0..500).any(|seed| breaks(run(seed), "agreement")));
}
