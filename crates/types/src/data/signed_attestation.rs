//! Attestations of one validator, as members exchange them.

use serde::{Deserialize, Serialize, Serializer};

use super::{
    attestation::{Attestation, AttestationData, SingleAttestation},
    attester::AttesterValue,
    codec::{
        ATTESTATION_JSON_BYTES, DecodeError, INDEXED_HEADER, PLAIN_HEADER, bounded_json, fork_of,
        ssz_or_json, word_u32, word_u64,
    },
};
use crate::{
    Bitlist, BitsError, CommitteeBits, CommitteeIndex, Fork, SignatureBytes, ValidatorIndex,
};

/// Name in errors.
const WHAT: &str = "signed attestation";

/// An agreed value that no attestation can be made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The duty's committee index is beyond every preset.
    #[error("committee_index: {0}")]
    CommitteeIndex(BitsError),
    /// The duty's place in the committee and the committee's length do not go together.
    #[error("validator_committee_index: {0}")]
    CommitteePlace(BitsError),
}

/// One validator's attestation on its way between members: fork, validator and the attestation (spec 30 §2.5).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignedAttestation {
    /// The fork, which sets the shape.
    pub fork: Fork,
    /// The validator. Some members leave it out before Electra, where bits tell it.
    pub validator_index: Option<ValidatorIndex>,
    /// The attestation, in the fork's shape.
    pub attestation: Attestation,
}

impl SignedAttestation {
    /// The attestation that follows from an agreed value and a signature over it.
    ///
    /// # Errors
    /// [`ValueError`] when the duty's committee numbers, which the round's leader chose, are impossible.
    pub fn from_value(
        value: &AttesterValue,
        fork: Fork,
        signature: SignatureBytes,
    ) -> Result<Self, ValueError> {
        let (data, duty) = (value.data, &value.duty);
        let attestation = if fork.has_committee_bits() {
            let committee_bits =
                CommitteeBits::one(duty.committee_index.0).map_err(ValueError::CommitteeIndex)?;
            Attestation::Electra {
                aggregation_bits: Bitlist::empty(),
                data,
                signature,
                committee_bits,
            }
        } else {
            let aggregation_bits =
                Bitlist::with_one(duty.committee_length, duty.validator_committee_index)
                    .map_err(ValueError::CommitteePlace)?;
            Attestation::Phase0 {
                aggregation_bits,
                data,
                signature,
            }
        };
        Ok(Self {
            fork,
            validator_index: Some(duty.validator_index),
            attestation,
        })
    }

    /// What a validator client submitted, from Electra on. The bits stay empty: members carry the validator's index.
    ///
    /// # Errors
    /// [`ValueError::CommitteeIndex`] beyond every preset.
    pub fn from_single(fork: Fork, single: &SingleAttestation) -> Result<Self, ValueError> {
        let committee_bits =
            CommitteeBits::one(single.committee_index.0).map_err(ValueError::CommitteeIndex)?;
        let (data, signature) = (single.data, single.signature);
        let aggregation_bits = Bitlist::empty();
        let attestation = Attestation::Electra {
            aggregation_bits,
            data,
            signature,
            committee_bits,
        };
        Ok(Self {
            fork,
            validator_index: Some(single.attester_index),
            attestation,
        })
    }

    /// What is attested.
    pub const fn data(&self) -> &AttestationData {
        self.attestation.data()
    }

    /// The signature.
    pub const fn signature(&self) -> &SignatureBytes {
        self.attestation.signature()
    }

    /// Puts another signature in.
    pub fn with_signature(mut self, signature: SignatureBytes) -> Self {
        self.attestation = self.attestation.with_signature(signature);
        self
    }

    /// The form a beacon node takes from Electra on; `None` for older shapes, for several committees, or when the
    /// validator is not told.
    pub fn to_single(&self) -> Option<SingleAttestation> {
        match &self.attestation {
            Attestation::Phase0 { .. } => None,
            Attestation::Electra {
                data,
                signature,
                committee_bits,
                ..
            } => Some(SingleAttestation {
                committee_index: CommitteeIndex(committee_bits.only()?),
                attester_index: self.validator_index?,
                data: *data,
                signature: *signature,
            }),
        }
    }

