//! The upon-rules of the algorithm, under the names the paper gives them.

use crate::catch_up::CatchUp;
use crate::justification;
use crate::verdicts::{Approval, Verdicts};
use crate::vote_state::{OwnVotes, VoteState};
use crate::votes::Votes;
use crate::waiting::Waiting;
use crate::{
    Config, Draft, Hash, Input, Message, MessageKind, Mode, Output, Recipients, Rejection,
    RoundChangeReason, faulty,
};
use std::time::Duration;

/// 32 zero bytes on the wire mean null.
const ZERO: Hash = [0; 32];

/// One agreement, from its start to its decision and beyond, until the caller drops it.
///
/// It holds no clock, no keys and no values, only hashes. See the [crate documentation](crate) for
/// the rules.
#[derive(Clone, Debug)]
pub struct Instance<S> {
    config: Config,
    /// The number of votes that is enough.
    quorum: usize,
    started: bool,
    /// What arrived before the start.
    waiting: Waiting<S>,
    /// The value of this process.
    input: Option<Hash>,
    round: Round<S>,
    /// When the round ends.
    deadline: Option<Duration>,
    /// The latest prepared certificate.
    prepared: Option<Prepared<S>>,
    verdicts: Verdicts,
    votes: Votes<S>,
    /// The decision, once there is one.
    decision: Option<CatchUp<S>>,
}

/// What belongs to the current round only and is forgotten with it.
///
/// Each rule that may fire once per round leaves its mark here.
#[derive(Clone, Debug)]
struct Round<S> {
    number: u64,
    /// How often the timer was asked for.
    timer_requests: u32,
    /// This process leads the round but has no value yet: what it will show with its proposal.
    owed_proposal: Option<Vec<Message<S>>>,
    /// The value of the first justified PRE-PREPARE; a second one finds this place taken.
    proposal: Option<Hash>,
    /// The value with a quorum of PREPAREs.
    prepared: Option<Hash>,
    /// What this process has said.
    own: OwnVotes,
}

impl<S> Round<S> {
    fn new(number: u64, own: OwnVotes) -> Self {
        Self {
            number,
            timer_requests: 0,
            owed_proposal: None,
            proposal: None,
            prepared: None,
            own,
        }
    }
}

/// A prepared certificate.
#[derive(Clone, Debug)]
struct Prepared<S> {
    round: u64,
    value: Hash,
    certificate: Vec<Message<S>>,
}

impl<S: Clone> Instance<S> {
    /// An instance that has not started. Construction is silent; `now` only tells when it was.
    ///
    /// # Panics
    ///
    /// If `config.me` is no process: that is a mistake of the caller.
    #[must_use]
    pub fn new(config: Config, _now: Duration) -> Self {
        assert!(
            config.me < config.nodes,
            "process {} of {}",
            config.me,
            config.nodes
        );
        Self {
            quorum: config.quorum(),
            started: false,
            waiting: Waiting::new(config.nodes),
            input: None,
            round: Round::new(1, OwnVotes::default()),
            deadline: None,
            prepared: None,
            verdicts: Verdicts::default(),
            votes: Votes::new(config.nodes),
            decision: None,
            config,
        }
    }

    /// Takes up the votes said before a crash; to be called before [`Input::Start`]. (Q10)
    ///
    /// The instance re-enters the last round of the record. If the record holds a COMMIT without
    /// the prepared certificate that must have come before it, the log is incomplete, and a
    /// ROUND-CHANGE that conceals the certificate could undo a decision: then it only listens.
    ///
    /// # Panics
    ///
    /// If the instance has started: that is a mistake of the caller.
    pub fn restore(&mut self, state: VoteState<S>) {
        assert!(!self.started, "votes are restored before the start");
        let round = state.resume_round();
        self.round = Round::new(round, state.of_round(round));
        let last_commit = state
            .commits
            .last_key_value()
            .map_or(0, |(round, _)| *round);
        self.prepared = state
            .prepared
            .map(|(round, value, certificate)| Prepared {
                round,
                value,
                certificate,
            })
            .filter(|it| {
                justification::is_certificate(it.round, it.value, &it.certificate, self.quorum)
            });
        if self.prepared.as_ref().map_or(0, |prepared| prepared.round) < last_commit {
            self.config.mode = Mode::ListenOnly;
        }
    }

