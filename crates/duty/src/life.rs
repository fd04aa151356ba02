//! One duty from due to outcome.
//!
//! Two tracks run side by side for each validator. The *own* track: once a value is agreed, record it, sign it, send the
//! partial signature. The *group* track: once enough shares have signed the agreed root, combine, check, submit. The group
//! track waits for the own record, so that nothing the slashing database refuses is ever submitted by this node.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use flotilla_crypto::Verified;
use flotilla_qbft::{self as qbft, Mode};
use flotilla_types::{
    Duty, PeerIndex, PublicKeyBytes, Root, SignatureBytes, SignedData, Slot, Timestamp,
};

use crate::agreement::{Agreement, Decision, Memory};
use crate::attestation;
use crate::engine::{Facts, Signer};
use crate::io::{
    Claim, Combination, Combined, ConsensusMessage, FetchError, Output, Partial, PartialSet,
    RecordItem, Rejected, Stages, UnsignedSet, Value,
};
use crate::outcome::{Fate, Outcome, Reason, Step, ValidatorOutcome, ValueFault};
use crate::schedule::{Definitions, retry_delay};
use crate::signatures::{SignatureBook, Standing};
use crate::slashing::Refusal;

/// How long f + 1 matching partial signatures wait for the own decision before they are checked as proof of one (S8).
///
/// In a healthy cluster the own decision follows within a network delay; checking earlier would cost every node a needless
/// verification for every duty.
const PROOF_GRACE: Duration = Duration::from_millis(250);

/// What was agreed for one validator: the object to sign, still unsigned, and its root.
#[derive(Clone, Debug)]
struct Agreed {
    template: SignedData,
    root: Root,
}

/// The own share's track.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Own {
    /// Nothing is agreed, or signing is paused.
    Idle,
    /// The database was asked.
    Recording,
    /// Recorded; the signer was asked.
    Signing,
    /// Our partial signature has left.
    Sent,
    /// The database refused.
    Refused(Refusal),
}

/// The group signature's track.
#[derive(Clone, Debug, PartialEq)]
enum Group {
    /// Waiting for enough partial signatures.
    Collecting,
    /// A worker combines.
    Combining,
    /// Combined; a beacon node was asked.
    Submitting(SignedData),
    /// Refused for now; asked again at the time given.
    Retrying(SignedData, Timestamp, String),
    /// A beacon node has accepted it.
    Submitted,
    /// All beacon nodes have refused it for good.
    NotAccepted(String),
}

#[derive(Debug)]
struct Validator {
    book: SignatureBook,
    agreed: Option<Agreed>,
    own: Own,
    group: Group,
    checking: bool,
    quorum: Option<Timestamp>,
    aggregated: Option<Timestamp>,
    submitted: Option<Timestamp>,
    attempts: u32,
}

impl Default for Validator {
    fn default() -> Self {
        Self {
            book: SignatureBook::default(),
            agreed: None,
            own: Own::Idle,
            group: Group::Collecting,
            checking: false,
            quorum: None,
            aggregated: None,
            submitted: None,
            attempts: 0,
        }
    }
}

impl Validator {
    fn ended(&self) -> bool {
        matches!(self.own, Own::Refused(_))
            || matches!(self.group, Group::Submitted | Group::NotAccepted(_))
    }

    /// Recorded, so that its group signature may be made and submitted.
    fn permitted(&self) -> bool {
        matches!(self.own, Own::Signing | Own::Sent)
    }
}

/// Asking the beacon node for the duty's unsigned data.
#[derive(Debug, Default)]
struct Fetch {
    in_flight: bool,
    attempts: u32,
    retry_at: Option<Timestamp>,
    error: Option<String>,
}

