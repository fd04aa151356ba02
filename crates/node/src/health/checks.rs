//! The checks. Names, severities and bounds of spec 30 §8.5 where the field has the check; times are fractions of the slot, which
//! are the field's seconds on mainnet.
//!
//! Not here: `metrics_high_cardinality`, since every label has a bounded set of values; `high_goroutine_count` and `memory_leak`,
//! which watch another language's runtime.

use flotilla_types::DutyKind;

use super::{Check, Severity, View};
use crate::telemetry::{Counts, Timing};

/// Requests that take a beacon node longer, since it makes a block for them or takes one in.
const BLOCK_REQUESTS: [&str; 3] = ["proposal", "submit_proposal", "submit_blinded_proposal"];

/// Every check, in the order of the document.
pub const CHECKS: &[Check] = &[
    Check {
        name: "slashing_database_failing",
        severity: Severity::Critical,
        description: "the slashing database cannot be written, so that nothing is signed",
        advice: "look at the disk's space and state and at the file's permissions; the node tries again with each duty",
        fails: |view| view.facts.database_failing.clone(),
    },
    Check {
        name: "unknown_fork",
        severity: Severity::Critical,
        description: "the beacon node's schedule has a fork that this version does not know, from which on nothing is signed",
        advice: "update flotilla before that epoch",
        fails: unknown_fork,
    },
    Check {
        name: "beacon_node_of_another_chain",
        severity: Severity::Critical,
        description: "a beacon node serves another chain and is not asked",
        advice: "correct --beacon-node-endpoints, or that beacon node's network",
        fails: |view| {
            let others = &view.facts.on_other_chain;
            (!others.is_empty()).then(|| others.join(", "))
        },
    },
    Check {
        name: "beacon_node_syncing",
        severity: Severity::Critical,
        description: "no beacon node is in sync",
        advice: "wait for it, or name another one with --beacon-node-endpoints",
        fails: |view| {
            (!view.facts.has_beacon_node).then(|| "no beacon node answers and is in sync".into())
        },
    },
    Check {
        name: "insufficient_connected_peers",
        severity: Severity::Critical,
        description: "never enough peers for agreement were connected in five minutes",
        advice: "see /flotilla/status for who is missing; of each pair, one must be able to dial the other",
        fails: few_peers,
    },
    Check {
        name: "validator_client_silent",
        severity: Severity::Critical,
        description: "a validator client signs for this cluster and has not called for a whole epoch",
        advice: "start it, and let its beacon node URL be this node's validator API",
        fails: |view| {
            let silent = view.facts.is_client_silent;
            silent.then(|| "no request of a validator client for a whole epoch".into())
        },
    },
    Check {
        name: "local_proposal_fee_recipient_mismatch",
        severity: Severity::Critical,
        description: "a block of our beacon node paid its fees to somebody else than configured; such a block is not signed",
        advice: "remove the fee recipient from the beacon node's own configuration, or correct the overrides file",
        fails: |view| {
            let pays = view.now()?.pays_somebody_else;
            pays.then(|| "the last block of our beacon node paid somebody else".into())
        },
    },
    Check {
        name: "signing_paused",
        severity: Severity::Warning,
        description: "the operator has stopped signing",
        advice: "`flotilla resume` lets it go on",
        fails: |view| view.facts.is_paused.then(|| "signing is paused".into()),
    },
    Check {
        name: "chain_guard_conflicts",
        severity: Severity::Warning,
        description: "values were proposed in five minutes that conflict with the chain of our beacon nodes",
        advice: "compare your beacon nodes' finalised checkpoint with the other operators'; one side is on a wrong chain",
        fails: |view| increased(view, "values conflicted", |counts| counts.chain_conflicts),
    },
    Check {
        name: "block_not_included",
        severity: Severity::Warning,
        description: "a submitted block of the last hour is not on the chain",
        advice: "look at the proposal's outcome for the step that cost the time; blocks later than 4 s after the slot's start are often replaced",
        fails: |view| {
            let missed = view.grown_in_hour(|counts| counts.missed_blocks);
            (missed > 0).then(|| format!("{missed} blocks in an hour"))
        },
    },
    Check {
        name: "slow_disk",
        severity: Severity::Warning,
        description: "a transaction of the slashing database takes more than 0.1 s on average over five minutes",
        advice: "move the data folder to a local solid-state disk, away from what else writes much",
        fails: |view| {
            let timing = view.measured(|counts| Some(counts.slashing));
            above(timing, 0.1, "a transaction")
        },
    },
    Check {
        name: "high_registration_failures_rate",
        severity: Severity::Warning,
        description: "no beacon node took the builder registrations",
        advice: "look at the beacon node's builder or MEV-Boost configuration",
        fails: |view| {
            increased(view, "handovers failed", |counts| {
                counts.registration_errors
            })
        },
    },
    Check {
        name: "high_beacon_node_latency",
        severity: Severity::Warning,
        description: "some kind of request to beacon nodes, not for blocks, takes more than 1 s on average over five minutes",
        advice: "look at the beacon node's load, disk and distance; app_eth2_latency_seconds tells which requests",
        fails: |view| slow_requests(view, 1.0, |name| !BLOCK_REQUESTS.contains(&name)),
    },
    Check {
        name: "high_beacon_node_proposal_latency",
        severity: Severity::Warning,
        description: "fetching or submitting blocks takes more than 2 s on average over five minutes",
        advice: "look at the beacon node's builder timeout and at the execution client's load",
        fails: |view| slow_requests(view, 2.0, |name| BLOCK_REQUESTS.contains(&name)),
    },
    Check {
        name: "high_beacon_node_sse_head_delay",
        severity: Severity::Warning,
        description: "more than 4 % of the last hour's heads came later than a third of their slot",
        advice: "look at the beacon node's peers, bandwidth and load",
        fails: late_heads,
    },
    Check {
        name: "using_fallback_beacon_nodes",
        severity: Severity::Warning,
        description: "only fallback beacon nodes are healthy",
        advice: "look at the primary ones",
        fails: |view| {
            let uses = view.facts.uses_fallback;
            uses.then(|| "no primary beacon node is healthy".into())
        },
    },
    Check {
        name: "high_peer_clock_offset",
        severity: Severity::Warning,
        description: "a peer's clock differs from ours by more than 0.2 s",
        advice: "synchronise clocks (chrony, NTP) here, and tell that operator; if all peers differ alike, it is ours",
        fails: clock_offsets,
    },
    Check {
        name: "high_peer_ping_latency",
        severity: Severity::Warning,
        description: "the round trip to a peer takes more than 0.15 s on average over five minutes",
        advice: "prefer direct connections to relays: see `connected` and addresses in /flotilla/status",
        fails: slow_peers,
    },
    Check {
        name: "insufficient_round_changes",
        severity: Severity::Warning,
        description: "an agreement of the last five minutes heard from fewer peers than it needs",
        advice: "see the outcome's peers for who did not take part",
        fails: |view| increased(view, "agreements", |counts| counts.without_quorum),
    },
    Check {
        name: "high_consensus_rounds",
        severity: Severity::Warning,
        description: "the last proposal or attestation was not agreed in the first round",
        advice: "look at the leader named in its outcome: its beacon node is slow, or its connection is",
        fails: many_rounds,
    },
    Check {
        name: "local_block_proposal",
        severity: Severity::Warning,
        description: "builders' blocks are wanted, and the last block was the beacon node's own",
        advice: "look at the beacon node's builder or MEV-Boost: relays, registrations, timeouts",
        fails: |view| {
            let is_local = view.facts.builder_api && view.now()?.is_block_local;
            is_local.then(|| "the last block was the beacon node's own".into())
        },
    },
    Check {
        name: "high_parsigdb_store_latency",
        severity: Severity::Warning,
        description: "partial signatures of attestations come later than a sixth of a slot after they are due, on average over five minutes",
        advice: "flotilla_duty_stage_seconds tells which stage is late, core_parsigdb_store which peer",
        fails: |view| late_partials(view, DutyKind::Attester, 6.0),
    },
    Check {
        name: "high_parsigdb_store_latency_proposer",
        severity: Severity::Warning,
        description: "partial signatures of blocks come later than a quarter of a slot after its start, on average over five minutes",
        advice: "flotilla_duty_stage_seconds tells which stage is late, core_parsigdb_store which peer",
        fails: |view| late_partials(view, DutyKind::Proposer, 4.0),
    },
    Check {
        name: "sync_message_head_disagreement",
        severity: Severity::Warning,
        description: "a peer signed another head than most in more than 5 % of its sync committee messages of the last hour",
        advice: "ask that operator to look at the beacon node's delay; if it is this node, look at ours",
        fails: other_heads,
    },
    Check {
        name: "pending_validators",
        severity: Severity::Info,
        description: "validators of the cluster wait for their activation",
        advice: "nothing to do: keep the node running",
        fails: |view| {
            let pending = view.now()?.pending_validators;
            (pending > 0).then(|| format!("{pending} validators"))
        },
    },
];