    /// Takes one input at `now` (since the Unix epoch) and appends what follows from it to `out`.
    pub fn step(&mut self, now: Duration, input: Input<S>, out: &mut Vec<Output<S>>) {
        match input {
            Input::Start => self.on_start(now, out),
            Input::Propose(value) => self.on_propose(value, out),
            Input::Message {
                message,
                justification,
            } => self.on_message(now, message, justification, out),
            Input::Verdict { value, good } => self.on_verdict(now, value, good, out),
            Input::Timeout if self.deadline.is_some_and(|due| due <= now) => {
                self.on_timeout(now, out)
            }
            Input::Timeout => {} // An early or repeated wake-up changes nothing.
        }
    }

    /// When the caller should deliver [`Input::Timeout`] (since the Unix epoch), if a timer runs.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// The current round, from 1; after the decision, the round it was made in.
    #[must_use]
    pub fn round(&self) -> u64 {
        self.round.number
    }

    /// Q1: the leader of round 1 proposes, the first timer runs, and what has arrived is looked at.
    fn on_start(&mut self, now: Duration, out: &mut Vec<Output<S>>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        if self.round.number == 1 && self.may_propose() {
            self.propose_input(Vec::new(), out);
        }
        self.arm(now);
        for (message, shown) in self.waiting.take() {
            self.process(now, message, shown, out);
        }
    }

    /// The own value is there: a proposal that was waiting for it goes out.
    fn on_propose(&mut self, value: Hash, out: &mut Vec<Output<S>>) {
        assert_ne!(value, ZERO, "a value of our own is never null");
        if self.input.is_some() {
            return;
        }
        self.input = Some(value);
        if let Some(shown) = self.round.owed_proposal.take() {
            self.propose(value, shown, out);
        }
    }

    /// Q9: a verdict lets go what waited for it, in this round.
    /// Q9: a proposal that this process will not vote for ends the round for it at once. Its own ROUND-CHANGE moves
    /// nobody; those of f + 1 processes that all refuse do not wait for a timer that the proposal has just made longer.
    fn on_verdict(&mut self, now: Duration, value: Hash, good: bool, out: &mut Vec<Output<S>>) {
        self.verdicts.give(value, good);
        if self.decision.is_some() {
            return;
        }
        self.vote(out);
        self.upon_round_change_quorum(out);
        let refused = self.started && !good && self.round.proposal == Some(value);
        if refused && self.round.prepared.is_none() {
            self.on_timeout(now, out);
        }
    }

    /// Q6: the round is over; move to the next one, one round per call.
    fn on_timeout(&mut self, now: Duration, out: &mut Vec<Output<S>>) {
        let next = self.round.number.saturating_add(1);
        self.move_to(now, next, RoundChangeReason::Timeout, out);
    }

    fn on_message(
        &mut self,
        now: Duration,
        mut message: Message<S>,
        mut shown: Vec<Message<S>>,
        out: &mut Vec<Output<S>>,
    ) {
        let source = message.source;
        if let Err(reason) = self.admit(&mut message, &mut shown) {
            out.push(Output::Rejected { source, reason });
        } else if self.started {
            self.process(now, message, shown, out);
        } else if !self.waiting.push(message, shown) {
            out.push(Output::Rejected {
                source,
                reason: Rejection::BufferFull,
            });
        }
    }

