//! What becomes of an attestation that is brought to a beacon node: included, late, a duplicate, or refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use flotilla_types::{Epoch, SingleAttestation, Slot, Timestamp, ValidatorIndex};

use super::{EpochDuties, History, Registry, SlashingWatch};

/// Slots whose attestations are remembered, at least: two epochs of the mainnet preset.
const SLOTS_KEPT: u64 = 64;
/// Epochs whose shuffling is remembered.
const EPOCHS_KEPT: usize = 6;

/// Why an attestation is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Fault {
    /// The validator is none of the cluster's.
    #[error("validator {0} is not known")]
    UnknownValidator(u64),
    /// The signature does not verify under the group public key.
    #[error("the signature does not verify under the validator's public key")]
    BadSignature,
    /// Its slot has not begun.
    #[error("slot {0} has not begun")]
    TooEarly(u64),
    /// Its slot is too far back to be included at all.
    #[error("slot {0} is too old")]
    TooOld(u64),
    /// The validator has no duty in that slot.
    #[error("the validator does not attest in slot {0}")]
    WrongSlot(u64),
    /// The validator is in another committee.
    #[error("the validator is in committee {expected}, not {found}")]
    WrongCommittee {
        /// The committee the shuffling put it in.
        expected: u64,
        /// The committee named.
        found: u64,
    },
    /// The signed data names a committee, which is illegal since Electra (EIP-7549).
    #[error("the attestation data has index {0}; only 0 is legal at this fork")]
    IllegalIndex(u64),
    /// The head is not the chain's head of that slot.
    #[error("the head is not the block of the slot")]
    WrongHead,
    /// The source is not the justified checkpoint.
    #[error("the source is not the justified checkpoint")]
    WrongSource,
    /// The target is not the epoch's checkpoint.
    #[error("the target is not the checkpoint of the epoch")]
    WrongTarget,
}

impl Fault {
    /// A short name without numbers, for counting.
    pub fn label(self) -> &'static str {
        match self {
            Fault::UnknownValidator(_) => "unknown validator",
            Fault::BadSignature => "bad signature",
            Fault::TooEarly(_) => "too early",
            Fault::TooOld(_) => "too old",
            Fault::WrongSlot(_) => "wrong slot",
            Fault::WrongCommittee { .. } => "wrong committee",
            Fault::IllegalIndex(_) => "illegal index",
            Fault::WrongHead => "wrong head",
            Fault::WrongSource => "wrong source",
            Fault::WrongTarget => "wrong target",
        }
    }
}

/// What became of one submitted attestation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The first of its kind, with the right head, before the next slot began: inclusion distance 1.
    Included,
    /// The first of its kind and valid, but only after the next slot had begun.
    Late,
    /// The same attestation had been brought before, by this node or another.
    Duplicate,
    /// Not acceptable.
    Refused(Fault),
}

/// When and where an attestation was first brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When the request was received, before anything was checked.
    pub at: Timestamp,
    /// Which operator's endpoint received it.
    pub endpoint: usize,
}

/// Counts over the whole run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Submissions refused, duplicates apart.
    pub rejected: u64,
    /// Submissions of an attestation that was already there.
    pub duplicates: u64,
    /// Pairs of conflicting signatures.
    pub slashable: u64,
    /// What was refused, by [`Fault::label`].
    pub faults: BTreeMap<&'static str, u64>,
}

/// The chain's book of attestations.
#[derive(Clone, Debug)]
pub struct Judge {
    history: History,
    registry: Arc<Registry>,
    duties: BTreeMap<Epoch, Arc<EpochDuties>>,
    /// First valid arrivals by slot and validator. At most one entry per duty and slot kept.
    books: BTreeMap<Slot, BTreeMap<ValidatorIndex, Arrival>>,
    watch: SlashingWatch,
    totals: Totals,
}

impl Judge {
    /// A judge with empty books.
    pub fn new(history: History, registry: Arc<Registry>) -> Self {
        Judge {
            history,
            registry,
            duties: BTreeMap::new(),
            books: BTreeMap::new(),
            watch: SlashingWatch::default(),
            totals: Totals::default(),
        }
    }

