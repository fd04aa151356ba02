//! One duty from due to outcome.
//!
//! Two tracks run side by side for each item. The *own* track: once it is known what to sign, record it, sign it, send the
//! partial signature. The *group* track: once enough shares have signed one root, combine, check, submit. Where slashing is
//! possible the group track waits for the own record, so that nothing the slashing database refuses is ever submitted by
//! this node.
//!
//! What to sign is the cluster's decision for kinds with agreement; for the others each share signs what its own node finds.
//! A validator client takes part as the signer of the own track: it asks, and hands in partial signatures, which wait until
//! it is known what to sign.

mod clients;
mod ending;
mod group;
mod own;

use std::collections::BTreeMap;
use std::time::Duration;

use flotilla_crypto::Verified;
use flotilla_qbft::Mode;
use flotilla_types::{
    AttestationData, Chain, Duty, DutyKind, PeerIndex, PublicKeyBytes, Root, SignedData, Slot,
    Timestamp,
};

use self::clients::Clients;
use crate::agreement::{Agreement, Decision, Memory};
use crate::engine::{Facts, builds_on_others};
use crate::guard::{Question, Verdict};
use crate::io::{ConsensusMessage, FetchError, Item, Output, Request, Stages, Value};
use crate::kinds::{self, Object, aggregation, alone, contribution};
use crate::knowledge::{Knowledge, Lessons, Weighed};
use crate::outcome::{Ingredient, ValueFault};
use crate::schedule::{Definitions, retry_delay};
use crate::signatures::SignatureBook;
use crate::slashing::Refusal;

/// The part of a slot that an aggregation waits past its due point for selection proofs that are still missing, before it
/// goes on without those validators.
const SELECTION_GRACE: u32 = 24;

/// The own share's track.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Own {
    /// It is not known what to sign, or signing is paused.
    Idle,
    /// The database was asked.
    Recording,
    /// It may be signed; the signer was asked, or a validator client is awaited.
    Ready,
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
    Submitting,
    /// Refused for now; asked again at the time given.
    Retrying(Timestamp, String),
    /// A beacon node has accepted it, or it was made and only the cluster needs it.
    Done,
    /// All beacon nodes have refused it for good.
    NotAccepted(String),
}

/// One item's state.
#[derive(Debug)]
struct State {
    book: SignatureBook,
    /// What our own share signs.
    mine: Option<Object>,
    /// What the group's signature is to be over.
    target: Option<Object>,
    own: Own,
    group: Group,
    /// The group-signed object.
    signed: Option<SignedData>,
    /// Whether the duty is not complete without it.
    expected: bool,
    checking: bool,
    quorum: Option<Timestamp>,
    aggregated: Option<Timestamp>,
    submitted: Option<Timestamp>,
    attempts: u32,
}

impl Default for State {
    fn default() -> Self {
        Self {
            book: SignatureBook::default(),
            mine: None,
            target: None,
            own: Own::Idle,
            group: Group::Collecting,
            signed: None,
            expected: false,
            checking: false,
            quorum: None,
            aggregated: None,
            submitted: None,
            attempts: 0,
        }
    }
}

impl State {
    fn ended(&self) -> bool {
        matches!(self.own, Own::Refused(_))
            || matches!(self.group, Group::Done | Group::NotAccepted(_))
    }

    /// Recorded where that is needed, so that its group signature may be made and submitted.
    fn permitted(&self, target: &Object) -> bool {
        kinds::vote(target).is_none() || matches!(self.own, Own::Ready | Own::Sent)
    }
}

/// Asking the beacon node for the duty's unsigned data, or its head.
#[derive(Debug, Default)]
struct Fetch {
    in_flight: bool,
    attempts: u32,
    retry_at: Option<Timestamp>,
    error: Option<String>,
}

/// What is there to be asked for.
enum Plan {
    /// This.
    Ask(Request),
    /// The head.
    AskHead,
    /// Nothing yet; look again then, or when something is learnt.
    Wait(Option<Timestamp>),
    /// Nothing ever: nobody is selected.
    Nobody,
}

