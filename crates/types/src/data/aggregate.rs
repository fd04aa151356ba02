//! Aggregates of attestations: agreed on, then signed with the proof that their sender was selected.

use libssz::SszDecode as _;
use libssz_merkle::{Sha2Hasher, merkleize};
use serde::{Deserialize, Serialize, Serializer};

use super::{
    attestation::{Attestation, SizeError},
    codec::{
        ATTESTATION_JSON_BYTES, DecodeError, bounded_json, plain_header, ssz_or_json, versioned,
        word_u32, word_u64,
    },
};
use crate::{Fork, ListSizes, Root, SignatureBytes, Slot, ValidatorIndex, signing::tree_hash};

/// What a cluster agrees on for one aggregator: the aggregate of its committee.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AggregateValue {
    /// The fork, which sets the shape. Old members leave it out; the shape is that of phase 0 then.
    pub fork: Option<Fork>,
    /// The aggregate.
    pub aggregate: Attestation,
}

/// Name in errors.
const VALUE: &str = "aggregate attestation";

impl AggregateValue {
    /// The slot that was attested in.
    pub const fn slot(&self) -> Slot {
        self.aggregate.data().slot
    }

    /// The bytes on the cluster's wire: a header with the fork, and the SSZ form.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.fork.map(plain_header).unwrap_or_default();
        bytes.extend_from_slice(&self.aggregate.encode());
        bytes
    }

    /// Reads the bytes on the cluster's wire, or their JSON form.
    ///
    /// # Errors
    /// [`DecodeError`] for anything else, more bits than the preset allows included.
    pub fn decode(bytes: &[u8], sizes: &ListSizes) -> Result<Self, DecodeError> {
        let value = ssz_or_json(bytes, Self::decode_ssz, Self::decode_json)?;
        value.aggregate.check_sizes(sizes)?;
        Ok(value)
    }

    /// Without a header the first word is the offset 228, which is no fork's number.
    fn decode_ssz(bytes: &[u8]) -> Result<Self, DecodeError> {
        match versioned(bytes, VALUE) {
            Ok((fork, value)) => Ok(Self {
                fork: Some(fork),
                aggregate: Attestation::decode(fork, value)?,
            }),
            Err(error) => Ok(Self {
                fork: None,
                aggregate: Attestation::decode(Fork::Phase0, bytes).map_err(|_| error)?,
            }),
        }
    }

    fn decode_json(bytes: &[u8]) -> Result<Self, DecodeError> {
        #[derive(Deserialize)]
        struct Layout {
            version: u64,
            attestation: serde_json::Value,
        }
        let json: serde_json::Value = bounded_json(bytes, VALUE, ATTESTATION_JSON_BYTES)?;
        if json.get("version").is_none() {
            let aggregate = Attestation::from_json(Fork::Phase0, &json)?;
            return Ok(Self {
                fork: None,
                aggregate,
            });
        }
        let layout = Layout::deserialize(&json).map_err(DecodeError::json(VALUE))?;
        let fork = Fork::from_wire(layout.version).ok_or(DecodeError::Version(layout.version))?;
        Ok(Self {
            fork: Some(fork),
            aggregate: Attestation::from_json(fork, &layout.attestation)?,
        })
    }
}

/// An aggregate attestation with the proof that its sender was selected.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct AggregateAndProof {
    /// The sender.
    pub aggregator_index: ValidatorIndex,
    /// The aggregate.
    pub aggregate: Attestation,
    /// The proof.
    pub selection_proof: SignatureBytes,
}

/// Name in errors.
const PROOF: &str = "aggregate and proof";
/// Index, offset and proof: where the aggregate begins.
const AGGREGATE_AT: usize = 8 + 4 + SignatureBytes::LENGTH;

#[derive(Deserialize)]
struct ProofLayout {
    aggregator_index: ValidatorIndex,
    aggregate: serde_json::Value,
    selection_proof: SignatureBytes,
}

