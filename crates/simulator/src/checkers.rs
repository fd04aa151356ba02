//! What must hold whatever happens, looked at after every event.

mod guard;
mod replies;
mod signed;
mod soundness;
mod violation;

use std::collections::{BTreeMap, BTreeSet};

use flotilla_duty::Outcome;
use flotilla_duty::guard::{Question as GuardQuestion, Verdict};
use flotilla_duty::io::{ClientRequest, Item, PartialSet, Question, Reply, UnsignedSet};
use flotilla_qbft::Hash;
use flotilla_types::{
    Chain, Duty, DutyKind, PublicKeyBytes, Root, SignatureBytes, SignedData, Timestamp,
};

use self::guard::{Guards, question_of};
use self::replies::Replies;
use self::signed::{Clash, Signed};

pub use soundness::Measure;
pub use violation::Violation;

/// All checkers of a run.
#[derive(Debug, Default)]
pub struct Checkers {
    decisions: BTreeMap<Duty, Hash>,
    rounds: BTreeMap<Duty, BTreeMap<usize, u64>>,
    shares: BTreeMap<(usize, PublicKeyBytes), Signed>,
    groups: BTreeMap<PublicKeyBytes, Signed>,
    /// What honest shares sign of duties whose object follows from the cluster's decision or the assignment.
    common: BTreeMap<(Duty, Item), Root>,
    made: BTreeMap<(Duty, Item), (Timestamp, SignatureBytes)>,
    submitted: BTreeMap<(Duty, Item), Timestamp>,
    ended: BTreeSet<(usize, u64, Duty)>,
    guards: Guards,
    replies: Replies,
    violations: Vec<Violation>,
}

impl Checkers {
    fn report(&mut self, violation: Violation) {
        self.violations.push(violation);
    }

    /// An honest node decided in a round.
    pub fn decided(&mut self, node: usize, duty: Duty, round: u64, value: Hash) {
        self.rounds.entry(duty).or_default().insert(node, round);
        if value == [0; 32] {
            self.report(Violation::NullDecided(duty));
        }
        if *self.decisions.entry(duty).or_insert(value) != value {
            self.report(Violation::Disagreement(duty));
        }
    }

    /// An honest node let partial signatures go, its own clock showing `local`.
    pub fn released(
        &mut self,
        node: usize,
        set: &PartialSet,
        chain: &Chain,
        local: Timestamp,
        ask: impl Fn(&GuardQuestion) -> Verdict,
    ) {
        let duty = set.duty;
        if duty.kind == DutyKind::Randao {
            // S10: earlier, one member and the proposer before could learn it and withhold.
            let earliest = chain.slot_start(duty.slot) - chain.spec.slot_duration / 3;
            if local < earliest {
                self.report(Violation::EarlyRandao(node, duty));
            }
        }
        for (validator, partial) in &set.items {
            let signed = self.shares.entry((node, *validator)).or_default();
            match signed.note(duty, &partial.data, partial.signing_root) {
                Some(Clash::Duty) => self.report(Violation::TwoRoots(node, duty)),
                Some(Clash::Target(epoch)) => self.report(Violation::TwoTargets(node, epoch)),
                Some(Clash::Surround(epoch)) => self.report(Violation::Surround(node, epoch)),
                None => {}
            }
            let item = Item::of(*validator, &partial.data);
            // Each node signs the head that its own beacon node follows.
            if duty.kind != DutyKind::SyncMessage {
                let common = self.common.entry((duty, item));
                if *common.or_insert(partial.signing_root) != partial.signing_root {
                    self.report(Violation::SharesDiffer(node, duty));
                }
            }
            let question = question_of(&partial.data);
            if question.is_some_and(|question| {
                self.guards
                    .is_against(node, duty, question, || ask(&question))
            }) {
                self.report(Violation::AgainstOwnChain(node, duty));
            }
        }
    }

    /// A paused honest node asked for signatures or let some go.
    pub fn signed_paused(&mut self, node: usize, duty: Duty) {
        self.report(Violation::SignedPaused(node, duty));
    }

    /// A node's beacon node has given a value.
    pub fn given(&mut self, node: usize, set: &UnsignedSet) {
        self.guards.given(node, set);
    }