/// The state of one duty. The parent engine owns it, feeds it and drops it when it expires.
pub(crate) struct Life {
    duty: Duty,
    due: Timestamp,
    /// From when its shares' signatures may leave (S10).
    opens: Timestamp,
    expires: Timestamp,
    late_at: Timestamp,
    begun: bool,
    knowledge: Knowledge,
    /// `None` for kinds without agreement.
    agreement: Option<Agreement>,
    fetch: Fetch,
    stages: Stages,
    decision: Option<(u64, PeerIndex)>,
    decided: Option<Value>,
    /// Whether the decided value has passed S1 and the guard.
    sound: bool,
    fault: Option<ValueFault>,
    items: BTreeMap<Item, State>,
    /// Objects that partial signatures have proven to be decided, until they have passed S1 and the guard.
    proven: BTreeMap<Item, SignedData>,
    /// Whether there is something to tell to duties that build on this one.
    news: bool,
    clients: Clients,
    prove_at: Option<Timestamp>,
    late_told: bool,
    /// Nothing is left to be done.
    ended: bool,
    /// Its end was told, which happens once.
    end_told: bool,
}

impl Life {
    /// A duty that has not begun.
    pub fn new(
        duty: Duty,
        facts: &Facts<'_>,
        mode: Mode,
        memory: Option<Memory>,
        now: Timestamp,
    ) -> Self {
        let never = Timestamp::from_nanos(u64::MAX);
        let expires = facts.chain.deadline(duty).unwrap_or(never);
        let next_slot = facts.chain.slot_start(Slot(duty.slot.0.saturating_add(1)));
        Self {
            duty,
            due: facts.chain.due(duty),
            opens: match duty.kind {
                DutyKind::Randao => kinds::begins(facts.chain, duty),
                _ => Timestamp::from_nanos(0),
            },
            expires,
            late_at: if expires == never { never } else { next_slot },
            begun: false,
            knowledge: Knowledge::new(duty),
            agreement: kinds::has_agreement(duty.kind)
                .then(|| Agreement::new(duty, facts, mode, memory, now)),
            fetch: Fetch::default(),
            stages: Stages::default(),
            decision: None,
            decided: None,
            sound: false,
            fault: None,
            items: BTreeMap::new(),
            proven: BTreeMap::new(),
            news: false,
            clients: Clients::default(),
            prove_at: None,
            late_told: false,
            ended: false,
            end_told: false,
        }
    }

    /// When the engine drops it.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// Whether it has begun.
    pub fn begun(&self) -> bool {
        self.begun
    }

    /// Whether nothing is left to be done.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Whether it still waits for results of other duties.
    pub fn is_hungry(&self) -> bool {
        builds_on_others(self.duty.kind) && !self.ended && (self.begun || self.decided.is_some())
    }

    /// Whether there is more in [`results`](Self::results) or [`attested`](Self::attested) than when this was last asked.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// When the life wants to be woken, its expiry included.
    pub fn deadline(&self) -> Timestamp {
        let late = (self.begun && !self.late_told && !self.ended).then_some(self.late_at);
        let held = self.duty.kind == DutyKind::Randao && self.clients.hold_any();
        let retries = self.items.values().filter_map(|state| match state.group {
            Group::Retrying(at, _) => Some(at),
            _ => None,
        });
        [
            self.agreement.as_ref().and_then(Agreement::deadline),
            self.fetch.retry_at,
            self.prove_at,
            late,
            held.then_some(self.opens),
        ]
        .into_iter()
        .flatten()
        .chain(retries)
        .fold(self.expires, Timestamp::min)
    }

