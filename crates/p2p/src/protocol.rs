//! The protocols peers speak, as names, limits and manners.
//!
//! Why it exists: the names are the field's and frozen, and everything else in this crate treats
//! protocols alike. It must not know what a message of a protocol contains.

/// One protocol of the field (spec 20 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Consensus messages, one way.
    Qbft,
    /// Partial signatures, one way.
    PartialSignatures,
    /// Version, clock and lock of a node: request and response.
    PeerInfo,
    /// Exchange of priorities: request and response. Answers to the name with a leading slash and
    /// to the legacy one without.
    Priority,
}

/// Who speaks on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// The opener sends one message; the other side only closes.
    OneWay,
    /// The opener sends one message and reads one.
    RequestResponse,
}

const MIB: usize = 1024 * 1024;

impl Protocol {
    /// Every protocol, in the order of the enum.
    pub const ALL: [Self; 4] = [
        Self::Qbft,
        Self::PartialSignatures,
        Self::PeerInfo,
        Self::Priority,
    ];

    /// The name on the wire that is preferred when a stream is opened.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Qbft => "/charon/consensus/qbft/2.0.0",
            Self::PartialSignatures => "/charon/parsigex/2.0.0",
            Self::PeerInfo => "/charon/peerinfo/2.0.0",
            Self::Priority => "/charon/priority/2.0.0",
        }
    }

    /// The longest message taken from a peer, in bytes (spec 20 §2.1; 32 MiB is our own bound
    /// for partial signatures, and priority lists are small).
    pub const fn limit(self) -> usize {
        match self {
            Self::Qbft | Self::PartialSignatures => 32 * MIB,
            Self::PeerInfo | Self::Priority => MIB,
        }
    }

    /// Who speaks on a stream of this protocol.
    pub const fn style(self) -> Style {
        match self {
            Self::Qbft | Self::PartialSignatures => Style::OneWay,
            Self::PeerInfo | Self::Priority => Style::RequestResponse,
        }
    }

    /// The position in [`Protocol::ALL`].
    pub(crate) const fn position(self) -> usize {
        self as usize
    }

    /// The names to negotiate, the preferred one first.
    pub(crate) fn names(self) -> impl Iterator<Item = Name> {
        let legacy = (self == Self::Priority).then_some(LEGACY_PRIORITY_ALIAS);
        std::iter::once(self.id())
            .chain(legacy)
            .map(move |text| Name {
                protocol: self,
                text,
            })
    }
}

/// Stands for `charon/priority/2.0.0` inside this process: the negotiation library takes only
/// names that begin with a slash, so [`crate::muxer`] exchanges the two on the wire (spec 20
/// §1.9 row 1).
pub(crate) const LEGACY_PRIORITY_ALIAS: &str = "/flotilla/slashless/charon/priority/2.0.0";

/// The name of priority exchange that Charon up to v1.10 knows (no leading slash).
pub(crate) const LEGACY_PRIORITY: &str = "charon/priority/2.0.0";

/// A name in negotiation, with the protocol it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) protocol: Protocol,
    text: &'static str,
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_follow_the_list() {
        for (position, protocol) in Protocol::ALL.into_iter().enumerate() {
            assert_eq!(protocol.position(), position);
        }
    }

    #[test]
    fn priority_alone_has_a_second_name() {
        for protocol in Protocol::ALL {
            let names: Vec<_> = protocol.names().collect();
            assert_eq!(names[0].as_ref(), protocol.id());
            assert_eq!(names.len() == 2, protocol == Protocol::Priority);
        }
    }
}
