//! Checks signatures on worker threads: in batches of one message, and each distinct signature once.
//!
//! Every node of a cluster brings the same group signatures, so of n submissions n − 1 cost no check. One task owns the
//! memory of checked signatures; whatever arrives while a batch is being checked forms the next batch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flotilla_crypto::{PublicKey, Signature, batch, fast_aggregate_verify};
use flotilla_types::{Root, SignatureBytes, ValidatorIndex};
use tokio::sync::{mpsc, oneshot};

/// Requests waiting, at most; beyond that the submitters wait.
const QUEUE: usize = 256;
/// Claims checked in one go, at most (plus one request), so that an early answer is not held up by late comers.
const BATCH: usize = 512;
/// Results remembered, at most, in two generations.
const RESULTS_KEPT: usize = 16_384;

/// A signature to check.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// What is signed.
    pub signing_root: Root,
    /// Whose keys are claimed to have signed: one, or all of those whose signatures were added up.
    pub signers: Vec<ValidatorIndex>,
    /// The signature.
    pub signature: SignatureBytes,
}

struct Request {
    claims: Vec<Claim>,
    answer: oneshot::Sender<Vec<bool>>,
}

/// A handle on the verifier's task, which ends with the last handle.
#[derive(Clone, Debug)]
pub struct Verifier {
    requests: mpsc::Sender<Request>,
}

impl Verifier {
    /// Starts the task. Must be called within a Tokio runtime.
    pub fn start(keys: BTreeMap<ValidatorIndex, PublicKey>) -> Self {
        let (requests, queue) = mpsc::channel(QUEUE);
        tokio::spawn(run(Arc::new(keys), queue));
        Verifier { requests }
    }

    /// Whether each claim holds, in order. A claim of an unknown validator does not.
    pub async fn check(&self, claims: Vec<Claim>) -> Vec<bool> {
        let count = claims.len();
        let (answer, result) = oneshot::channel();
        if self
            .requests
            .send(Request { claims, answer })
            .await
            .is_err()
        {
            return vec![false; count];
        }
        // The task only ends when the runtime does; nothing is valid that was not checked.
        result.await.unwrap_or_else(|_| vec![false; count])
    }
}

/// Two generations of results: when the newer is full it becomes the older, and the older is dropped.
#[derive(Default)]
struct Memory {
    newer: BTreeMap<Claim, bool>,
    older: BTreeMap<Claim, bool>,
}

impl Memory {
    fn known(&self, claim: &Claim) -> Option<bool> {
        self.newer
            .get(claim)
            .or_else(|| self.older.get(claim))
            .copied()
    }

