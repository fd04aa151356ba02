//! How a node's outputs are carried out.

use std::fmt::Write as _;
use std::time::Duration;

use flotilla_crypto::{ShareIndex, Verified};
use flotilla_duty::guard::{Question as GuardQuestion, Verdict};
use flotilla_duty::io::{
    Claim, Combination, Combined, ConsensusDraft, FetchError, Item, PartialSet, RecordItem,
    Request, Roster,
};
use flotilla_duty::{Input, Output};
use flotilla_qbft::{MessageKind, Recipients};
use flotilla_types::{Duty, DutyKind, Epoch, Root, SignedData};
use flotilla_wire::votes;

use super::text::short;
use super::{Event, Packet, World};
use crate::scenario::CrashMoment;

/// How long the workers take.
const WORK: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(8));

impl World {
    pub(super) fn perform(&mut self, node: usize, output: Output) {
        if let Output::Sign { duty, .. } | Output::SendPartials(PartialSet { duty, .. }) = &output
            && self.machines[node].paused
            && self.honest(node)
        {
            self.checkers.signed_paused(node, *duty);
        }
        match output {
            Output::FetchDuties { epoch, roster } => self.fetch_duties(node, epoch, roster),
            Output::Fetch { duty, request } => self.fetch(node, duty, &request),
            Output::FetchHead(duty) => self.fetch_head(node, duty),
            Output::Examine { duty, question } => self.examine(node, duty, question),
            Output::Reply { request, reply } => self.reply(node, request, *reply),
            Output::Keep(set) => self.machines[node].disk.keep(set),
            Output::LogPrepared {
                value, certificate, ..
            } => {
                let record = votes::prepared(&self.machines[node].codec, &value, &certificate);
                self.machines[node]
                    .disk
                    .append_vote(record.expect("an own certificate can be encoded"));
            }
            Output::SendConsensus { to, draft } => self.send_consensus(node, to, draft),
            Output::Record { duty, items } => self.record(node, duty, &items),
            Output::Sign { duty, items } => self.sign(node, duty, &items),
            Output::SendPartials(set) => self.send_partials(node, set),
            Output::Check {
                duty,
                signing_root,
                claims,
            } => self.check(node, duty, signing_root, claims),
            Output::Combine { duty, items } => self.combine(node, duty, &items),
            Output::Submit { duty, items } => self.submit(node, duty, items),
            told => self.hear(node, told),
        }
    }

    /// Outputs that ask for nothing.
    fn hear(&mut self, node: usize, output: Output) {
        match output {
            Output::Decided {
                duty, round, value, ..
            } => {
                self.note(|line| {
                    _ = write!(
                        line,
                        "decided    n{node} {duty} round {round} {}",
                        short(&value)
                    )
                });
                if self.honest(node) {
                    self.checkers.decided(node, duty, round, value);
                }
                self.usurp_after_decision(node, duty, round);
            }
            Output::Rejected { from, duty, reason } => {
                self.note(|line| {
                    _ = write!(
                        line,
                        "rejected   n{node} {duty} from n{}: {reason}",
                        from.get()
                    )
                });
            }
            Output::RoundChanged { duty, round, .. } => {
                self.note(|line| _ = write!(line, "round      n{node} {duty} {round}"));
            }
            Output::Late(outcome) => {
                self.note(|line| _ = write!(line, "late       n{node} {}", outcome.duty))
            }
            Output::Ended(outcome) => {
                self.note(|line| {
                    _ = write!(line, "ended      n{node} {}", outcome.duty);
                    super::text::describe_fates(line, &outcome);
                });
                let incarnation = self.machines[node].incarnation;
                self.checkers.ended(node, incarnation, &outcome);
                self.machines[node].disk.discard(outcome.duty);
                if outcome.duty.kind == DutyKind::Exit {
                    self.ended_exits.insert((node, outcome.duty));
                }
            }
            _ => {}
        }
    }

    fn fetch_duties(&mut self, node: usize, epoch: Epoch, roster: Roster) {
        let slot = self.slot();
        let Some(after) = self.beacons.delay(node, slot) else {
            let error = silence();
            let input = Input::DutiesFailed {
                epoch,
                roster,
                error,
            };
            return self.answer(node, self.scenario.slot * 2, input);
        };
        let (dependent_root, assignments) = self.beacons.duties(node, epoch, roster, self.now);
        let input = Input::Duties {
            epoch,
            dependent_root,
            assignments,
        };
        self.answer(node, after, input);
    }

    fn fetch(&mut self, node: usize, duty: Duty, request: &Request) {
        let Some(after) = self.beacons.delay(node, duty.slot) else {
            let result = Err(silence());
            return self.answer(
                node,
                self.scenario.slot * 2,
                Input::Fetched { duty, result },
            );
        };
        let plural = self.scenario.plural;
        let set = self
            .beacons
            .fetch(node, duty.slot, request, plural, self.now);
        if self.honest(node) {
            self.checkers.given(node, &set);
        }
        let result = Ok(self.machines[node].codec.value(set));
        self.answer(node, after, Input::Fetched { duty, result });
    }

    fn fetch_head(&mut self, node: usize, duty: Duty) {
        let (after, result) = match self.beacons.delay(node, duty.slot) {
            Some(after) => (after, Ok(self.beacons.head_root(node, self.now))),
            None => (self.scenario.slot * 2, Err(silence())),
        };
        self.answer(node, after, Input::HeadRoot { duty, result });
    }