impl ProofLayout {
    fn of(self, fork: Fork) -> Result<AggregateAndProof, DecodeError> {
        Ok(AggregateAndProof {
            aggregator_index: self.aggregator_index,
            aggregate: Attestation::from_json(fork, &self.aggregate)?,
            selection_proof: self.selection_proof,
        })
    }
}

impl AggregateAndProof {
    /// The SSZ form.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.aggregator_index.0.to_le_bytes().to_vec();
        bytes.extend_from_slice(&(AGGREGATE_AT as u32).to_le_bytes());
        bytes.extend_from_slice(&self.selection_proof.0);
        bytes.extend_from_slice(&self.aggregate.encode());
        bytes
    }

    /// Reads the SSZ form of a fork's aggregates.
    ///
    /// # Errors
    /// [`DecodeError`] for anything that [`Self::encode`] does not produce.
    pub fn decode(fork: Fork, bytes: &[u8]) -> Result<Self, DecodeError> {
        let (head, aggregate) = split(PROOF, bytes, 8, AGGREGATE_AT)?;
        Ok(Self {
            aggregator_index: ValidatorIndex(word_u64(head, 0).unwrap_or_default()),
            aggregate: Attestation::decode(fork, aggregate)?,
            selection_proof: SignatureBytes::from_ssz_bytes(&head[12..])
                .map_err(DecodeError::ssz(PROOF))?,
        })
    }

    /// Reads the Beacon API's JSON of a fork's aggregates.
    ///
    /// # Errors
    /// [`DecodeError::Json`].
    pub fn from_json(fork: Fork, json: &serde_json::Value) -> Result<Self, DecodeError> {
        ProofLayout::deserialize(json)
            .map_err(DecodeError::json(PROOF))?
            .of(fork)
    }

    /// The hash tree root under a preset's list sizes.
    ///
    /// # Errors
    /// [`SizeError`] if the aggregate has more bits than the preset allows.
    pub fn tree_hash_root(&self, sizes: &ListSizes) -> Result<Root, SizeError> {
        let fields = [
            tree_hash(&self.aggregator_index).0,
            self.aggregate.tree_hash_root(sizes)?.0,
            tree_hash(&self.selection_proof).0,
        ];
        Ok(Root(merkleize(&Sha2Hasher, &fields, None)))
    }
}

/// Splits a container of a fixed part with one offset, the value of which must be the fixed part's length.
fn split<'a>(
    what: &'static str,
    bytes: &'a [u8],
    offset_at: usize,
    fixed: usize,
) -> Result<(&'a [u8], &'a [u8]), DecodeError> {
    let halves = bytes.split_at_checked(fixed).ok_or(DecodeError::Length {
        what,
        expected: fixed,
        got: bytes.len(),
    })?;
    match word_u32(bytes, offset_at).unwrap_or_default() as usize {
        got if got == fixed => Ok(halves),
        got => Err(DecodeError::Offset {
            what,
            expected: fixed,
            got,
        }),
    }
}

/// An aggregate with its proof, signed, on its way between members: its root is computed once, under the chain's list
/// sizes, and so is known to exist.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignedAggregateAndProof {
    fork: Option<Fork>,
    message: AggregateAndProof,
    signature: SignatureBytes,
    root: Root,
}

/// Name in errors.
const SIGNED: &str = "signed aggregate and proof";
/// Offset and signature: where the message begins.
const MESSAGE_AT: usize = 4 + SignatureBytes::LENGTH;

#[derive(Deserialize)]
struct SignedLayout {
    message: ProofLayout,
    signature: SignatureBytes,
}

impl SignedAggregateAndProof {
    /// A message of a fork with its signature.
    ///
    /// # Errors
    /// [`DecodeError::Shape`] if the aggregate has another fork's shape, [`DecodeError::Bits`] if it has more bits than
    /// the preset allows.
    pub fn new(
        fork: Fork,
        message: AggregateAndProof,
        signature: SignatureBytes,
        sizes: &ListSizes,
    ) -> Result<Self, DecodeError> {
        if !message.aggregate.has_shape_of(fork) {
            return Err(DecodeError::Shape { what: SIGNED, fork });
        }
        Self::rooted(Some(fork), message, signature, sizes)
    }

