//! Contributions: the messages of a sync subcommittee, aggregated.

use std::fmt;

use libssz::SszDecode as _;
use libssz_merkle::{Sha2Hasher, merkleize, pack};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::codec::{DecodeError, json_bytes, ssz_or_json, word_u64};
use crate::{
    BitsError, ListSizes, Root, SignatureBytes, Slot, ValidatorIndex,
    json::{hex_bytes, quoted},
    signing::tree_hash,
};

/// Name in errors.
const WHAT: &str = "sync committee contribution";

/// Who of a sync subcommittee signed, one bit each. Its size is the preset's, which the encoding tells by its length in
/// whole bytes: 16 on mainnet.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubcommitteeBits(Vec<u8>);

impl SubcommitteeBits {
    /// Reads the SSZ form.
    ///
    /// # Errors
    /// [`DecodeError::Length`] for another size than the preset's.
    pub fn from_bytes(bytes: &[u8], sizes: &ListSizes) -> Result<Self, DecodeError> {
        let bits = Self(bytes.to_vec());
        bits.check(sizes).map(|()| bits)
    }

    /// The SSZ form.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Positions of the members that signed, ascending.
    pub fn ones(&self) -> impl Iterator<Item = u64> + '_ {
        (0..self.0.len() as u64 * 8)
            .filter(|&bit| self.0[(bit / 8) as usize] & (1 << (bit % 8)) != 0)
    }

    fn check(&self, sizes: &ListSizes) -> Result<(), DecodeError> {
        let expected = bits_bytes(sizes);
        if self.0.len() != expected {
            return Err(DecodeError::Length {
                what: "aggregation_bits",
                expected,
                got: self.0.len(),
            });
        }
        let limit = sizes.sync_subcommittee_size();
        match self.ones().last() {
            Some(last) if last >= limit => Err(DecodeError::bits("aggregation_bits")(
                BitsError::NoSuchBit {
                    position: last,
                    length: limit,
                },
            )),
            _ => Ok(()),
        }
    }
}

/// Bytes of the bits in a preset.
fn bits_bytes(sizes: &ListSizes) -> usize {
    // At most 2^16 bits: a chain's list sizes are bounded where they are read.
    sizes.sync_subcommittee_size().div_ceil(8) as usize
}

impl fmt::Debug for SubcommitteeBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ones, bits) = (self.ones().count(), self.0.len() * 8);
        write!(f, "SubcommitteeBits({ones} of {bits})")
    }
}

impl Serialize for SubcommitteeBits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        hex_bytes::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for SubcommitteeBits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        hex_bytes::deserialize(deserializer).map(Self)
    }
}

/// The messages of one sync subcommittee, aggregated: 160 bytes of SSZ on mainnet.
///
/// Its JSON is read through [`Self::from_json`], which knows the preset.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct SyncCommitteeContribution {
    /// The slot.
    pub slot: Slot,
    /// The head they signed.
    pub beacon_block_root: Root,
    /// The subcommittee, from 0.
    #[serde(with = "quoted")]
    pub subcommittee_index: u64,
    /// Who of the subcommittee signed.
    pub aggregation_bits: SubcommitteeBits,
    /// Their aggregated signature.
    pub signature: SignatureBytes,
}

/// The JSON of a contribution, whose bits have any size.
#[derive(Deserialize)]
struct Layout {
    slot: Slot,
    beacon_block_root: Root,
    #[serde(with = "quoted")]
    subcommittee_index: u64,
    aggregation_bits: SubcommitteeBits,
    signature: SignatureBytes,
}

impl Layout {
    fn checked(self, sizes: &ListSizes) -> Result<SyncCommitteeContribution, DecodeError> {
        self.aggregation_bits.check(sizes)?;
        Ok(SyncCommitteeContribution {
            slot: self.slot,
            beacon_block_root: self.beacon_block_root,
            subcommittee_index: self.subcommittee_index,
            aggregation_bits: self.aggregation_bits,
            signature: self.signature,
        })
    }
}

/// Slot, root and subcommittee: all before the bits.
const BITS_AT: usize = 8 + Root::LENGTH + 8;

/// Bytes of the SSZ form in a preset.
fn contribution_bytes(sizes: &ListSizes) -> usize {
    BITS_AT + bits_bytes(sizes) + SignatureBytes::LENGTH
}