fn unknown_fork(view: &View<'_>) -> Option<String> {
    let (fork, now) = view.facts.unknown_fork?;
    Some(match fork.0.checked_sub(now.0) {
        Some(left) if left > 0 => format!("from epoch {fork} on, in {left} epochs"),
        _ => format!("nothing is signed since epoch {fork}"),
    })
}

fn few_peers(view: &View<'_>) -> Option<String> {
    let (connected, needed) = (view.most_connected()?, view.facts.quorum.saturating_sub(1));
    (connected < needed).then(|| format!("{connected} of {needed} peers needed"))
}

fn increased(view: &View<'_>, what: &str, counter: impl Fn(&Counts) -> u64) -> Option<String> {
    let grown = view.grown(counter);
    (grown > 0).then(|| format!("{grown} {what} in five minutes"))
}

fn above(timing: Timing, bound: f64, what: &str) -> Option<String> {
    let average = timing.average().filter(|&average| average > bound)?;
    Some(format!("{what} takes {average:.2} s on average"))
}

fn joined(problems: impl Iterator<Item = String>) -> Option<String> {
    let problems: Vec<String> = problems.collect();
    (!problems.is_empty()).then(|| problems.join("; "))
}

fn slow_requests(view: &View<'_>, bound: f64, counts: fn(&str) -> bool) -> Option<String> {
    let names = view.now()?.requests.keys().filter(|name| counts(name));
    joined(names.filter_map(|name| {
        let timing = view.measured(|counts| counts.requests.get(name).copied());
        above(timing, bound, name)
    }))
}