/// The state of one duty. The parent engine owns it, feeds it and drops it at `deadline`.
pub(crate) struct Life {
    duty: Duty,
    due: Timestamp,
    deadline: Timestamp,
    late_at: Timestamp,
    definitions: Definitions,
    begun: bool,
    agreement: Agreement,
    fetch: Fetch,
    stages: Stages,
    decision: Option<(u64, PeerIndex)>,
    fault: Option<ValueFault>,
    validators: BTreeMap<PublicKeyBytes, Validator>,
    prove_at: Option<Timestamp>,
    late_told: bool,
    ended: bool,
}

impl Life {
    /// A duty that has not begun. `deadline` is when the engine will drop it.
    pub fn new(
        duty: Duty,
        deadline: Timestamp,
        facts: &Facts<'_>,
        mode: Mode,
        memory: Option<Memory>,
        now: Timestamp,
    ) -> Self {
        Self {
            duty,
            due: facts.chain.due(duty),
            deadline,
            late_at: facts.chain.slot_start(Slot(duty.slot.0 + 1)),
            definitions: Definitions::new(),
            begun: false,
            agreement: Agreement::new(duty, facts, mode, memory, now),
            fetch: Fetch::default(),
            stages: Stages::default(),
            decision: None,
            fault: None,
            validators: BTreeMap::new(),
            prove_at: None,
            late_told: false,
            ended: false,
        }
    }

    /// When the engine drops it.
    pub fn expires(&self) -> Timestamp {
        self.deadline
    }

    /// Whether agreement has started.
    pub fn begun(&self) -> bool {
        self.begun
    }

    /// Whether our own beacon node's duties are known here.
    pub fn has_definitions(&self) -> bool {
        !self.definitions.is_empty()
    }

    /// When the life wants to be woken, its expiry included.
    pub fn deadline(&self) -> Timestamp {
        let late = (self.begun && !self.late_told && !self.ended).then_some(self.late_at);
        let retries = self
            .validators
            .values()
            .filter_map(|validator| match validator.group {
                Group::Retrying(_, at, _) => Some(at),
                _ => None,
            });
        [
            self.agreement.deadline(),
            self.fetch.retry_at,
            self.prove_at,
            late,
        ]
        .into_iter()
        .flatten()
        .chain(retries)
        .fold(self.deadline, Timestamp::min)
    }

    /// The due point has come, or a peer has begun before we knew of the duty (then `definitions` is empty).
    pub fn begin(
        &mut self,
        now: Timestamp,
        definitions: &Definitions,
        facts: &Facts<'_>,
        out: &mut Vec<Output>,
    ) {
        if self.begun && (definitions.is_empty() || !self.definitions.is_empty()) {
            return;
        }
        self.begun = true;
        self.definitions = definitions.clone();
        for validator in definitions.keys() {
            self.validators.entry(*validator).or_default();
        }
        self.ask(now, out);
        let decision = self.agreement.start(now, facts, &self.definitions, out);
        self.decide(now, decision, facts, out);
    }

    /// Asks the beacon node, if that can still bring something: only the duty's own slot has data.
    fn ask(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        self.fetch.retry_at = None;
        let useful = now < self.late_at && !self.agreement.decided() && !self.agreement.proposed();
        if useful && !self.definitions.is_empty() && !self.fetch.in_flight {
            self.fetch.in_flight = true;
            out.push(Output::Fetch {
                duty: self.duty,
                attesters: self.definitions.values().cloned().collect(),
            });
        }
    }

    /// The beacon node's answer.
    pub fn on_fetched(
        &mut self,
        now: Timestamp,
        result: Result<Value, FetchError>,
        facts: &Facts<'_>,
        out: &mut Vec<Output>,
    ) {
        self.fetch.in_flight = false;
        let fetched = result.and_then(|value| {
            attestation::check_value(self.duty, &value.set, facts.cluster, facts.chain)
                .map(|()| value)
                .map_err(|fault| FetchError {
                    text: fault.to_string(),
                    temporary: true,
                })
        });
        match fetched {
            Ok(value) => {
                self.stages.fetched.get_or_insert(now);
                self.fetch.error = None;
                let decision = self
                    .agreement
                    .propose(now, value, facts, &self.definitions, out);
                self.decide(now, decision, facts, out);
            }
            Err(error) => {
                self.fetch.retry_at = error
                    .temporary
                    .then(|| now + retry_delay(self.fetch.attempts));
                self.fetch.attempts += 1;
                self.fetch.error = Some(error.text);
            }
        }
    }