impl SyncCommitteeContribution {
    /// The SSZ form.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.slot.0.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.beacon_block_root.0);
        bytes.extend_from_slice(&self.subcommittee_index.to_le_bytes());
        bytes.extend_from_slice(self.aggregation_bits.as_bytes());
        bytes.extend_from_slice(&self.signature.0);
        bytes
    }

    /// Reads the SSZ form, or the JSON form.
    ///
    /// # Errors
    /// [`DecodeError`] for anything else, bits of another preset included.
    pub fn decode(bytes: &[u8], sizes: &ListSizes) -> Result<Self, DecodeError> {
        ssz_or_json(
            bytes,
            |bytes| Self::decode_ssz(bytes, sizes),
            |json| {
                let layout: Layout =
                    serde_json::from_slice(json).map_err(DecodeError::json(WHAT))?;
                layout.checked(sizes)
            },
        )
    }

    fn decode_ssz(bytes: &[u8], sizes: &ListSizes) -> Result<Self, DecodeError> {
        exactly(WHAT, bytes, contribution_bytes(sizes))?;
        let (head, rest) = bytes.split_at(BITS_AT);
        let (bits, signature) = rest.split_at(bits_bytes(sizes));
        Ok(Self {
            slot: Slot(word_u64(head, 0).unwrap_or_default()),
            beacon_block_root: Root::from_ssz_bytes(&head[8..8 + Root::LENGTH])
                .map_err(DecodeError::ssz(WHAT))?,
            subcommittee_index: word_u64(head, 8 + Root::LENGTH).unwrap_or_default(),
            aggregation_bits: SubcommitteeBits::from_bytes(bits, sizes)?,
            signature: SignatureBytes::from_ssz_bytes(signature).map_err(DecodeError::ssz(WHAT))?,
        })
    }

    /// Reads the Beacon API's JSON.
    ///
    /// # Errors
    /// [`DecodeError`], also for bits of another preset.
    pub fn from_json(json: &serde_json::Value, sizes: &ListSizes) -> Result<Self, DecodeError> {
        Layout::deserialize(json)
            .map_err(DecodeError::json(WHAT))?
            .checked(sizes)
    }

    /// The hash tree root.
    pub fn tree_hash_root(&self) -> Root {
        let fields = [
            self.slot.tree_hash_root().0,
            self.beacon_block_root.0,
            tree_hash(&self.subcommittee_index).0,
            merkleize(&Sha2Hasher, &pack(self.aggregation_bits.as_bytes()), None),
            tree_hash(&self.signature).0,
        ];
        Root(merkleize(&Sha2Hasher, &fields, None))
    }
}

/// What a cluster agrees on for one validator in a sync committee: contributions of the subcommittees it aggregates for.
///
/// Members up to 1.10 know one contribution in its SSZ form; newer ones a JSON list as well, which they write once all
/// can read it (spec 30 §2.4). There is always at least one contribution.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SyncContributions {
    items: Vec<SyncCommitteeContribution>,
    plural: bool,
}

impl SyncContributions {
    /// One contribution in the form that every member reads.
    pub fn single(contribution: SyncCommitteeContribution) -> Self {
        Self {
            items: vec![contribution],
            plural: false,
        }
    }

    /// Contributions in the form that newer members read, by ascending subcommittee; `None` without any.
    pub fn plural(contributions: Vec<SyncCommitteeContribution>) -> Option<Self> {
        let some = !contributions.is_empty();
        some.then_some(Self {
            items: contributions,
            plural: true,
        })
    }

    /// The contributions, at least one.
    pub fn items(&self) -> &[SyncCommitteeContribution] {
        &self.items
    }

    /// Whether this is the form of newer members.
    pub const fn is_plural(&self) -> bool {
        self.plural
    }

    /// The slot of the first contribution.
    pub fn slot(&self) -> Slot {
        self.items
            .first()
            .map(|contribution| contribution.slot)
            .unwrap_or_default()
    }

    /// The bytes on the cluster's wire.
    pub fn encode(&self) -> Vec<u8> {
        match &*self.items {
            [contribution] if !self.plural => contribution.encode(),
            items => json_bytes(&items),
        }
    }