    /// The time to begin has come, or a peer has begun a duty of which we know nothing: then `definitions` is empty, and
    /// `listed` tells whether it should be there.
    ///
    /// Known definitions are taken once; those of a fixed kind are added to, so that a change of proposers in the last third
    /// of a slot still finds its randao.
    pub fn begin(
        &mut self,
        now: Timestamp,
        definitions: &Definitions,
        listed: bool,
        facts: &Facts<'_>,
        out: &mut Vec<Output>,
    ) {
        let fixed = alone::is_fixed(self.duty.kind);
        let new = match fixed {
            true => definitions
                .keys()
                .any(|validator| !self.knowledge.definitions.contains_key(validator)),
            false => !definitions.is_empty() && self.knowledge.definitions.is_empty(),
        };
        if self.begun && !new {
            return;
        }
        self.begun = true;
        self.knowledge.listed = listed;
        self.knowledge
            .definitions
            .extend(definitions.iter().map(|(key, value)| (*key, value.clone())));
        // More to do: a change of assignments may come after the first ones are done.
        self.ended &= !fixed;
        match kinds::check_fork(self.duty, facts.chain) {
            Ok(()) if fixed => self.sign_fixed(facts),
            Ok(()) => {}
            Err(fault) => self.fault = Some(fault),
        }
        let all_have_it = matches!(
            self.duty.kind,
            DutyKind::Attester | DutyKind::Proposer | DutyKind::SyncMessage
        );
        if all_have_it {
            for validator in definitions.keys() {
                let item = Item::whole(*validator);
                self.items.entry(item).or_default().expected = true;
            }
        }
        self.ask(now, facts, out);
        // Whether anything has to be agreed on in an aggregation is only known once somebody has a value.
        let aggregates = builds_on_others(self.duty.kind) && self.duty.kind != DutyKind::Proposer;
        let heard = |agreement: &Agreement| !agreement.heard().is_empty();
        if !aggregates || self.agreement.as_ref().is_some_and(heard) {
            self.start(now, facts, out);
        }
        self.advance(now, facts, out);
    }

    /// Starts the agreement, and plays what peers have said of it before.
    fn start(&mut self, now: Timestamp, facts: &Facts<'_>, out: &mut Vec<Output>) {
        if let Some(agreement) = &mut self.agreement {
            let decision = agreement.start(now, facts, &mut self.knowledge, out);
            self.decide(now, decision);
        }
    }

    /// What is signed follows from the assignment: our share and the group sign the same.
    fn sign_fixed(&mut self, facts: &Facts<'_>) {
        let definitions = &self.knowledge.definitions;
        for (item, object) in alone::fixed_objects(self.duty, definitions, facts.chain) {
            let state = self.items.entry(item).or_default();
            state.expected = true;
            state.mine.get_or_insert_with(|| object.clone());
            state.target.get_or_insert(object);
        }
    }

    /// Results of other duties have come in.
    pub fn on_lessons(
        &mut self,
        now: Timestamp,
        lessons: Lessons,
        facts: &Facts<'_>,
        out: &mut Vec<Output>,
    ) {
        if self.knowledge.learn(lessons) {
            self.ask(now, facts, out);
            self.reconsider(now, facts, out);
        }
    }

    /// The own beacon nodes have said what they know of the chain.
    pub fn on_examined(
        &mut self,
        now: Timestamp,
        question: Question,
        verdict: Verdict,
        facts: &Facts<'_>,
        out: &mut Vec<Output>,
    ) {
        self.knowledge.examined(question, verdict);
        self.reconsider(now, facts, out);
    }

    fn reconsider(&mut self, now: Timestamp, facts: &Facts<'_>, out: &mut Vec<Output>) {
        if let Some(agreement) = &mut self.agreement {
            let decision = agreement.reconsider(now, facts, &mut self.knowledge, out);
            self.decide(now, decision);
        }
        self.advance(now, facts, out);
    }

    /// Until when the beacon node can bring something: only the duty's own slot has data, yet aggregates of a slot are
    /// gathered, and included, for an epoch.
    fn fetch_until(&self) -> Timestamp {
        match self.duty.kind {
            DutyKind::Aggregator => self.expires,
            _ => self.late_at,
        }
    }