    /// A consensus message, ours included.
    pub fn on_consensus(
        &mut self,
        now: Timestamp,
        message: Verified<ConsensusMessage>,
        facts: &Facts<'_>,
        out: &mut Vec<Output>,
    ) {
        let decision = self
            .agreement
            .message(now, message, facts, &self.definitions, out);
        self.decide(now, decision, facts, out);
    }

    fn decide(
        &mut self,
        now: Timestamp,
        decision: Option<Decision>,
        facts: &Facts<'_>,
        out: &mut Vec<Output>,
    ) {
        let Some(Decision {
            value,
            round,
            leader,
        }) = decision
        else {
            return;
        };
        self.stages.agreed = Some(now);
        self.decision = Some((round, leader));
        self.fetch.retry_at = None;
        self.agree(&value.set, facts);
        self.advance(now, facts, out);
    }

    /// Takes agreed data, whether decided here or proven by partial signatures. S1 is checked again before anything is signed.
    fn agree(&mut self, set: &UnsignedSet, facts: &Facts<'_>) {
        if let Err(fault) = attestation::check_value(self.duty, set, facts.cluster, facts.chain) {
            self.fault = Some(fault);
            return;
        }
        let attesters = set
            .iter()
            .filter_map(|(validator, data)| Some((validator, data.attester()?)));
        for (validator, value) in attesters {
            let state = self.validators.entry(*validator).or_default();
            if state.agreed.is_none() {
                state.agreed = attestation::template(value, facts.chain)
                    .map(|(template, root)| Agreed { template, root });
            }
        }
    }

    /// Partial signatures of peer `from`, whose share they are by construction.
    pub fn on_partials(
        &mut self,
        now: Timestamp,
        from: PeerIndex,
        set: PartialSet,
        facts: &Facts<'_>,
        out: &mut Vec<Output>,
    ) {
        if self.ended {
            return;
        }
        let mut second_root = false;
        for (validator, partial) in set.items {
            let state = self.validators.entry(validator).or_default();
            second_root |= state
                .book
                .insert(set.share, partial, Standing::Claimed)
                .is_err();
            let proof = facts.cluster.faulty() + 1;
            if state.agreed.is_none() && state.book.contender(validator, proof).is_some() {
                self.prove_at.get_or_insert(now + PROOF_GRACE);
            }
        }
        if second_root {
            out.push(Output::Rejected {
                from,
                duty: self.duty,
                reason: Rejected::SecondRoot,
            });
        }
        self.advance(now, facts, out);
    }

    /// S8: has the cluster decided without us? Asks for a check of claims that would prove it.
    fn prove(&mut self, facts: &Facts<'_>, out: &mut Vec<Output>) {
        self.prove_at = None;
        let proof = facts.cluster.faulty() + 1;
        let mut claims: BTreeMap<Root, Vec<Claim>> = BTreeMap::new();
        for (validator, state) in &mut self.validators {
            if state.agreed.is_some() || state.checking {
                continue;
            }
            if let Some((root, mut found)) = state.book.contender(*validator, proof) {
                state.checking = true;
                claims.entry(root).or_default().append(&mut found);
            }
        }
        out.extend(
            claims
                .into_iter()
                .map(|(signing_root, claims)| Output::Check {
                    duty: self.duty,
                    signing_root,
                    claims,
                }),
        );
    }