    /// Books a submission that was refused.
    pub fn reject(&mut self, fault: &'static str) {
        self.totals.rejected += 1;
        *self.totals.faults.entry(fault).or_default() += 1;
    }

    /// The attester duties of the cluster's validators in an epoch.
    pub fn duties(&mut self, epoch: Epoch) -> Arc<EpochDuties> {
        if let Some(duties) = self.duties.get(&epoch) {
            return duties.clone();
        }
        let duties = Arc::new(self.registry.duties(epoch));
        self.duties.insert(epoch, duties.clone());
        if self.duties.len() > EPOCHS_KEPT {
            self.duties.pop_first();
        }
        duties
    }

    /// Judges one attestation. `signature_valid` is the result of checking its signature under the group key of its
    /// `attester_index`.
    pub fn book(
        &mut self,
        arrival: Arrival,
        attestation: &SingleAttestation,
        signature_valid: bool,
    ) -> Judgement {
        let judgement = self.judge(arrival, attestation, signature_valid);
        match judgement {
            Judgement::Included | Judgement::Late => {}
            Judgement::Duplicate => self.totals.duplicates += 1,
            Judgement::Refused(fault) => {
                self.reject(fault.label());
            }
        }
        judgement
    }

    fn judge(
        &mut self,
        arrival: Arrival,
        attestation: &SingleAttestation,
        signature_valid: bool,
    ) -> Judgement {
        let validator = attestation.attester_index;
        if self.registry.key(validator).is_none() {
            return Judgement::Refused(Fault::UnknownValidator(validator.0));
        }
        if !signature_valid {
            return Judgement::Refused(Fault::BadSignature);
        }
        // Whatever is validly signed counts for slashing, acceptable or not.
        self.watch.note(validator, &attestation.data);
        if let Err(fault) = self.check(arrival.at, attestation) {
            return Judgement::Refused(fault);
        }
        let slot = attestation.data.slot;
        let book = self.books.entry(slot).or_default();
        if book.contains_key(&validator) {
            return Judgement::Duplicate;
        }
        book.insert(validator, arrival);
        if self.history.in_time(slot, arrival.at) {
            Judgement::Included
        } else {
            Judgement::Late
        }
    }

    /// Compares an attestation with the one that the chain expects of the validator.
    fn check(&mut self, now: Timestamp, attestation: &SingleAttestation) -> Result<(), Fault> {
        let data = &attestation.data;
        let slot = data.slot;
        let current = self
            .history
            .chain()
            .slot_at(now)
            .ok_or(Fault::TooEarly(slot.0))?;
        if slot > current {
            return Err(Fault::TooEarly(slot.0));
        }
        if slot < self.trim(current) {
            return Err(Fault::TooOld(slot.0));
        }
        let duties = self.duties(self.history.chain().epoch_of(slot));
        let duty = duties
            .get(&attestation.attester_index)
            .filter(|duty| duty.slot == slot);
        let duty = duty.ok_or(Fault::WrongSlot(slot.0))?;
        if duty.committee_index != attestation.committee_index {
            let (expected, found) = (duty.committee_index.0, attestation.committee_index.0);
            return Err(Fault::WrongCommittee { expected, found });
        }
        let expected = self.history.attestation_data(slot, slot);
        if data.index != expected.index {
            return Err(Fault::IllegalIndex(data.index.0));
        }
        if data.beacon_block_root != expected.beacon_block_root {
            return Err(Fault::WrongHead);
        }
        if data.source != expected.source {
            return Err(Fault::WrongSource);
        }
        if data.target != expected.target {
            return Err(Fault::WrongTarget);
        }
        Ok(())
    }

    /// Drops books that are too old and returns the oldest slot still accepted.
    fn trim(&mut self, current: Slot) -> Slot {
        let oldest = Slot(current.0.saturating_sub(self.slots_kept()));
        self.books = self.books.split_off(&oldest);
        oldest
    }

