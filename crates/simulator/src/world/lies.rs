//! What liars do with the messages their engines ask them to send. Honest nodes pass through here untouched.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use flotilla_duty::Input;
use flotilla_duty::guard::Question;
use flotilla_duty::io::{ConsensusDraft, PartialSet, Value};
use flotilla_qbft::{MessageKind, Recipients};
use flotilla_types::{Duty, Slot};
use flotilla_wire::signatures;

use super::{Event, Packet, World};
use crate::liar;
use crate::scenario::{CrashMoment, Lie};

/// Messages of others that a replaying liar remembers.
const REPLAY_LIMIT: usize = 200;
/// What it takes to push a value through alone.
const PROPOSAL_AND_VOTES: [MessageKind; 3] = [
    MessageKind::PrePrepare,
    MessageKind::Prepare,
    MessageKind::Commit,
];
/// How often a divider repeats itself to the node it wants to win over.
const REPETITIONS: u32 = 4;
/// The time between two repetitions.
const INSISTENCE: Duration = Duration::from_millis(60);

/// Whom a divider tells what.
struct Camps {
    /// Hears both stories: a member of the first camp that may come back without its memory.
    turncoat: usize,
    /// Hears the honest value only, the turncoat aside.
    first: Vec<usize>,
    /// Hears the other value only.
    second: Vec<usize>,
}

impl World {
    pub(super) fn send_consensus(&mut self, node: usize, to: Recipients, draft: ConsensusDraft) {
        let kind = draft.draft.kind;
        let (duty, round) = (draft.duty, draft.draft.round);
        self.note(|line| _ = write!(line, "say        n{node} {duty} {kind:?} round {round}"));
        let Some(lie) = self.scenario.lie(node) else {
            return self.send_honestly(node, to, draft);
        };
        match (lie, kind) {
            (Lie::Silent, _) => self.deliver_to_self(node, draft),
            (
                Lie::Equivocate,
                MessageKind::PrePrepare | MessageKind::Prepare | MessageKind::Commit,
            ) => {
                self.equivocate(node, draft);
            }
            (Lie::Divide, MessageKind::PrePrepare | MessageKind::Prepare | MessageKind::Commit) => {
                self.divide(node, draft);
            }
            (Lie::BadValue, MessageKind::PrePrepare) => {
                let set = liar::bad_value(
                    &draft.values[0].set,
                    &self.validators,
                    &self.chain,
                    &mut self.dice,
                );
                let value = self.machines[node].codec.value(set);
                self.say(
                    node,
                    &liar::draft_for(&draft, kind, round, Some(value)),
                    &self.peers(node),
                );
            }
            (Lie::Null, MessageKind::PrePrepare) => {
                for kind in PROPOSAL_AND_VOTES {
                    self.say(
                        node,
                        &liar::draft_for(&draft, kind, round, None),
                        &self.peers(node),
                    );
                }
            }
            (Lie::Usurp, MessageKind::Commit) => {
                self.usurp(node, &draft);
                self.send_honestly(node, to, draft);
            }
            (Lie::Replay, _) => {
                self.replay(node);
                self.send_honestly(node, to, draft);
            }
            _ => self.send_honestly(node, to, draft),
        }
    }

    fn deliver_to_self(&mut self, node: usize, draft: ConsensusDraft) {
        let machine = &self.machines[node];
        let sealed = machine
            .codec
            .seal(draft, machine.cluster.me, &machine.key)
            .expect("own drafts can be sealed");
        self.answer(node, Duration::ZERO, Input::Consensus(sealed.message));
    }

    /// Signs a liar's draft and sends it to some.
    fn say(&mut self, node: usize, draft: &ConsensusDraft, to: &[usize]) {
        let Some(packet) = self.sealed(node, draft) else {
            return;
        };
        for &peer in to {
            self.send(node, peer, &packet);
        }
    }