    /// A well-formed message of a running instance: believed or not, counted, and acted upon.
    fn process(
        &mut self,
        now: Duration,
        message: Message<S>,
        shown: Vec<Message<S>>,
        out: &mut Vec<Output<S>>,
    ) {
        let source = message.source;
        if let Some(decision) = &mut self.decision {
            if source != self.config.me {
                out.extend(decision.answer(&message));
            }
            return;
        }
        if let Err(reason) = self.justified(&message, &shown) {
            out.push(Output::Rejected { source, reason });
            return;
        }
        if self.votes.add(&message, &shown) {
            out.push(Output::Rejected {
                source,
                reason: Rejection::BufferFull,
            });
        }
        let current = self.round.number;
        match (message.kind, message.value) {
            (MessageKind::PrePrepare, Some(value)) if message.round >= current => {
                self.upon_pre_prepare(now, message.round, value, out);
            }
            (MessageKind::Prepare, Some(value)) if message.round == current => {
                self.upon_prepare_quorum(value, out);
            }
            (MessageKind::Commit, Some(value)) => {
                self.upon_commit_quorum(message.round, value, out)
            }
            (MessageKind::RoundChange, _) if message.round > current => {
                self.upon_others_ahead(now, out)
            }
            (MessageKind::RoundChange, _) if message.round == current => {
                self.upon_round_change_quorum(out)
            }
            (MessageKind::Decided, Some(value)) => {
                let commits = justification::matching_commits(message.round, value, &shown);
                self.decide(message.round, value, commits, out);
            }
            // A proposal, PREPARE or ROUND-CHANGE of another round: kept and counted, no more.
            (MessageKind::PrePrepare | MessageKind::Prepare | MessageKind::RoundChange, _) => {}
            (MessageKind::Commit | MessageKind::Decided, None) => {} // Null is refused above.
        }
    }

    /// Q2: the first justified proposal of this or a later round gets our PREPARE, and more time.
    fn upon_pre_prepare(
        &mut self,
        now: Duration,
        round: u64,
        value: Hash,
        out: &mut Vec<Output<S>>,
    ) {
        let is_jump = round != self.round.number;
        if !is_jump && self.round.proposal.is_some() {
            return; // The leader says two things; the first one counts.
        }
        self.enter(round, RoundChangeReason::Proposal, out);
        self.round.proposal = Some(value);
        self.arm(now);
        self.vote(out);
        if is_jump {
            self.reconsider(out);
        }
    }

    /// Q3: a quorum of PREPAREs makes a prepared certificate and gets our COMMIT. No proposal
    /// needs to have been seen.
    fn upon_prepare_quorum(&mut self, value: Hash, out: &mut Vec<Output<S>>) {
        let round = self.round.number;
        if self.round.prepared.is_some()
            || self.round.own.commit.contradicts(value)
            || self.votes.count_of(MessageKind::Prepare, round, value) < self.quorum
        {
            return;
        }
        let certificate = self.votes.messages(MessageKind::Prepare, round, value);
        self.round.prepared = Some(value);
        self.prepared = Some(Prepared {
            round,
            value,
            certificate: certificate.clone(),
        });
        if self.config.mode == Mode::Voting {
            out.push(Output::Prepared {
                round,
                value,
                certificate,
            });
        }
        self.vote(out);
    }

    /// Q4: a quorum of COMMITs of any round is a decision, whatever this process thinks of it.
    fn upon_commit_quorum(&mut self, round: u64, value: Hash, out: &mut Vec<Output<S>>) {
        if self.votes.count_of(MessageKind::Commit, round, value) >= self.quorum {
            let commits = self.votes.messages(MessageKind::Commit, round, value);
            self.decide(round, value, commits, out);
        }
    }

    /// Q7: f + 1 processes are ahead, so a correct one is; follow to the lowest round they name.
    fn upon_others_ahead(&mut self, now: Duration, out: &mut Vec<Output<S>>) {
        let enough = faulty(self.config.nodes) + 1;
        if let Some(round) = self.votes.reached_above(self.round.number, enough) {
            self.move_to(now, round, RoundChangeReason::OthersAhead, out);
        }
    }

