//! What differs from one kind of duty to another, and nothing else: when it begins, what may be agreed on (S1), what is
//! signed, what slashing has to know of it (S2).
//!
//! A kind either has *agreement*, then its objects follow from the decided value, or it stands *alone*, then each share signs
//! what its own node finds, and t equal signatures are enough.

pub(crate) mod aggregation;
pub(crate) mod alone;
pub(crate) mod attestation;
pub(crate) mod contribution;
pub(crate) mod proposal;

use flotilla_types::{
    Chain, Duty, DutyKind, Epoch, PublicKeyBytes, Root, SignatureBytes, SignedData, Timestamp,
    UnsignedData,
};

use crate::engine::Facts;
use crate::io::{Item, UnsignedSet};
use crate::knowledge::Knowledge;
use crate::outcome::ValueFault;
use crate::slashing::Vote;

/// Stands where a signature will be.
pub(crate) const UNSIGNED: SignatureBytes = SignatureBytes([0; 96]);

/// An object to sign, with an all-zero signature, and what is signed of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Object {
    /// The object.
    pub data: SignedData,
    /// Its signing root.
    pub root: Root,
}

impl Object {
    /// Of an object whose signature does not matter.
    pub fn new(data: SignedData, chain: &Chain) -> Self {
        let data = data.with_signature(UNSIGNED);
        let root = data.signing_root(chain);
        Self { data, root }
    }

    /// With a signature.
    pub fn signed(&self, signature: SignatureBytes) -> SignedData {
        self.data.clone().with_signature(signature)
    }
}

/// Whether the cluster agrees on what is signed.
pub(crate) const fn has_agreement(kind: DutyKind) -> bool {
    matches!(
        kind,
        DutyKind::Proposer | DutyKind::Attester | DutyKind::Aggregator | DutyKind::SyncContribution
    )
}

/// Whether the group-signed object goes to the beacon nodes; the others are needed within the cluster only.
pub(crate) const fn is_submitted(kind: DutyKind) -> bool {
    has_agreement(kind) || matches!(kind, DutyKind::SyncMessage | DutyKind::Exit)
}

/// Kinds that the clock begins, in the order of a slot.
pub(crate) const SCHEDULED: [DutyKind; 8] = [
    DutyKind::Randao,
    DutyKind::PrepareAggregator,
    DutyKind::PrepareSyncContribution,
    DutyKind::Proposer,
    DutyKind::Attester,
    DutyKind::SyncMessage,
    DutyKind::Aggregator,
    DutyKind::SyncContribution,
];

/// When a duty is begun. What others of the cluster need at its due point is exchanged a little ahead (S10): randao when a
/// third of the slot before is left, selection proofs in its quiet last quarter.
pub(crate) fn begins(chain: &Chain, duty: Duty) -> Timestamp {
    let slot = chain.spec.slot_duration;
    let ahead = match duty.kind {
        DutyKind::Randao => slot / 3,
        DutyKind::PrepareAggregator | DutyKind::PrepareSyncContribution => slot / 4,
        _ => return chain.due(duty),
    };
    let start = chain.slot_start(duty.slot);
    Timestamp::from_nanos(start.as_nanos().saturating_sub(ahead.as_nanos() as u64))
}

/// How many slots ahead of its own a peer's message is taken. Honest clocks are much closer; selection proofs may come up to
/// an epoch early (S10, spec 30 §3.7).
pub(crate) fn slots_ahead(chain: &Chain, kind: DutyKind) -> u64 {
    match kind {
        DutyKind::PrepareAggregator | DutyKind::PrepareSyncContribution => {
            chain.spec.slots_per_epoch
        }
        _ => 1,
    }
}

/// Whether an object is for the slot or epoch of its duty.
pub(crate) fn belongs(duty: Duty, data: &SignedData, chain: &Chain) -> bool {
    data.kind() == duty.kind
        && match (data, data.slot(), data.epoch()) {
            (_, Some(slot), _) => slot == duty.slot,
            (SignedData::Exit(_), _, Some(epoch)) => chain.first_slot(epoch) == duty.slot,
            (_, _, Some(epoch)) => chain.epoch_of(duty.slot) == epoch,
            _ => false,
        }
}

/// S11: what a fork that we do not know makes of a signature is not known either. Exits are always of Capella (EIP-7044).
pub(crate) fn check_fork(duty: Duty, chain: &Chain) -> Result<(), ValueFault> {
    let epoch: Epoch = chain.epoch_of(duty.slot);
    match chain.spec.forks.unknown_after() {
        Some(from) if epoch >= from && duty.kind != DutyKind::Exit => {
            Err(ValueFault::UnknownFork(from.0))
        }
        _ => Ok(()),
    }
}

/// S1: whether a value is one this node would sign, whoever proposed it.
pub(crate) fn check_value(
    set: &UnsignedSet,
    knowledge: &Knowledge,
    facts: &Facts<'_>,
) -> Result<(), ValueFault> {
    check_fork(knowledge.duty, facts.chain)?;
    if set.is_empty() {
        return Err(ValueFault::Empty);
    }
    for (validator, data) in set {
        if !facts.cluster.validators.contains(validator) {
            return Err(ValueFault::UnknownValidator(*validator));
        }
        if data.kind() != knowledge.duty.kind {
            return Err(ValueFault::WrongKind(*validator));
        }
        if data.slot() != knowledge.duty.slot {
            return Err(ValueFault::WrongSlot {
                expected: knowledge.duty.slot.0,
                found: data.slot().0,
            });
        }
        match data {
            UnsignedData::Attester(value) => {
                attestation::check(knowledge.duty, validator, value, facts.chain)
            }
            UnsignedData::Proposer(proposal) => {
                proposal::check(validator, proposal, knowledge, facts)
            }
            UnsignedData::Aggregator(value) => {
                aggregation::check(validator, value, knowledge, facts.chain)
            }
            UnsignedData::SyncContribution(value) => {
                contribution::check(validator, value, knowledge, facts.chain)
            }
        }?;
    }
    match knowledge.duty.kind {
        DutyKind::Proposer if set.len() > 1 => Err(ValueFault::SeveralBlocks(set.len())),
        _ => Ok(()),
    }
}

