//! The number of a share: the x-coordinate at which the secret polynomial was evaluated.

use std::fmt;

/// The number of a share, from 1.
///
/// It is the x-coordinate itself. Peers are counted from 0 and shares from 1; x = 0 is where the
/// group secret lives, so a zero index would hand out the secret, or accept anybody's signature as
/// the group's. The type cannot hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShareIndex(u16);

impl ShareIndex {
    /// The share with this number, or nothing unless it lies in `1..=65535`.
    pub fn new(number: u64) -> Option<Self> {
        u16::try_from(number)
            .ok()
            .filter(|number| *number != 0)
            .map(Self)
    }

    /// The share that the peer with this index (from 0) holds.
    ///
    /// # Panics
    /// For an index of 65535 or more; peer indexes come from the cluster's own list of operators.
    pub fn from_peer(peer: usize) -> Self {
        let number = u16::try_from(peer)
            .ok()
            .and_then(|peer| peer.checked_add(1));
        Self(number.expect("a cluster has fewer than 65535 operators"))
    }

    /// The number, from 1.
    pub fn get(self) -> u16 {
        self.0
    }

    /// The index (from 0) of the peer that holds this share.
    pub fn peer(self) -> usize {
        usize::from(self.0) - 1
    }
}

impl fmt::Display for ShareIndex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn zero_and_large_numbers_are_no_share() {
        assert_eq!(ShareIndex::new(0), None);
        assert_eq!(ShareIndex::new(65_536), None);
        assert_eq!(ShareIndex::new(65_535).unwrap().get(), 65_535);
    }

    #[test]
    fn a_peer_holds_the_share_one_above_its_index() {
        assert_eq!(ShareIndex::from_peer(0).get(), 1);
        assert_eq!(ShareIndex::from_peer(3).peer(), 3);
    }
}