    /// Reads the bytes on the cluster's wire: a JSON list, else one contribution. The order matters, since a slot's
    /// first byte may be a bracket.
    ///
    /// # Errors
    /// [`DecodeError`] for anything else: an empty list, or more contributions than there are subcommittees.
    pub fn decode(bytes: &[u8], sizes: &ListSizes) -> Result<Self, DecodeError> {
        if bytes.trim_ascii_start().starts_with(b"[")
            && let Ok(layouts) = serde_json::from_slice::<Vec<Layout>>(bytes)
        {
            let limit = sizes.sync_committee_subnet_count as usize;
            if layouts.is_empty() || layouts.len() > limit {
                return Err(DecodeError::Count {
                    what: "sync committee contributions",
                    limit,
                    got: layouts.len(),
                });
            }
            let items = layouts
                .into_iter()
                .map(|layout| layout.checked(sizes))
                .collect::<Result<_, _>>()?;
            return Ok(Self {
                items,
                plural: true,
            });
        }
        SyncCommitteeContribution::decode(bytes, sizes).map(Self::single)
    }
}

/// A contribution with the proof that its sender was selected.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ContributionAndProof {
    /// The sender.
    pub aggregator_index: ValidatorIndex,
    /// The contribution.
    pub contribution: SyncCommitteeContribution,
    /// The proof.
    pub selection_proof: SignatureBytes,
}

#[derive(Deserialize)]
struct ProofLayout {
    aggregator_index: ValidatorIndex,
    contribution: Layout,
    selection_proof: SignatureBytes,
}

impl ProofLayout {
    fn checked(self, sizes: &ListSizes) -> Result<ContributionAndProof, DecodeError> {
        Ok(ContributionAndProof {
            aggregator_index: self.aggregator_index,
            contribution: self.contribution.checked(sizes)?,
            selection_proof: self.selection_proof,
        })
    }
}

/// Name in errors.
const PROOF: &str = "contribution and proof";

impl ContributionAndProof {
    /// The SSZ form: 264 bytes on mainnet.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.aggregator_index.0.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.contribution.encode());
        bytes.extend_from_slice(&self.selection_proof.0);
        bytes
    }

    fn decode_ssz(bytes: &[u8], sizes: &ListSizes) -> Result<Self, DecodeError> {
        let contribution = contribution_bytes(sizes);
        exactly(PROOF, bytes, 8 + contribution + SignatureBytes::LENGTH)?;
        Ok(Self {
            aggregator_index: ValidatorIndex(word_u64(bytes, 0).unwrap_or_default()),
            contribution: SyncCommitteeContribution::decode_ssz(
                &bytes[8..8 + contribution],
                sizes,
            )?,
            selection_proof: SignatureBytes::from_ssz_bytes(&bytes[8 + contribution..])
                .map_err(DecodeError::ssz(PROOF))?,
        })
    }

    /// Reads the Beacon API's JSON.
    ///
    /// # Errors
    /// [`DecodeError`], also for bits of another preset.
    pub fn from_json(json: &serde_json::Value, sizes: &ListSizes) -> Result<Self, DecodeError> {
        ProofLayout::deserialize(json)
            .map_err(DecodeError::json(PROOF))?
            .checked(sizes)
    }

    /// The hash tree root.
    pub fn tree_hash_root(&self) -> Root {
        let fields = [
            tree_hash(&self.aggregator_index).0,
            self.contribution.tree_hash_root().0,
            tree_hash(&self.selection_proof).0,
        ];
        Root(merkleize(&Sha2Hasher, &fields, None))
    }
}

/// A contribution with its proof, signed: 360 bytes of SSZ on mainnet.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct SignedContributionAndProof {
    /// The contribution with its proof.
    pub message: ContributionAndProof,
    /// The signature.
    pub signature: SignatureBytes,
}

#[derive(Deserialize)]
struct SignedLayout {
    message: ProofLayout,
    signature: SignatureBytes,
}

impl SignedLayout {
    fn checked(self, sizes: &ListSizes) -> Result<SignedContributionAndProof, DecodeError> {
        Ok(SignedContributionAndProof {
            message: self.message.checked(sizes)?,
            signature: self.signature,
        })
    }
}

/// Name in errors.
const SIGNED: &str = "signed contribution and proof";

