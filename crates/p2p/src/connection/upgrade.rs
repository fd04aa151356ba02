//! What this crate offers and proposes in stream negotiation.

use std::{convert::Infallible, sync::Arc};

use futures::future::{Ready, ready};
use libp2p::{
    Stream,
    core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo},
};

use crate::{Protocol, protocol::Name};

/// Accepts streams of the served protocols.
pub(crate) struct Listen(Arc<[Protocol]>);

impl Listen {
    pub(super) fn new(protocols: &Arc<[Protocol]>) -> Self {
        Self(Arc::clone(protocols))
    }
}

impl UpgradeInfo for Listen {
    type Info = Name;
    type InfoIter = std::vec::IntoIter<Name>;

    fn protocol_info(&self) -> Self::InfoIter {
        let names: Vec<_> = self
            .0
            .iter()
            .flat_map(|protocol| protocol.names())
            .collect();
        names.into_iter()
    }
}

impl InboundUpgrade<Stream> for Listen {
    type Output = (Stream, Protocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, name: Name) -> Self::Future {
        ready(Ok((stream, name.protocol)))
    }
}

/// Proposes one protocol, under each of its names in turn. With a single name the negotiation is
/// lazy: nothing is waited for before the message is written.
pub(crate) struct Propose(pub(super) Protocol);

impl UpgradeInfo for Propose {
    type Info = Name;
    type InfoIter = std::vec::IntoIter<Name>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.names().collect::<Vec<_>>().into_iter()
    }
}

impl OutboundUpgrade<Stream> for Propose {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, _: Name) -> Self::Future {
        ready(Ok(stream))
    }
}
