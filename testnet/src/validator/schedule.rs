//! Which validators there are and what they have to do, and what of that a new head makes doubtful.
//!
//! Data only: `keeper` fills it.

use std::collections::BTreeMap;
use std::sync::Arc;

use flotilla_types::{
    AttesterDuty, Epoch, ProposerDuty, PublicKeyBytes, Root, Slot, SyncCommitteeDuty,
    ValidatorIndex,
};

use super::events::Head;

/// Lists of an epoch are kept until this many epochs later.
const EPOCHS_KEPT: u64 = 2;

/// Duties of an epoch with what they depend on.
#[derive(Clone, Debug, Default)]
struct Attesters {
    dependent_root: Root,
    duties: Arc<Vec<AttesterDuty>>,
}

/// All that is known of validators and duties.
#[derive(Clone, Debug, Default)]
pub(super) struct Duties {
    /// Own validators that are active, with the keys they are called by here: shares' keys behind a middleware.
    pub(super) validators: Arc<BTreeMap<ValidatorIndex, PublicKeyBytes>>,
    attesters: BTreeMap<Epoch, Attesters>,
    proposers: BTreeMap<Epoch, Arc<Vec<ProposerDuty>>>,
    sync: BTreeMap<Epoch, Arc<Vec<SyncCommitteeDuty>>>,
    /// What the newest head says that duties of its epoch depend on.
    roots: BTreeMap<Epoch, (Root, Root)>,
}

impl Duties {
    /// Own attesters of a slot; `None` while they are not known.
    pub(super) fn attesters(&self, epoch: Epoch, slot: Slot) -> Option<Vec<AttesterDuty>> {
        let duties = &self.attesters.get(&epoch)?.duties;
        Some(
            duties
                .iter()
                .filter(|duty| duty.slot == slot)
                .copied()
                .collect(),
        )
    }

    /// All own attesters of an epoch; `None` while they are not known.
    pub(super) fn attesters_of(&self, epoch: Epoch) -> Option<Arc<Vec<AttesterDuty>>> {
        let attesters = self.attesters.get(&epoch)?;
        Some(Arc::clone(&attesters.duties))
    }

    /// The own proposers of a slot, one at most; `None` while they are not known.
    pub(super) fn proposers(&self, epoch: Epoch, slot: Slot) -> Option<Vec<ProposerDuty>> {
        let duties = self.proposers.get(&epoch)?;
        Some(
            duties
                .iter()
                .filter(|duty| duty.slot == slot)
                .copied()
                .collect(),
        )
    }

    /// Own members of the sync committee of an epoch; `None` while they are not known.
    pub(super) fn sync(&self, epoch: Epoch) -> Option<Arc<Vec<SyncCommitteeDuty>>> {
        self.sync.get(&epoch).cloned()
    }

    /// Whether an epoch's proposers are known.
    pub(super) fn has_proposers(&self, epoch: Epoch) -> bool {
        self.proposers.contains_key(&epoch)
    }

    /// Whether an epoch's attesters are known.
    pub(super) fn has_attesters(&self, epoch: Epoch) -> bool {
        self.attesters.contains_key(&epoch)
    }

    /// Whether an epoch's sync committee members are known.
    pub(super) fn has_sync(&self, epoch: Epoch) -> bool {
        self.sync.contains_key(&epoch)
    }

    /// Replaces an epoch's attesters; strangers are left out.
    pub(super) fn set_attesters(
        &mut self,
        epoch: Epoch,
        dependent_root: Root,
        mut duties: Vec<AttesterDuty>,
    ) {
        duties.retain(|duty| self.validators.contains_key(&duty.validator_index));
        let duties = Arc::new(duties);
        let attesters = Attesters {
            dependent_root,
            duties,
        };
        self.attesters.insert(epoch, attesters);
    }

    /// Replaces an epoch's proposers; strangers are left out.
    pub(super) fn set_proposers(&mut self, epoch: Epoch, mut duties: Vec<ProposerDuty>) {
        duties.retain(|duty| self.validators.contains_key(&duty.validator_index));
        self.proposers.insert(epoch, Arc::new(duties));
    }