impl SignedContributionAndProof {
    /// The SSZ form, which is that on the cluster's wire.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.message.encode();
        bytes.extend_from_slice(&self.signature.0);
        bytes
    }

    /// Reads the bytes on the cluster's wire, or their JSON form.
    ///
    /// # Errors
    /// [`DecodeError`] for anything else, bits of another preset included.
    pub fn decode(bytes: &[u8], sizes: &ListSizes) -> Result<Self, DecodeError> {
        ssz_or_json(
            bytes,
            |bytes| Self::decode_ssz(bytes, sizes),
            |json| {
                let layout: SignedLayout =
                    serde_json::from_slice(json).map_err(DecodeError::json(SIGNED))?;
                layout.checked(sizes)
            },
        )
    }

    fn decode_ssz(bytes: &[u8], sizes: &ListSizes) -> Result<Self, DecodeError> {
        let message = 8 + contribution_bytes(sizes) + SignatureBytes::LENGTH;
        exactly(SIGNED, bytes, message + SignatureBytes::LENGTH)?;
        Ok(Self {
            message: ContributionAndProof::decode_ssz(&bytes[..message], sizes)?,
            signature: SignatureBytes::from_ssz_bytes(&bytes[message..])
                .map_err(DecodeError::ssz(SIGNED))?,
        })
    }

    /// Reads the Beacon API's JSON.
    ///
    /// # Errors
    /// [`DecodeError`], also for bits of another preset.
    pub fn from_json(json: &serde_json::Value, sizes: &ListSizes) -> Result<Self, DecodeError> {
        SignedLayout::deserialize(json)
            .map_err(DecodeError::json(SIGNED))?
            .checked(sizes)
    }
}

fn exactly(what: &'static str, bytes: &[u8], expected: usize) -> Result<(), DecodeError> {
    match bytes.len() {
        got if got == expected => Ok(()),
        got => Err(DecodeError::Length {
            what,
            expected,
            got,
        }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn contribution(slot: u64, sizes: &ListSizes) -> SyncCommitteeContribution {
        let bits = vec![5; bits_bytes(sizes)];
        SyncCommitteeContribution {
            slot: Slot(slot),
            subcommittee_index: 3,
            aggregation_bits: SubcommitteeBits::from_bytes(&bits, sizes).unwrap(),
            ..SyncCommitteeContribution::default()
        }
    }

    #[test]
    fn sizes_follow_the_preset() {
        let (mainnet, minimal) = (&ListSizes::MAINNET, &ListSizes::MINIMAL);
        assert_eq!(contribution(1, mainnet).encode().len(), 160);
        let small = contribution(1, minimal).encode();
        assert_eq!(small.len(), 145);
        assert!(SyncCommitteeContribution::decode(&small, minimal).is_ok());
        assert!(SyncCommitteeContribution::decode(&small, mainnet).is_err());
        let json = serde_json::to_value(contribution(1, mainnet)).unwrap();
        assert!(SyncCommitteeContribution::from_json(&json, minimal).is_err());
    }

    /// 91 is an opening bracket.
    #[test]
    fn a_slot_that_looks_like_a_list_is_none() {
        let sizes = &ListSizes::MAINNET;
        let single = SyncContributions::single(contribution(91, sizes));
        assert_eq!(
            SyncContributions::decode(&single.encode(), sizes),
            Ok(single)
        );
    }

    #[test]
    fn one_contribution_has_two_forms_and_keeps_its_own() {
        let sizes = &ListSizes::MAINNET;
        let single = SyncContributions::single(contribution(7, sizes));
        let plural = SyncContributions::plural(vec![contribution(7, sizes)]).unwrap();
        assert_ne!(single.encode(), plural.encode());
        for value in [single, plural] {
            assert_eq!(SyncContributions::decode(&value.encode(), sizes), Ok(value));
        }
    }

    #[test]
    fn lists_of_none_or_too_many_are_refused() {
        let sizes = &ListSizes::MAINNET;
        assert_eq!(SyncContributions::plural(vec![]), None);
        for count in [0, 5] {
            let json = json_bytes(&vec![contribution(7, sizes); count]);
            assert!(matches!(
                SyncContributions::decode(&json, sizes),
                Err(DecodeError::Count { limit: 4, got, .. }) if got == count
            ));
        }
    }
}
