//! Which validators have which duty when: the beacon node's duties by epoch, and when to ask for them again.
//!
//! Duties of an epoch are fixed by a block root, the dependent root. Other duties for the same epoch replace the known ones
//! only when that root changes, so a reorg can never leave stale duties behind, and a repeated answer changes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use flotilla_types::{
    AttesterDuty, Chain, Duty, DutyKind, Epoch, Fork, ProposerDuty, PublicKeyBytes, Root, Slot,
    SyncCommitteeDuty, Timestamp, ValidatorIndex,
};

use crate::io::{Assignments, Roster};

/// One validator's assignment, from which its duties follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Definition {
    /// To a committee.
    Attester(AttesterDuty),
    /// To a slot.
    Proposer(ProposerDuty),
    /// To a sync committee.
    Sync(SyncCommitteeDuty),
}

impl Definition {
    /// The assignment to a committee, if this is one.
    pub const fn attester(&self) -> Option<&AttesterDuty> {
        match self {
            Self::Attester(duty) => Some(duty),
            _ => None,
        }
    }

    /// The assignment to a slot, if this is one.
    pub const fn proposer(&self) -> Option<&ProposerDuty> {
        match self {
            Self::Proposer(duty) => Some(duty),
            _ => None,
        }
    }

    /// The assignment to a sync committee, if this is one.
    pub const fn sync(&self) -> Option<&SyncCommitteeDuty> {
        match self {
            Self::Sync(duty) => Some(duty),
            _ => None,
        }
    }

    /// The validator's index on the chain.
    pub const fn index(&self) -> ValidatorIndex {
        match self {
            Self::Attester(duty) => duty.validator_index,
            Self::Proposer(duty) => duty.validator_index,
            Self::Sync(duty) => duty.validator_index,
        }
    }
}

/// The assignments behind one duty, by group public key.
pub type Definitions = BTreeMap<PublicKeyBytes, Definition>;

/// First pause before asking again after a failure; grows by 1.6 each time (spec 30 §1.7).
const FIRST_RETRY: Duration = Duration::from_millis(250);
/// Longest pause before asking again.
const LAST_RETRY: Duration = Duration::from_secs(12);

/// The pause before the `attempt`-th repetition, from 0.
pub(crate) fn retry_delay(attempt: u32) -> Duration {
    FIRST_RETRY
        .mul_f64(1.6_f64.powi(attempt.min(16) as i32))
        .min(LAST_RETRY)
}

/// Which list a kind of duty follows from; `None` for kinds that nothing schedules.
const fn roster_of(kind: DutyKind) -> Option<Roster> {
    match kind {
        DutyKind::Attester | DutyKind::PrepareAggregator | DutyKind::Aggregator => {
            Some(Roster::Attesters)
        }
        DutyKind::Proposer | DutyKind::Randao => Some(Roster::Proposers),
        DutyKind::SyncMessage | DutyKind::PrepareSyncContribution | DutyKind::SyncContribution => {
            Some(Roster::SyncCommittee)
        }
        DutyKind::Signature
        | DutyKind::Exit
        | DutyKind::BuilderProposer
        | DutyKind::BuilderRegistration
        | DutyKind::InfoSync => None,
    }
}

/// One list of one epoch. A sync committee sits in every slot.
#[derive(Debug, Default)]
struct Known {
    dependent_root: Root,
    slots: BTreeMap<Slot, Definitions>,
    every_slot: Definitions,
}

impl Known {
    fn new(chain: &Chain, epoch: Epoch, dependent_root: Root, assignments: Assignments) -> Self {
        let mut known = Self {
            dependent_root,
            ..Self::default()
        };
        let mut at = |slot, validator, definition| {
            if chain.epoch_of(slot) == epoch {
                let slot: &mut Definitions = known.slots.entry(slot).or_default();
                slot.insert(validator, definition);
            }
        };
        match assignments {
            Assignments::Attesters(list) => list
                .into_iter()
                .for_each(|duty| at(duty.slot, duty.pubkey, Definition::Attester(duty))),
            Assignments::Proposers(list) => list
                .into_iter()
                .for_each(|duty| at(duty.slot, duty.pubkey, Definition::Proposer(duty))),
            Assignments::SyncCommittee(list) => {
                known.every_slot = list
                    .into_iter()
                    .map(|duty| (duty.pubkey, Definition::Sync(duty)))
                    .collect();
            }
        }
        known
    }
}

/// What duties depend on, by the head (Beacon API, event `head`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadRoots {
    /// The head's epoch.
    pub epoch: Epoch,
    /// What attesters of the epoch depend on.
    pub previous: Root,
    /// What attesters of the next epoch depend on.
    pub current: Root,
}