    /// A worker's verdict on claimed partial signatures.
    pub fn on_checked(
        &mut self,
        now: Timestamp,
        good: &[Claim],
        bad: &[Claim],
        facts: &Facts<'_>,
        out: &mut Vec<Output>,
    ) {
        self.mark(good, Standing::Good);
        self.mark(bad, Standing::Bad);
        self.report_bad(bad.iter().map(|claim| claim.share.peer()).collect(), out);
        let touched: BTreeSet<PublicKeyBytes> = good
            .iter()
            .chain(bad)
            .map(|claim| claim.validator)
            .collect();
        let proof = facts.cluster.faulty() + 1;
        for validator in &touched {
            let Some(state) = self.validators.get_mut(validator) else {
                continue;
            };
            state.checking = false;
            let Some(partial) = state.book.proven(proof).filter(|_| state.agreed.is_none()) else {
                continue;
            };
            match attestation::adopt(
                self.duty,
                validator,
                &partial.data,
                &self.definitions,
                facts.chain,
            ) {
                Ok((template, root)) => {
                    state.agreed = Some(Agreed { template, root });
                    self.stages.agreed.get_or_insert(now);
                }
                Err(fault) => self.fault = Some(fault),
            }
        }
        self.advance(now, facts, out);
    }

    fn mark(&mut self, claims: &[Claim], standing: Standing) {
        for claim in claims {
            if let Some(state) = self.validators.get_mut(&claim.validator) {
                state
                    .book
                    .mark(claim.share, Some(claim.signature), standing);
            }
        }
    }

    fn report_bad(&self, peers: BTreeSet<usize>, out: &mut Vec<Output>) {
        out.extend(peers.into_iter().map(|peer| Output::Rejected {
            from: PeerIndex::new(peer),
            duty: self.duty,
            reason: Rejected::BadSignature,
        }));
    }

    /// The database's answer: what is recorded may be signed, what is refused ends here (S2).
    pub fn on_recorded(
        &mut self,
        now: Timestamp,
        results: Vec<(PublicKeyBytes, Result<(), Refusal>)>,
        facts: &Facts<'_>,
        out: &mut Vec<Output>,
    ) {
        self.stages.recorded.get_or_insert(now);
        let mut items = Vec::new();
        for (validator, result) in results {
            let Some(state) = self.validators.get_mut(&validator) else {
                continue;
            };
            let Some(agreed) = state
                .agreed
                .as_ref()
                .filter(|_| state.own == Own::Recording)
            else {
                continue;
            };
            #[cfg(feature = "faults")]
            let result = if facts.faults.ignore_database {
                Ok(())
            } else {
                result
            };
            match result {
                Ok(()) if facts.paused => state.own = Own::Idle,
                Ok(()) => {
                    state.own = Own::Signing;
                    items.push((validator, agreed.root));
                }
                Err(refusal) => state.own = Own::Refused(refusal),
            }
        }
        if !items.is_empty() && facts.signer == Signer::Builtin {
            out.push(Output::Sign {
                duty: self.duty,
                items,
            });
        }
        self.advance(now, facts, out);
    }

    /// Our share's signatures. They leave at once, and only once (S8).
    pub fn on_signed(
        &mut self,
        now: Timestamp,
        signatures: Vec<(PublicKeyBytes, SignatureBytes)>,
        facts: &Facts<'_>,
        out: &mut Vec<Output>,
    ) {
        let share = facts.cluster.share();
        let mut items = BTreeMap::new();
        for (validator, signature) in signatures {
            let Some(state) = self.validators.get_mut(&validator) else {
                continue;
            };
            let Some(agreed) = state.agreed.as_ref().filter(|_| state.own == Own::Signing) else {
                continue;
            };
            if facts.paused {
                state.own = Own::Idle;
                continue;
            }
            let partial = Partial {
                data: agreed.template.clone().with_signature(signature),
                signing_root: agreed.root,
            };
            // Another root under our own share can only be a replay of a twin's signature; ours goes out all the same.
            let _ = state.book.insert(share, partial.clone(), Standing::Claimed);
            state.own = Own::Sent;
            items.insert(validator, partial);
        }
        if !items.is_empty() {
            self.stages.signed.get_or_insert(now);
            out.push(Output::SendPartials(PartialSet {
                duty: self.duty,
                share,
                items,
            }));
        }
        self.advance(now, facts, out);
    }

