//! Validator clients and operators: what they want of their nodes, and when.

use std::fmt::Write as _;
use std::time::Duration;

use flotilla_crypto::Verified;
use flotilla_duty::Input;
use flotilla_duty::io::{Assignments, ClientRequest, PartialSet, Reply, Roster};
use flotilla_types::{
    Duty, DutyKind, Epoch, SignatureBytes, SignedData, SignedVoluntaryExit, Slot, Timestamp,
    VoluntaryExit,
};

use super::{Call, EARLY, Event, World};
use crate::client::{Assigned, Client, Errand, Hand};
use crate::scenario::Manners;

/// How long a call takes from a client to its node.
const CALL: (Duration, Duration) = (Duration::from_micros(100), Duration::from_millis(3));
/// How many slots an operator waits before asking again for an exit that the node does not know.
const OPERATORS_PATIENCE: u32 = 2;

impl World {
    /// Every slot's errands, at the clients' own times.
    pub(super) fn plan_errands(&mut self) {
        let nodes: Vec<usize> = self.clients.keys().copied().collect();
        for node in nodes {
            for slot in (1..self.scenario.judged().end).map(Slot) {
                for errand in Errand::ALL {
                    let at = self.errand_time(node, errand, slot);
                    let after = at.saturating_since(self.now).max(EARLY);
                    self.schedule(after, Event::Errand { node, errand, slot });
                }
            }
        }
    }

    fn manners(&self, node: usize, slot: Slot) -> Manners {
        let troubled = slot.0 < self.scenario.troubled_slots;
        match self.scenario.manners(node) {
            Some(manners) if troubled => manners,
            _ => Manners::Punctual,
        }
    }

    fn errand_time(&self, node: usize, errand: Errand, slot: Slot) -> Timestamp {
        let due = self.chain.due(Duty::new(slot, errand.kind()));
        let at = match self.manners(node, slot) {
            Manners::Early if errand.is_early() => due - self.scenario.slot,
            Manners::Late(by) => due + by,
            _ => due,
        };
        self.machines[node].true_time(at)
    }

    pub(super) fn run_errand(&mut self, node: usize, errand: Errand, slot: Slot) {
        let assigned = self.assigned(node, errand, slot);
        let manners = self.manners(node, slot);
        let hand = Hand {
            scheme: &self.scheme,
            chain: &self.chain,
            manners,
        };
        let Some(client) = self.clients.get_mut(&node) else {
            return;
        };
        let calls = client.run(errand, slot, assigned, hand);
        self.send_calls(node, manners, calls);
    }

    fn send_calls(&mut self, node: usize, manners: Manners, calls: Vec<Call>) {
        let times = if manners == Manners::Twice { 2 } else { 1 };
        for call in calls {
            for _ in 0..times {
                let after = self.dice.between(CALL.0, CALL.1);
                let call = call.clone();
                self.schedule(after, Event::Call { node, call });
            }
        }
    }

    /// The duties that an errand needs, as the node's beacon node gives them now.
    fn assigned(&self, node: usize, errand: Errand, slot: Slot) -> Assigned {
        let list = |slot: Slot, roster| {
            let epoch = self.chain.epoch_of(slot);
            self.beacons.duties(node, epoch, roster, self.now).1
        };
        let mut assigned = Assigned::default();
        if matches!(errand, Errand::Attest | Errand::Select)
            && let Assignments::Attesters(duties) = list(slot, Roster::Attesters)
        {
            assigned.attesters = duties;
            assigned.attesters.retain(|duty| duty.slot == slot);
        }
        if errand == Errand::Propose
            && let Assignments::Proposers(duties) = list(slot, Roster::Proposers)
        {
            assigned.proposers = duties;
            assigned.proposers.retain(|duty| duty.slot == slot);
        }
        if matches!(errand, Errand::SignHead | Errand::Select)
            && let Assignments::SyncCommittee(members) =
                list(Slot(slot.0 + 1), Roster::SyncCommittee)
        {
            assigned.members = members;
            assigned.head = self.beacons.head_root(node, self.now);
        }
        assigned
    }

    /// A client's call reaches its node; one that is down loses it.
    pub(super) fn call(&mut self, node: usize, call: Call) {
        let up = self.machines[node].engine.is_some();
        let Some(client) = self.clients.get_mut(&node).filter(|_| up) else {
            return;
        };
        let request = client.request(&call);
        let input = match call {
            Call::Ask(question) => {
                let asked = Some(question.clone());
                self.checkers.asked(node, request, asked);
                Input::Ask { request, question }
            }
            Call::Offer(set) => {
                let checked = Verified::check(set, |set| self.check_offer(set));
                let Ok(set) = checked else {
                    return;
                };
                self.checkers.asked(node, request, None);
                Input::Offer { request, set }
            }
        };
        self.step(node, input);
    }

    /// What the node's server checks of a delivery.
    fn check_offer(&self, set: &PartialSet) -> Result<(), ()> {
        let good = set.items.iter().all(|(validator, partial)| {
            let root = partial.data.signing_root(&self.chain);
            root == partial.signing_root
                && self
                    .scheme
                    .check(*validator, set.share, root, *partial.data.signature())
        });
        match good {
            true => Ok(()),
            false => Err(()),
        }
    }

    pub(super) fn reply(&mut self, node: usize, request: ClientRequest, reply: Reply) {
        self.note(|line| {
            _ = write!(line, "reply      n{node} #{} ", request.0);
            super::text::describe_reply(line, &reply);
        });
        if self.honest(node) {
            self.checkers.told(node, request, &reply);
        }
        let manners = self.manners(node, self.slot());
        let hand = Hand {
            scheme: &self.scheme,
            chain: &self.chain,
            manners,
        };
        if let Some(client) = self.clients.get_mut(&node) {
            let calls = client.on_reply(request, reply, hand);
            self.send_calls(node, manners, calls);
        }
    }

    /// An operator asks for an exit, again and again until the node has kept its share's signature.
    pub(super) fn leave(&mut self, node: usize, exit: usize) {
        let leaving = &self.scenario.exits[exit];
        let validator = self.validators[leaving.validator];
        let message = VoluntaryExit {
            epoch: Epoch(leaving.epoch),
            validator_index: self.indexes[&validator],
        };
        let duty = Duty::new(self.chain.first_slot(message.epoch), DutyKind::Exit);
        let share = self.machines[node].cluster.share();
        let disk = &self.machines[node].disk;
        let kept = |set: &PartialSet| set.duty == duty && set.share == share;
        if disk.kept().any(kept) || self.ended_exits.contains(&(node, duty)) {
            return;
        }
        self.schedule(
            self.scenario.slot * OPERATORS_PATIENCE,
            Event::Leave { node, exit },
        );
        match self.clients.get(&node) {
            None => self.step(
                node,
                Input::Exit {
                    validator,
                    exit: message,
                },
            ),
            Some(client) => {
                let calls = self.exit_calls(client, duty, validator, message);
                self.send_calls(node, Manners::Punctual, calls);
            }
        }
    }

    fn exit_calls(
        &self,
        client: &Client,
        duty: Duty,
        validator: flotilla_types::PublicKeyBytes,
        message: VoluntaryExit,
    ) -> Vec<Call> {
        let signed = SignedData::Exit(SignedVoluntaryExit {
            message,
            signature: SignatureBytes([0; 96]),
        });
        let hand = Hand {
            scheme: &self.scheme,
            chain: &self.chain,
            manners: Manners::Punctual,
        };
        client.hand_in(duty, vec![(validator, signed)], hand)
    }
}