    fn remember(&mut self, results: BTreeMap<Claim, bool>) {
        if self.newer.len() + results.len() > RESULTS_KEPT / 2 {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.extend(results);
    }
}

async fn run(keys: Arc<BTreeMap<ValidatorIndex, PublicKey>>, mut queue: mpsc::Receiver<Request>) {
    let mut memory = Memory::default();
    while let Some(first) = queue.recv().await {
        let mut requests = vec![first];
        while requests
            .iter()
            .map(|request| request.claims.len())
            .sum::<usize>()
            < BATCH
        {
            match queue.try_recv() {
                Ok(request) => requests.push(request),
                Err(_) => break,
            }
        }
        let unknown: BTreeSet<Claim> = requests
            .iter()
            .flat_map(|request| &request.claims)
            .filter(|claim| memory.known(claim).is_none())
            .cloned()
            .collect();
        let mut results = BTreeMap::new();
        if !unknown.is_empty() {
            let keys = keys.clone();
            results = tokio::task::spawn_blocking(move || check_all(&keys, &unknown))
                .await
                .unwrap_or_default();
        }
        for Request { claims, answer } in requests {
            let valid = |claim: &Claim| {
                results
                    .get(claim)
                    .copied()
                    .or_else(|| memory.known(claim))
                    .unwrap_or(false)
            };
            // A submitter that has hung up needs no answer.
            let _ = answer.send(claims.iter().map(valid).collect());
        }
        memory.remember(results);
    }
}

/// Checks claims message by message; those of several signers one by one.
fn check_all(
    keys: &BTreeMap<ValidatorIndex, PublicKey>,
    claims: &BTreeSet<Claim>,
) -> BTreeMap<Claim, bool> {
    let mut results: BTreeMap<Claim, bool> =
        claims.iter().map(|claim| (claim.clone(), false)).collect();
    let mut messages: BTreeMap<Root, Vec<(&Claim, &PublicKey, Signature)>> = BTreeMap::new();
    for claim in claims {
        let Ok(signature) = Signature::from_bytes(&claim.signature.0) else {
            continue;
        };
        let signers: Option<Vec<&PublicKey>> = claim
            .signers
            .iter()
            .map(|signer| keys.get(signer))
            .collect();
        match signers.as_deref() {
            None => {}
            Some([key]) => messages
                .entry(claim.signing_root)
                .or_default()
                .push((claim, key, signature)),
            Some(several) => {
                let several: Vec<PublicKey> = several.iter().copied().cloned().collect();
                let valid = fast_aggregate_verify(&several, &claim.signing_root.0, &signature);
                results.insert(claim.clone(), valid);
            }
        }
    }
    for (root, entries) in messages {
        let pairs: Vec<_> = entries
            .iter()
            .map(|(_, key, signature)| (*key, signature))
            .collect();
        let invalid = match batch::verify_same_message(&root.0, &pairs) {
            true => Vec::new(),
            false => batch::find_invalid(&root.0, &pairs),
        };
        for (position, (claim, _, _)) in entries.iter().enumerate() {
            results.insert((*claim).clone(), !invalid.contains(&position));
        }
    }
    results
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use flotilla_crypto::SecretKey;

    use super::*;

    fn secret(number: u8) -> SecretKey {
        let mut bytes = [0; 32];
        bytes[31] = number;
        SecretKey::from_bytes(&bytes).unwrap()
    }

    fn claim(signer: u8, validator: u64, root: u8) -> Claim {
        let signature = SignatureBytes(secret(signer).sign(&[root; 32]).to_bytes());
        Claim {
            signing_root: Root([root; 32]),
            signers: vec![ValidatorIndex(validator)],
            signature,
        }
    }

    fn keys() -> BTreeMap<ValidatorIndex, PublicKey> {
        (1..=3)
            .map(|number| {
                (
                    ValidatorIndex(u64::from(number)),
                    secret(number).public_key(),
                )
            })
            .collect()
    }

    #[tokio::test]
    async fn valid_and_invalid_signatures_are_told_apart() {
        let verifier = Verifier::start(keys());
        let garbage = Claim {
            signature: SignatureBytes([7; 96]),
            ..claim(1, 1, 5)
        };
        let claims = vec![
            claim(1, 1, 5),
            claim(2, 3, 5),
            garbage,
            claim(3, 3, 6),
            claim(1, 99, 5),
        ];
        assert_eq!(
            verifier.check(claims.clone()).await,
            [true, false, false, true, false]
        );
        // From memory the answers are the same.
        assert_eq!(
            verifier.check(claims).await,
            [true, false, false, true, false]
        );
    }

    #[tokio::test]
    async fn a_sum_of_signatures_is_that_of_all_its_signers() {
        let message = [5; 32];
        let parts = [1, 2].map(|number| secret(number).sign(&message));
        let sum = Claim {
            signing_root: Root(message),
            signers: vec![ValidatorIndex(1), ValidatorIndex(2)],
            signature: SignatureBytes(flotilla_crypto::aggregate(&parts).to_bytes()),
        };
        let one_less = Claim {
            signers: vec![ValidatorIndex(1)],
            ..sum.clone()
        };
        let nobody = Claim {
            signers: Vec::new(),
            ..sum.clone()
        };
        let verifier = Verifier::start(keys());
        let results = verifier.check(vec![sum, one_less, nobody]).await;
        assert_eq!(results, [true, false, false]);
    }

    #[test]
    fn memory_is_bounded_and_forgets_the_oldest() {
        let mut memory = Memory::default();
        let template = Claim {
            signing_root: Root([0; 32]),
            signers: vec![ValidatorIndex(0)],
            signature: SignatureBytes([0; 96]),
        };
        for number in 0..40_000 {
            memory.remember(BTreeMap::from([(
                Claim {
                    signers: vec![ValidatorIndex(number)],
                    ..template.clone()
                },
                true,
            )]));
        }
        assert!(memory.newer.len() + memory.older.len() <= RESULTS_KEPT);
        assert_eq!(
            memory.known(&Claim {
                signers: vec![ValidatorIndex(39_999)],
                ..template.clone()
            }),
            Some(true)
        );
        assert_eq!(memory.known(&template), None);
    }
}