    /// How many slots back attestations are accepted and remembered.
    pub fn slots_kept(&self) -> u64 {
        SLOTS_KEPT.max(2 * self.history.chain().spec.slots_per_epoch)
    }

    /// The cluster's duties of a slot that is still in the books, each with its first valid arrival.
    pub fn results(&mut self, slot: Slot) -> BTreeMap<ValidatorIndex, Option<Arrival>> {
        let duties = self.duties(self.history.chain().epoch_of(slot));
        let book = self.books.get(&slot);
        let due = duties
            .values()
            .filter(|duty| duty.slot == slot)
            .map(|duty| duty.validator_index);
        due.map(|validator| {
            (
                validator,
                book.and_then(|book| book.get(&validator)).copied(),
            )
        })
        .collect()
    }

    /// What was counted so far.
    pub fn totals(&self) -> Totals {
        Totals {
            slashable: self.watch.pairs(),
            ..self.totals.clone()
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use flotilla_types::{
        Chain, ChainSpec, CommitteeIndex, ForkVersion, PublicKeyBytes, Root, SignatureBytes,
    };

    use super::*;
    use crate::chain::Seed;

    /// Eight slots an epoch of three seconds each, from second 1000.
    pub(crate) fn chain() -> Chain {
        Chain {
            spec: ChainSpec::mainnet_like(Duration::from_secs(3), 8, ForkVersion([0, 0, 0, 9])),
            genesis_time: Timestamp::from_secs(1_000),
            genesis_validators_root: Root([9; 32]),
        }
    }

    fn judge() -> Judge {
        let history = History::new(Arc::new(chain()), Seed(7));
        let keys: Vec<_> = (0..8).map(|number| PublicKeyBytes([number; 48])).collect();
        Judge::new(history, Arc::new(Registry::new(Seed(7), &keys, 8, 64)))
    }

    /// The right attestation of the first duty in epoch 3, and a moment a second into its slot.
    fn attestation(judge: &mut Judge) -> (SingleAttestation, Arrival) {
        let duty = *judge.duties(Epoch(3)).values().next().unwrap();
        let attestation = SingleAttestation {
            committee_index: duty.committee_index,
            attester_index: duty.validator_index,
            data: judge.history.attestation_data(duty.slot, duty.slot),
            signature: SignatureBytes([0; 96]),
        };
        (
            attestation,
            arrival(judge, duty.slot, Duration::from_secs(1)),
        )
    }

    fn arrival(judge: &Judge, slot: Slot, after: Duration) -> Arrival {
        Arrival {
            at: judge.history.chain().slot_start(slot) + after,
            endpoint: 0,
        }
    }

    fn refused(change: impl FnOnce(&mut SingleAttestation, &mut Arrival)) -> Judgement {
        let mut judge = judge();
        let (mut attestation, mut at) = attestation(&mut judge);
        change(&mut attestation, &mut at);
        let judgement = judge.book(at, &attestation, true);
        assert_eq!(judge.totals().rejected, 1, "{judgement:?}");
        judgement
    }

    #[test]
    fn a_timely_attestation_is_included_once() {
        let mut judge = judge();
        let (attestation, at) = attestation(&mut judge);
        assert_eq!(judge.book(at, &attestation, true), Judgement::Included);
        assert_eq!(judge.book(at, &attestation, true), Judgement::Duplicate);
        let results = judge.results(attestation.data.slot);
        assert_eq!(results[&attestation.attester_index], Some(at));
        assert_eq!((judge.totals().duplicates, judge.totals().rejected), (1, 0));
    }

    #[test]
    fn an_attestation_after_the_next_slot_began_is_late_and_not_refused() {
        let mut judge = judge();
        let (attestation, _) = attestation(&mut judge);
        let late = arrival(&judge, attestation.data.slot, Duration::from_secs(3));
        assert_eq!(judge.book(late, &attestation, true), Judgement::Late);
        assert_eq!(judge.totals().rejected, 0);
    }

    #[test]
    fn a_late_copy_is_a_duplicate() {
        let mut judge = judge();
        let (attestation, at) = attestation(&mut judge);
        judge.book(at, &attestation, true);
        let late = arrival(&judge, attestation.data.slot, Duration::from_secs(60));
        assert_eq!(judge.book(late, &attestation, true), Judgement::Duplicate);
    }

    #[test]
    fn a_bad_signature_is_refused_and_is_no_evidence() {
        let mut judge = judge();
        let (attestation, at) = attestation(&mut judge);
        assert_eq!(
            judge.book(at, &attestation, false),
            Judgement::Refused(Fault::BadSignature)
        );
        let mut other = attestation;
        other.data.beacon_block_root = Root([1; 32]);
        judge.book(at, &other, true);
        assert_eq!(judge.totals().slashable, 0);
    }

    #[test]
    fn a_refused_vote_still_counts_for_slashing() {
        let mut judge = judge();
        let (attestation, at) = attestation(&mut judge);
        judge.book(at, &attestation, true);
        let mut other = attestation;
        other.data.beacon_block_root = Root([1; 32]);
        assert_eq!(
            judge.book(at, &other, true),
            Judgement::Refused(Fault::WrongHead)
        );
        assert_eq!(judge.totals().slashable, 1);
    }

    #[test]
    fn what_the_chain_does_not_expect_is_refused() {
        use Judgement::Refused;
        assert_eq!(
            refused(|a, _| a.data.beacon_block_root = Root([1; 32])),
            Refused(Fault::WrongHead)
        );
        assert_eq!(
            refused(|a, _| a.data.source.epoch = Epoch(0)),
            Refused(Fault::WrongSource)
        );
        assert_eq!(
            refused(|a, _| a.data.target.root = Root([1; 32])),
            Refused(Fault::WrongTarget)
        );
        assert_eq!(
            refused(|a, _| a.data.index = CommitteeIndex(1)),
            Refused(Fault::IllegalIndex(1))
        );
        assert_eq!(
            refused(|a, _| a.attester_index = ValidatorIndex(u64::MAX)),
            Refused(Fault::UnknownValidator(u64::MAX))
        );
        assert!(matches!(
            refused(|a, _| a.committee_index.0 += 1),
            Refused(Fault::WrongCommittee { .. })
        ));
        assert!(matches!(
            refused(|a, _| a.data.slot.0 -= 1),
            Refused(Fault::WrongSlot(_))
        ));
    }

    #[test]
    fn an_attestation_before_its_slot_is_refused() {
        let early = refused(|attestation, arrival| {
            arrival.at = Timestamp::from_secs(1_000 + 3 * (attestation.data.slot.0 - 1))
        });
        assert!(matches!(early, Judgement::Refused(Fault::TooEarly(_))));
        let before_genesis = refused(|_, arrival| arrival.at = Timestamp::from_secs(1));
        assert!(matches!(
            before_genesis,
            Judgement::Refused(Fault::TooEarly(_))
        ));
    }

    #[test]
    fn an_attestation_older_than_the_books_is_refused() {
        let old = refused(|attestation, arrival| {
            arrival.at = Timestamp::from_secs(1_000 + 3 * (attestation.data.slot.0 + 65))
        });
        assert!(matches!(old, Judgement::Refused(Fault::TooOld(_))));
    }

    #[test]
    fn books_hold_a_window_of_slots() {
        let mut judge = judge();
        for epoch in 0..100 {
            for duty in judge.duties(Epoch(epoch)).values() {
                let attestation = SingleAttestation {
                    committee_index: duty.committee_index,
                    attester_index: duty.validator_index,
                    data: judge.history.attestation_data(duty.slot, duty.slot),
                    signature: SignatureBytes([0; 96]),
                };
                let at = arrival(&judge, duty.slot, Duration::from_secs(1));
                assert_ne!(judge.book(at, &attestation, true), Judgement::Duplicate);
            }
        }
        assert!(
            judge.books.len() as u64 <= judge.slots_kept() + 1 && judge.duties.len() <= EPOCHS_KEPT
        );
        assert_eq!(judge.totals().rejected, 0);
    }
}