impl HeadRoots {
    /// Whether a list that depends on `root` still holds.
    ///
    /// Before Fulu an epoch's proposers depend on the last block before it, so those of the next epoch can only be judged once
    /// it has begun. Since Fulu they are fixed an epoch earlier, by what attesters depend on, though nodes of before name the
    /// later block; a node that still does is asked again with every head.
    pub fn confirms(&self, chain: &Chain, of: Epoch, roster: Roster, root: Root) -> bool {
        let next = Epoch(self.epoch.0.saturating_add(1));
        match roster {
            Roster::Attesters if of == self.epoch => root == self.previous,
            Roster::Attesters if of == next => root == self.current,
            Roster::Proposers if of == self.epoch => {
                root == self.current || (Self::fixed_earlier(chain, of) && root == self.previous)
            }
            Roster::Proposers if of == next && Self::fixed_earlier(chain, of) => {
                root == self.current
            }
            _ => true,
        }
    }

    /// Whether an epoch's proposers are known an epoch ahead (EIP-7917).
    fn fixed_earlier(chain: &Chain, epoch: Epoch) -> bool {
        chain.fork_at(epoch) >= Fork::Fulu
    }
}

/// Asking the beacon node for one list.
#[derive(Debug, Default)]
struct Request {
    in_flight: bool,
    failures: u32,
    not_before: Timestamp,
}

/// Known duties of the previous, the current and the next epoch.
#[derive(Debug, Default)]
pub struct Schedule {
    known: BTreeMap<(Epoch, Roster), Known>,
    requests: BTreeMap<(Epoch, Roster), Request>,
}

impl Schedule {
    /// The assignments behind a duty, if its epoch is known and any of our validators has it.
    pub fn definitions(&self, duty: Duty, chain: &Chain) -> Option<&Definitions> {
        let (known, roster) = self.list(duty, chain)?;
        let definitions = match roster {
            Roster::SyncCommittee => Some(&known.every_slot),
            Roster::Attesters | Roster::Proposers => known.slots.get(&duty.slot),
        };
        definitions.filter(|definitions| !definitions.is_empty())
    }

    /// Whether the list is known that a duty's assignments are on, if there are any.
    pub fn is_listed(&self, duty: Duty, chain: &Chain) -> bool {
        self.list(duty, chain).is_some()
    }

    fn list(&self, duty: Duty, chain: &Chain) -> Option<(&Known, Roster)> {
        let roster = roster_of(duty.kind)?;
        // What a sync committee signs in a slot goes into the next slot's block, so that block's committee signs it.
        let slot = match roster {
            Roster::SyncCommittee => Slot(duty.slot.0.saturating_add(1)),
            Roster::Attesters | Roster::Proposers => duty.slot,
        };
        let known = self.known.get(&(chain.epoch_of(slot), roster))?;
        Some((known, roster))
    }

    /// Takes a list of an epoch's duties. Duties for slots outside it are ignored.
    pub fn learn(
        &mut self,
        chain: &Chain,
        epoch: Epoch,
        dependent_root: Root,
        assignments: Assignments,
    ) {
        let key = (epoch, assignments.roster());
        self.requests.remove(&key);
        let known = Known::new(chain, epoch, dependent_root, assignments);
        self.known.insert(key, known);
    }

    /// The beacon node did not give a list; it is asked for again after a pause.
    pub fn failed(&mut self, epoch: Epoch, roster: Roster, now: Timestamp) {
        let request = self.requests.entry((epoch, roster)).or_default();
        request.in_flight = false;
        request.not_before = now + retry_delay(request.failures);
        request.failures += 1;
    }

    /// The head moved: lists that depend on another root are asked for anew; the old ones stay until then.
    pub fn head(&mut self, chain: &Chain, head: &HeadRoots) {
        for (&(epoch, roster), known) in &self.known {
            if !head.confirms(chain, epoch, roster, known.dependent_root) {
                self.requests.entry((epoch, roster)).or_default();
            }
        }
    }

    /// The lists to ask for at `now`; forgets what is past. Each is named once until its answer is there.
    pub fn requests(&mut self, chain: &Chain, now: Timestamp) -> Vec<(Epoch, Roster)> {
        let current = chain.epoch_at(now);
        let oldest = Epoch(current.0.saturating_sub(1));
        self.known.retain(|&(epoch, _), _| epoch >= oldest);
        self.requests.retain(|&(epoch, _), _| epoch >= current);
        let next = Epoch(current.0 + 1);
        for roster in Roster::ALL {
            let wants_next = now >= Self::asks_for_next(chain, current, roster);
            for epoch in [Some(current), wants_next.then_some(next)]
                .into_iter()
                .flatten()
            {
                if !self.known.contains_key(&(epoch, roster)) {
                    self.requests.entry((epoch, roster)).or_default();
                }
            }
        }
        let mut due = Vec::new();
        for (&key, request) in &mut self.requests {
            if !request.in_flight && request.not_before <= now {
                request.in_flight = true;
                due.push(key);
            }
        }
        due
    }