    /// Asks the beacon node, if that can still bring something.
    fn ask(&mut self, now: Timestamp, facts: &Facts<'_>, out: &mut Vec<Output>) {
        let settled = self
            .agreement
            .as_ref()
            .is_some_and(|agreement| agreement.decided() || agreement.proposed());
        let useful = self.begun && now < self.fetch_until() && self.fault.is_none() && !settled;
        if !useful || self.fetch.in_flight || self.knowledge.definitions.is_empty() {
            return;
        }
        self.fetch.retry_at = None;
        match self.plan(now, facts) {
            Plan::Ask(request) => {
                self.fetch.in_flight = true;
                let duty = self.duty;
                out.push(Output::Fetch { duty, request });
            }
            Plan::AskHead => {
                self.fetch.in_flight = true;
                out.push(Output::FetchHead(self.duty));
            }
            Plan::Wait(until) => self.fetch.retry_at = until,
            Plan::Nobody => self.ended = true,
        }
    }

    fn plan(&mut self, now: Timestamp, facts: &Facts<'_>) -> Plan {
        let definitions = self.knowledge.definitions.values();
        match self.duty.kind {
            DutyKind::Attester => Plan::Ask(Request::Attestations(
                definitions
                    .filter_map(|definition| definition.attester().copied())
                    .collect(),
            )),
            DutyKind::Proposer => {
                let randao = &self.knowledge.lessons.randao;
                let ready = definitions
                    .filter_map(|definition| definition.proposer())
                    .find_map(|proposer| Some((*proposer, *randao.get(&proposer.pubkey)?)));
                match ready {
                    Some((proposer, randao)) => Plan::Ask(Request::Block { proposer, randao }),
                    None => Plan::Wait(None),
                }
            }
            DutyKind::SyncMessage => self.plan_head(facts),
            DutyKind::Aggregator => self.plan_aggregation(now, facts.chain),
            DutyKind::SyncContribution => self.plan_contribution(now, facts),
            _ => Plan::Wait(None),
        }
    }

    /// The head is asked for once, for those that the built-in signer signs for.
    fn plan_head(&self, facts: &Facts<'_>) -> Plan {
        let wanted = self.knowledge.definitions.keys().any(|validator| {
            let state = self.items.get(&Item::whole(*validator));
            facts.builtin.contains(validator) && state.is_none_or(|state| state.mine.is_none())
        });
        match wanted {
            true => Plan::AskHead,
            false => Plan::Wait(None),
        }
    }

    fn plan_aggregation(&mut self, now: Timestamp, chain: &Chain) -> Plan {
        let selected: BTreeMap<PublicKeyBytes, Option<bool>> = self
            .knowledge
            .definitions
            .keys()
            .map(|validator| {
                let selected = aggregation::selected(validator, &self.knowledge, chain);
                (*validator, selected)
            })
            .collect();
        let complete = selected.values().all(Option::is_some);
        let wanted = selected
            .into_iter()
            .filter(|(_, selected)| *selected == Some(true))
            .map(|(validator, _)| Item::whole(validator));
        let wanted = self.expect(wanted);
        let requests = aggregation::requests(&self.knowledge, chain);
        match self.wait_for_selections(now, complete, wanted, chain) {
            Some(plan) => plan,
            None if requests.len() < wanted => Plan::Wait(None),
            None => Plan::Ask(Request::Aggregates(requests)),
        }
    }

    fn plan_contribution(&mut self, now: Timestamp, facts: &Facts<'_>) -> Plan {
        let knowledge = &self.knowledge;
        let (mut complete, mut seats) = (true, Vec::new());
        for (validator, definition) in &knowledge.definitions {
            let (wanted, all) =
                contribution::selected(validator, definition, knowledge, facts.chain);
            complete &= all;
            let wanted = wanted
                .into_iter()
                .take(if facts.plural { usize::MAX } else { 1 });
            seats.extend(wanted.map(|part| Item {
                validator: *validator,
                part,
            }));
        }
        let wanted = self.expect(seats.into_iter());
        let requests = contribution::requests(&self.knowledge, facts.plural, facts.chain);
        match self.wait_for_selections(now, complete, wanted, facts.chain) {
            Some(plan) => plan,
            None if requests.is_empty() => Plan::Wait(None),
            // Sync messages may lack a threshold for one root; past the grace, those that have one go on.
            None if requests.len() < wanted && now < self.grace_end(facts.chain) => {
                Plan::Wait(Some(self.grace_end(facts.chain)))
            }
            None => Plan::Ask(Request::Contributions(requests)),
        }
    }