    /// What the workers made of claimed partial signatures.
    pub fn on_combined(
        &mut self,
        now: Timestamp,
        results: Vec<(PublicKeyBytes, Combined)>,
        facts: &Facts<'_>,
        out: &mut Vec<Output>,
    ) {
        let mut items = Vec::new();
        let mut culprits = BTreeSet::new();
        for (validator, result) in results {
            let Some(state) = self
                .validators
                .get_mut(&validator)
                .filter(|state| state.group == Group::Combining)
            else {
                continue;
            };
            match (result, &state.agreed) {
                (Combined::Signature(signature), Some(agreed)) => {
                    let data = agreed
                        .template
                        .clone()
                        .with_signature(signature.into_inner());
                    state.aggregated = Some(now);
                    state.group = Group::Submitting(data.clone());
                    items.push((validator, data));
                }
                (Combined::Signature(_), None) => state.group = Group::Collecting,
                (Combined::Short { bad, good }, _) => {
                    bad.iter()
                        .for_each(|&share| state.book.mark(share, None, Standing::Bad));
                    good.iter()
                        .for_each(|&share| state.book.mark(share, None, Standing::Good));
                    culprits.extend(bad.iter().map(|share| share.peer()));
                    state.group = Group::Collecting;
                }
            }
        }
        self.report_bad(culprits, out);
        if !items.is_empty() {
            out.push(Output::Submit {
                duty: self.duty,
                items,
            });
        }
        self.advance(now, facts, out);
    }

    /// The beacon nodes' answer.
    pub fn on_submitted(
        &mut self,
        now: Timestamp,
        accepted: Vec<PublicKeyBytes>,
        refused: Vec<(PublicKeyBytes, FetchError)>,
        facts: &Facts<'_>,
        out: &mut Vec<Output>,
    ) {
        for validator in accepted {
            if let Some(state) = self.validators.get_mut(&validator)
                && matches!(state.group, Group::Submitting(_))
            {
                state.submitted = Some(now);
                state.group = Group::Submitted;
            }
        }
        for (validator, error) in refused {
            let Some(state) = self.validators.get_mut(&validator) else {
                continue;
            };
            let Group::Submitting(data) = &state.group else {
                continue;
            };
            state.group = match error.temporary {
                true => {
                    Group::Retrying(data.clone(), now + retry_delay(state.attempts), error.text)
                }
                false => Group::NotAccepted(error.text),
            };
            state.attempts += 1;
        }
        self.advance(now, facts, out);
    }

    /// Signing was paused or resumed.
    pub fn on_pause(&mut self, now: Timestamp, facts: &Facts<'_>, out: &mut Vec<Output>) {
        self.advance(now, facts, out);
    }

    /// Time has passed.
    pub fn wake(&mut self, now: Timestamp, facts: &Facts<'_>, out: &mut Vec<Output>) {
        let decision = self.agreement.wake(now, facts, &self.definitions, out);
        self.decide(now, decision, facts, out);
        if self.fetch.retry_at.is_some_and(|at| at <= now) {
            self.ask(now, out);
        }
        if self.prove_at.is_some_and(|at| at <= now) {
            self.prove(facts, out);
        }
        self.retry_submissions(now, out);
        if self.begun && !self.late_told && !self.ended && self.late_at <= now {
            self.late_told = true;
            out.extend(self.outcome(facts).map(Output::Late));
        }
    }