    fn rooted(
        fork: Option<Fork>,
        message: AggregateAndProof,
        signature: SignatureBytes,
        sizes: &ListSizes,
    ) -> Result<Self, DecodeError> {
        let root = message.tree_hash_root(sizes)?;
        Ok(Self {
            fork,
            message,
            signature,
            root,
        })
    }

    /// The fork. Old members leave it out; the shape is that of phase 0 then.
    pub const fn fork(&self) -> Option<Fork> {
        self.fork
    }

    /// The aggregate with its proof.
    pub const fn message(&self) -> &AggregateAndProof {
        &self.message
    }

    /// The signature.
    pub const fn signature(&self) -> &SignatureBytes {
        &self.signature
    }

    /// Puts another signature in.
    pub fn with_signature(self, signature: SignatureBytes) -> Self {
        Self { signature, ..self }
    }

    /// The hash tree root of the message.
    pub const fn message_root(&self) -> Root {
        self.root
    }

    /// The slot that was attested in.
    pub const fn slot(&self) -> Slot {
        self.message.aggregate.data().slot
    }

    /// The bytes on the cluster's wire: a header with the fork, and the SSZ form.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.fork.map(plain_header).unwrap_or_default();
        bytes.extend_from_slice(&(MESSAGE_AT as u32).to_le_bytes());
        bytes.extend_from_slice(&self.signature.0);
        bytes.extend_from_slice(&self.message.encode());
        bytes
    }

    /// Reads the bytes on the cluster's wire, or their JSON form.
    ///
    /// # Errors
    /// [`DecodeError`] for anything else, more bits than the preset allows included.
    pub fn decode(bytes: &[u8], sizes: &ListSizes) -> Result<Self, DecodeError> {
        ssz_or_json(
            bytes,
            |bytes| Self::decode_ssz(bytes, sizes),
            |json| Self::decode_json(json, sizes),
        )
    }

    /// Without a header the first word is the offset 100, which is no fork's number.
    fn decode_ssz(bytes: &[u8], sizes: &ListSizes) -> Result<Self, DecodeError> {
        let (fork, value) = match versioned(bytes, SIGNED) {
            Ok((fork, value)) => (Some(fork), value),
            Err(_) if word_u32(bytes, 0) == Some(MESSAGE_AT as u32) => (None, bytes),
            Err(error) => return Err(error),
        };
        let (head, message) = split(SIGNED, value, 0, MESSAGE_AT)?;
        let signature =
            SignatureBytes::from_ssz_bytes(&head[4..]).map_err(DecodeError::ssz(SIGNED))?;
        let message = AggregateAndProof::decode(fork.unwrap_or(Fork::Phase0), message)?;
        Self::rooted(fork, message, signature, sizes)
    }

    fn decode_json(bytes: &[u8], sizes: &ListSizes) -> Result<Self, DecodeError> {
        #[derive(Deserialize)]
        struct Layout {
            version: u64,
            aggregate_and_proof: SignedLayout,
        }
        let json: serde_json::Value = bounded_json(bytes, SIGNED, ATTESTATION_JSON_BYTES)?;
        let (fork, layout) = if json.get("version").is_some() {
            let layout = Layout::deserialize(&json).map_err(DecodeError::json(SIGNED))?;
            let fork =
                Fork::from_wire(layout.version).ok_or(DecodeError::Version(layout.version))?;
            (Some(fork), layout.aggregate_and_proof)
        } else {
            let layout = SignedLayout::deserialize(&json).map_err(DecodeError::json(SIGNED))?;
            (None, layout)
        };
        let message = layout.message.of(fork.unwrap_or(Fork::Phase0))?;
        Self::rooted(fork, message, layout.signature, sizes)
    }

    /// Reads the Beacon API's JSON of a fork's signed aggregates.
    ///
    /// # Errors
    /// [`DecodeError`], also for more bits than the preset allows.
    pub fn from_json(
        fork: Fork,
        json: &serde_json::Value,
        sizes: &ListSizes,
    ) -> Result<Self, DecodeError> {
        let layout = SignedLayout::deserialize(json).map_err(DecodeError::json(SIGNED))?;
        Self::rooted(
            Some(fork),
            layout.message.of(fork)?,
            layout.signature,
            sizes,
        )
    }
}

