//! A node in memory: four members, this one the second, and two validators.

use std::{
    future::pending,
    sync::{Arc, Mutex},
};

use flotilla_beacon::server::{
    ApiError, Combining, Duties, ItemFailure, KeyTable, Partial, Roster, SignError, ValidatorApi,
    ValidatorFields, ValidatorKeys, ValidatorState,
};
use flotilla_types::{
    AggregateValue, Attestation, AttestationData, AttesterDuty, Bitlist, CommitteeIndex, Epoch,
    Fork, PeerIndex, Proposal, ProposerDuty, PublicKeyBytes, Root, SignatureBytes, SignedData,
    Slot, SyncCommitteeContribution, SyncCommitteeDuty, ValidatorIndex,
};
use futures::FutureExt as _;
use tokio::sync::watch;

/// The first validator, and the second.
pub(crate) const INDICES: [ValidatorIndex; 2] = [ValidatorIndex(7), ValidatorIndex(8)];
/// A slot of which nothing is ever decided.
pub(crate) const UNDECIDED: Slot = Slot(99);
/// The epoch's dependent root.
pub(crate) const DEPENDENT: Root = Root([0xdd; 32]);

pub(crate) fn group(validator: usize) -> PublicKeyBytes {
    PublicKeyBytes([0x10 * (validator as u8 + 1); 48])
}

/// The share of a member, from 0.
pub(crate) fn share(validator: usize, peer: u8) -> PublicKeyBytes {
    PublicKeyBytes([0x10 * (validator as u8 + 1) + 1 + peer; 48])
}

/// This member's share.
pub(crate) fn own(validator: usize) -> PublicKeyBytes {
    share(validator, 1)
}

pub(crate) struct Memory {
    keys: KeyTable,
    pub(crate) roster: watch::Sender<Option<Arc<Roster>>>,
    /// What was handed in.
    pub(crate) signed: Mutex<Vec<Partial>>,
    /// How the next partials are refused.
    pub(crate) refusals: Mutex<Vec<ItemFailure>>,
    /// Duties asked for.
    pub(crate) asked: Mutex<Vec<ValidatorIndex>>,
    /// The decided block.
    pub(crate) block: Mutex<Option<Proposal>>,
}

impl Memory {
    pub(crate) fn new() -> Self {
        let keys = (0..2).map(|validator| ValidatorKeys {
            group: group(validator),
            shares: (0..4).map(|peer| share(validator, peer)).collect(),
        });
        let indices = INDICES.into_iter().zip([group(0), group(1)]);
        Self {
            keys: KeyTable::new(PeerIndex::new(1), keys),
            roster: watch::Sender::new(Some(Arc::new(Roster::new(indices)))),
            signed: Mutex::default(),
            refusals: Mutex::default(),
            asked: Mutex::default(),
            block: Mutex::default(),
        }
    }

    pub(crate) fn taken(&self) -> Vec<(PublicKeyBytes, SignedData)> {
        let signed = self.signed.lock().unwrap();
        signed
            .iter()
            .map(|partial| (partial.validator, partial.data.clone()))
            .collect()
    }

    fn duties<Duty>(&self, items: Vec<Duty>) -> Result<Duties<Duty>, ApiError> {
        Ok(Duties {
            dependent_root: DEPENDENT,
            execution_optimistic: true,
            items,
        })
    }
}

/// Where a key's validator is among the two.
fn place(index: ValidatorIndex) -> usize {
    INDICES.iter().position(|known| *known == index).unwrap()
}

impl ValidatorApi for Memory {
    fn keys(&self) -> &KeyTable {
        &self.keys
    }

    async fn roster(&self) -> Arc<Roster> {
        let mut roster = self.roster.subscribe();
        let known = roster.wait_for(Option::is_some).await.unwrap();
        known.clone().unwrap()
    }

    async fn attester_duties(
        &self,
        _: Epoch,
        validators: Vec<ValidatorIndex>,
    ) -> Result<Duties<AttesterDuty>, ApiError> {
        self.asked.lock().unwrap().extend(&validators);
        let duty = |index| AttesterDuty {
            pubkey: group(place(index)),
            validator_index: index,
            ..AttesterDuty::default()
        };
        self.duties(validators.into_iter().map(duty).collect())
    }

    async fn proposer_duties(&self, _: Epoch) -> Result<Duties<ProposerDuty>, ApiError> {
        let duty = |pubkey| ProposerDuty {
            pubkey,
            ..ProposerDuty::default()
        };
        self.duties(vec![duty(group(0)), duty(PublicKeyBytes([0xff; 48]))])
    }