    fn retry_submissions(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let mut items = Vec::new();
        for (validator, state) in &mut self.validators {
            if let Group::Retrying(data, at, _) = &state.group
                && *at <= now
            {
                items.push((*validator, data.clone()));
                state.group = Group::Submitting(data.clone());
            }
        }
        if !items.is_empty() {
            out.push(Output::Submit {
                duty: self.duty,
                items,
            });
        }
    }

    /// The deadline has passed: whatever is not submitted is missed.
    pub fn expire(&mut self, facts: &Facts<'_>, out: &mut Vec<Output>) {
        if !self.ended {
            self.ended = true;
            out.extend(self.outcome(facts).map(Output::Ended));
        }
    }

    /// What follows for every validator from the state as it is now.
    fn advance(&mut self, now: Timestamp, facts: &Facts<'_>, out: &mut Vec<Output>) {
        if self.ended {
            return;
        }
        self.record(facts, out);
        self.combine(now, facts, out);
        let refused =
            self.fault.is_some() && self.validators.values().all(|state| state.agreed.is_none());
        // A validator that the decided value leaves out has nothing more to wait for.
        let settled = |state: &Validator| {
            state.ended() || (self.decision.is_some() && state.agreed.is_none())
        };
        let complete =
            self.expected().next().is_some() && self.expected().all(|(_, state)| settled(state));
        if refused || complete {
            self.ended = true;
            out.extend(self.outcome(facts).map(Output::Ended));
            self.validators
                .values_mut()
                .for_each(|state| state.book.clear());
        }
    }

    /// Agreed and not paused: to the slashing database, all validators in one request (S2).
    fn record(&mut self, facts: &Facts<'_>, out: &mut Vec<Output>) {
        if facts.paused {
            return;
        }
        let mut items = Vec::new();
        for (validator, state) in &mut self.validators {
            if let (Some(agreed), Own::Idle) = (&state.agreed, &state.own)
                && let Some(vote) = attestation::vote(&agreed.template, agreed.root)
            {
                items.push(RecordItem {
                    validator: *validator,
                    vote,
                });
                state.own = Own::Recording;
            }
        }
        if !items.is_empty() {
            out.push(Output::Record {
                duty: self.duty,
                items,
            });
        }
    }

    /// Recorded and signed by a threshold of shares: to the workers, all validators of one root in one request.
    fn combine(&mut self, now: Timestamp, facts: &Facts<'_>, out: &mut Vec<Output>) {
        let threshold = facts.cluster.threshold;
        let mut batches: BTreeMap<Root, Vec<Combination>> = BTreeMap::new();
        for (validator, state) in &mut self.validators {
            let Some(agreed) = &state.agreed else {
                continue;
            };
            if state.group != Group::Collecting
                || state.book.shares(agreed.root).count() < threshold
            {
                continue;
            }
            state.quorum.get_or_insert(now);
            if state.permitted() {
                state.group = Group::Combining;
                let partials = state.book.usable(agreed.root);
                batches.entry(agreed.root).or_default().push(Combination {
                    validator: *validator,
                    partials,
                });
            }
        }
        out.extend(
            batches
                .into_iter()
                .map(|(signing_root, items)| Output::Combine {
                    duty: self.duty,
                    signing_root,
                    items,
                }),
        );
    }

    /// Validators that have this duty: by our beacon node, or by what was agreed.
    fn expected(&self) -> impl Iterator<Item = (&PublicKeyBytes, &Validator)> {
        self.validators.iter().filter(|(validator, state)| {
            self.definitions.contains_key(validator) || state.agreed.is_some()
        })
    }

    /// How the duty stands; `None` when no validator of ours is known to have it.
    fn outcome(&self, facts: &Facts<'_>) -> Option<Outcome> {
        let validators: BTreeMap<_, _> = self
            .expected()
            .map(|(validator, state)| {
                let outcome = ValidatorOutcome {
                    quorum: state.quorum,
                    aggregated: state.aggregated,
                    submitted: state.submitted,
                    fate: self.fate(state, facts),
                };
                (*validator, outcome)
            })
            .collect();
        if validators.is_empty() {
            return None;
        }
        let (round, leader) = self.decision.unzip();
        Some(Outcome {
            duty: self.duty,
            due: self.due,
            round,
            leader,
            stages: self.stages,
            validators,
        })
    }

