//! Registrations with block builders.

use libssz_derive::{HashTreeRoot, SszDecode, SszEncode};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::codec::json_wire;
use crate::{
    ExecutionAddress, PublicKeyBytes, Root, SignatureBytes, json::quoted, signing::tree_hash,
};

/// A validator's wishes to block builders.
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
    HashTreeRoot,
    Serialize,
    Deserialize,
)]
pub struct ValidatorRegistration {
    /// Who receives the fees.
    pub fee_recipient: ExecutionAddress,
    /// Gas limit of blocks.
    #[serde(with = "quoted")]
    pub gas_limit: u64,
    /// When registered: seconds since the Unix epoch.
    #[serde(with = "quoted")]
    pub timestamp: u64,
    /// The validator: the group's key, never a share's.
    pub pubkey: PublicKeyBytes,
}

impl ValidatorRegistration {
    /// The hash tree root.
    pub fn tree_hash_root(&self) -> Root {
        tree_hash(self)
    }
}

/// A registration with its signature, as the Beacon API and builders take it.
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
    HashTreeRoot,
    Serialize,
    Deserialize,
)]
pub struct SignedValidatorRegistration {
    /// The wishes.
    pub message: ValidatorRegistration,
    /// The signature.
    pub signature: SignatureBytes,
}

/// A registration on its way between members, who put a version before it. There is one version, which is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionedRegistration(pub SignedValidatorRegistration);

#[derive(Serialize, Deserialize)]
struct Layout {
    version: u64,
    registration: SignedValidatorRegistration,
}

/// The number of the one version.
const V1: u64 = 0;

impl Serialize for VersionedRegistration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let layout = Layout {
            version: V1,
            registration: self.0,
        };
        layout.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for VersionedRegistration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Layout::deserialize(deserializer)? {
            Layout {
                version: V1,
                registration,
            } => Ok(Self(registration)),
            Layout { version, .. } => Err(de::Error::custom(format_args!(
                "registration version {version} instead of {V1}"
            ))),
        }
    }
}

json_wire!(VersionedRegistration, "builder registration");