    /// Notes that these items make the duty complete; how many they are.
    fn expect(&mut self, items: impl Iterator<Item = Item>) -> usize {
        let mut count = 0;
        for item in items {
            self.items.entry(item).or_default().expected = true;
            count += 1;
        }
        count
    }

    fn grace_end(&self, chain: &Chain) -> Timestamp {
        self.due + chain.spec.slot_duration / SELECTION_GRACE
    }

    /// Whether selection proofs must be waited for, given how many items are known to be wanted.
    fn wait_for_selections(
        &self,
        now: Timestamp,
        complete: bool,
        wanted: usize,
        chain: &Chain,
    ) -> Option<Plan> {
        match (complete, wanted) {
            (true, 0) => Some(Plan::Nobody),
            (true, _) => None,
            (false, _) if now < self.grace_end(chain) => {
                Some(Plan::Wait(Some(self.grace_end(chain))))
            }
            (false, 0) => Some(Plan::Wait(None)),
            (false, _) => None,
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
            kinds::check_value(&value.set, &self.knowledge, facts)
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
                self.start(now, facts, out);
                self.propose(now, value, facts, out);
                self.reconsider(now, facts, out);
            }
            Err(error) => self.fetch_failed(now, error),
        }
    }

    fn propose(&mut self, now: Timestamp, value: Value, facts: &Facts<'_>, out: &mut Vec<Output>) {
        if let Some(agreement) = &mut self.agreement {
            let decision = agreement.propose(now, value, facts, &mut self.knowledge, out);
            self.decide(now, decision);
        }
    }

    /// The beacon node's head: what our share signs of it does not change any more (S8).
    pub fn on_head_root(
        &mut self,
        now: Timestamp,
        result: Result<Root, FetchError>,
        facts: &Facts<'_>,
        out: &mut Vec<Output>,
    ) {
        self.fetch.in_flight = false;
        match result {
            Ok(root) => {
                self.stages.fetched.get_or_insert(now);
                self.fetch.error = None;
                let definitions = &self.knowledge.definitions;
                let objects = alone::head_objects(self.duty, definitions, root, facts.chain);
                for (item, object) in objects {
                    if facts.builtin.contains(&item.validator) {
                        let state = self.items.entry(item).or_default();
                        state.mine.get_or_insert(object);
                    }
                }
                self.advance(now, facts, out);
            }
            Err(error) => self.fetch_failed(now, error),
        }
    }

    fn fetch_failed(&mut self, now: Timestamp, error: FetchError) {
        self.fetch.retry_at = error
            .temporary
            .then(|| now + self.retry_pause(self.fetch.attempts));
        self.fetch.attempts += 1;
        self.fetch.error = Some(error.text);
    }

    /// A proposal lives for a third of a slot only: its second attempt may be its last.
    fn retry_pause(&self, attempt: u32) -> Duration {
        match self.duty.kind {
            DutyKind::Proposer => retry_delay(attempt) / 4,
            _ => retry_delay(attempt),
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
        if self.begun {
            self.start(now, facts, out);
        }
        let Some(agreement) = &mut self.agreement else {
            return;
        };
        let decision = agreement.message(now, message, facts, &mut self.knowledge, out);
        if decision.is_some() {
            self.decide(now, decision);
            self.advance(now, facts, out);
        }
    }

    fn decide(&mut self, now: Timestamp, decision: Option<Decision>) {
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
        self.decided = Some(value);
    }

    /// Takes what was decided, as far as it can be signed: S1 and the guard are applied again before anything is.
    fn agree(&mut self, facts: &Facts<'_>, out: &mut Vec<Output>) {
        if let Some(value) = self.decided.clone()
            && self.fault.is_none()
        {
            match self.sound {
                true => self.take(&value, facts.chain),
                false => match self.knowledge.weigh(&value.set, facts, out) {
                    Weighed::Open => {}
                    Weighed::Bad(fault) => self.fault = Some(fault),
                    Weighed::Good => {
                        self.sound = true;
                        self.take(&value, facts.chain);
                    }
                },
            }
        }
        self.adopt(facts, out);
    }

    fn take(&mut self, value: &Value, chain: &Chain) {
        let open = |validator: &PublicKeyBytes| {
            // Kinds with parts may become signable one by one.
            let whole = self.items.get(&Item::whole(*validator));
            self.duty.kind == DutyKind::SyncContribution
                || whole.is_none_or(|state| state.target.is_none())
        };
        let objects: Vec<_> = value
            .set
            .iter()
            .filter(|(validator, _)| open(validator))
            .flat_map(|(validator, data)| kinds::objects(*validator, data, &self.knowledge, chain))
            .collect();
        for (item, object) in objects {
            self.aim(item, object);
        }
    }

    /// Our share and the group sign this, unless something else was settled before.
    fn aim(&mut self, item: Item, object: Object) {
        let state = self.items.entry(item).or_default();
        if state.target.is_none() {
            state.expected = true;
            state.mine = Some(object.clone());
            state.target = Some(object);
            self.news = true;
        }
    }

    /// Time has passed.
    pub fn wake(&mut self, now: Timestamp, facts: &Facts<'_>, out: &mut Vec<Output>) {
        if let Some(agreement) = &mut self.agreement {
            let decision = agreement.wake(now, facts, &mut self.knowledge, out);
            self.decide(now, decision);
        }
        if self.fetch.retry_at.is_some_and(|at| at <= now) {
            self.fetch.retry_at = None;
            self.ask(now, facts, out);
        }
        if self.prove_at.is_some_and(|at| at <= now) {
            self.prove(facts, out);
        }
        self.retry_submissions(now, out);
        self.advance(now, facts, out);
        if self.begun && !self.late_told && !self.ended && self.late_at <= now {
            self.late_told = true;
            out.extend(self.outcome(facts, None).map(Output::Late));
        }
    }

    /// Signing was paused or resumed.
    pub fn on_pause(&mut self, now: Timestamp, facts: &Facts<'_>, out: &mut Vec<Output>) {
        self.advance(now, facts, out);
    }

    /// The deadline has passed: whatever is not submitted is missed. `missing` is what another duty failed to bring.
    pub fn expire(
        &mut self,
        facts: &Facts<'_>,
        missing: Option<(Ingredient, Vec<PeerIndex>)>,
        out: &mut Vec<Output>,
    ) {
        self.tell_end(facts, missing, out);
        self.clients.dismiss(out);
    }

    /// What follows for every item from the state as it is now.
    fn advance(&mut self, now: Timestamp, facts: &Facts<'_>, out: &mut Vec<Output>) {
        self.agree(facts, out);
        self.own(now, facts, out);
        if !self.ended {
            self.combine(now, facts, out);
            self.end_if_complete(facts, out);
        }
        self.answer(out);
    }

    /// What the group has signed here so far.
    pub fn results(&self) -> impl Iterator<Item = (Item, &SignedData)> + '_ {
        self.items
            .iter()
            .filter_map(|(item, state)| Some((*item, state.signed.as_ref()?)))
    }

    /// What was agreed to be attested.
    pub fn attested(&self) -> impl Iterator<Item = (PublicKeyBytes, AttestationData)> + '_ {
        self.items.iter().filter_map(|(item, state)| {
            let target = state.target.as_ref()?.data.attester()?;
            Some((item.validator, *target.data()))
        })
    }
}