    /// Replaces an epoch's sync committee members; strangers are left out.
    pub(super) fn set_sync(&mut self, epoch: Epoch, mut duties: Vec<SyncCommitteeDuty>) {
        duties.retain(|duty| self.validators.contains_key(&duty.validator_index));
        self.sync.insert(epoch, Arc::new(duties));
    }

    /// Drops what is long over.
    pub(super) fn forget_before(&mut self, epoch: Epoch) {
        let first = Epoch(epoch.0.saturating_sub(EPOCHS_KEPT));
        self.attesters = self.attesters.split_off(&first);
        self.proposers = self.proposers.split_off(&first);
        self.sync = self.sync.split_off(&first);
        self.roots = self.roots.split_off(&first);
    }

    /// Which attesters and proposers a new head makes doubtful: those that depend on another block than it says. Read
    /// again, they are taken for good until a head says something new, whatever the node says they depend on.
    pub(super) fn doubtful(&mut self, epoch: Epoch, head: &Head) -> (Vec<Epoch>, Vec<Epoch>) {
        let roots = (
            head.previous_duty_dependent_root,
            head.current_duty_dependent_root,
        );
        let before = self.roots.insert(epoch, roots);
        if before == Some(roots) {
            return (Vec::new(), Vec::new());
        }
        let next = Epoch(epoch.0 + 1);
        let stale = |epoch: &Epoch, root: Root| {
            let attesters = self.attesters.get(epoch);
            attesters.is_some_and(|attesters| attesters.dependent_root != root)
        };
        let mut attesters = Vec::new();
        attesters.extend(stale(&epoch, roots.0).then_some(epoch));
        attesters.extend(stale(&next, roots.1).then_some(next));
        // The answer's own root is no help here: forks define it differently.
        let moved = before.is_some() && self.proposers.contains_key(&epoch);
        (attesters, moved.then_some(epoch).into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: Epoch = Epoch(4);
    const NEXT: Epoch = Epoch(5);

    fn head(previous: u8, current: u8) -> Head {
        Head {
            slot: Slot(33),
            previous_duty_dependent_root: Root([previous; 32]),
            current_duty_dependent_root: Root([current; 32]),
        }
    }

    /// Both epochs known, this one's attesters depending on block 1 and the next one's on block 2.
    fn known() -> Duties {
        let attesters = |root| Attesters {
            dependent_root: Root([root; 32]),
            duties: Arc::default(),
        };
        Duties {
            attesters: BTreeMap::from([(EPOCH, attesters(1)), (NEXT, attesters(2))]),
            proposers: BTreeMap::from([(EPOCH, Arc::default())]),
            ..Duties::default()
        }
    }

    #[test]
    fn a_head_that_agrees_makes_nothing_doubtful() {
        let mut duties = known();
        assert_eq!(duties.doubtful(EPOCH, &head(1, 2)), (vec![], vec![]));
    }

    #[test]
    fn attesters_of_another_dependent_root_are_doubtful() {
        let mut duties = known();
        assert_eq!(duties.doubtful(EPOCH, &head(9, 2)).0, [EPOCH]);
        let mut duties = known();
        assert_eq!(duties.doubtful(EPOCH, &head(1, 9)).0, [NEXT]);
    }

    #[test]
    fn the_same_doubt_is_raised_once() {
        let mut duties = known();
        assert_eq!(duties.doubtful(EPOCH, &head(9, 9)).0, [EPOCH, NEXT]);
        assert_eq!(duties.doubtful(EPOCH, &head(9, 9)), (vec![], vec![]));
    }

    #[test]
    fn proposers_are_doubtful_when_the_roots_move() {
        let mut duties = known();
        assert_eq!(duties.doubtful(EPOCH, &head(1, 2)).1, []);
        assert_eq!(duties.doubtful(EPOCH, &head(1, 3)).1, [EPOCH]);
    }

    #[test]
    fn old_epochs_are_forgotten() {
        let mut duties = known();
        duties.forget_before(Epoch(7));
        assert!(duties.attesters_of(EPOCH).is_none());
        assert!(duties.attesters_of(NEXT).is_some());
    }
}