    /// A liar's draft as it travels, unless it cannot be encoded.
    fn sealed(&self, node: usize, draft: &ConsensusDraft) -> Option<Packet> {
        let machine = &self.machines[node];
        let sealed = machine
            .codec
            .seal(draft.clone(), machine.cluster.me, &machine.key);
        sealed.ok().map(|sealed| Packet::Consensus(sealed.bytes))
    }

    /// The value with which `node` doubles the honest one for this duty.
    fn double(&mut self, node: usize, duty: Duty, honest: &Value) -> Value {
        let known = self.doubles.get(&(node, duty)).cloned();
        known.unwrap_or_else(|| {
            let other = liar::other_value(&honest.set, &self.chain);
            let other = self.machines[node].codec.value(other);
            self.doubles.insert((node, duty), other.clone());
            other
        })
    }

    /// Different values to different peers, and votes for all of them to everyone.
    fn equivocate(&mut self, node: usize, draft: ConsensusDraft) {
        let (kind, round) = (draft.draft.kind, draft.draft.round);
        let Some(honest) = draft.values.first() else {
            return self.deliver_to_self(node, draft);
        };
        let other = self.double(node, draft.duty, honest);
        let double = liar::draft_for(&draft, kind, round, Some(other.clone()));
        let mut peers = self.peers(node);
        if kind == MessageKind::PrePrepare {
            let split = 1 + self.dice.index(peers.len() - 1);
            self.dice.shuffle(&mut peers);
            let (first, second) = peers.split_at(split);
            self.say(node, &draft, first);
            self.say(node, &double, second);
            for kind in [MessageKind::Prepare, MessageKind::Commit] {
                let votes = liar::draft_for(&draft, kind, round, Some(other.clone()));
                self.say(node, &votes, &peers);
            }
        } else {
            self.say(node, &draft, &peers);
            self.say(node, &double, &peers);
        }
        self.deliver_to_self(node, draft);
    }

    /// One value and its votes to one camp, another to the other. Who is about to crash belongs to the first camp, and is told
    /// the second camp's story over and over: if it comes back without its memory, it completes a second quorum.
    fn divide(&mut self, node: usize, draft: ConsensusDraft) {
        let Some(honest) = draft.values.first() else {
            return self.deliver_to_self(node, draft);
        };
        let other = self.double(node, draft.duty, honest);
        let camps = self.camps(node, draft.duty.slot);
        self.say(node, &draft, &camps.first);
        if draft.draft.kind == MessageKind::PrePrepare {
            for kind in PROPOSAL_AND_VOTES {
                let story = liar::draft_for(&draft, kind, draft.draft.round, Some(other.clone()));
                self.say(node, &story, &camps.second);
                if let Some(packet) = self.sealed(node, &story) {
                    self.insist(node, camps.turncoat, &packet);
                }
            }
        }
        self.deliver_to_self(node, draft);
    }

    /// A divider passes on what the second camp says, so that the turncoat misses none of it while it is down.
    pub(super) fn pass_on(&mut self, node: usize, from: usize, duty: Duty, packet: &Packet) {
        if self.scenario.lie(node) == Some(Lie::Divide) && self.doubles.contains_key(&(node, duty))
        {
            let camps = self.camps(node, duty.slot);
            if camps.second.contains(&from) {
                self.insist(node, camps.turncoat, packet);
            }
        }
    }

    /// Says the same to one peer a few times, past all faults of the links.
    fn insist(&mut self, from: usize, to: usize, packet: &Packet) {
        for repetition in 1..=REPETITIONS {
            let packet = packet.clone();
            self.schedule(INSISTENCE * repetition, Event::Deliver { from, to, packet });
        }
    }

