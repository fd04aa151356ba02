//! The node behind the validator API: a client's requests in the engine's words, and the engine's answers in the client's.
//!
//! Partial signatures are verified under this node's share before the engine sees them. Nothing is decided here, and nothing
//! is answered from ignorance: what is not known yet is waited for.

mod checks;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flotilla_beacon::client::QueryError;
use flotilla_beacon::server::{
    ApiError, Combining, Duties, ItemFailure, KeyTable, Partial as Offered, Roster as Indices,
    SignError, ValidatorApi, ValidatorKeys, ValidatorState,
};
use flotilla_duty::io::{
    Assignments, Item, NotTaken, Partial, PartialSet, Question, Reply, Roster,
};
use flotilla_types::{
    AggregateValue, AttestationData, AttesterDuty, CommitteeIndex, Duty, DutyKind, Epoch, Proposal,
    ProposerDuty, PublicKeyBytes, RandaoReveal, Root, SignatureBytes, SignedData, Slot,
    SyncCommitteeContribution, SyncCommitteeDuty, ValidatorIndex,
};
use futures::FutureExt as _;
use tracing::debug;

use crate::duties::List;
use crate::shell::Parts;
use crate::workers::jobs::{self, Signed};

/// How often the beacon node is asked again for what is not known yet.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// One cluster's node, as its validator client sees it.
pub(crate) struct Api {
    parts: Arc<Parts>,
    keys: KeyTable,
}

impl Api {
    /// Of a cluster with these validators: group key, and public shares in the peers' order.
    pub fn new(
        parts: Arc<Parts>,
        validators: impl IntoIterator<Item = (PublicKeyBytes, Vec<PublicKeyBytes>)>,
    ) -> Self {
        let keys = |(group, shares)| ValidatorKeys { group, shares };
        let keys = KeyTable::new(parts.me, validators.into_iter().map(keys));
        Self { parts, keys }
    }

    async fn list(&self, epoch: Epoch, roster: Roster) -> Result<Arc<List>, ApiError> {
        let list = self.parts.rosters.get(&self.parts.beacon, epoch, roster);
        list.await.map_err(upstream)
    }

    async fn ask(&self, question: Question) -> Result<Reply, ApiError> {
        let duty = question.duty();
        match self.parts.clients.ask(question).await {
            Reply::None => Err(ApiError::NotFound(format!(
                "the cluster has decided nothing of this for {duty}"
            ))),
            reply => Ok(reply),
        }
    }

    /// Verifies and sorts partial signatures by message: the engine takes those of one duty and part at a time.
    async fn check(
        &self,
        offered: Vec<Offered>,
        failures: &mut Vec<ItemFailure>,
    ) -> Result<BTreeMap<(Duty, u64), Vec<(usize, PublicKeyBytes, Partial)>>, ApiError> {
        let chain = &self.parts.chain;
        let mut roots: Vec<Root> = Vec::with_capacity(offered.len());
        let mut signed = Vec::new();
        for (index, Offered { validator, data }) in offered.iter().enumerate() {
            let root = data.signing_root(chain);
            roots.push(root);
            let share = self.parts.me.get();
            let signature = *data.signature();
            signed.push((index, Signed::by_share(*validator, share, root, signature)));
            signed.extend(checks::inner(*validator, data, chain).map(|signed| (index, signed)));
        }
        let keys = Arc::clone(&self.parts.keys);
        let bad = jobs::verify(&self.parts.workers, keys, signed)
            .await
            .map_err(|error| ApiError::Internal(error.to_string()))?;
        let mut sets: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (index, Offered { validator, data }) in offered.into_iter().enumerate() {
            if bad.contains(&index) {
                let message = self.whose(&validator, &data, roots[index]);
                failures.push(ItemFailure { index, message });
                continue;
            }
            let key = (checks::duty_of(&data, chain), data.item());
            let partial = Partial {
                signing_root: roots[index],
                data,
            };
            let set = sets.entry(key).or_default();
            set.push((index, validator, partial));
        }
        Ok(sets)
    }

    /// Why a signature was not taken: whose share has signed, if it is another member's.
    fn whose(&self, validator: &PublicKeyBytes, data: &SignedData, root: Root) -> String {
        let shares = self.keys.shares_of(validator);
        let signer = self
            .parts
            .keys
            .signer_of(validator, &root, data.signature());
        let error = signer
            .filter(|signer| *signer != self.parts.me.get())
            .and_then(|signer| self.keys.group_of(shares.get(signer)?).err());
        match error {
            Some(error) => error.to_string(),
            None => "the signature does not verify under this node's share".into(),
        }
    }

