//! What must hold whatever happens, looked at after every event.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use flotilla_duty::Outcome;
use flotilla_duty::io::PartialSet;
use flotilla_qbft::Hash;
use flotilla_types::{Chain, Duty, Epoch, PublicKeyBytes, Root, SignedData, Slot, Timestamp};

use crate::scheme::Scheme;

/// Something that must never happen has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Two honest nodes decided differently.
    Disagreement(Duty),
    /// An honest node decided on the null value.
    NullDecided(Duty),
    /// An honest node's share signed two roots for one duty.
    TwoRoots(usize, Duty),
    /// An honest node's share signed two roots for one target.
    TwoTargets(usize, Epoch),
    /// An honest node's share signed a vote that surrounds another of its votes.
    Surround(usize, Epoch),
    /// An honest node submitted something that is not the group's signature.
    BadSubmission(usize, Duty),
    /// The group signed two roots for one target.
    GroupTwoTargets(Epoch),
    /// A paused honest node asked for signatures or let some go.
    SignedPaused(usize, Duty),
    /// A node remembers more duties than its bound, or does not forget them.
    Unbounded(usize, usize),
    /// A duty ended twice on one node.
    EndedTwice(usize, Duty),
    /// A duty did not complete although the cluster had healed.
    Incomplete(Slot, usize),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Disagreement(duty) => write!(f, "two nodes decided differently on {duty}"),
            Violation::NullDecided(duty) => write!(f, "the null value was decided for {duty}"),
            Violation::TwoRoots(node, duty) => {
                write!(f, "node {node}'s share signed two roots for {duty}")
            }
            Violation::TwoTargets(node, epoch) => write!(
                f,
                "node {node}'s share signed two roots with target {epoch}"
            ),
            Violation::Surround(node, epoch) => write!(
                f,
                "node {node}'s share signed a surround vote with target {epoch}"
            ),
            Violation::BadSubmission(node, duty) => {
                write!(f, "node {node} submitted a wrong signature for {duty}")
            }
            Violation::GroupTwoTargets(epoch) => {
                write!(f, "the group signed two roots with target {epoch}")
            }
            Violation::SignedPaused(node, duty) => {
                write!(f, "node {node} signed for {duty} although it was paused")
            }
            Violation::Unbounded(node, duties) => {
                write!(f, "node {node} remembers {duties} duties")
            }
            Violation::EndedTwice(node, duty) => write!(f, "{duty} ended twice on node {node}"),
            Violation::Incomplete(slot, validator) => {
                write!(
                    f,
                    "slot {slot}, validator {validator}: not submitted although the cluster had healed"
                )
            }
        }
    }
}

/// What one share or one group has signed.
#[derive(Debug, Default)]
struct Signed {
    duties: BTreeMap<Duty, Root>,
    targets: BTreeMap<Epoch, (Epoch, Root)>,
}

impl Signed {
    fn note(&mut self, duty: Duty, data: &SignedData, root: Root) -> Option<Kind> {
        if *self.duties.entry(duty).or_insert(root) != root {
            return Some(Kind::Duty);
        }
        let attestation = data.attester()?;
        let (source, target) = (
            attestation.data().source.epoch,
            attestation.data().target.epoch,
        );
        let surrounds = |(&other, &(from, _)): (&Epoch, &(Epoch, Root))| {
            (source < from && other < target) || (from < source && target < other)
        };
        if self.targets.iter().any(surrounds) {
            return Some(Kind::Surround(target));
        }
        (self.targets.entry(target).or_insert((source, root)).1 != root)
            .then_some(Kind::Target(target))
    }
}

enum Kind {
    Duty,
    Target(Epoch),
    Surround(Epoch),
}

