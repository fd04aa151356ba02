//! One engine of a cluster of four, with everything around it played by the test.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use flotilla_crypto::{ShareIndex, Verified};
use flotilla_duty::io::{
    Assignments, Combined, ConsensusMessage, Item, Partial, PartialSet, QbftMessage, Reply,
    UnsignedSet, Value,
};
use flotilla_duty::{Cluster, Config, Engine, Faults, Input, Output};
use flotilla_qbft::MessageKind;
use flotilla_types::{
    AttestationData, AttesterDuty, AttesterValue, BeaconCommitteeSelection, Chain, ChainSpec,
    Checkpoint, CommitteeIndex, Duty, DutyKind, Epoch, ForkVersion, PeerIndex, ProposerDuty,
    PublicKeyBytes, Root, SignatureBytes, SignedAttestation, SignedData, Slot, Timestamp,
    UnsignedData, ValidatorIndex,
};

/// The first validator.
pub const ALICE: PublicKeyBytes = PublicKeyBytes([0xa1; 48]);
/// The second validator.
pub const BOB: PublicKeyBytes = PublicKeyBytes([0xb0; 48]);
/// Length of a slot.
pub const SLOT: Duration = Duration::from_secs(12);
/// Slots of an epoch.
pub const SLOTS: u64 = 8;
/// What a group's signature looks like here.
pub const GROUP: SignatureBytes = SignatureBytes([0x77; 96]);

/// An engine, its clock, and all it has asked for.
pub struct Bench {
    pub engine: Engine,
    pub chain: Arc<Chain>,
    pub now: Timestamp,
    /// What came out since the last [`Bench::taken`].
    pub outputs: Vec<Output>,
}

/// The chain of all tests.
pub fn chain() -> Arc<Chain> {
    Arc::new(Chain {
        spec: ChainSpec::mainnet_like(SLOT, SLOTS, ForkVersion([1, 0, 0, 0])),
        genesis_time: Timestamp::from_secs(1_000_000),
        genesis_validators_root: Root([1; 32]),
    })
}

/// Who signs with the shares.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    Builtin,
    Client,
    /// The built-in one for Alice, a client for Bob.
    Mixed,
}

impl Bench {
    /// A node that starts in the middle of a slot.
    pub fn started(slot: u64, signer: Signer) -> Self {
        let chain = chain();
        let validators: BTreeSet<PublicKeyBytes> = [ALICE, BOB].into();
        let now = chain.slot_start(Slot(slot)) + SLOT / 2;
        let engine = Engine::new(Config {
            cluster: Cluster {
                me: PeerIndex::new(0),
                nodes: 4,
                threshold: 3,
                validators: validators.clone(),
            },
            chain: Arc::clone(&chain),
            builtin: match signer {
                Signer::Builtin => validators,
                Signer::Client => BTreeSet::new(),
                Signer::Mixed => [ALICE].into(),
            },
            started: now,
            votes_known: true,
            faults: Faults::default(),
        });
        let mut bench = Self {
            engine,
            chain,
            now,
            outputs: vec![],
        };
        bench.step(Input::Wake);
        bench
    }

    /// One input, now.
    pub fn step(&mut self, input: Input) {
        self.engine.step(self.now, input, &mut self.outputs);
    }

    /// Lets time pass, with a wake-up at each deadline on the way.
    pub fn until(&mut self, at: Timestamp) {
        while self.engine.deadline() <= at {
            self.now = self.engine.deadline().max(self.now);
            self.step(Input::Wake);
        }
        self.now = at;
        self.step(Input::Wake);
    }

