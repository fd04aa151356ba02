//! Events of beacon nodes: one connection per endpoint, opened again whenever it breaks.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use flotilla_types::{Epoch, Root, Slot};
use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use reqwest::{Client, Method, Response, header::ACCEPT};
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use super::{
    config::Timeouts,
    endpoint::Endpoint,
    exchange::reason_of,
    sse::{Frame, Parser},
};

/// Most bytes of one event; those asked for have a few hundred.
const MAX_EVENT: usize = 64 << 10;
/// How often the first pause between two connections the longest one is.
const LONGEST_PAUSE: u32 = 30;

/// Events without end.
pub type Events = BoxStream<'static, Told>;

/// What can be listened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// A new head.
    Head,
    /// A head that is no descendant of the one before.
    ChainReorg,
    /// A block that was imported.
    Block,
    /// A block that came in and is not imported yet.
    BlockGossip,
}

impl Topic {
    const fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::ChainReorg => "chain_reorg",
            Self::Block => "block",
            Self::BlockGossip => "block_gossip",
        }
    }
}

/// What an endpoint told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new head.
    Head {
        /// Its slot.
        slot: Slot,
        /// Its root.
        block: Root,
        /// What attester duties of this epoch depend on.
        previous_duty_dependent_root: Root,
        /// What attester duties of the next epoch depend on.
        current_duty_dependent_root: Root,
    },
    /// The chain was reorganised.
    ChainReorg {
        /// The slot of the new head.
        slot: Slot,
        /// How many slots lie between it and the common ancestor.
        depth: u64,
        /// The head before.
        old_head_block: Root,
        /// The head now.
        new_head_block: Root,
        /// The epoch of the new head.
        epoch: Epoch,
    },
    /// A block was imported.
    Block {
        /// Its slot.
        slot: Slot,
        /// Its root.
        block: Root,
    },
    /// A block came in and is not imported yet.
    BlockGossip {
        /// Its slot.
        slot: Slot,
        /// Its root.
        block: Root,
    },
}

#[derive(Deserialize)]
struct BlockLayout {
    slot: Slot,
    block: Root,
}

#[derive(Deserialize)]
struct HeadLayout {
    slot: Slot,
    block: Root,
    previous_duty_dependent_root: Root,
    current_duty_dependent_root: Root,
}

#[derive(Deserialize)]
struct ReorgLayout {
    slot: Slot,
    depth: Slot,
    old_head_block: Root,
    new_head_block: Root,
    epoch: Epoch,
}

impl Event {
    /// Reads an event; `None` for topics nobody asked for.
    fn decode(frame: &Frame) -> Result<Option<Self>, serde_json::Error> {
        match frame.event.as_str() {
            "head" => {
                let HeadLayout {
                    slot,
                    block,
                    previous_duty_dependent_root,
                    current_duty_dependent_root,
                } = serde_json::from_str(&frame.data)?;
                Ok(Some(Self::Head {
                    slot,
                    block,
                    previous_duty_dependent_root,
                    current_duty_dependent_root,
                }))
            }
            "chain_reorg" => {
                let ReorgLayout {
                    slot,
                    depth,
                    old_head_block,
                    new_head_block,
                    epoch,
                } = serde_json::from_str(&frame.data)?;
                Ok(Some(Self::ChainReorg {
                    slot,
                    depth: depth.0,
                    old_head_block,
                    new_head_block,
                    epoch,
                }))
            }
            "block" => {
                let BlockLayout { slot, block } = serde_json::from_str(&frame.data)?;
                Ok(Some(Self::Block { slot, block }))
            }
            "block_gossip" => {
                let BlockLayout { slot, block } = serde_json::from_str(&frame.data)?;
                Ok(Some(Self::BlockGossip { slot, block }))
            }
            _ => Ok(None),
        }
    }
}

/// An event, and who told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The endpoint, without credentials.
    pub endpoint: Arc<str>,
    /// What it told.
    pub event: Event,
}

/// Opens the streams of all endpoints and merges them. Nothing happens until it is polled.
pub(super) fn open(
    endpoints: &[Arc<Endpoint>],
    client: &Client,
    timeouts: &Timeouts,
    topics: &[Topic],
) -> Events {
    let names: Vec<String> = topics
        .iter()
        .map(|topic| format!("topics={}", topic.name()))
        .collect();
    let path = format!("/eth/v1/events?{}", names.join("&"));
    let streams = endpoints.iter().map(|endpoint| {
        let connection = Connection {
            endpoint: endpoint.clone(),
            client: client.clone(),
            path: path.clone(),
            timeouts: *timeouts,
            open: None,
            pause: Duration::ZERO,
            events: VecDeque::new(),
        };
        let teller: Arc<str> = endpoint.label().into();
        let next = move |mut connection: Connection| {
            let endpoint = Arc::clone(&teller);
            async move {
                let event = connection.next().await;
                Some((Told { endpoint, event }, connection))
            }
        };
        stream::unfold(connection, next).boxed()
    });
    stream::select_all(streams).boxed()
}