    fn examine(&mut self, node: usize, duty: Duty, question: GuardQuestion) {
        let (after, verdict) = match self.beacons.delay(node, duty.slot) {
            Some(delay) => {
                let (wait, verdict) = self.beacons.examine(node, &question, self.now);
                (delay + wait, verdict)
            }
            None => (self.scenario.slot / 6, Verdict::Silent),
        };
        if self.honest(node) {
            self.checkers.examined(node, duty, question, verdict);
        }
        let input = Input::Examined {
            duty,
            question,
            verdict,
        };
        self.answer(node, after, input);
    }

    fn record(&mut self, node: usize, duty: Duty, items: &[RecordItem]) {
        let commit = self.machines[node].disk.write(items);
        let incarnation = self.machines[node].incarnation;
        let slot = duty.slot.0;
        if let Some(index) = self.trigger(node, |moment| moment == CrashMoment::DuringSync { slot })
        {
            return self.crash(index);
        }
        let after = self
            .dice
            .between(Duration::from_micros(200), Duration::from_millis(20));
        self.schedule(
            after,
            Event::Synced {
                node,
                incarnation,
                duty,
                commit,
            },
        );
    }

    fn sign(&mut self, node: usize, duty: Duty, items: &[(Item, Root)]) {
        let share = ShareIndex::from_peer(node);
        let signatures = items
            .iter()
            .map(|&(item, root)| (item, self.scheme.sign(item.validator, share, root)))
            .collect();
        let after = self
            .dice
            .between(Duration::from_micros(400), Duration::from_millis(10));
        self.answer(node, after, Input::Signed { duty, signatures });
    }

    fn check(&mut self, node: usize, duty: Duty, signing_root: Root, claims: Vec<Claim>) {
        let holds = |claim: &Claim| {
            let validator = claim.item.validator;
            self.scheme
                .check(validator, claim.share, signing_root, claim.signature)
        };
        let (good, bad): (Vec<Claim>, Vec<Claim>) = claims.into_iter().partition(holds);
        let good = Verified::check(good, |claims| {
            if claims.iter().all(holds) {
                Ok(())
            } else {
                Err(())
            }
        });
        let good = good.expect("they were partitioned by the same check");
        let after = self.dice.between(WORK.0, WORK.1);
        self.answer(
            node,
            after,
            Input::Checked {
                duty,
                signing_root,
                good,
                bad,
            },
        );
    }

    fn combine(&mut self, node: usize, duty: Duty, items: &[Combination]) {
        let results = self.scheme.combine(items);
        let after = self.dice.between(WORK.0, WORK.1);
        if self.honest(node) {
            for (item, combined) in &results {
                if let Combined::Signature(signature) = combined {
                    self.checkers
                        .made(duty, *item, **signature, self.now + after);
                }
            }
        }
        self.answer(node, after, Input::Combined { duty, results });
    }

    fn submit(&mut self, node: usize, duty: Duty, items: Vec<(Item, SignedData)>) {
        let delay = self.beacons.delay(node, duty.slot);
        let accepted: Vec<Item> = items.iter().map(|(item, _)| *item).collect();
        let Some(after) = delay else {
            let refused = accepted.into_iter().map(|item| (item, silence())).collect();
            let input = Input::Submitted {
                duty,
                accepted: vec![],
                refused,
            };
            return self.answer(node, self.scenario.slot * 2, input);
        };
        self.note(|line| _ = write!(line, "submit     n{node} {duty} {} items", items.len()));
        if self.honest(node) {
            let measure = super::Measure {
                chain: &self.chain,
                scheme: &self.scheme,
                indexes: &self.indexes,
            };
            self.checkers
                .submitted(node, duty, &items, measure, self.now);
        }
        let input = Input::Submitted {
            duty,
            accepted,
            refused: vec![],
        };
        self.answer(node, after, input);
    }

    pub(super) fn send(&mut self, from: usize, to: usize, packet: &Packet) {
        let at = (self.now >= self.chain.genesis_time)
            .then(|| self.now.saturating_since(self.chain.genesis_time));
        for delay in self.links.delays(&self.scenario, from, to, at) {
            self.schedule(
                delay,
                Event::Deliver {
                    from,
                    to,
                    packet: packet.clone(),
                },
            );
        }
    }

    /// As `node` should: sign, log, send, hear oneself.
    pub(super) fn send_honestly(&mut self, node: usize, to: Recipients, draft: ConsensusDraft) {
        let (duty, kind) = (draft.duty, draft.draft.kind);
        let machine = &mut self.machines[node];
        let sealed = machine
            .codec
            .seal(draft, machine.cluster.me, &machine.key)
            .expect("own drafts can be sealed");
        if to == Recipients::All {
            machine.disk.append_vote(votes::sent(&sealed));
        }
        let packet = Packet::Consensus(sealed.bytes);
        let peers = match to {
            Recipients::All => self.peers(node),
            Recipients::One(peer) => vec![peer],
        };
        for peer in peers {
            self.send(node, peer, &packet);
        }
        if to == Recipients::All {
            self.answer(node, Duration::ZERO, Input::Consensus(sealed.message));
        }
        let slot = duty.slot.0;
        let commit = kind == MessageKind::Commit;
        if (commit || kind == MessageKind::Prepare)
            && let Some(index) = self.trigger(node, |moment| {
                moment == CrashMoment::AfterVote { slot, commit }
            })
        {
            self.crash(index);
        }
    }
}

fn silence() -> FetchError {
    FetchError {
        text: "no answer in time".into(),
        temporary: true,
    }
}
