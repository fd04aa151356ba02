//! The typed messages that wallets sign (EIP-712, spec 10 §2.5), and the call by which a contract
//! wallet is asked about a signature (ERC-1271). Who has to sign what is decided in `verify`.

use crate::address::{Address, keccak};

/// Hash of the terms that a publisher of a definition accepts, as requests name it.
pub const TERMS_HASH: &str = "0xd33721644e8f3afab1495a74abe3523cec12d48b8da6cb760972492ca3f1a273";

/// A message of the cluster protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypedMessage<'a> {
    /// The creator agrees to a configuration (from v1.4).
    CreatorConfig {
        /// Config hash as it stands in the definition.
        config_hash: &'a [u8],
    },
    /// An operator agrees to a configuration (from v1.4).
    OperatorConfig {
        /// Config hash as it stands in the definition.
        config_hash: &'a [u8],
    },
    /// An operator agrees to a configuration (v1.3).
    EarlyOperatorConfig {
        /// Config hash as it stands in the definition.
        config_hash: &'a [u8],
    },
    /// An operator vouches for an ENR.
    Enr {
        /// Text exactly as it stands in the definition.
        enr: &'a str,
    },
}

impl TypedMessage<'_> {
    /// The digest to sign on chain `chain_id`.
    #[must_use]
    pub fn digest(&self, chain_id: u64) -> [u8; 32] {
        let domain = struct_hash(
            "EIP712Domain(string name,string version,uint256 chainId)",
            &[text_word("Obol"), text_word("1"), number_word(chain_id)],
        );
        // Hashes travel as strings: prefix, 64 lower-case digits.
        let hash_word = |hash: &[u8]| text_word(&crate::json::prefixed_hex(hash));
        let message = match self {
            Self::CreatorConfig { config_hash } => struct_hash(
                "CreatorConfigHash(string creator_config_hash)",
                &[hash_word(config_hash)],
            ),
            Self::OperatorConfig { config_hash } => struct_hash(
                "OperatorConfigHash(string operator_config_hash)",
                &[hash_word(config_hash)],
            ),
            Self::EarlyOperatorConfig { config_hash } => {
                struct_hash("ConfigHash(string config_hash)", &[hash_word(config_hash)])
            }
            Self::Enr { enr } => struct_hash("ENR(string enr)", &[text_word(enr)]),
        };
        digest(&domain, &message)
    }
}

/// The digest of the terms and conditions; its domain has no chain id, so it is the same everywhere.
#[must_use]
pub fn terms_digest() -> [u8; 32] {
    let domain = struct_hash(
        "EIP712Domain(string name,string version)",
        &[text_word("Obol"), text_word("1")],
    );
    let message = struct_hash(
        "TermsAndConditions(string terms_and_conditions_hash,uint256 version)",
        &[text_word(TERMS_HASH), number_word(1)],
    );
    digest(&domain, &message)
}

fn digest(domain: &[u8; 32], message: &[u8; 32]) -> [u8; 32] {
    keccak(&[&[0x19, 0x01], &domain[..], &message[..]].concat())
}

fn struct_hash(type_text: &str, words: &[[u8; 32]]) -> [u8; 32] {
    keccak(&[&keccak(type_text.as_bytes())[..], &words.concat()].concat())
}

fn text_word(text: &str) -> [u8; 32] {
    keccak(text.as_bytes())
}

fn number_word(number: u64) -> [u8; 32] {
    let mut word = [0; 32];
    word[24..].copy_from_slice(&number.to_be_bytes());
    word
}

/// Asks a contract wallet whether it accepts a signature (ERC-1271). The caller brings the network.
pub trait ContractWallet {
    /// Whether the contract at `address` accepts `signature` (the whole blob) over `digest`.
    ///
    /// # Errors
    /// The call failed: reverted, no code at the address, execution client unreachable. The text
    /// says which.
    fn accepts(
        &self,
        address: Address,
        digest: &[u8; 32],
        signature: &[u8],
    ) -> Result<bool, String>;
}

impl<F: Fn(Address, &[u8; 32], &[u8]) -> Result<bool, String>> ContractWallet for F {
    fn accepts(
        &self,
        address: Address,
        digest: &[u8; 32],
        signature: &[u8],
    ) -> Result<bool, String> {
        self(address, digest, signature)
    }
}

/// `isValidSignature(bytes32,bytes)`; also what it returns for yes.
const ERC1271_MAGIC: [u8; 4] = [0x16, 0x26, 0xba, 0x7e];

/// The input of `eth_call` that asks `isValidSignature(digest, signature)`.
#[must_use]
pub fn contract_call_data(digest: &[u8; 32], signature: &[u8]) -> Vec<u8> {
    let mut data = ERC1271_MAGIC.to_vec();
    data.extend_from_slice(digest);
    data.extend_from_slice(&number_word(64)); // Offset of the dynamic argument.
    data.extend_from_slice(&number_word(signature.len() as u64));
    data.extend_from_slice(signature);
    data.resize(
        data.len() + signature.len().next_multiple_of(32) - signature.len(),
        0,
    );
    data
}

/// Whether the answer of that call means yes.
#[must_use]
pub fn contract_accepts(answer: &[u8]) -> bool {
    answer.len() == 32 && answer[..4] == ERC1271_MAGIC && answer[4..] == [0; 28]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn terms_digest_is_the_published_one() {
        let expected = "68c4d0ff552bd6b14cb6d7f04aeed22f79b77fa6b0fd0a0188191fb856893805";
        assert_eq!(hex::encode(terms_digest()), expected);
    }

    #[test]
    fn creator_digest_matches_a_known_answer() {
        let config_hash =
            hex::decode("e57f66637bdfa05cce6a78e8cf4120d67d305b485367a69baa5f738436533bcb")
                .unwrap();
        let digest = TypedMessage::CreatorConfig {
            config_hash: &config_hash,
        }
        .digest(11_155_111);
        assert_eq!(
            hex::encode(digest),
            "7c8fe012e2f872ca7ec870164184f57b921166f80565ff74af7bee5796f973e4"
        );
    }

    #[test]
    fn contract_call_is_abi_encoded() {
        let data = contract_call_data(&[0xaa; 32], &[0xbb; 130]);
        assert_eq!(data.len(), 4 + 32 + 32 + 32 + 160);
        assert_eq!(hex::encode(&data[..4]), "1626ba7e");
        assert_eq!(data[4..36], [0xaa; 32]);
        assert_eq!(data[67], 64);
        assert_eq!(data[99], 130);
        assert_eq!(data[100..230], [0xbb; 130]);
        assert_eq!(data[230..], [0; 30]);
        assert_eq!(contract_call_data(&[0; 32], &[]).len(), 100);
    }

    #[test]
    fn only_the_padded_magic_value_is_a_yes() {
        let mut answer = [0; 32];
        assert!(!contract_accepts(&answer));
        answer[..4].copy_from_slice(&ERC1271_MAGIC);
        assert!(contract_accepts(&answer));
        assert!(!contract_accepts(&answer[..4]));
    }
}