/// One endpoint's stream through all its connections.
struct Connection {
    endpoint: Arc<Endpoint>,
    client: Client,
    path: String,
    timeouts: Timeouts,
    open: Option<(Response, Parser)>,
    /// Before the next attempt.
    pause: Duration,
    /// Read and not handed out yet: at most one piece of the body's worth.
    events: VecDeque<Event>,
}

impl Connection {
    async fn next(&mut self) -> Event {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            if let Err(problem) = self.advance().await {
                tracing::debug!(endpoint = self.endpoint.label(), problem, pause = ?self.pause, "event stream ended");
                self.open = None;
            }
        }
    }

    /// Connects, or reads one piece. After an error the connection is over.
    async fn advance(&mut self) -> Result<(), String> {
        let Some((response, parser)) = &mut self.open else {
            return self.connect().await;
        };
        let idle = self.timeouts.events_idle;
        let piece = timeout(idle, response.chunk())
            .await
            .map_err(|_| format!("nothing came for {idle:?}"))?;
        let piece = piece
            .map_err(|error| reason_of(error, idle).to_string())?
            .ok_or("the server closed it")?;
        let mut frames = Vec::new();
        let fed = parser.feed(&piece, &mut frames);
        // A stream that works earns a short pause, so that losing it costs few events; the server may ask for more.
        let pause = parser.retry().unwrap_or_default();
        self.pause = pause.clamp(self.timeouts.events_reconnect, self.longest_pause());
        frames.iter().for_each(|frame| self.take(frame));
        fed.map_err(|error| error.to_string())
    }

    async fn connect(&mut self) -> Result<(), String> {
        sleep(self.pause).await;
        self.pause = (self.pause * 2).clamp(self.timeouts.events_reconnect, self.longest_pause());
        let request = self
            .endpoint
            .request(&self.client, Method::GET, &self.path)
            .header(ACCEPT, "text/event-stream");
        let limit = self.timeouts.connect + self.timeouts.query;
        let sent = timeout(limit, request.send())
            .await
            .map_err(|_| format!("no answer within {limit:?}"))?;
        let response = sent.map_err(|error| reason_of(error, limit).to_string())?;
        if !response.status().is_success() {
            return Err(format!("status {}", response.status().as_u16()));
        }
        self.open = Some((response, Parser::new(MAX_EVENT)));
        Ok(())
    }

    fn longest_pause(&self) -> Duration {
        self.timeouts.events_reconnect * LONGEST_PAUSE
    }

    fn take(&mut self, frame: &Frame) {
        match Event::decode(frame) {
            Ok(event) => self.events.extend(event),
            Err(error) => {
                let (endpoint, event) = (self.endpoint.label(), frame.event.as_str());
                tracing::warn!(endpoint, event, %error, "beacon node sent an event of another form");
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn events_are_read_as_nodes_send_them() {
        let root = |byte: u8| Root([byte; 32]);
        let data = format!(
            r#"{{"slot":"10","block":"{}","state":"{}","epoch_transition":false,"previous_duty_dependent_root":"{}",
            "current_duty_dependent_root":"{}","execution_optimistic":false}}"#,
            root(1),
            root(2),
            root(3),
            root(4)
        );
        let head = Event::decode(&Frame {
            event: "head".into(),
            data,
        })
        .unwrap()
        .unwrap();
        let expected = Event::Head {
            slot: Slot(10),
            block: root(1),
            previous_duty_dependent_root: root(3),
            current_duty_dependent_root: root(4),
        };
        assert_eq!(head, expected);
        assert_eq!(
            Event::decode(&Frame {
                event: "payload_attributes".into(),
                data: "{}".into()
            })
            .unwrap(),
            None
        );
    }

    proptest! {
        #[test]
        fn data_of_any_form_is_read_or_refused(event in "(head|chain_reorg|block|block_gossip|other)", data in ".{0,200}") {
            let _ = Event::decode(&Frame { event, data });
        }
    }
}
