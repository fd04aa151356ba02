//! Which validators have which duty when: the beacon node's duties by epoch, and when to ask for them again.
//!
//! Duties of an epoch are fixed by a block root, the dependent root. Other duties for the same epoch replace the known ones
//! only when that root changes, so a reorg can never leave stale duties behind, and a repeated answer changes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use flotilla_types::{AttesterDuty, Chain, Epoch, PublicKeyBytes, Root, Slot, Timestamp};

/// The attester duties of one slot, by group public key.
pub type Definitions = BTreeMap<PublicKeyBytes, AttesterDuty>;

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

#[derive(Debug, Default)]
struct EpochDuties {
    dependent_root: Root,
    slots: BTreeMap<Slot, Definitions>,
}

/// Asking the beacon node for one epoch.
#[derive(Debug, Default)]
struct Request {
    in_flight: bool,
    failures: u32,
    not_before: Timestamp,
}

/// Known duties of the previous, the current and the next epoch.
#[derive(Debug, Default)]
pub struct Schedule {
    epochs: BTreeMap<Epoch, EpochDuties>,
    requests: BTreeMap<Epoch, Request>,
}

impl Schedule {
    /// The validators with an attester duty in `slot`, if its epoch is known.
    pub fn attesters(&self, slot: Slot, chain: &Chain) -> Option<&Definitions> {
        self.epochs.get(&chain.epoch_of(slot))?.slots.get(&slot)
    }

    /// Takes the duties of an epoch. Duties for slots outside it are ignored.
    pub fn learn(
        &mut self,
        chain: &Chain,
        epoch: Epoch,
        dependent_root: Root,
        attesters: Vec<AttesterDuty>,
    ) {
        self.requests.remove(&epoch);
        let mut slots: BTreeMap<Slot, Definitions> = BTreeMap::new();
        for duty in attesters
            .into_iter()
            .filter(|duty| chain.epoch_of(duty.slot) == epoch)
        {
            slots
                .entry(duty.slot)
                .or_default()
                .insert(duty.pubkey, duty);
        }
        self.epochs.insert(
            epoch,
            EpochDuties {
                dependent_root,
                slots,
            },
        );
    }

    /// The beacon node did not give the duties of an epoch; they are asked for again after a pause.
    pub fn failed(&mut self, epoch: Epoch, now: Timestamp) {
        let request = self.requests.entry(epoch).or_default();
        request.in_flight = false;
        request.not_before = now + retry_delay(request.failures);
        request.failures += 1;
    }

    /// The head moved: duties of `epoch` that depend on another root are asked for anew; the old ones stay until then.
    pub fn head(&mut self, epoch: Epoch, dependent_root: Root) {
        let stale = self
            .epochs
            .get(&epoch)
            .is_some_and(|known| known.dependent_root != dependent_root);
        if stale && !self.requests.contains_key(&epoch) {
            self.requests.insert(epoch, Request::default());
        }
    }

    /// The epochs to ask for at `now`; forgets what is past. Each is named once until its answer is there.
    pub fn requests(&mut self, chain: &Chain, now: Timestamp) -> Vec<Epoch> {
        let current = chain
            .slot_at(now)
            .map_or(Epoch(0), |slot| chain.epoch_of(slot));
        let oldest = Epoch(current.0.saturating_sub(1));
        self.epochs.retain(|&epoch, _| epoch >= oldest);
        self.requests.retain(|&epoch, _| epoch >= current);
        for epoch in [Some(current), self.wants_next(chain, now, current)]
            .into_iter()
            .flatten()
        {
            if !self.epochs.contains_key(&epoch) {
                self.requests.entry(epoch).or_default();
            }
        }
        let mut due = Vec::new();
        for (&epoch, request) in &mut self.requests {
            if !request.in_flight && request.not_before <= now {
                request.in_flight = true;
                due.push(epoch);
            }
        }
        due
    }

    /// The next epoch is asked for in the second half of the current one.
    fn wants_next(&self, chain: &Chain, now: Timestamp, current: Epoch) -> Option<Epoch> {
        (now >= Self::half_way(chain, current)).then_some(Epoch(current.0 + 1))
    }

    fn half_way(chain: &Chain, epoch: Epoch) -> Timestamp {
        let half = Slot(chain.first_slot(epoch).0 + chain.spec.slots_per_epoch / 2);
        chain.slot_start(half)
    }

    /// When [`requests`](Self::requests) will next have something to name.
    pub fn deadline(&self, chain: &Chain, now: Timestamp) -> Timestamp {
        let current = chain
            .slot_at(now)
            .map_or(Epoch(0), |slot| chain.epoch_of(slot));
        let half_way = Self::half_way(chain, current);
        let next_epoch = Epoch(current.0 + 1);
        let rollover = match now < half_way {
            true => half_way,
            false => chain.slot_start(chain.first_slot(next_epoch)),
        };
        let retries = self
            .requests
            .values()
            .filter(|request| !request.in_flight)
            .map(|request| request.not_before);
        retries.fold(rollover, Timestamp::min)
    }
}
