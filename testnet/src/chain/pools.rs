//! What aggregates are made from: the cluster's attestations and sync messages of recent slots.
//!
//! Strangers' votes are not made up: their keys are nobody's.

use std::collections::BTreeMap;

use flotilla_crypto::Signature;
use flotilla_types::{
    Attestation, AttestationData, AttesterDuty, Bitlist, CommitteeBits, CommitteeIndex, ListSizes,
    Root, SignatureBytes, SingleAttestation, Slot, SubcommitteeBits, SyncCommitteeContribution,
    Timestamp, ValidatorIndex,
};

use super::SyncCommittee;

/// One vote of a validator of the cluster.
#[derive(Clone, Copy, Debug)]
pub struct Vote {
    /// Whose place it is.
    pub duty: AttesterDuty,
    /// Its signature.
    pub signature: SignatureBytes,
    /// When it first arrived.
    pub at: Timestamp,
}

/// The votes for one attestation data.
#[derive(Clone, Debug)]
struct Ballot {
    data: AttestationData,
    votes: BTreeMap<ValidatorIndex, Vote>,
}

/// The cluster's attestations of recent slots.
#[derive(Clone, Debug, Default)]
pub struct VotePool(BTreeMap<Slot, BTreeMap<Root, Ballot>>);

impl VotePool {
    /// Adds an accepted attestation.
    pub fn add(&mut self, attestation: &SingleAttestation, vote: Vote) {
        let data = attestation.data;
        let ballots = self.0.entry(data.slot).or_default();
        let ballot = ballots.entry(data.tree_hash_root()).or_insert(Ballot {
            data,
            votes: BTreeMap::new(),
        });
        ballot
            .votes
            .entry(attestation.attester_index)
            .or_insert(vote);
    }

    /// The votes of a committee for the data with this root.
    pub fn of_committee(&self, slot: Slot, data: Root, committee: CommitteeIndex) -> Vec<Vote> {
        let ballot = self.0.get(&slot).and_then(|ballots| ballots.get(&data));
        let votes = ballot.into_iter().flat_map(|ballot| ballot.votes.values());
        votes
            .filter(|vote| vote.duty.committee_index == committee)
            .copied()
            .collect()
    }

    /// The aggregate of a committee's votes for the data with this root, if there are any.
    pub fn aggregate(
        &self,
        slot: Slot,
        data: Root,
        committee: CommitteeIndex,
        sizes: &ListSizes,
    ) -> Option<Attestation> {
        let ballot = self.0.get(&slot)?.get(&data)?;
        attestation(
            ballot.data,
            &self.of_committee(slot, data, committee),
            sizes,
        )
    }

    /// One attestation for each data voted for in these slots, over all committees: what goes into a block.
    pub fn for_block(&self, slots: std::ops::Range<Slot>, sizes: &ListSizes) -> Vec<Attestation> {
        let ballots = self
            .0
            .range(slots)
            .flat_map(|(_, ballots)| ballots.values());
        let limit = usize::try_from(sizes.max_attestations_electra).unwrap_or(usize::MAX);
        ballots
            .filter_map(|ballot| {
                let votes: Vec<Vote> = ballot.votes.values().copied().collect();
                attestation(ballot.data, &votes, sizes)
            })
            .take(limit)
            .collect()
    }

    /// Forgets everything before a slot.
    pub fn trim(&mut self, oldest: Slot) {
        self.0 = self.0.split_off(&oldest);
    }
}

/// Votes joined to one attestation: the bits of the committees one after the other (EIP-7549).
fn attestation(data: AttestationData, votes: &[Vote], sizes: &ListSizes) -> Option<Attestation> {
    let mut committees: BTreeMap<u64, (u64, Vec<u64>)> = BTreeMap::new();
    for Vote { duty, .. } in votes {
        let (_, places) = committees
            .entry(duty.committee_index.0)
            .or_insert((duty.committee_length, Vec::new()));
        places.push(duty.validator_committee_index);
    }
    let (mut length, mut ones) = (0, Vec::new());
    for (committee_length, places) in committees.values() {
        ones.extend(places.iter().map(|place| length + place));
        length += committee_length;
    }
    let indices: Vec<u64> = committees.keys().copied().collect();
    let committee_bits = bits(sizes.max_committees_per_slot.div_ceil(8), &indices);
    Some(Attestation::Electra {
        aggregation_bits: bitlist(length, &ones)?,
        data,
        signature: sum(votes.iter().map(|vote| &vote.signature))?,
        committee_bits: CommitteeBits::from_bytes(committee_bits).ok()?,
    })
}

