//! What the cluster itself has signed in a slot, to aggregate when our beacon node gives no aggregate.
//!
//! A leader whose beacon node is down would otherwise cost the cluster a round of agreement, which aggregations have no time
//! for: with the votes of our own validators alone an aggregate is as valid, only smaller.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use flotilla_crypto::{Signature, aggregate};
use flotilla_duty::io::{AggregateRequest, ContributionRequest, Item};
use flotilla_types::{
    AggregateValue, Attestation, AttesterDuty, Bitlist, Chain, CommitteeBits, Fork, ListSizes,
    PublicKeyBytes, SignatureBytes, SignedAttestation, SignedData, Slot, SubcommitteeBits,
    SyncCommitteeContribution, SyncCommitteeDuty, SyncCommitteeMessage,
};

/// Slots that are remembered, the newest.
const SLOTS_KEPT: usize = 4;

/// Group-signed votes of a slot, by validator.
#[derive(Debug, Default)]
struct Votes {
    attestations: BTreeMap<PublicKeyBytes, SignedAttestation>,
    messages: BTreeMap<PublicKeyBytes, SyncCommitteeMessage>,
}

/// What the cluster has signed in the last slots.
#[derive(Debug, Default)]
pub(crate) struct OwnVotes(Mutex<BTreeMap<Slot, Votes>>);