    fn fate(&self, state: &Validator, facts: &Facts<'_>) -> Fate {
        let missed = |step, reason, peers| Fate::Missed {
            step,
            reason,
            peers,
        };
        let Some(agreed) = &state.agreed else {
            let (step, reason, peers) = self.why_not_agreed(facts);
            return missed(step, reason, peers);
        };
        match (&state.own, &state.group) {
            (_, Group::Submitted) => Fate::Submitted,
            (_, Group::NotAccepted(text) | Group::Retrying(_, _, text)) => {
                missed(Step::Submit, Reason::NotAccepted(text.clone()), vec![])
            }
            (_, Group::Submitting(_)) => missed(Step::Submit, Reason::NoAnswer, vec![]),
            (Own::Refused(refusal), _) => {
                missed(Step::Record, Reason::Slashing(refusal.clone()), vec![])
            }
            (Own::Idle, _) => missed(Step::Record, Reason::Paused, vec![]),
            (Own::Recording, _) => missed(Step::Record, Reason::DatabaseSilent, vec![]),
            (Own::Signing | Own::Sent, _) => self.why_not_combined(state, agreed, facts),
        }
    }

    fn why_not_combined(&self, state: &Validator, agreed: &Agreed, facts: &Facts<'_>) -> Fate {
        let shares: BTreeSet<usize> = state
            .book
            .shares(agreed.root)
            .map(|share| share.peer())
            .collect();
        let bad: Vec<PeerIndex> = state
            .book
            .bad()
            .map(|share| PeerIndex::new(share.peer()))
            .collect();
        let absent = || {
            (0..facts.cluster.nodes)
                .filter(|peer| !shares.contains(peer))
                .map(PeerIndex::new)
                .collect()
        };
        let (step, reason, peers) = match state.own {
            Own::Signing if !shares.contains(&facts.cluster.me.get()) => {
                (Step::Sign, Reason::Unsigned, vec![])
            }
            _ if !bad.is_empty() => (Step::Aggregate, Reason::BadPartials { bad: bad.len() }, bad),
            _ => {
                let reason = Reason::TooFewPartials {
                    have: shares.len(),
                    needed: facts.cluster.threshold,
                };
                (Step::Exchange, reason, absent())
            }
        };
        Fate::Missed {
            step,
            reason,
            peers,
        }
    }

    fn why_not_agreed(&self, facts: &Facts<'_>) -> (Step, Reason, Vec<PeerIndex>) {
        if let Some(fault) = &self.fault {
            let leader = self
                .decision
                .map(|(_, leader)| leader)
                .into_iter()
                .collect();
            return (Step::Agree, Reason::Refused(fault.clone()), leader);
        }
        if self.decision.is_some() {
            return (Step::Agree, Reason::NotInValue, vec![]);
        }
        let heard = self.agreement.heard();
        let needed = qbft::quorum(facts.cluster.nodes);
        if heard.len() < needed {
            let absent = (0..facts.cluster.nodes)
                .filter(|peer| !heard.contains(peer) && *peer != facts.cluster.me.get())
                .map(PeerIndex::new)
                .collect();
            return (
                Step::Agree,
                Reason::NoQuorum {
                    heard: heard.len(),
                    needed,
                },
                absent,
            );
        }
        match &self.fetch.error {
            Some(text) => (Step::Fetch, Reason::NoData(text.clone()), vec![]),
            None => (
                Step::Agree,
                Reason::NoDecision {
                    rounds: self.agreement.round(),
                },
                vec![],
            ),
        }
    }
}
