//! Who is who: this node's shares, the cluster's validators, and the shares of others by name.

use std::collections::BTreeMap;

use flotilla_types::{PeerIndex, PublicKeyBytes, ValidatorIndex};

/// One validator's keys, as in the cluster's lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorKeys {
    /// The group's key.
    pub group: PublicKeyBytes,
    /// Public shares, one for each peer, in the peers' order.
    pub shares: Vec<PublicKeyBytes>,
}

/// A key that a client of this node should not use. Indices count from 0, as in the cluster's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It belongs to another node.
    #[error(
        "public share {share} of validator {group} is share index {peer} and belongs to peer index {peer}, but this node is peer index {own}: load the key shares of this node into the validator client"
    )]
    OtherShare {
        /// The share presented.
        share: PublicKeyBytes,
        /// Its validator.
        group: PublicKeyBytes,
        /// Whose it is.
        peer: PeerIndex,
        /// Who we are.
        own: PeerIndex,
    },
    /// It is not in this cluster.
    #[error("public key {0} is no key share of this cluster")]
    Foreign(PublicKeyBytes),
}

/// The cluster's keys, from one node's point of view.
#[derive(Clone, Debug)]
pub struct KeyTable {
    own: PeerIndex,
    validators: BTreeMap<PublicKeyBytes, Vec<PublicKeyBytes>>,
    /// Every public share, with its validator and its peer.
    shares: BTreeMap<PublicKeyBytes, (PublicKeyBytes, PeerIndex)>,
}

impl KeyTable {
    /// The table of the peer `own`. Validators without a share for it are left out, as are peers beyond
    /// [`PeerIndex::MAX`]; a lock has neither.
    pub fn new(own: PeerIndex, validators: impl IntoIterator<Item = ValidatorKeys>) -> Self {
        let mut table = Self {
            own,
            validators: BTreeMap::new(),
            shares: BTreeMap::new(),
        };
        for ValidatorKeys { group, shares } in validators {
            if shares.len() <= own.get() {
                continue;
            }
            for (place, share) in shares.iter().enumerate() {
                if let Some(peer) = PeerIndex::checked(place) {
                    table.shares.insert(*share, (group, peer));
                }
            }
            table.validators.insert(group, shares);
        }
        table
    }

    /// How many validators there are.
    pub fn len(&self) -> usize {
        self.validators.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.validators.is_empty()
    }

    /// The validators, by the group's keys.
    pub fn groups(&self) -> impl Iterator<Item = &PublicKeyBytes> {
        self.validators.keys()
    }

    /// The validator of one of this node's shares.
    ///
    /// # Errors
    /// [`KeyError`] for any other key.
    pub fn group_of(&self, share: &PublicKeyBytes) -> Result<PublicKeyBytes, KeyError> {
        match self.shares.get(share) {
            Some((group, peer)) if *peer == self.own => Ok(*group),
            Some((group, peer)) => Err(KeyError::OtherShare {
                share: *share,
                group: *group,
                peer: *peer,
                own: self.own,
            }),
            None => Err(KeyError::Foreign(*share)),
        }
    }

    /// This node's share of a validator.
    pub fn share_of(&self, group: &PublicKeyBytes) -> Option<PublicKeyBytes> {
        self.shares_of(group).get(self.own.get()).copied()
    }

    /// All public shares of a validator in the peers' order; none for a foreign one. Whoever finds that a signature is not
    /// of this node's share can find out whose it is, and tell with [`Self::group_of`].
    pub fn shares_of(&self, group: &PublicKeyBytes) -> &[PublicKeyBytes] {
        self.validators.get(group).map_or(&[], Vec::as_slice)
    }
}

/// The cluster's validators that the beacon node has, whatever their status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    groups: BTreeMap<ValidatorIndex, PublicKeyBytes>,
}

impl Roster {
    /// The validators with their indices.
    pub fn new(validators: impl IntoIterator<Item = (ValidatorIndex, PublicKeyBytes)>) -> Self {
        Self {
            groups: validators.into_iter().collect(),
        }
    }

    /// The group's key of an index; `None` for a foreign one.
    pub fn group(&self, index: ValidatorIndex) -> Option<PublicKeyBytes> {
        self.groups.get(&index).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> PublicKeyBytes {
        PublicKeyBytes([byte; 48])
    }

    fn table() -> KeyTable {
        let keys = ValidatorKeys {
            group: key(9),
            shares: vec![key(1), key(2), key(3)],
        };
        KeyTable::new(PeerIndex::new(1), [keys])
    }

    #[test]
    fn own_shares_map_both_ways() {
        assert_eq!(table().group_of(&key(2)), Ok(key(9)));
        assert_eq!(table().share_of(&key(9)), Some(key(2)));
        assert_eq!(table().share_of(&key(2)), None);
    }

    #[test]
    fn a_share_of_another_node_is_told_with_its_owner() {
        let error = table().group_of(&key(3)).map_err(|error| error.to_string());
        let text = error.expect_err("share of peer 2");
        assert!(
            text.contains(
                "is share index 2 and belongs to peer index 2, but this node is peer index 1"
            ),
            "{text}"
        );
        assert_eq!(table().group_of(&key(9)), Err(KeyError::Foreign(key(9))));
    }
}