impl Serialize for SignedAggregateAndProof {
    /// The Beacon API's JSON, without the fork.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Layout<'a> {
            message: &'a AggregateAndProof,
            signature: &'a SignatureBytes,
        }
        let (message, signature) = (&self.message, &self.signature);
        Layout { message, signature }.serialize(serializer)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{AttestationData, Bitlist, CommitteeBits};

    const SIZES: &ListSizes = &ListSizes::MAINNET;

    fn phase0() -> Attestation {
        Attestation::Phase0 {
            aggregation_bits: Bitlist::with_one(9, 3).unwrap(),
            data: AttestationData::default(),
            signature: SignatureBytes([1; 96]),
        }
    }

    fn proof(aggregate: Attestation) -> AggregateAndProof {
        AggregateAndProof {
            aggregator_index: ValidatorIndex(5),
            aggregate,
            selection_proof: SignatureBytes([2; 96]),
        }
    }

    #[test]
    fn old_members_leave_the_fork_out_and_are_answered_alike() {
        let value = AggregateValue {
            fork: None,
            aggregate: phase0(),
        };
        assert_eq!(AggregateValue::decode(&value.encode(), SIZES), Ok(value));
        let signature = SignatureBytes([3; 96]);
        let signed =
            SignedAggregateAndProof::rooted(None, proof(phase0()), signature, SIZES).unwrap();
        assert_eq!(
            SignedAggregateAndProof::decode(&signed.encode(), SIZES),
            Ok(signed.clone())
        );
        let json = serde_json::to_vec(&signed).unwrap();
        assert_eq!(SignedAggregateAndProof::decode(&json, SIZES), Ok(signed));
    }

    #[test]
    fn an_aggregate_has_its_forks_shape_and_the_presets_size() {
        let signature = SignatureBytes([3; 96]);
        let of_fork =
            |fork, sizes| SignedAggregateAndProof::new(fork, proof(phase0()), signature, sizes);
        assert!(of_fork(Fork::Deneb, SIZES).is_ok());
        assert!(matches!(
            of_fork(Fork::Electra, SIZES),
            Err(DecodeError::Shape { .. })
        ));
        let small = ListSizes {
            max_validators_per_committee: 8,
            ..*SIZES
        };
        assert!(of_fork(Fork::Deneb, &small).is_err());
        let value = AggregateValue {
            fork: Some(Fork::Deneb),
            aggregate: phase0(),
        };
        assert!(AggregateValue::decode(&value.encode(), &small).is_err());
    }

    #[test]
    fn committees_of_another_preset_are_refused() {
        let aggregate = Attestation::Electra {
            aggregation_bits: Bitlist::with_one(9, 3).unwrap(),
            data: AttestationData::default(),
            signature: SignatureBytes([1; 96]),
            committee_bits: CommitteeBits::one(2).unwrap(),
        };
        let value = AggregateValue {
            fork: Some(Fork::Fulu),
            aggregate,
        };
        assert!(AggregateValue::decode(&value.encode(), SIZES).is_ok());
        assert!(AggregateValue::decode(&value.encode(), &ListSizes::MINIMAL).is_err());
    }

    #[test]
    fn long_json_is_refused_unread() {
        let text = format!("{{\"version\":6{}}}", " ".repeat(ATTESTATION_JSON_BYTES));
        let error = AggregateValue::decode(text.as_bytes(), SIZES).unwrap_err();
        assert!(error.to_string().contains("the limit is 65536"), "{error}");
    }
}