/// A vector of so many bytes with these bits set.
fn bits(bytes: u64, ones: &[u64]) -> Vec<u8> {
    let mut vector = vec![0; bytes as usize];
    for one in ones {
        if let Some(byte) = vector.get_mut((one / 8) as usize) {
            *byte |= 1 << (one % 8);
        }
    }
    vector
}

/// A list of so many bits with these set.
fn bitlist(length: u64, ones: &[u64]) -> Option<Bitlist> {
    let mut bytes = bits(length / 8 + 1, ones);
    *bytes.last_mut()? |= 1 << (length % 8);
    Bitlist::from_bytes(bytes).ok()
}

/// The sum of signatures that have been checked; `None` without any.
fn sum<'a>(signatures: impl Iterator<Item = &'a SignatureBytes>) -> Option<SignatureBytes> {
    let parsed: Result<Vec<_>, _> = signatures
        .map(|signature| Signature::from_bytes(&signature.0))
        .collect();
    let parsed = parsed.ok().filter(|parsed| !parsed.is_empty())?;
    Some(SignatureBytes(
        flotilla_crypto::aggregate(&parsed).to_bytes(),
    ))
}

/// The cluster's sync messages of recent slots, by root.
#[derive(Clone, Debug, Default)]
pub struct MessagePool(BTreeMap<Slot, BTreeMap<Root, BTreeMap<ValidatorIndex, SignatureBytes>>>);

impl MessagePool {
    /// Adds an accepted message.
    pub fn add(
        &mut self,
        slot: Slot,
        root: Root,
        validator: ValidatorIndex,
        signature: SignatureBytes,
    ) {
        let messages = self.0.entry(slot).or_default().entry(root).or_default();
        messages.entry(validator).or_insert(signature);
    }

    /// Whether there are messages of a slot.
    pub fn has(&self, slot: Slot) -> bool {
        self.0.contains_key(&slot)
    }

    /// The contribution of a subcommittee, if one of its members in the cluster has signed.
    pub fn contribution(
        &self,
        slot: Slot,
        root: Root,
        subcommittee: u64,
        committee: &SyncCommittee,
        sizes: &ListSizes,
    ) -> Option<SyncCommitteeContribution> {
        let messages = self.0.get(&slot)?.get(&root)?;
        // A validator with two seats counts twice, in the bits as in the sum.
        let seats: Vec<(u64, &SignatureBytes)> = committee
            .subcommittee(subcommittee)
            .filter_map(|(seat, validator)| Some((seat, messages.get(&validator)?)))
            .collect();
        let ones: Vec<u64> = seats.iter().map(|(seat, _)| *seat).collect();
        let bytes = bits(sizes.sync_subcommittee_size().div_ceil(8), &ones);
        Some(SyncCommitteeContribution {
            slot,
            beacon_block_root: root,
            subcommittee_index: subcommittee,
            aggregation_bits: SubcommitteeBits::from_bytes(&bytes, sizes).ok()?,
            signature: sum(seats.iter().map(|(_, signature)| *signature))?,
        })
    }

    /// Forgets everything before a slot.
    pub fn trim(&mut self, oldest: Slot) {
        self.0 = self.0.split_off(&oldest);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::chain::fixture::secret;

    fn vote(committee: u64, place: u64) -> Vote {
        Vote {
            duty: AttesterDuty {
                committee_index: CommitteeIndex(committee),
                committee_length: 11,
                validator_committee_index: place,
                ..AttesterDuty::default()
            },
            signature: SignatureBytes(secret(place as u8).sign(&[1; 32]).to_bytes()),
            at: Timestamp::from_secs(1),
        }
    }

    #[test]
    fn committees_bits_lie_one_after_the_other() {
        let votes = [vote(3, 2), vote(1, 10)];
        let joined = attestation(AttestationData::default(), &votes, &ListSizes::MAINNET).unwrap();
        let ones: Vec<u64> = joined.aggregation_bits().ones().collect();
        assert_eq!(
            (joined.aggregation_bits().length(), ones),
            (22, vec![10, 13])
        );
        let Attestation::Electra { committee_bits, .. } = joined else {
            panic!("of Electra's shape")
        };
        assert_eq!(committee_bits.ones().collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn nobodys_votes_are_no_attestation() {
        assert!(attestation(AttestationData::default(), &[], &ListSizes::MAINNET).is_none());
    }
}