impl OwnVotes {
    /// Remembers group-signed objects on their way to the beacon nodes.
    pub fn note(&self, slot: Slot, items: &[(Item, SignedData)]) {
        let mut slots = self.lock();
        let votes = slots.entry(slot).or_default();
        for (item, data) in items {
            match data {
                SignedData::Attester(signed) => {
                    votes.attestations.insert(item.validator, signed.clone());
                }
                SignedData::SyncMessage(message) => {
                    votes.messages.insert(item.validator, *message);
                }
                _ => {}
            }
        }
        while slots.len() > SLOTS_KEPT {
            slots.pop_first();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Slot, Votes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The aggregate of our own attesters in the committee asked for; `None` if none has signed these data.
    pub fn aggregate(
        &self,
        chain: &Chain,
        duties: &[AttesterDuty],
        asked: &AggregateRequest,
    ) -> Option<AggregateValue> {
        let fork = chain.fork_at(chain.epoch_of(asked.data.slot));
        let slots = self.lock();
        let votes = &slots.get(&asked.data.slot)?.attestations;
        let members = duties
            .iter()
            .filter(|duty| duty.slot == asked.data.slot && duty.committee_index == asked.committee);
        let (mut places, mut signatures, mut length) = (Vec::new(), Vec::new(), 0);
        for member in members {
            let vote = votes.get(&member.pubkey);
            if let Some(vote) = vote.filter(|vote| *vote.data() == asked.data) {
                length = member.committee_length;
                places.push(member.validator_committee_index);
                signatures.push(*vote.signature());
            }
        }
        drop(slots);
        let (aggregation_bits, signature) = (bitlist(length, &places)?, sum(&signatures)?);
        let data = asked.data;
        let aggregate = match fork >= Fork::Electra {
            false => Attestation::Phase0 {
                aggregation_bits,
                data,
                signature,
            },
            true => Attestation::Electra {
                aggregation_bits,
                data,
                signature,
                committee_bits: CommitteeBits::one(asked.committee.0).ok()?,
            },
        };
        Some(AggregateValue {
            fork: Some(fork),
            aggregate,
        })
    }

    /// The contribution of our own members of the subcommittee asked for; `None` if none has signed this head.
    pub fn contribution(
        &self,
        slot: Slot,
        duties: &[SyncCommitteeDuty],
        asked: &ContributionRequest,
        sizes: &ListSizes,
    ) -> Option<SyncCommitteeContribution> {
        let slots = self.lock();
        let votes = &slots.get(&slot)?.messages;
        let size = sizes.sync_subcommittee_size().max(1);
        let mut bits = vec![0_u8; usize::try_from(size).ok()?.div_ceil(8)];
        let mut signatures = Vec::new();
        for duty in duties {
            let Some(vote) = votes
                .get(&duty.pubkey)
                .filter(|vote| vote.beacon_block_root == asked.block_root)
            else {
                continue;
            };
            // A validator with several seats counts once for each.
            let seats = duty.positions.iter();
            for seat in seats.filter(|seat| **seat / size == asked.subcommittee) {
                let seat = usize::try_from(seat % size).ok()?;
                *bits.get_mut(seat / 8)? |= 1 << (seat % 8);
                signatures.push(vote.signature);
            }
        }
        drop(slots);
        Some(SyncCommitteeContribution {
            slot,
            beacon_block_root: asked.block_root,
            subcommittee_index: asked.subcommittee,
            aggregation_bits: SubcommitteeBits::from_bytes(&bits, sizes).ok()?,
            signature: sum(&signatures)?,
        })
    }
}

/// The sum of signatures that a worker has checked one by one; `None` of none.
fn sum(signatures: &[SignatureBytes]) -> Option<SignatureBytes> {
    if signatures.is_empty() {
        return None;
    }
    let decoded = signatures
        .iter()
        .map(|bytes| Signature::from_bytes(&bytes.0).ok())
        .collect::<Option<Vec<_>>>()?;
    Some(SignatureBytes(aggregate(&decoded).to_bytes()))
}

fn bitlist(length: u64, places: &[u64]) -> Option<Bitlist> {
    let (first, rest) = places.split_first()?;
    let mut bytes = Bitlist::with_one(length, *first).ok()?.as_bytes().to_vec();
    for &place in rest.iter().filter(|place| **place < length) {
        *bytes.get_mut(usize::try_from(place / 8).ok()?)? |= 1 << (place % 8);
    }
    Bitlist::from_bytes(bytes).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use flotilla_crypto::{SecretKey, os_rng, verify};
    use flotilla_types::{
        AttestationData, AttesterValue, ChainSpec, CommitteeIndex, ForkVersion, Root, Timestamp,
        ValidatorIndex,
    };

    use super::*;

    const SLOT: Slot = Slot(9);
    const MESSAGE: Root = Root([7; 32]);

    fn chain() -> Chain {
        Chain {
            spec: ChainSpec::mainnet_like(Duration::from_secs(12), 8, ForkVersion([1, 0, 0, 0])),
            genesis_time: Timestamp::from_secs(1),
            genesis_validators_root: Root([1; 32]),
        }
    }

    fn key(number: u8) -> PublicKeyBytes {
        PublicKeyBytes([number; 48])
    }

    fn signature() -> SignatureBytes {
        let key = SecretKey::generate(&mut os_rng().unwrap());
        SignatureBytes(key.sign(&MESSAGE.0).to_bytes())
    }

    fn duty(number: u8, committee: u64) -> AttesterDuty {
        AttesterDuty {
            pubkey: key(number),
            slot: SLOT,
            validator_index: ValidatorIndex(number.into()),
            committee_index: CommitteeIndex(committee),
            committee_length: 20,
            committees_at_slot: 4,
            validator_committee_index: number.into(),
        }
    }

    #[test]
    fn our_own_attesters_of_one_committee_and_vote_are_aggregated() {
        let chain = chain();
        let votes = OwnVotes::default();
        let data = AttestationData {
            slot: SLOT,
            ..AttestationData::default()
        };
        let duties = [duty(1, 2), duty(5, 2), duty(6, 3), duty(7, 2)];
        // The last one has not signed.
        for duty in &duties[..3] {
            let value = AttesterValue { data, duty: *duty };
            let signed = SignedAttestation::from_value(&value, Fork::Fulu, signature()).unwrap();
            votes.note(
                SLOT,
                &[(Item::whole(duty.pubkey), SignedData::Attester(signed))],
            );
        }
        let asked = AggregateRequest {
            validator: key(1),
            committee: CommitteeIndex(2),
            data,
        };
        let found = votes.aggregate(&chain, &duties, &asked).unwrap();
        let bits: Vec<u64> = found.aggregate.aggregation_bits().ones().collect();
        assert_eq!(bits, [1, 5]);
        assert_eq!(found.aggregate.aggregation_bits().length(), 20);
        let other = AggregateRequest {
            committee: CommitteeIndex(9),
            ..asked
        };
        assert!(votes.aggregate(&chain, &duties, &other).is_none());
    }

    #[test]
    fn every_seat_of_a_member_counts_once() {
        let sizes = ListSizes::MAINNET;
        let votes = OwnVotes::default();
        let secret = SecretKey::generate(&mut os_rng().unwrap());
        let signature = secret.sign(&MESSAGE.0);
        let message = SyncCommitteeMessage {
            slot: SLOT,
            beacon_block_root: MESSAGE,
            validator_index: ValidatorIndex(1),
            signature: SignatureBytes(signature.to_bytes()),
        };
        votes.note(
            SLOT,
            &[(Item::whole(key(1)), SignedData::SyncMessage(message))],
        );
        let duties = [SyncCommitteeDuty {
            pubkey: key(1),
            validator_index: ValidatorIndex(1),
            positions: vec![128, 130, 300],
        }];
        let asked = ContributionRequest {
            validator: key(1),
            subcommittee: 1,
            block_root: MESSAGE,
        };
        let found = votes.contribution(SLOT, &duties, &asked, &sizes).unwrap();
        let bits: Vec<u64> = found.aggregation_bits.ones().collect();
        assert_eq!(bits, [0, 2]);
        // Twice the signature verifies under twice the key, which is the sum of the two seats' keys.
        assert_eq!(
            found.signature.0,
            aggregate(&[signature, signature]).to_bytes()
        );
        assert!(verify(
            &secret.public_key(),
            &MESSAGE.0,
            &secret.sign(&MESSAGE.0)
        ));
        let other = ContributionRequest {
            block_root: Root([8; 32]),
            ..asked
        };
        assert!(votes.contribution(SLOT, &duties, &other, &sizes).is_none());
    }

    #[test]
    fn only_the_last_slots_are_remembered() {
        let votes = OwnVotes::default();
        for slot in 0..100 {
            votes.note(Slot(slot), &[]);
        }
        assert_eq!(votes.0.lock().unwrap().len(), SLOTS_KEPT);
    }
}