    /// Q8: a quorum has moved to the round we lead: propose what was prepared last, or our value.
    fn upon_round_change_quorum(&mut self, out: &mut Vec<Output<S>>) {
        if !self.may_propose() {
            return;
        }
        let Some(set) = self.votes.justified_set(self.round.number, self.quorum) else {
            return;
        };
        match set.value {
            None => self.propose_input(set.messages, out),
            Some(value) if self.is_approved(value, out) => self.propose(value, set.messages, out),
            Some(_) => {} // The verdict is bad, or comes back here when it is given.
        }
    }

    /// Gives up on the current round: enter `round`, say so, and look at what is known of it.
    fn move_to(
        &mut self,
        now: Duration,
        round: u64,
        reason: RoundChangeReason,
        out: &mut Vec<Output<S>>,
    ) {
        self.enter(round, reason, out);
        self.arm(now);
        let prepared = self.prepared.as_ref();
        let draft = Draft {
            kind: MessageKind::RoundChange,
            round,
            value: None,
            prepared_round: prepared.map_or(0, |prepared| prepared.round),
            prepared_value: prepared.map(|prepared| prepared.value),
        };
        let certificate = prepared.map_or_else(Vec::new, |prepared| prepared.certificate.clone());
        self.broadcast(draft, certificate, out);
        self.reconsider(out);
    }

    /// Makes `round` the current one; everything that belongs to the old one is forgotten.
    fn enter(&mut self, round: u64, reason: RoundChangeReason, out: &mut Vec<Output<S>>) {
        if round != self.round.number {
            self.round = Round::new(round, OwnVotes::default());
            out.push(Output::RoundChanged { round, reason });
        }
    }

    /// Asks for the timer of this round, the first or a further time.
    fn arm(&mut self, now: Duration) {
        let again = self.round.timer_requests > 0;
        self.round.timer_requests = self.round.timer_requests.saturating_add(1);
        self.deadline = Some(self.config.timer.deadline(now, self.round.number, again));
    }

    /// Votes for this round may have come before we did: the rules that count look once more.
    fn reconsider(&mut self, out: &mut Vec<Output<S>>) {
        if let Some(value) = self.votes.prepared_in(self.round.number, self.quorum) {
            self.upon_prepare_quorum(value, out);
        }
        self.upon_round_change_quorum(out);
    }

    /// Casts the votes that this round calls for and whose value has a good verdict.
    fn vote(&mut self, out: &mut Vec<Output<S>>) {
        if self.config.mode == Mode::ListenOnly {
            return;
        }
        if let Some(value) = self.round.proposal
            && self.is_approved(value, out)
            && self.round.own.prepare.cast(value)
        {
            self.broadcast(self.draft(MessageKind::Prepare, value), Vec::new(), out);
        }
        if let Some(value) = self.round.prepared
            && self.is_approved(value, out)
            && self.round.own.commit.cast(value)
        {
            self.broadcast(self.draft(MessageKind::Commit, value), Vec::new(), out);
        }
    }

    /// Whether a proposal of ours is called for: we lead, and have neither made nor promised one.
    fn may_propose(&self) -> bool {
        self.config.mode == Mode::Voting
            && self.config.leader(self.round.number) == self.config.me
            && !self.round.own.pre_prepare.is_cast()
            && self.round.owed_proposal.is_none()
    }

    /// Proposes our own value, now or as soon as there is one.
    fn propose_input(&mut self, shown: Vec<Message<S>>, out: &mut Vec<Output<S>>) {
        match self.input {
            Some(value) => self.propose(value, shown, out),
            None => self.round.owed_proposal = Some(shown),
        }
    }

    fn propose(&mut self, value: Hash, shown: Vec<Message<S>>, out: &mut Vec<Output<S>>) {
        if self.round.own.pre_prepare.cast(value) {
            self.broadcast(self.draft(MessageKind::PrePrepare, value), shown, out);
        }
    }