    /// The bytes on the cluster's wire: a header with the validator's index when it is known, else one without.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.fork.wire().to_le_bytes().to_vec();
        let offset = match self.validator_index {
            Some(index) => {
                bytes.extend_from_slice(&index.0.to_le_bytes());
                INDEXED_HEADER
            }
            None => PLAIN_HEADER,
        };
        bytes.extend_from_slice(&(offset as u32).to_le_bytes());
        bytes.extend_from_slice(&self.attestation.encode());
        bytes
    }

    /// Reads the bytes on the cluster's wire, or their JSON form.
    ///
    /// # Errors
    /// [`DecodeError`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        ssz_or_json(bytes, Self::decode_ssz, Self::decode_json)
    }

    /// The word at 16 is the offset of the header with an index; without one it is the low half of the slot, which
    /// would have to be 20 to mislead. The field decides in the same order.
    fn decode_ssz(bytes: &[u8]) -> Result<Self, DecodeError> {
        if word_u32(bytes, 16) == Some(INDEXED_HEADER as u32) {
            let fork = fork_of(bytes, WHAT, INDEXED_HEADER)?;
            let attestation = Attestation::decode(fork, &bytes[INDEXED_HEADER..])?;
            return Ok(Self {
                fork,
                validator_index: word_u64(bytes, 8).map(ValidatorIndex),
                attestation,
            });
        }
        let fork = fork_of(bytes, WHAT, PLAIN_HEADER)?;
        let offset = word_u32(bytes, 8).unwrap_or_default() as usize;
        if offset != PLAIN_HEADER {
            return Err(DecodeError::Offset {
                what: WHAT,
                expected: PLAIN_HEADER,
                got: offset,
            });
        }
        let attestation = Attestation::decode(fork, &bytes[PLAIN_HEADER..])?;
        Ok(Self {
            fork,
            validator_index: None,
            attestation,
        })
    }

    fn decode_json(bytes: &[u8]) -> Result<Self, DecodeError> {
        #[derive(Deserialize)]
        struct Layout {
            version: u64,
            #[serde(default)]
            validator_index: Option<ValidatorIndex>,
            attestation: serde_json::Value,
        }
        let layout: Layout = bounded_json(bytes, WHAT, ATTESTATION_JSON_BYTES)?;
        let fork = Fork::from_wire(layout.version).ok_or(DecodeError::Version(layout.version))?;
        let attestation = Attestation::from_json(fork, &layout.attestation)?;
        Ok(Self {
            fork,
            validator_index: layout.validator_index,
            attestation,
        })
    }
}

impl Serialize for SignedAttestation {
    /// The JSON form, with the fork as a number.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Layout<'a> {
            version: u64,
            validator_index: Option<ValidatorIndex>,
            attestation: &'a Attestation,
        }
        let (version, validator_index) = (self.fork.wire(), self.validator_index);
        Layout {
            version,
            validator_index,
            attestation: &self.attestation,
        }
        .serialize(serializer)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::AttesterDuty;

    fn value() -> AttesterValue {
        let duty = AttesterDuty {
            validator_index: ValidatorIndex(77),
            committee_index: CommitteeIndex(3),
            committee_length: 10,
            validator_committee_index: 4,
            committees_at_slot: 5,
            ..AttesterDuty::default()
        };
        AttesterValue {
            data: AttestationData::default(),
            duty,
        }
    }

    #[test]
    fn from_electra_on_a_value_becomes_a_single_attestation_and_back() {
        let signed =
            SignedAttestation::from_value(&value(), Fork::Fulu, SignatureBytes([9; 96])).unwrap();
        assert_eq!(signed.encode().len(), 257);
        let single = signed.to_single().unwrap();
        assert_eq!(
            (single.committee_index, single.attester_index),
            (CommitteeIndex(3), ValidatorIndex(77))
        );
        assert_eq!(
            SignedAttestation::from_single(Fork::Fulu, &single).unwrap(),
            signed
        );
    }

    #[test]
    fn before_electra_a_value_sets_one_bit_of_its_committee() {
        let signed =
            SignedAttestation::from_value(&value(), Fork::Deneb, SignatureBytes([9; 96])).unwrap();
        let bits = signed.attestation.aggregation_bits();
        assert_eq!(
            (bits.length(), bits.ones().collect::<Vec<_>>()),
            (10, vec![4])
        );
        assert_eq!(signed.to_single(), None);
    }

    #[test]
    fn impossible_committees_make_no_attestation() {
        let mut value = value();
        value.duty.committee_index = CommitteeIndex(u64::MAX);
        value.duty.committee_length = u64::MAX;
        for fork in [Fork::Deneb, Fork::Fulu] {
            assert!(
                SignedAttestation::from_value(&value, fork, SignatureBytes::default()).is_err(),
                "{fork}"
            );
        }
    }

    #[test]
    fn json_version_must_be_a_number() {
        let signed =
            SignedAttestation::from_value(&value(), Fork::Fulu, SignatureBytes([9; 96])).unwrap();
        let json = serde_json::to_string(&signed).unwrap();
        assert_eq!(SignedAttestation::decode(json.as_bytes()).unwrap(), signed);
        let text = json.replace("\"version\":6", "\"version\":\"6\"");
        assert!(SignedAttestation::decode(text.as_bytes()).is_err());
        let unknown = json.replace("\"version\":6", "\"version\":7");
        assert_eq!(
            SignedAttestation::decode(unknown.as_bytes()),
            Err(DecodeError::Version(7))
        );
    }

    #[test]
    fn gaps_behind_the_header_are_refused() {
        let signed =
            SignedAttestation::from_value(&value(), Fork::Deneb, SignatureBytes([9; 96])).unwrap();
        let mut bytes = SignedAttestation {
            validator_index: None,
            ..signed
        }
        .encode();
        bytes[8] = 13;
        bytes.insert(12, 0);
        assert!(matches!(
            SignedAttestation::decode(&bytes),
            Err(DecodeError::Offset { got: 13, .. })
        ));
    }
}