/// What is reason to withhold a vote, and none to refuse a decision: the result would be worthless, not dangerous.
pub(crate) fn check_worth(set: &UnsignedSet, knowledge: &Knowledge) -> Result<(), ValueFault> {
    // An invented duty would cost a validator its real one, whose target or slot would be taken.
    let definitions = &knowledge.definitions;
    let mut validators = set.keys();
    let stranger = validators.find(|validator| !definitions.contains_key(validator));
    match (stranger, knowledge.duty.kind) {
        (Some(validator), _) if knowledge.listed => Err(ValueFault::WrongPosition(*validator)),
        (_, DutyKind::Attester) => attestation::check_positions(set, definitions),
        _ => Ok(()),
    }
}

/// The objects that follow from one validator's agreed data, as far as what else they need is known.
pub(crate) fn objects(
    validator: PublicKeyBytes,
    data: &UnsignedData,
    knowledge: &Knowledge,
    chain: &Chain,
) -> Vec<(Item, Object)> {
    let found = match data {
        UnsignedData::Attester(value) => attestation::object(value, chain).into_iter().collect(),
        UnsignedData::Proposer(proposal) => vec![proposal::object(proposal)],
        UnsignedData::Aggregator(value) => aggregation::object(validator, value, knowledge, chain)
            .into_iter()
            .collect(),
        UnsignedData::SyncContribution(value) => contribution::objects(validator, value, knowledge),
    };
    found
        .into_iter()
        .map(|data| (Item::of(validator, &data), Object::new(data, chain)))
        .collect()
}

/// Whether a client's object is made from the validator's agreed data. Only needed where the node can not make the object
/// itself, for want of a selection proof.
pub(crate) fn stems_from(data: &UnsignedData, signed: &SignedData) -> bool {
    match (data, signed) {
        (UnsignedData::Aggregator(value), SignedData::Aggregator(signed)) => {
            signed.message().aggregate == value.aggregate
        }
        (UnsignedData::SyncContribution(value), SignedData::SyncContribution(signed)) => {
            value.items().contains(&signed.message.contribution)
        }
        _ => false,
    }
}

/// The object to sign once partial signatures have proven what was decided (S8), checked like any value (S1).
pub(crate) fn adopt(
    validator: &PublicKeyBytes,
    proven: &SignedData,
    knowledge: &Knowledge,
    facts: &Facts<'_>,
) -> Result<Object, ValueFault> {
    check_fork(knowledge.duty, facts.chain)?;
    match proven {
        SignedData::Attester(signed) => {
            attestation::adopt(validator, signed, knowledge, facts.chain)
        }
        SignedData::Proposer(signed) => {
            proposal::check(validator, &signed.proposal, knowledge, facts)?;
            Ok(Object::new(proven.clone(), facts.chain))
        }
        _ => Ok(Object::new(proven.clone(), facts.chain)),
    }
}

/// What the slashing database must know about an object before it is signed; `None` for what can not be slashed.
pub(crate) fn vote(object: &Object) -> Option<Vote> {
    match &object.data {
        SignedData::Attester(signed) => Some(attestation::vote(signed, object.root)),
        SignedData::Proposer(signed) => Some(proposal::vote(signed, object.root)),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! A chain, a cluster of four and one validator.

    use std::collections::{BTreeMap, BTreeSet};
    use std::time::Duration;

    use flotilla_types::{
        Chain, ChainSpec, Duty, ForkVersion, PeerIndex, PublicKeyBytes, Root, Timestamp,
    };

    use crate::engine::{Cluster, Facts, Faults};
    use crate::guard::Guard;
    use crate::knowledge::Knowledge;

    pub const VALIDATOR: PublicKeyBytes = PublicKeyBytes([9; 48]);

    pub fn chain() -> Chain {
        Chain {
            spec: ChainSpec::mainnet_like(Duration::from_secs(12), 8, ForkVersion([1, 0, 0, 0])),
            genesis_time: Timestamp::from_secs(1),
            genesis_validators_root: Root([1; 32]),
        }
    }

    pub struct World {
        pub cluster: Cluster,
        pub chain: Chain,
        pub knowledge: Knowledge,
        pub guard: Guard,
        pub builtin: BTreeSet<PublicKeyBytes>,
        pub fee_recipients: BTreeMap<PublicKeyBytes, flotilla_types::ExecutionAddress>,
    }

    impl World {
        pub fn new(duty: Duty) -> Self {
            Self {
                cluster: Cluster {
                    me: PeerIndex::new(0),
                    nodes: 4,
                    threshold: 3,
                    validators: [VALIDATOR].into(),
                },
                chain: chain(),
                knowledge: Knowledge::new(duty),
                guard: Guard::default(),
                builtin: BTreeSet::new(),
                fee_recipients: BTreeMap::new(),
            }
        }

        pub fn facts(&self) -> Facts<'_> {
            Facts {
                cluster: &self.cluster,
                chain: &self.chain,
                builtin: &self.builtin,
                guard: &self.guard,
                fee_recipients: &self.fee_recipients,
                plural: false,
                paused: false,
                faults: Faults::default(),
            }
        }
    }
}