    /// The end: nothing of ours is said any more, except to those who lag behind.
    fn decide(
        &mut self,
        round: u64,
        value: Hash,
        commits: Vec<Message<S>>,
        out: &mut Vec<Output<S>>,
    ) {
        assert!(self.decision.is_none(), "an instance decides once");
        self.enter(round, RoundChangeReason::Decision, out);
        self.deadline = None;
        self.round.owed_proposal = None;
        self.decision = Some(CatchUp::new(
            self.config.nodes,
            round,
            value,
            commits.clone(),
        ));
        out.push(Output::Decided {
            value,
            round,
            commits,
        });
    }

    fn broadcast(&self, draft: Draft, justification: Vec<Message<S>>, out: &mut Vec<Output<S>>) {
        if self.config.mode == Mode::Voting {
            out.push(Output::Send {
                to: Recipients::All,
                draft,
                justification,
            });
        }
    }

    fn draft(&self, kind: MessageKind, value: Hash) -> Draft {
        Draft {
            kind,
            round: self.round.number,
            value: Some(value),
            prepared_round: 0,
            prepared_value: None,
        }
    }

    /// Whether `value` has a good verdict; asks for one the first time.
    fn is_approved(&mut self, value: Hash, out: &mut Vec<Output<S>>) -> bool {
        match self.verdicts.approval(value) {
            Approval::Granted => true,
            Approval::Withheld => false,
            Approval::Ask => {
                out.push(Output::Validate(value));
                false
            }
        }
    }

    /// Refuses what no process says, and writes null as null.
    fn admit(&self, message: &mut Message<S>, shown: &mut [Message<S>]) -> Result<(), Rejection> {
        let limit = self.config.nodes.saturating_mul(2);
        if shown.len() > limit {
            return Err(Rejection::TooManyJustifications {
                count: shown.len(),
                limit,
            });
        }
        for said in std::iter::once(message).chain(shown) {
            if said.source >= self.config.nodes {
                return Err(Rejection::UnknownSource { named: said.source });
            }
            if said.round == 0 {
                return Err(Rejection::RoundZero);
            }
            said.value = said.value.filter(|value| *value != ZERO);
            said.prepared_value = said.prepared_value.filter(|value| *value != ZERO);
            if self.config.faults.accept_null_value() && said.kind != MessageKind::RoundChange {
                said.value = said.value.or(Some(ZERO));
            }
        }
        Ok(())
    }

    /// Q5: whether a message shows what it takes to be believed.
    fn justified(&self, message: &Message<S>, shown: &[Message<S>]) -> Result<(), Rejection> {
        let leader = self.config.leader(message.round);
        let ensure = |holds: bool, reason| if holds { Ok(()) } else { Err(reason) };
        match (message.kind, message.value) {
            (MessageKind::RoundChange, _) if self.config.faults.skip_justification_check() => {
                Ok(())
            }
            (MessageKind::RoundChange, _) => {
                let (round, value) = (message.prepared_round, message.prepared_value);
                let holds = justification::round_change(round, value, shown, self.quorum);
                ensure(holds, Rejection::BadCertificate)
            }
            (_, None) => Err(Rejection::NullValue),
            (_, Some(_)) if self.config.faults.skip_justification_check() => Ok(()),
            (MessageKind::PrePrepare, _) if message.source != leader => {
                Err(Rejection::NotLeader { leader })
            }
            (MessageKind::PrePrepare, Some(value)) => {
                let holds = message.round == 1
                    || justification::proposal(message.round, value, shown, self.quorum);
                ensure(holds, Rejection::UnjustifiedProposal)
            }
            (MessageKind::Prepare | MessageKind::Commit, Some(_)) => Ok(()),
            (MessageKind::Decided, Some(value)) => {
                let found = justification::matching_commits(message.round, value, shown).len();
                ensure(
                    found >= self.quorum,
                    Rejection::TooFewCommits {
                        found,
                        quorum: self.quorum,
                    },
                )
            }
        }
    }
}

#[cfg(test)]
mod tests;
