//! Operators as peers: who is who on the network (spec 10 §1.4).

use std::fmt;

use flotilla_crypto::IdentityPublicKey;
use flotilla_types::PeerIndex;
use thiserror::Error;

use crate::definition::{MAX_OPERATORS, Operator};
use crate::enr::{Enr, EnrError};

/// The libp2p identity of a secp256k1 key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId([u8; 39]);

/// How many characters at the end of a peer ID tell peers of one cluster apart.
const SHORT_LENGTH: usize = 7;

impl PeerId {
    /// The peer ID of a key.
    #[must_use]
    pub fn of(key: &IdentityPublicKey) -> Self {
        Self(key.peer_id_bytes())
    }

    /// The multihash bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 39] {
        &self.0
    }

    /// The end of the text, for display next to an index or a nickname. All peer IDs begin alike.
    #[must_use]
    pub fn short(&self) -> String {
        let text = self.to_string();
        text[text.len() - SHORT_LENGTH..].to_owned() // Base58 is ASCII, and 39 bytes have over 50 digits.
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bs58::encode(self.0).into_string())
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}

/// An operator with its place in the cluster and its parsed key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Position among the operators, from 0.
    pub index: PeerIndex,
    /// The key from the operator's ENR.
    pub public_key: IdentityPublicKey,
    /// Its peer ID.
    pub id: PeerId,
}

/// Operators that do not make a list of peers.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PeerError {
    /// More operators than a cluster can have.
    #[error("{found} operators, at most {MAX_OPERATORS} are possible")]
    TooMany {
        /// Number of operators.
        found: usize,
    },
    /// An operator's record is invalid.
    #[error("operators[{operator}].enr: {error}")]
    Enr {
        /// Position of the operator, from 0.
        operator: usize,
        /// What is wrong with it.
        error: EnrError,
    },
    /// Two operators have one key. Their ENR texts may differ.
    #[error("operators[{first}] and operators[{second}] have the same key, peer ID {id}")]
    Duplicate {
        /// The earlier one.
        first: usize,
        /// The later one.
        second: usize,
        /// Their peer ID.
        id: PeerId,
    },
}

/// The operators as peers, in order.
///
/// # Errors
/// An ENR is invalid, two operators have the same peer ID, or there are too many.
pub fn peers(operators: &[Operator]) -> Result<Vec<Peer>, PeerError> {
    if operators.len() > MAX_OPERATORS {
        return Err(PeerError::TooMany {
            found: operators.len(),
        });
    }
    let mut peers: Vec<Peer> = Vec::with_capacity(operators.len());
    for (index, operator) in operators.iter().enumerate() {
        let enr = Enr::parse(&operator.enr).map_err(|error| PeerError::Enr {
            operator: index,
            error,
        })?;
        let public_key = *enr.public_key();
        let id = PeerId::of(&public_key);
        if let Some(first) = peers.iter().position(|peer| peer.id == id) {
            return Err(PeerError::Duplicate {
                first,
                second: index,
                id,
            });
        }
        peers.push(Peer {
            index: PeerIndex::new(index),
            public_key,
            id,
        });
    }
    Ok(peers)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use flotilla_crypto::IdentityKey;

    fn operator(byte: u8) -> Operator {
        Operator::with_enr(Enr::from_key(&IdentityKey::from_bytes(&[byte; 32]).unwrap()).to_text())
    }

    #[test]
    fn peer_id_is_the_known_one() {
        let peers = peers(&[operator(2)]).unwrap();
        assert_eq!(
            peers[0].id.to_string(),
            "16Uiu2HAkzdQ5Y9SYT91K1ue5SxXwgmajXntfScGnLYeip5hHyWmT"
        );
        assert_eq!(peers[0].id.short(), "5hHyWmT");
    }

    #[test]
    fn same_key_twice_is_named() {
        let mut padded = operator(2);
        padded.enr.push('=');
        let error = peers(&[operator(2), operator(3), padded])
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("operators[0] and operators[2]"),
            "{error}"
        );
    }

    #[test]
    fn invalid_record_is_named() {
        let error = peers(&[operator(2), Operator::with_enr("enr://x")]).unwrap_err();
        assert!(
            error.to_string().starts_with("operators[1].enr: "),
            "{error}"
        );
    }
}