    async fn sync_duties(
        &self,
        _: Epoch,
        validators: Vec<ValidatorIndex>,
    ) -> Result<Duties<SyncCommitteeDuty>, ApiError> {
        let duty = |index| SyncCommitteeDuty {
            pubkey: group(place(index)),
            validator_index: index,
            positions: vec![3, 200],
        };
        self.duties(validators.into_iter().map(duty).collect())
    }

    async fn validators(
        &self,
        state: &str,
        validators: Vec<PublicKeyBytes>,
    ) -> Result<Vec<ValidatorState>, ApiError> {
        if state != "head" {
            return Err(ApiError::NotFound(format!("no state {state}")));
        }
        let entry = |pubkey: PublicKeyBytes| ValidatorState {
            index: INDICES[usize::from(pubkey == group(1))],
            balance: 32_000_000_001,
            status: "active_ongoing".to_owned(),
            validator: ValidatorFields {
                pubkey,
                withdrawal_credentials: Root([1; 32]),
                effective_balance: 32_000_000_000,
                slashed: false,
                activation_eligibility_epoch: Epoch(0),
                activation_epoch: Epoch(1),
                exit_epoch: Epoch::FAR_FUTURE,
                withdrawable_epoch: Epoch::FAR_FUTURE,
            },
        };
        Ok(validators.into_iter().map(entry).collect())
    }

    async fn committee_member(
        &self,
        _: Slot,
        committee: CommitteeIndex,
        place: u64,
    ) -> Result<Option<PublicKeyBytes>, ApiError> {
        Ok((committee == CommitteeIndex(3) && place == 5).then(|| group(0)))
    }

    async fn attestation_data(
        &self,
        slot: Slot,
        index: CommitteeIndex,
    ) -> Result<AttestationData, ApiError> {
        if slot == UNDECIDED {
            return pending().await;
        }
        Ok(AttestationData {
            slot,
            index,
            ..AttestationData::default()
        })
    }

    async fn aggregate(
        &self,
        slot: Slot,
        root: Root,
        _: CommitteeIndex,
    ) -> Result<AggregateValue, ApiError> {
        let data = AttestationData {
            slot,
            beacon_block_root: root,
            ..AttestationData::default()
        };
        let aggregate = Attestation::Phase0 {
            aggregation_bits: Bitlist::with_one(9, 3).unwrap(),
            data,
            signature: SignatureBytes([1; 96]),
        };
        let fork = Some(Fork::Deneb);
        Ok(AggregateValue { fork, aggregate })
    }

    async fn contribution(
        &self,
        slot: Slot,
        subcommittee_index: u64,
        beacon_block_root: Root,
    ) -> Result<SyncCommitteeContribution, ApiError> {
        if subcommittee_index > 3 {
            return Err(ApiError::Internal("a secret of the node".to_owned()));
        }
        Ok(SyncCommitteeContribution {
            slot,
            beacon_block_root,
            subcommittee_index,
            ..SyncCommitteeContribution::default()
        })
    }

    async fn proposal(
        &self,
        _: Slot,
        randao_reveal: SignatureBytes,
        _: Option<Root>,
    ) -> Result<Proposal, ApiError> {
        if randao_reveal == SignatureBytes::default() {
            return Err(ApiError::Invalid("randao reveal of no share".to_owned()));
        }
        let block = self.block.lock().unwrap().clone();
        block.ok_or_else(|| ApiError::Unavailable("no block".to_owned()))
    }

    async fn sign(&self, partials: Vec<Partial>) -> Result<(), SignError> {
        self.signed.lock().unwrap().extend(partials);
        let refusals = std::mem::take(&mut *self.refusals.lock().unwrap());
        match refusals.is_empty() {
            true => Ok(()),
            false => Err(SignError::Items(refusals)),
        }
    }

    /// The group's proof of a slot is the slot's number all over.
    async fn combine(&self, partials: Vec<Partial>) -> Result<Vec<Combining>, ApiError> {
        let waits = partials.iter().map(|partial| {
            let slot = partial.data.slot().unwrap();
            async move {
                match slot == UNDECIDED {
                    true => pending().await,
                    false => Ok(SignatureBytes([slot.0 as u8; 96])),
                }
            }
            .boxed()
        });
        Ok(waits.collect())
    }
}
