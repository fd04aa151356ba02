//! A chain for tests of the rules, and its validators' keys.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flotilla_crypto::SecretKey;
use flotilla_types::{
    Chain, ChainSpec, DomainType, Epoch, ForkVersion, ListSizes, PublicKeyBytes, Root,
    SignatureBytes, Slot, Timestamp, ValidatorIndex, signing_root,
};

use super::{
    Arrival, Fault, History, Judgement, Kitchen, Registry, Seed, Selections, Submission, Verdict,
    World,
};

/// Eight slots an epoch of three seconds each, from second 1000.
pub(crate) fn chain() -> Chain {
    Chain {
        spec: ChainSpec::mainnet_like(Duration::from_secs(3), 8, ForkVersion([0, 0, 0, 9])),
        genesis_time: Timestamp::from_secs(1_000),
        genesis_validators_root: Root([9; 32]),
    }
}

/// A secret key of a test's own.
pub(crate) fn secret(number: u8) -> SecretKey {
    let mut bytes = [0; 32];
    bytes[31] = number + 1;
    SecretKey::from_bytes(&bytes).unwrap()
}

/// A world of eight validators in the minimal preset, whose keys the test has.
pub(crate) struct Fixture {
    pub(crate) world: World,
    keys: BTreeMap<ValidatorIndex, SecretKey>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let mut chain = chain();
        chain.spec.sizes = ListSizes::MINIMAL;
        let seed = Seed(7);
        let public = |number| PublicKeyBytes(secret(number).public_key().to_bytes());
        let registry = Arc::new(Registry::new(
            seed,
            &(0..8).map(public).collect::<Vec<_>>(),
            8,
            4,
        ));
        let index = |number| registry.index(&public(number)).unwrap();
        let keys = (0..8)
            .map(|number| (index(number), secret(number)))
            .collect();
        let known = (0..8)
            .map(|number| (index(number), Arc::new(secret(number))))
            .collect();
        let kitchen = Kitchen {
            seed,
            sizes: ListSizes::MINIMAL,
        };
        let history = History::new(Arc::new(chain), seed);
        let world = World::new(history, registry, kitchen, Selections::new(known));
        Fixture { world, keys }
    }

    /// A moment in a slot, in hundredths of it.
    pub(crate) fn at(&self, slot: u64, percent: u32) -> Timestamp {
        let chain = self.world.chain();
        chain.slot_start(Slot(slot)) + chain.spec.slot_duration * percent / 100
    }

    /// Lets time pass until a moment in a slot.
    pub(crate) fn pass(&mut self, slot: u64, percent: u32) -> Timestamp {
        let now = self.at(slot, percent);
        self.world.advance(now);
        now
    }

    /// A validator's signature.
    pub(crate) fn sign(
        &self,
        validator: ValidatorIndex,
        (domain, epoch): (DomainType, Epoch),
        object: Root,
    ) -> SignatureBytes {
        let domain = self.world.chain().domain(domain, epoch);
        SignatureBytes(
            self.keys[&validator]
                .sign(&signing_root(object, domain).0)
                .to_bytes(),
        )
    }

    /// Brings something at a moment, with its signatures checked.
    pub(crate) fn bring<S: Submission>(&mut self, item: &S, at: Timestamp) -> Judgement {
        let arrival = Arrival { at, endpoint: 0 };
        let verdict = match self.world.claims(item, at) {
            Err(fault) => Verdict {
                witnessed: false,
                fault: Some(fault),
            },
            Ok(claims) => {
                let held: Vec<bool> = claims.iter().map(|(claim, _)| self.holds(claim)).collect();
                let failed = claims.iter().zip(&held).find(|(_, held)| !**held);
                Verdict {
                    witnessed: held[0],
                    fault: failed.map(|((_, fault), _)| *fault),
                }
            }
        };
        self.world.advance(at);
        self.world.book(item, at, arrival, verdict)
    }

    /// Brings something that must be refused, and says why it was.
    pub(crate) fn refused<S: Submission>(&mut self, item: &S, at: Timestamp) -> Fault {
        match self.bring(item, at) {
            Judgement::Refused(fault) => fault,
            other => panic!("{other:?}"),
        }
    }

    fn holds(&self, claim: &super::Claim) -> bool {
        let keys: Vec<_> = claim
            .signers
            .iter()
            .map(|signer| self.keys[signer].public_key())
            .collect();
        flotilla_crypto::Signature::from_bytes(&claim.signature.0).is_ok_and(|signature| {
            flotilla_crypto::fast_aggregate_verify(&keys, &claim.signing_root.0, &signature)
        })
    }
}
