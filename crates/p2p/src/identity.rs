//! Keys and peer IDs (spec 20 §1.1).

use libp2p::{
    PeerId,
    identity::{Keypair, PublicKey, secp256k1},
};
use zeroize::Zeroizing;

use crate::Error;

/// A compressed secp256k1 public key, as an ENR carries it.
pub type PeerKey = [u8; 33];

/// The key pair of a 32-byte scalar.
pub(crate) fn keypair(secret: &Zeroizing<[u8; 32]>) -> Result<Keypair, Error> {
    let mut scalar = secret.clone();
    let secret =
        secp256k1::SecretKey::try_from_bytes(scalar.as_mut_slice()).map_err(|_| Error::Identity)?;
    Ok(secp256k1::Keypair::from(secret).into())
}

/// The ID of the operator at `peer` with this key.
pub(crate) fn peer_id(peer: usize, key: &PeerKey) -> Result<PeerId, Error> {
    let key = secp256k1::PublicKey::try_from_bytes(key).map_err(|_| Error::PeerKey { peer })?;
    Ok(PublicKey::from(key).to_peer_id())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn peer_id_is_the_identity_multihash_of_the_key() {
        let pair = keypair(&Zeroizing::new([7; 32])).unwrap();
        let key = pair
            .clone()
            .try_into_secp256k1()
            .unwrap()
            .public()
            .to_bytes();
        let id = peer_id(0, &key).unwrap();
        assert_eq!(id, pair.public().to_peer_id());
        let expected = [&[0x00, 0x25, 0x08, 0x02, 0x12, 0x21], &key[..]].concat();
        assert_eq!(id.to_bytes(), expected);
    }

    #[test]
    fn zero_is_no_identity_and_a_bad_point_names_its_peer() {
        assert!(matches!(
            keypair(&Zeroizing::new([0; 32])),
            Err(Error::Identity)
        ));
        assert!(matches!(
            peer_id(3, &[9; 33]),
            Err(Error::PeerKey { peer: 3 })
        ));
    }
}
