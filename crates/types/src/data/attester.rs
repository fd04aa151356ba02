//! An attester's assignment, and the value a cluster agrees on for it.

use libssz::{SszDecode as _, SszEncode as _};
use libssz_derive::{SszDecode, SszEncode};
use serde::{Deserialize, Serialize};

use super::{
    attestation::AttestationData,
    codec::{DecodeError, word_u32},
};
use crate::{
    Chain, CommitteeIndex, DomainType, PublicKeyBytes, Root, Slot, ValidatorIndex, json::quoted,
    json::quoted_above_zero, signing_root,
};

/// One validator's assignment to a committee, as in the Beacon API's attester duties.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    SszEncode,
    SszDecode,
    Serialize,
    Deserialize,
)]
pub struct AttesterDuty {
    /// The validator's public key: the group's, never a share's.
    pub pubkey: PublicKeyBytes,
    /// The slot to attest in.
    pub slot: Slot,
    /// The validator.
    pub validator_index: ValidatorIndex,
    /// Its committee.
    pub committee_index: CommitteeIndex,
    /// How many validators the committee has. JSON refuses zero.
    #[serde(with = "quoted_above_zero")]
    pub committee_length: u64,
    /// How many committees the slot has. JSON refuses zero.
    #[serde(with = "quoted_above_zero")]
    pub committees_at_slot: u64,
    /// The validator's place in its committee, from 0.
    #[serde(with = "quoted")]
    pub validator_committee_index: u64,
}

/// What a cluster agrees on for one attester: the data and whose it is. 232 bytes of SSZ (spec 30 §2.4).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct AttesterValue {
    /// What will be attested.
    #[serde(rename = "attestation_data")]
    pub data: AttestationData,
    /// By whom.
    #[serde(rename = "attestation_duty")]
    pub duty: AttesterDuty,
}

/// Name in errors.
const WHAT: &str = "attester value";
/// Where the data begins: after two offsets.
const DATA_AT: usize = 8;
/// Where the duty begins.
const DUTY_AT: usize = DATA_AT + AttestationData::SSZ_BYTES;

impl AttesterValue {
    /// Bytes of the SSZ form.
    pub const SSZ_BYTES: usize = DUTY_AT + 96;

    /// The SSZ form: two offsets, data, duty.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::SSZ_BYTES);
        for offset in [DATA_AT, DUTY_AT] {
            bytes.extend_from_slice(&(offset as u32).to_le_bytes());
        }
        self.data.ssz_append(&mut bytes);
        self.duty.ssz_append(&mut bytes);
        bytes
    }

    /// Reads the SSZ form or the JSON form.
    ///
    /// # Errors
    /// [`DecodeError`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        super::codec::ssz_or_json(bytes, Self::decode_ssz, |json| {
            serde_json::from_slice(json).map_err(DecodeError::json(WHAT))
        })
    }

    fn decode_ssz(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() != Self::SSZ_BYTES {
            return Err(DecodeError::Length {
                what: WHAT,
                expected: Self::SSZ_BYTES,
                got: bytes.len(),
            });
        }
        for (at, expected) in [(0, DATA_AT), (4, DUTY_AT)] {
            let got = word_u32(bytes, at).unwrap_or_default() as usize;
            if got != expected {
                return Err(DecodeError::Offset {
                    what: WHAT,
                    expected,
                    got,
                });
            }
        }
        let duty =
            AttesterDuty::from_ssz_bytes(&bytes[DUTY_AT..]).map_err(DecodeError::ssz(WHAT))?;
        Ok(Self {
            data: AttestationData::decode(&bytes[DATA_AT..DUTY_AT])?,
            duty,
        })
    }

    /// The 32 bytes a signature over this value's data covers.
    pub fn signing_root(&self, chain: &Chain) -> Root {
        self.data.signing_root(chain)
    }
}

impl AttestationData {
    /// The 32 bytes a signature over this data covers. The fork is that of the target's epoch.
    pub fn signing_root(&self, chain: &Chain) -> Root {
        signing_root(
            self.tree_hash_root(),
            chain.domain(DomainType::BEACON_ATTESTER, self.target.epoch),
        )
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{ChainSpec, Checkpoint, Epoch, ForkVersion, Timestamp};

    fn value() -> AttesterValue {
        let duty = AttesterDuty {
            committee_length: 3,
            committees_at_slot: 1,
            ..AttesterDuty::default()
        };
        AttesterValue {
            data: AttestationData {
                slot: Slot(9),
                ..AttestationData::default()
            },
            duty,
        }
    }

    #[test]
    fn json_is_taken_where_ssz_fails() {
        let json = serde_json::to_string(&value()).unwrap();
        assert_eq!(
            AttesterValue::decode(format!(" \n{json}").as_bytes()).unwrap(),
            value()
        );
    }

    #[test]
    fn json_refuses_an_empty_committee() {
        let json = serde_json::to_string(&value())
            .unwrap()
            .replace("\"committee_length\":\"3\"", "\"committee_length\":\"0\"");
        let error = AttesterValue::decode(json.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("must be above zero"), "{error}");
    }

    #[test]
    fn other_offsets_and_lengths_are_refused() {
        let mut bytes = value().encode();
        assert_eq!(bytes.len(), 232);
        bytes[4] = 137;
        let error = AttesterValue::decode(&bytes).unwrap_err();
        assert_eq!(
            error.to_string(),
            "attester value: offset 137 instead of 136"
        );
        bytes.truncate(231);
        assert!(matches!(
            AttesterValue::decode(&bytes),
            Err(DecodeError::Length { got: 231, .. })
        ));
    }

    /// A published client test, so that the crate checks what it signs without the shared vectors.
    #[test]
    fn the_signing_root_is_the_published_one() {
        let mut head = Root::default();
        head.0[..9].copy_from_slice(b"blockRoot");
        let checkpoint = |epoch| Checkpoint {
            epoch: Epoch(epoch),
            root: Root::default(),
        };
        let (source, target) = (checkpoint(100), checkpoint(200));
        let index = CommitteeIndex(0);
        let data = AttestationData {
            slot: Slot(999),
            index,
            beacon_block_root: head,
            source,
            target,
        };

        let mut genesis_validators_root = Root::default();
        genesis_validators_root.0[..2].copy_from_slice(&[1, 2]);
        let mut config =
            ChainSpec::mainnet_like(Duration::from_secs(12), 5, ForkVersion::default()).to_config();
        config.insert("FULU_FORK_VERSION".into(), "0x64656666".into());
        let spec = ChainSpec::from_config(&config).unwrap();
        let chain = Chain {
            spec,
            genesis_time: Timestamp::default(),
            genesis_validators_root,
        };

        let expected = "0x02bbdb88056d6cbafd6e94575540e74b8cf2c0f2c1b79b8e17e7b21ed1694305";
        assert_eq!(data.signing_root(&chain).to_string(), expected);
    }
}