    async fn offer(
        &self,
        (duty, _): (Duty, u64),
        items: Vec<(usize, PublicKeyBytes, Partial)>,
    ) -> Vec<ItemFailure> {
        let places: BTreeMap<Item, usize> = items
            .iter()
            .map(|(index, validator, partial)| (Item::of(*validator, &partial.data), *index))
            .collect();
        let set = PartialSet {
            duty,
            share: self.parts.share(),
            items: items
                .into_iter()
                .map(|(_, validator, partial)| (validator, partial))
                .collect(),
        };
        match self.parts.clients.offer(checks::verified(set)).await {
            Reply::NotTaken(list) => {
                let failure = |(item, reason): (Item, NotTaken)| {
                    debug!(%duty, validator = %item.validator, %reason, "partial signature not taken");
                    Some(ItemFailure {
                        index: *places.get(&item)?,
                        message: reason.to_string(),
                    })
                };
                list.into_iter().filter_map(failure).collect()
            }
            _ => Vec::new(),
        }
    }
}

fn upstream(error: QueryError) -> ApiError {
    ApiError::Unavailable(error.to_string())
}

fn unexpected<T>() -> Result<T, ApiError> {
    Err(ApiError::Internal("another answer than asked for".into()))
}

impl ValidatorApi for Api {
    fn keys(&self) -> &KeyTable {
        &self.keys
    }