    /// Whom a divider tells what. It knows who is about to crash: the worst case is what counts.
    fn camps(&self, node: usize, slot: Slot) -> Camps {
        let crashes = self.scenario.crashes.iter();
        let planned = crashes.filter(|crash| crash.node != node).find(
            |crash| matches!(crash.moment, CrashMoment::AfterVote { slot: at, .. } if at == slot.0),
        );
        let mut peers = self.peers(node);
        let turn = slot.0 as usize % peers.len();
        peers.rotate_left(turn);
        let turncoat = planned.map_or(peers[0], |crash| crash.node);
        peers.retain(|&peer| peer != turncoat);
        let second = peers.split_off(peers.len() / 2);
        peers.push(turncoat);
        Camps {
            turncoat,
            first: peers,
            second,
        }
    }

    /// Proposes in a later round that it leads, with nothing to show for it.
    fn usurp(&mut self, node: usize, draft: &ConsensusDraft) {
        let Some(honest) = draft.values.first() else {
            return;
        };
        let other = self.double(node, draft.duty, honest);
        let nodes = self.scenario.nodes as u64;
        let first = draft.draft.round + 1;
        let leads = |round: u64| {
            (draft.duty.slot.0 + draft.duty.kind.wire() as u64 + round) % nodes == node as u64
        };
        let Some(round) = (first..first + nodes).find(|&round| leads(round)) else {
            return;
        };
        for kind in PROPOSAL_AND_VOTES {
            self.say(
                node,
                &liar::draft_for(draft, kind, round, Some(other.clone())),
                &self.peers(node),
            );
        }
    }

    pub(super) fn usurp_after_decision(&mut self, node: usize, duty: Duty, round: u64) {
        if self.scenario.lie(node) == Some(Lie::Usurp)
            && let Some(value) = self.doubles.get(&(node, duty)).cloned()
        {
            let draft = flotilla_qbft::Draft {
                kind: MessageKind::Commit,
                round,
                value: Some(value.hash),
                prepared_round: 0,
                prepared_value: None,
            };
            self.usurp(
                node,
                &ConsensusDraft {
                    duty,
                    draft,
                    justification: vec![],
                    values: vec![value],
                },
            );
        }
    }

    pub(super) fn remember(&mut self, packet: Packet) {
        self.heard.push_back(packet);
        if self.heard.len() > REPLAY_LIMIT {
            self.heard.pop_front();
        }
    }

    fn replay(&mut self, node: usize) {
        for _ in 0..3 {
            if self.heard.is_empty() {
                return;
            }
            let packet = self.heard[self.dice.index(self.heard.len())].clone();
            let peers = self.peers(node);
            let to = peers[self.dice.index(peers.len())];
            self.send(node, to, &packet);
        }
    }

    fn check_release(&mut self, node: usize, set: &PartialSet) {
        let local = self.machines[node].local(self.now);
        let (beacons, now) = (&self.beacons, self.now);
        let ask = |question: &Question| beacons.examine(node, question, now).1;
        self.checkers.released(node, set, &self.chain, local, ask);
    }

    /// Our share's partial signatures go to all peers; a liar's go wrong.
    pub(super) fn send_partials(&mut self, node: usize, mut set: PartialSet) {
        match self.scenario.lie(node) {
            None => self.check_release(node, &set),
            Some(Lie::Silent) => return,
            Some(Lie::WrongRoot) => {
                let (scheme, chain) = (&self.scheme, &self.chain);
                let share = set.share;
                liar::spoil(&mut set, chain, &mut self.dice, |validator, partial| {
                    partial.signing_root = partial.data.signing_root(chain);
                    let signature = scheme.sign(validator, share, partial.signing_root);
                    partial.data = partial.data.clone().with_signature(signature);
                });
            }
            Some(_) => {}
        }
        self.note(|line| {
            _ = write!(
                line,
                "sign       n{node} {} {} validators",
                set.duty,
                set.items.len()
            )
        });
        let packet = Packet::Partials(Bytes::from(signatures::encode(&set)));
        for peer in self.peers(node) {
            self.send(node, peer, &packet);
        }
    }
}
