//! At the end of a run: what a healed cluster must have completed, and what must be left of it.

use std::time::Duration;

use flotilla_duty::io::{Assignments, Item, Roster};
use flotilla_types::{
    Duty, DutyKind, SignatureBytes, Slot, Timestamp, is_attestation_aggregator, is_sync_aggregator,
};

use super::World;
use crate::checkers::Violation;
use crate::scenario::CrashKind;

/// A duty must be submitted this long after its due point once the cluster has healed: the leaders of a few rounds may be liars.
const HEALED_LIMIT: Duration = Duration::from_secs(10);
/// What a duty needs beside the network: its beacon node, database, signer and workers, one after the other.
const WORK: Duration = Duration::from_millis(150);
/// Names the beacon node that neither lags nor follows a branch of its own.
const NOBODY: usize = usize::MAX;

impl World {
    pub(super) fn judge(&mut self) {
        for slot in self.scenario.judged().map(Slot) {
            self.judge_attesters(slot);
            self.judge_proposers(slot);
            self.judge_sync_committee(slot);
        }
        self.judge_exits();
        self.checkers.all_told();
        for node in 0..self.machines.len() {
            // The last duties have expired by now; only exits have no deadline.
            let engine = self.machines[node].engine.as_ref();
            let left = engine.map_or(0, |engine| engine.duties());
            let exits = self.scenario.exits.len();
            self.checkers.remembers(node, left, exits);
        }
    }

    fn list(&self, slot: Slot, roster: Roster) -> Assignments {
        let epoch = self.chain.epoch_of(slot);
        let at = self.chain.slot_start(slot);
        self.beacons.duties(NOBODY, epoch, roster, at).1
    }

    fn require(&mut self, duty: Duty, item: Item) {
        let deadline = self.chain.deadline(duty).unwrap_or(Timestamp::MAX);
        let by = deadline.min(self.chain.due(duty) + HEALED_LIMIT);
        self.checkers.complete(duty, item, by);
    }

    fn judge_attesters(&mut self, slot: Slot) {
        let Assignments::Attesters(duties) = self.list(slot, Roster::Attesters) else {
            return;
        };
        for attester in duties.into_iter().filter(|duty| duty.slot == slot) {
            let item = Item::whole(attester.pubkey);
            let prepare = Duty::new(slot, DutyKind::PrepareAggregator);
            self.require(Duty::attester(slot), item);
            self.require(prepare, item);
            let target = self.chain.spec.sizes.target_aggregators_per_committee;
            let selects = |proof: &SignatureBytes| {
                is_attestation_aggregator(proof, attester.committee_length, target)
            };
            if self.is_selected(prepare, item, selects) {
                self.require(Duty::new(slot, DutyKind::Aggregator), item);
            }
        }
    }

    fn is_selected(
        &self,
        prepare: Duty,
        item: Item,
        selects: impl FnOnce(&SignatureBytes) -> bool,
    ) -> bool {
        let proof = self.checkers.group_signature(prepare, item);
        proof.is_some_and(|proof| selects(&proof))
    }

    fn judge_proposers(&mut self, slot: Slot) {
        let Assignments::Proposers(duties) = self.list(slot, Roster::Proposers) else {
            return;
        };
        for proposer in duties.into_iter().filter(|duty| duty.slot == slot) {
            let item = Item::whole(proposer.pubkey);
            self.require(Duty::new(slot, DutyKind::Randao), item);
            let proposal = Duty::new(slot, DutyKind::Proposer);
            if self.can_complete(proposal) {
                self.require(proposal, item);
            }
        }
    }

    fn judge_sync_committee(&mut self, slot: Slot) {
        let next = Slot(slot.0 + 1);
        let Assignments::SyncCommittee(members) = self.list(next, Roster::SyncCommittee) else {
            return;
        };
        let contribution = Duty::new(slot, DutyKind::SyncContribution);
        let prepare = Duty::new(slot, DutyKind::PrepareSyncContribution);
        let sizes = self.chain.spec.sizes;
        for member in members {
            let validator = member.pubkey;
            let message = Duty::new(slot, DutyKind::SyncMessage);
            self.require(message, Item::whole(validator));
            let mut selected = vec![];
            for part in member.subcommittees(&sizes) {
                let item = Item { validator, part };
                self.require(prepare, item);
                if self.is_selected(prepare, item, |proof| is_sync_aggregator(proof, &sizes)) {
                    selected.push(item);
                }
            }
            // Unless all members read several, the cluster sends the first one only.
            selected.truncate(if self.scenario.plural { usize::MAX } else { 1 });
            if self.can_complete(contribution) {
                selected
                    .into_iter()
                    .for_each(|item| self.require(contribution, item));
            }
        }
    }

    /// Whether a duty that does not live long has the time it needs: a leader who tells the truth and is on the others' chain,
    /// and the network's slowest deliveries within its life.
    fn can_complete(&self, duty: Duty) -> bool {
        let nodes = self.scenario.nodes as u64;
        let leader = |round: u64| (duty.slot.0 + duty.kind.wire() as u64 + round) % nodes;
        let good = |round: u64| {
            let node = leader(round) as usize;
            let mut forks = self.scenario.forks.iter();
            let astray = forks.any(|fork| fork.node == node && duty.slot.0 < fork.to);
            self.honest(node) && !astray
        };
        let rounds_lost = (1..=nodes).position(good).unwrap_or_default() as u32;
        let extra = match duty.kind {
            DutyKind::Proposer => Duration::from_millis(500),
            _ => Duration::ZERO,
        };
        // A round in which a proposal has come lasts twice as long.
        let lost = match rounds_lost {
            0 => Duration::ZERO,
            rounds => (Duration::from_secs(1) * rounds + extra) * 2,
        };
        let offsets = self.scenario.offsets_ms.iter();
        let skew = offsets.clone().max().unwrap_or(&0) - offsets.min().unwrap_or(&0);
        let skew = Duration::from_millis(skew.unsigned_abs());
        // Randomness, where a validator client reveals it when its slot begins; proposal, two votes, signatures.
        let hops = if self.clients.is_empty() { 4 } else { 6 } + rounds_lost.min(1);
        let needed = lost + skew + WORK * 2 + self.scenario.delay.1 * hops;
        let first_round = skew + WORK + self.scenario.delay.1 * 2;
        let deadline = self.chain.deadline(duty).unwrap_or(Timestamp::MAX);
        let life = deadline.saturating_since(self.chain.due(duty));
        needed < life && first_round < Duration::from_secs(1)
    }

    fn judge_exits(&mut self) {
        for leaving in self.scenario.exits.clone() {
            let lost = |node: usize| {
                let mut crashes = self.scenario.crashes.iter();
                crashes.any(|crash| crash.node == node && crash.kind == CrashKind::Disk)
            };
            let asked = leaving.asked.iter();
            let asked = asked.filter(|&&(node, _)| self.honest(node) && !lost(node));
            if asked.count() < self.scenario.threshold {
                continue;
            }
            let slot = Slot(leaving.epoch * self.scenario.slots_per_epoch);
            let duty = Duty::new(slot, DutyKind::Exit);
            let item = Item::whole(self.validators[leaving.validator]);
            if !self.checkers.was_submitted(duty, item) {
                self.checkers.missed(Violation::Incomplete(duty, 0));
            }
        }
    }
}