    /// A node's beacon node has said what it knows of the chain below a value.
    pub fn examined(&mut self, node: usize, duty: Duty, question: GuardQuestion, verdict: Verdict) {
        self.guards.examined(node, duty, question, verdict);
    }

    /// An honest node made a group signature.
    pub fn made(&mut self, duty: Duty, item: Item, signature: SignatureBytes, now: Timestamp) {
        self.made.entry((duty, item)).or_insert((now, signature));
    }

    /// An honest node submitted.
    pub fn submitted(
        &mut self,
        node: usize,
        duty: Duty,
        items: &[(Item, SignedData)],
        measure: Measure<'_>,
        now: Timestamp,
    ) {
        for (item, data) in items {
            let is_good =
                measure.is_groups(&item.validator, data) && measure.is_sound(duty, *item, data);
            if !is_good {
                self.report(Violation::BadSubmission(node, duty));
                continue;
            }
            let root = data.signing_root(measure.chain);
            let group = self.groups.entry(item.validator).or_default();
            match group.note(duty, data, root) {
                Some(Clash::Duty) => self.report(Violation::GroupTwoRoots(duty)),
                Some(Clash::Target(epoch) | Clash::Surround(epoch)) => {
                    self.report(Violation::GroupTwoTargets(epoch));
                }
                None => {}
            }
            self.submitted.entry((duty, *item)).or_insert(now);
        }
    }

    /// A node told the end of a duty.
    pub fn ended(&mut self, node: usize, incarnation: u64, outcome: &Outcome) {
        if !self.ended.insert((node, incarnation, outcome.duty)) {
            self.report(Violation::EndedTwice(node, outcome.duty));
        }
    }

    /// How many duties a node remembers, and how many it may.
    pub fn remembers(&mut self, node: usize, duties: usize, limit: usize) {
        if duties > limit {
            self.report(Violation::Unbounded(node, duties));
        }
    }

    /// A validator client's question, or a delivery, has reached its node.
    pub fn asked(&mut self, node: usize, request: ClientRequest, question: Option<Question>) {
        self.replies.asked(node, request, question);
    }

    /// A node's process died.
    pub fn crashed(&mut self, node: usize) {
        self.replies.forgotten(node);
    }

    /// A node answers its validator client.
    pub fn told(&mut self, node: usize, request: ClientRequest, reply: &Reply) {
        if !self.replies.told(node, request, reply) {
            self.report(Violation::ToldTwo(node));
        }
    }

    /// The run is over, and all duties with it: nobody waits any longer.
    pub fn all_told(&mut self) {
        let owing: BTreeSet<usize> = self.replies.owing().collect();
        for node in owing {
            self.report(Violation::Unanswered(node));
        }
    }

    /// The cluster had healed: this must have been submitted, or made if only the cluster needs it, by then.
    pub fn complete(&mut self, duty: Duty, item: Item, by: Timestamp) {
        let submitted = self.submitted.get(&(duty, item)).copied();
        let made = self.made.get(&(duty, item)).map(|(at, _)| *at);
        let found = match duty.kind {
            DutyKind::Randao | DutyKind::PrepareAggregator | DutyKind::PrepareSyncContribution => {
                made
            }
            _ => submitted,
        };
        if found.is_none_or(|at| at > by) {
            self.report(Violation::Incomplete(duty, item.part));
        }
    }

    /// Something that had to be done was not.
    pub fn missed(&mut self, violation: Violation) {
        self.report(violation);
    }

    /// The group's signature for an item, if an honest node has made it.
    pub fn group_signature(&self, duty: Duty, item: Item) -> Option<SignatureBytes> {
        self.made
            .get(&(duty, item))
            .map(|(_, signature)| *signature)
    }

    /// Whether anybody submitted an item.
    pub fn was_submitted(&self, duty: Duty, item: Item) -> bool {
        self.submitted.contains_key(&(duty, item))
    }

    /// How many items of each kind were submitted.
    pub fn submissions(&self) -> BTreeMap<DutyKind, usize> {
        let mut counts = BTreeMap::new();
        for (duty, _) in self.submitted.keys() {
            *counts.entry(duty.kind).or_default() += 1;
        }
        counts
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
