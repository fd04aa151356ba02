//! Voluntary exits: a validator's last signature. Signed for the Capella fork for ever (EIP-7044).

use flotilla_crypto::SecretKey;
use flotilla_types::{
    Domain, DomainType, Epoch, ForkVersion, PublicKeyBytes, Root, SignatureBytes,
    SignedVoluntaryExit, ValidatorIndex, VoluntaryExit, signing_root,
};
use serde::{Deserialize, Serialize};

use crate::hashing::{Fields, HashError};

/// Most exits in one request.
const MAX_EXITS: usize = 65_536;
/// Exits wait for this epoch at the earliest unless another is asked for: long past on every network.
pub const DEFAULT_EXIT_EPOCH: Epoch = Epoch(194_048);

/// The 32 bytes to sign on the chain with this Capella fork version and genesis.
#[must_use]
pub fn exit_signing_root(
    exit: &VoluntaryExit,
    capella: ForkVersion,
    genesis_validators_root: Root,
) -> [u8; 32] {
    let domain = Domain::compute(DomainType::VOLUNTARY_EXIT, capella, genesis_validators_root);
    signing_root(exit.tree_hash_root(), domain).0
}

/// Signs with a whole key or with a share.
#[must_use]
pub fn sign_exit(
    message: VoluntaryExit,
    key: &SecretKey,
    capella: ForkVersion,
    genesis_validators_root: Root,
) -> SignedVoluntaryExit {
    let signature = key.sign(&exit_signing_root(
        &message,
        capella,
        genesis_validators_root,
    ));
    SignedVoluntaryExit {
        message,
        signature: SignatureBytes(signature.to_bytes()),
    }
}

/// Reads a file with a signed exit. Charon begins the names of its members with capitals; both are read.
///
/// # Errors
/// It is not JSON of that form.
pub fn read_exit(bytes: &[u8]) -> Result<SignedVoluntaryExit, serde_json::Error> {
    #[derive(Deserialize)]
    struct File {
        #[serde(alias = "Message")]
        message: VoluntaryExit,
        #[serde(alias = "Signature")]
        signature: SignatureBytes,
    }
    let File { message, signature } = serde_json::from_slice(bytes)?;
    Ok(SignedVoluntaryExit { message, signature })
}

/// One validator's exit, signed with a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartialExit {
    /// Group public key of the validator.
    pub public_key: PublicKeyBytes,
    /// The exit.
    pub signed_exit_message: SignedVoluntaryExit,
}

/// What an operator posts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartialExits {
    /// By validator index.
    pub partial_exits: Vec<PartialExit>,
    /// Whose share signed, from 1.
    pub share_idx: u64,
    /// Signature of the operator's identity over [`PartialExits::root`].
    #[serde(with = "super::exit::hex_bytes")]
    pub signature: Vec<u8>,
}

impl PartialExits {
    /// What the operator's identity signs.
    ///
    /// # Errors
    /// More than 65,536 exits.
    pub fn root(&self) -> Result<[u8; 32], HashError> {
        let mut fields = Fields::new();
        fields.list(
            "partial_exits",
            MAX_EXITS,
            &self.partial_exits,
            |list, exit| {
                let mut signed = Fields::new();
                signed.chunk(exit.signed_exit_message.message.tree_hash_root().0);
                signed.raw(&exit.signed_exit_message.signature.0);
                let mut item = Fields::new();
                item.raw(&exit.public_key.0);
                item.chunk(signed.root());
                list.chunk(item.root());
                Ok(())
            },
        )?;
        fields.number(self.share_idx);
        Ok(fields.root())
    }
}

/// What an operator's identity signs to fetch or delete a validator's exits.
#[must_use]
pub fn access_root(lock_hash: &[u8; 32], public_key: &PublicKeyBytes, share: u64) -> [u8; 32] {
    let mut fields = Fields::new();
    fields.raw(lock_hash);
    fields.raw(&public_key.0);
    fields.number(share);
    fields.root()
}

/// What the server has of one validator's exit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectedExit {
    /// As signed.
    pub epoch: Epoch,
    /// As signed.
    pub validator_index: ValidatorIndex,
    /// Partial signatures; empty texts are places of shares that have not signed, and places are not trusted.
    pub signatures: Vec<String>,
}

impl CollectedExit {
    /// The exit that was signed.
    #[must_use]
    pub fn message(&self) -> VoluntaryExit {
        VoluntaryExit {
            epoch: self.epoch,
            validator_index: self.validator_index,
        }
    }

    /// The signatures that can be read.
    #[must_use]
    pub fn partials(&self) -> Vec<SignatureBytes> {
        let texts = self.signatures.iter();
        texts.filter_map(|text| text.parse().ok()).collect()
    }
}

/// Bytes as `0x` hex.
pub(crate) mod hex_bytes {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::json::prefixed_hex;

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&prefixed_hex(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(text.strip_prefix("0x").unwrap_or(&text)).map_err(D::Error::custom)
    }
}