/// All checkers of a run.
#[derive(Debug, Default)]
pub struct Checkers {
    decisions: BTreeMap<Duty, Hash>,
    rounds: BTreeMap<Duty, BTreeMap<usize, u64>>,
    shares: BTreeMap<(usize, PublicKeyBytes), Signed>,
    groups: BTreeMap<PublicKeyBytes, Signed>,
    submitted: BTreeMap<(Slot, PublicKeyBytes), Timestamp>,
    ended: BTreeSet<(usize, u64, Duty)>,
    violations: Vec<Violation>,
}

impl Checkers {
    /// An honest node decided in a round.
    pub fn decided(&mut self, node: usize, duty: Duty, round: u64, value: Hash) {
        self.rounds.entry(duty).or_default().insert(node, round);
        if value == [0; 32] {
            self.violations.push(Violation::NullDecided(duty));
        }
        if *self.decisions.entry(duty).or_insert(value) != value {
            self.violations.push(Violation::Disagreement(duty));
        }
    }

    /// An honest node let partial signatures go.
    pub fn released(&mut self, node: usize, set: &PartialSet) {
        for (validator, partial) in &set.items {
            let signed = self.shares.entry((node, *validator)).or_default();
            match signed.note(set.duty, &partial.data, partial.signing_root) {
                Some(Kind::Duty) => self.violations.push(Violation::TwoRoots(node, set.duty)),
                Some(Kind::Target(epoch)) => {
                    self.violations.push(Violation::TwoTargets(node, epoch))
                }
                Some(Kind::Surround(epoch)) => {
                    self.violations.push(Violation::Surround(node, epoch))
                }
                None => {}
            }
        }
    }

    /// A paused honest node asked for signatures or let some go.
    pub fn signed_paused(&mut self, node: usize, duty: Duty) {
        self.violations.push(Violation::SignedPaused(node, duty));
    }

    /// An honest node submitted.
    pub fn submitted(
        &mut self,
        node: usize,
        duty: Duty,
        items: &[(PublicKeyBytes, SignedData)],
        scheme: &Scheme,
        chain: &Chain,
        now: Timestamp,
    ) {
        for (validator, data) in items {
            let root = data.signing_root(chain);
            if !scheme.check_group(*validator, root, *data.signature()) {
                self.violations.push(Violation::BadSubmission(node, duty));
                continue;
            }
            if self
                .groups
                .entry(*validator)
                .or_default()
                .note(duty, data, root)
                .is_some()
            {
                self.violations
                    .push(Violation::GroupTwoTargets(chain.epoch_of(duty.slot)));
            }
            self.submitted.entry((duty.slot, *validator)).or_insert(now);
        }
    }

    /// A node told the end of a duty.
    pub fn ended(&mut self, node: usize, incarnation: u64, outcome: &Outcome) {
        if !self.ended.insert((node, incarnation, outcome.duty)) {
            self.violations
                .push(Violation::EndedTwice(node, outcome.duty));
        }
    }

    /// How many duties a node remembers, and how many it may.
    pub fn remembers(&mut self, node: usize, duties: usize, limit: usize) {
        if duties > limit {
            self.violations.push(Violation::Unbounded(node, duties));
        }
    }

    /// The cluster had healed: every duty of these slots must have been submitted by `by(slot)`.
    pub fn complete(
        &mut self,
        due: &BTreeMap<Slot, Vec<PublicKeyBytes>>,
        by: impl Fn(Slot) -> Timestamp,
    ) {
        for (&slot, validators) in due {
            for (index, validator) in validators.iter().enumerate() {
                if self
                    .submitted
                    .get(&(slot, *validator))
                    .is_none_or(|&at| at > by(slot))
                {
                    self.violations.push(Violation::Incomplete(slot, index));
                }
            }
        }
    }

    /// How many (slot, validator) pairs were submitted.
    pub fn submissions(&self) -> usize {
        self.submitted.len()
    }

    /// The rounds in which honest nodes decided, by duty and node.
    pub fn rounds(&self) -> &BTreeMap<Duty, BTreeMap<usize, u64>> {
        &self.rounds
    }

    /// What was found.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }
}