fn late_heads(view: &View<'_>) -> Option<String> {
    let heads = view.grown_in_hour(|counts| counts.heads);
    let late = view.grown_in_hour(|counts| counts.late_heads);
    (late * 100 > heads * 4).then(|| format!("{late} of {heads} heads in an hour"))
}

fn clock_offsets(view: &View<'_>) -> Option<String> {
    let offsets = view.now()?.clock_offsets.iter();
    joined(
        offsets
            .filter(|(_, offset)| offset.abs() > 0.2)
            .map(|(peer, offset)| format!("peer {peer}: {offset:+.2} s")),
    )
}

fn slow_peers(view: &View<'_>) -> Option<String> {
    let peers = view.now()?.pings.keys();
    joined(peers.filter_map(|peer| {
        let timing = view.measured(|counts| counts.pings.get(peer).copied());
        above(timing, 0.15, &format!("a ping to peer {peer}"))
    }))
}

fn many_rounds(view: &View<'_>) -> Option<String> {
    let rounds = view.now()?.rounds.iter();
    joined(
        rounds
            .filter(|(_, round)| **round >= 2)
            .map(|(kind, round)| format!("{}: round {round}", kind.name())),
    )
}

fn late_partials(view: &View<'_>, kind: DutyKind, part_of_slot: f64) -> Option<String> {
    let timing = view.measured(|counts| counts.partials.get(&kind).copied());
    let bound = view.facts.slot_seconds / part_of_slot;
    above(timing, bound, "a partial signature")
}

fn other_heads(view: &View<'_>) -> Option<String> {
    /// Fewer than these say nothing.
    const ENOUGH: u64 = 20;
    let peers = view.now()?.heads_signed.keys();
    joined(peers.filter_map(|peer| {
        let of = |counts: &Counts| counts.heads_signed.get(peer).copied().unwrap_or_default();
        let all = view.grown_in_hour(|counts| of(counts).0);
        let other = view.grown_in_hour(|counts| of(counts).1);
        let fails = all >= ENOUGH && other * 100 > all * 5;
        fails.then(|| format!("peer {peer}: {other} of {all}"))
    }))
}