    /// The outputs since the last call.
    pub fn taken(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// What the engine has let out to its peers since the last call to [`Bench::taken`].
    pub fn sent(&self) -> Vec<PartialSet> {
        let sent = self.outputs.iter().filter_map(|output| match output {
            Output::SendPartials(set) => Some(set.clone()),
            _ => None,
        });
        sent.collect()
    }

    /// Answers to validator clients since the last call to [`Bench::taken`], by request.
    pub fn replies(&self) -> Vec<(u64, Reply)> {
        let replies = self.outputs.iter().filter_map(|output| match output {
            Output::Reply { request, reply } => Some((request.0, (**reply).clone())),
            _ => None,
        });
        replies.collect()
    }

    /// The beacon node's lists for an epoch.
    pub fn assign(&mut self, epoch: u64, attesters: &[AttesterDuty], proposers: &[ProposerDuty]) {
        let lists = [
            Assignments::Attesters(attesters.to_vec()),
            Assignments::Proposers(proposers.to_vec()),
        ];
        for assignments in lists {
            self.step(Input::Duties {
                epoch: Epoch(epoch),
                dependent_root: Root::default(),
                assignments,
            });
        }
    }

    /// Our share signs whatever it was asked to.
    pub fn sign(&mut self, kind: DutyKind) {
        for output in self.outputs.clone() {
            if let Output::Sign { duty, items } = output
                && duty.kind == kind
            {
                let signatures = items.iter().map(|(item, _)| (*item, signature(0)));
                let signatures = signatures.collect();
                self.step(Input::Signed { duty, signatures });
            }
        }
    }

    /// The slashing database permits what it was asked for.
    pub fn record(&mut self) {
        for output in self.outputs.clone() {
            if let Output::Record { duty, items } = output {
                let results = items.iter().map(|item| (item.validator, Ok(())));
                let results = results.collect();
                self.step(Input::Recorded { duty, results });
            }
        }
    }

    /// Workers combine whatever they were asked to.
    pub fn combine(&mut self, kind: DutyKind) {
        for output in self.outputs.clone() {
            if let Output::Combine { duty, items } = output
                && duty.kind == kind
            {
                let group = || Combined::Signature(checked(GROUP));
                let results = items.iter().map(|asked| (asked.item, group()));
                let results = results.collect();
                self.step(Input::Combined { duty, results });
            }
        }
    }

    /// What a peer's share, or ours, has signed.
    pub fn partials(
        &self,
        peer: usize,
        duty: Duty,
        objects: &[(PublicKeyBytes, SignedData)],
    ) -> PartialSet {
        let partial = |(validator, data): &(PublicKeyBytes, SignedData)| {
            let data = data.clone().with_signature(signature(peer));
            let signing_root = data.signing_root(&self.chain);
            (*validator, Partial { data, signing_root })
        };
        PartialSet {
            duty,
            share: ShareIndex::from_peer(peer),
            items: objects.iter().map(partial).collect(),
        }
    }

    /// Peers send their shares' signatures.
    pub fn hear(&mut self, peers: &[usize], duty: Duty, objects: &[(PublicKeyBytes, SignedData)]) {
        for &peer in peers {
            let set = self.partials(peer, duty, objects);
            let from = PeerIndex::new(peer);
            self.step(Input::Partials { from, set });
        }
    }

    /// A peer's consensus message of round 1.
    pub fn say(&mut self, peer: usize, duty: Duty, kind: MessageKind, value: &Value) {
        let message = QbftMessage {
            kind,
            source: peer,
            round: 1,
            value: Some(value.hash),
            prepared_round: 0,
            prepared_value: None,
            seal: Arc::from([peer as u8]),
        };
        self.step(Input::Consensus(checked(ConsensusMessage {
            duty,
            message,
            justification: vec![],
            values: vec![value.clone()],
        })));
    }

    /// The three peers have decided.
    pub fn decide(&mut self, duty: Duty, value: &Value) {
        for peer in 1..4 {
            self.say(peer, duty, MessageKind::Commit, value);
        }
    }

    /// The kinds of consensus messages that were sent.
    pub fn said(&self) -> Vec<MessageKind> {
        let said = self.outputs.iter().filter_map(|output| match output {
            Output::SendConsensus { draft, .. } => Some(draft.draft.kind),
            _ => None,
        });
        said.collect()
    }
}

/// A value that was checked elsewhere.
pub fn checked<T>(value: T) -> Verified<T> {
    Verified::check(value, |_| Ok::<_, ()>(())).unwrap()
}

/// What a peer's share signs with.
pub fn signature(peer: usize) -> SignatureBytes {
    SignatureBytes([peer as u8 + 1; 96])
}

/// The leader of a duty's first round.
pub fn leader(duty: Duty) -> usize {
    (duty.slot.0 as usize + duty.kind.wire() as usize + 1) % 4
}

/// An assignment to a committee in which everybody aggregates.
pub fn attester(validator: PublicKeyBytes, slot: u64) -> AttesterDuty {
    AttesterDuty {
        pubkey: validator,
        slot: Slot(slot),
        validator_index: index(validator),
        committee_index: CommitteeIndex(0),
        committee_length: 16,
        committees_at_slot: 4,
        validator_committee_index: u64::from(validator.0[0]) % 16,
    }
}

/// A validator's number on the chain.
pub fn index(validator: PublicKeyBytes) -> ValidatorIndex {
    ValidatorIndex(u64::from(validator.0[0]))
}

/// Attestation data; `head` tells heads, and `source` justified checkpoints apart.
pub fn data(slot: u64, head: u8, source: u8) -> AttestationData {
    let epoch = slot / SLOTS;
    let checkpoint = |epoch, byte| Checkpoint {
        epoch: Epoch(epoch),
        root: Root([byte; 32]),
    };
    AttestationData {
        slot: Slot(slot),
        index: CommitteeIndex(0),
        beacon_block_root: Root([head; 32]),
        source: checkpoint(epoch.saturating_sub(1), source),
        target: checkpoint(epoch, 0x22),
    }
}

/// A value for attesters.
pub fn value(duties: &[AttesterDuty], data: AttestationData) -> Value {
    let entry = |duty: &AttesterDuty| {
        let value = AttesterValue { data, duty: *duty };
        (duty.pubkey, UnsignedData::Attester(value))
    };
    let set: UnsignedSet = duties.iter().map(entry).collect();
    Value {
        hash: data.tree_hash_root().0,
        set: Arc::new(set),
    }
}

/// The attestation to sign.
pub fn attestation(duty: AttesterDuty, data: AttestationData) -> (PublicKeyBytes, SignedData) {
    let fork = chain().fork_at(data.target.epoch);
    let value = AttesterValue { data, duty };
    let signed = SignedAttestation::from_value(&value, fork, SignatureBytes([0; 96])).unwrap();
    (duty.pubkey, SignedData::Attester(signed))
}

/// The selection proof to sign.
pub fn selection(validator: PublicKeyBytes, slot: u64) -> (PublicKeyBytes, SignedData) {
    let selection = BeaconCommitteeSelection {
        validator_index: index(validator),
        slot: Slot(slot),
        selection_proof: SignatureBytes([0; 96]),
    };
    (validator, SignedData::PrepareAggregator(selection))
}

/// All items of a duty's outcome, if it has ended.
pub fn ended(outputs: &[Output], duty: Duty) -> Option<BTreeMap<Item, flotilla_duty::Fate>> {
    outputs.iter().find_map(|output| match output {
        Output::Ended(outcome) if outcome.duty == duty => {
            let fates = outcome.items.iter();
            Some(fates.map(|(item, end)| (*item, end.fate.clone())).collect())
        }
        _ => None,
    })
}