    async fn roster(&self) -> Arc<Indices> {
        loop {
            let epoch = self.parts.chain.epoch_at(self.parts.clock.now());
            let members = self.parts.rosters.members.of(&self.parts.beacon, epoch);
            match members.await {
                Ok(members) if !members.is_empty() => {
                    let entry = members.iter().map(|member| (member.index, member.pubkey));
                    return Arc::new(Indices::new(entry));
                }
                Ok(_) => debug!("the chain knows none of our validators yet"),
                Err(error) => debug!(%error, "our validators are not known yet"),
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    async fn attester_duties(
        &self,
        epoch: Epoch,
        validators: Vec<ValidatorIndex>,
    ) -> Result<Duties<AttesterDuty>, ApiError> {
        let list = self.list(epoch, Roster::Attesters).await?;
        let Assignments::Attesters(all) = &list.assignments else {
            return unexpected();
        };
        let asked = |duty: &&AttesterDuty| validators.contains(&duty.validator_index);
        Ok(duties(&list, all.iter().filter(asked).copied().collect()))
    }

    async fn proposer_duties(&self, epoch: Epoch) -> Result<Duties<ProposerDuty>, ApiError> {
        let list = self.list(epoch, Roster::Proposers).await?;
        match &list.assignments {
            Assignments::Proposers(all) => Ok(duties(&list, all.clone())),
            _ => unexpected(),
        }
    }

    async fn sync_duties(
        &self,
        epoch: Epoch,
        validators: Vec<ValidatorIndex>,
    ) -> Result<Duties<SyncCommitteeDuty>, ApiError> {
        let list = self.list(epoch, Roster::SyncCommittee).await?;
        let Assignments::SyncCommittee(all) = &list.assignments else {
            return unexpected();
        };
        let asked = |duty: &&SyncCommitteeDuty| validators.contains(&duty.validator_index);
        Ok(duties(&list, all.iter().filter(asked).cloned().collect()))
    }

    async fn validators(
        &self,
        state: &str,
        validators: Vec<PublicKeyBytes>,
    ) -> Result<Vec<ValidatorState>, ApiError> {
        if !state.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(ApiError::Invalid(format!("{state:?} is no state")));
        }
        let found = self.parts.beacon.validators_in(state, &validators).await;
        let mut found: Vec<ValidatorState> = found.map_err(upstream)?;
        found.retain(|entry| validators.contains(&entry.validator.pubkey));
        Ok(found)
    }

    async fn committee_member(
        &self,
        slot: Slot,
        committee: CommitteeIndex,
        place: u64,
    ) -> Result<Option<PublicKeyBytes>, ApiError> {
        let epoch = self.parts.chain.epoch_of(slot);
        let list = self.list(epoch, Roster::Attesters).await?;
        let Assignments::Attesters(all) = &list.assignments else {
            return unexpected();
        };
        let member = all.iter().find(|duty| {
            duty.slot == slot
                && duty.committee_index == committee
                && duty.validator_committee_index == place
        });
        Ok(member.map(|duty| duty.pubkey))
    }

    async fn attestation_data(
        &self,
        slot: Slot,
        committee: CommitteeIndex,
    ) -> Result<AttestationData, ApiError> {
        match self.ask(Question::Attestation { slot, committee }).await? {
            Reply::Attestation(data) => Ok(data),
            _ => unexpected(),
        }
    }

    async fn aggregate(
        &self,
        slot: Slot,
        data_root: Root,
        committee: CommitteeIndex,
    ) -> Result<AggregateValue, ApiError> {
        let question = Question::Aggregate {
            slot,
            data_root,
            committee,
        };
        match self.ask(question).await? {
            Reply::Aggregate(value) => Ok(value),
            _ => unexpected(),
        }
    }

    async fn contribution(
        &self,
        slot: Slot,
        subcommittee: u64,
        block_root: Root,
    ) -> Result<SyncCommitteeContribution, ApiError> {
        let question = Question::Contribution {
            slot,
            subcommittee,
            block_root,
        };
        match self.ask(question).await? {
            Reply::Contribution(contribution) => Ok(contribution),
            _ => unexpected(),
        }
    }

    async fn proposal(
        &self,
        slot: Slot,
        randao_reveal: SignatureBytes,
        _graffiti: Option<Root>,
    ) -> Result<Proposal, ApiError> {
        let epoch = self.parts.chain.epoch_of(slot);
        let proposers = self.proposer_duties(epoch).await?;
        let ours =
            |duty: &&ProposerDuty| duty.slot == slot && self.parts.members.contains(&duty.pubkey);
        let Some(proposer) = proposers.items.iter().find(ours) else {
            return Err(ApiError::Invalid(format!(
                "no validator of this cluster proposes in slot {slot}"
            )));
        };
        let reveal = RandaoReveal {
            epoch,
            signature: randao_reveal,
        };
        let mut failures = Vec::new();
        let offered = vec![Offered {
            validator: proposer.pubkey,
            data: SignedData::Randao(reveal),
        }];
        // A reveal belongs to the duty of its slot, which the object itself does not name.
        for ((_, part), items) in self.check(offered, &mut failures).await? {
            let duty = Duty::new(slot, DutyKind::Randao);
            failures.extend(self.offer((duty, part), items).await);
        }
        if let Some(failure) = failures.pop() {
            return Err(ApiError::Invalid(failure.message));
        }
        match self.ask(Question::Block { slot }).await? {
            Reply::Block(proposal) => Ok(proposal),
            _ => unexpected(),
        }
    }

    async fn sign(&self, partials: Vec<Offered>) -> Result<(), SignError> {
        let mut failures = Vec::new();
        let sets = self.check(partials, &mut failures).await?;
        let offers = sets.into_iter().map(|(key, items)| self.offer(key, items));
        for more in futures::future::join_all(offers).await {
            failures.extend(more);
        }
        failures.sort_by_key(|failure| failure.index);
        match failures.is_empty() {
            true => Ok(()),
            false => Err(SignError::Items(failures)),
        }
    }

    async fn combine(&self, partials: Vec<Offered>) -> Result<Vec<Combining>, ApiError> {
        let places: Vec<(Duty, Item)> = partials
            .iter()
            .map(|Offered { validator, data }| {
                let duty = checks::duty_of(data, &self.parts.chain);
                (duty, Item::of(*validator, data))
            })
            .collect();
        let failures = match self.sign(partials).await {
            Ok(()) => BTreeMap::new(),
            Err(SignError::Items(failures)) => failures
                .into_iter()
                .map(|failure| (failure.index, failure.message))
                .collect(),
            Err(SignError::All(error)) => return Err(error),
        };
        let waiting = |(index, (duty, item)): (usize, (Duty, Item))| {
            let failed = failures.get(&index).cloned();
            let clients = self.parts.clients.clone();
            async move {
                if let Some(message) = failed {
                    return Err(ApiError::Invalid(message));
                }
                let items = vec![item];
                match clients.ask(Question::Combined { duty, items }).await {
                    Reply::Combined(signed) => match signed.first() {
                        Some(signed) => Ok(*signed.signature()),
                        None => unexpected(),
                    },
                    _ => Err(ApiError::Late(format!(
                        "too few members have signed {duty} of validator {}",
                        item.validator
                    ))),
                }
            }
            .boxed()
        };
        Ok(places.into_iter().enumerate().map(waiting).collect())
    }
}

fn duties<T>(list: &List, items: Vec<T>) -> Duties<T> {
    Duties {
        dependent_root: list.dependent_root,
        execution_optimistic: list.execution_optimistic,
        items,
    }
}