    /// When a list of the next epoch is asked for. What is fixed by then is asked for soon, so that a beacon node that fails
    /// for a while fails nobody; before Fulu the next epoch's proposers are a guess, and are asked for late (S10).
    fn asks_for_next(chain: &Chain, epoch: Epoch, roster: Roster) -> Timestamp {
        let slots = chain.spec.slots_per_epoch;
        let next = Epoch(epoch.0.saturating_add(1));
        let guess = roster == Roster::Proposers && !HeadRoots::fixed_earlier(chain, next);
        let after = if guess { slots / 2 } else { slots / 8 };
        chain.slot_start(Slot(chain.first_slot(epoch).0 + after))
    }

    /// When [`requests`](Self::requests) will next have something to name.
    pub fn deadline(&self, chain: &Chain, now: Timestamp) -> Timestamp {
        let current = chain.epoch_at(now);
        let next_epoch = Epoch(current.0 + 1);
        let rollover = Roster::ALL
            .into_iter()
            .map(|roster| Self::asks_for_next(chain, current, roster))
            .filter(|at| *at > now)
            .fold(
                chain.slot_start(chain.first_slot(next_epoch)),
                Timestamp::min,
            );
        let retries = self
            .requests
            .values()
            .filter(|request| !request.in_flight)
            .map(|request| request.not_before);
        retries.fold(rollover, Timestamp::min)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use flotilla_types::{ChainSpec, ForkSchedule, ForkVersion};

    use super::*;

    const VALIDATOR: PublicKeyBytes = PublicKeyBytes([9; 48]);

    fn chain() -> Chain {
        Chain {
            spec: ChainSpec::mainnet_like(Duration::from_secs(12), 8, ForkVersion([1, 0, 0, 0])),
            genesis_time: Timestamp::from_secs(1),
            genesis_validators_root: Root([1; 32]),
        }
    }

    fn proposer(slot: u64) -> Assignments {
        Assignments::Proposers(vec![ProposerDuty {
            pubkey: VALIDATOR,
            validator_index: ValidatorIndex(5),
            slot: Slot(slot),
        }])
    }

    fn sync() -> Assignments {
        Assignments::SyncCommittee(vec![SyncCommitteeDuty {
            pubkey: VALIDATOR,
            validator_index: ValidatorIndex(5),
            positions: vec![3],
        }])
    }

    #[test]
    fn a_list_is_asked_for_again_only_when_its_root_changes() {
        let chain = chain();
        let now = chain.slot_start(Slot(0));
        let mut schedule = Schedule::default();
        assert_eq!(schedule.requests(&chain, now).len(), 3);
        assert!(schedule.requests(&chain, now).is_empty());
        schedule.learn(&chain, Epoch(0), Root([1; 32]), proposer(3));
        let head = |current| HeadRoots {
            epoch: Epoch(0),
            previous: Root([2; 32]),
            current: Root([current; 32]),
        };
        schedule.head(&chain, &head(1));
        assert!(schedule.requests(&chain, now).is_empty());
        schedule.head(&chain, &head(3));
        assert_eq!(
            schedule.requests(&chain, now),
            [(Epoch(0), Roster::Proposers)]
        );
        let duty = Duty::new(Slot(3), DutyKind::Proposer);
        assert!(schedule.definitions(duty, &chain).is_some());
    }

    #[test]
    fn a_head_judges_the_next_epochs_proposers_once_they_are_fixed() {
        let (fulu, mut before) = (chain(), chain());
        before.spec.forks = ForkSchedule::new(ForkVersion([0; 4]), [], Vec::new()).unwrap();
        let head = HeadRoots {
            epoch: Epoch(0),
            previous: Root([2; 32]),
            current: Root([3; 32]),
        };
        let confirms = |chain: &Chain, of, root| {
            head.confirms(chain, Epoch(of), Roster::Proposers, Root([root; 32]))
        };
        assert!(confirms(&fulu, 1, 3) && !confirms(&fulu, 1, 2));
        // Which block they depend on has yet to come.
        assert!(confirms(&before, 1, 2));
        assert!(confirms(&fulu, 0, 2) && confirms(&fulu, 0, 3));
        assert!(!confirms(&before, 0, 2));
    }

    #[test]
    fn the_committee_of_the_next_slot_signs() {
        let chain = chain();
        let mut schedule = Schedule::default();
        schedule.learn(&chain, Epoch(1), Root::default(), sync());
        let has = |slot| {
            let duty = Duty::new(Slot(slot), DutyKind::SyncMessage);
            schedule.definitions(duty, &chain).is_some()
        };
        assert!(!has(6));
        assert!(has(7) && has(14));
        assert!(!has(15));
    }

    #[test]
    fn a_failed_list_is_asked_for_again_after_a_pause() {
        let chain = chain();
        let now = chain.slot_start(Slot(0));
        let mut schedule = Schedule::default();
        schedule.requests(&chain, now);
        schedule.failed(Epoch(0), Roster::Attesters, now);
        assert!(schedule.requests(&chain, now).is_empty());
        let later = schedule.deadline(&chain, now);
        assert_eq!(later, now + FIRST_RETRY);
        assert_eq!(
            schedule.requests(&chain, later),
            [(Epoch(0), Roster::Attesters)]
        );
    }
}
