//! The node's stream of new heads, connected again whenever it ends.

use std::time::Duration;

use flotilla_types::{Root, Slot};
use reqwest::Response;
use serde::Deserialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::context::Context;
use super::http::HttpError;
use super::report::Kind;

/// Longest line read.
const LINE_LIMIT: usize = 64 << 10;
const PATH: &str = "/eth/v1/events?topics=head";

/// A new head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Head {
    /// Its slot.
    pub(super) slot: Slot,
    /// What attester duties of the slot's epoch depend on.
    pub(super) previous_duty_dependent_root: Root,
    /// What proposer duties of the slot's epoch, and attester duties of the next one, depend on.
    pub(super) current_duty_dependent_root: Root,
}

/// A stream that ended.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error(transparent)]
    Connect(#[from] HttpError),
    #[error("the event stream broke: {0}")]
    Broken(reqwest::Error),
    #[error("the event stream ended")]
    Ended,
    #[error("no byte on the event stream for {0:?}")]
    Silent(Duration),
    #[error("a line of more than {LINE_LIMIT} bytes on the event stream")]
    LongLine,
    #[error("a head event that is none: {0}")]
    Malformed(serde_json::Error),
}

/// Follows the stream until told to stop.
pub(super) async fn follow(
    context: &Context,
    heads: watch::Sender<Option<Head>>,
    stop: CancellationToken,
) {
    // Half a slot: long enough not to pester a node that is down, short enough to lose one head at most.
    let pause = context.chain.spec.slot_duration / 2;
    loop {
        let error = tokio::select! {
            () = stop.cancelled() => return,
            error = listen(context, &heads) => error,
        };
        context
            .counts
            .failed(Kind::Events, context.slot(), 1, &error);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn listen(context: &Context, heads: &watch::Sender<Option<Head>>) -> StreamError {
    let result = async {
        // Some nodes send the head of the answer with the first event, so an epoch without a block must fit in.
        let spec = &context.chain.spec;
        let silence = spec.slot_duration * u32::try_from(spec.slots_per_epoch).unwrap_or(u32::MAX)
            + context.until_genesis();
        let mut answer = context.http.stream(PATH, silence).await?;
        let mut lines = Lines::default();
        loop {
            let piece = next_piece(&mut answer, silence).await?;
            for line in lines.push(&piece)? {
                if let Some(head) = head(&line)? {
                    context.counts.done(Kind::Events, 1);
                    heads.send_replace(Some(head));
                }
            }
        }
    };
    let result: Result<std::convert::Infallible, StreamError> = result.await;
    match result {
        Err(error) => error,
        Ok(never) => match never {},
    }
}

async fn next_piece(answer: &mut Response, silence: Duration) -> Result<Vec<u8>, StreamError> {
    let piece = tokio::time::timeout(silence, answer.chunk()).await;
    let piece = piece.map_err(|_| StreamError::Silent(silence))?;
    let piece = piece.map_err(|error| StreamError::Broken(error.without_url()))?;
    piece.map(Into::into).ok_or(StreamError::Ended)
}

/// Bytes put together to lines.
#[derive(Debug, Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// The lines that end in this piece.
    fn push(&mut self, piece: &[u8]) -> Result<Vec<Vec<u8>>, StreamError> {
        self.rest.extend_from_slice(piece);
        let mut lines = Vec::new();
        while let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            lines.push(line.trim_ascii_end().to_vec());
        }
        if self.rest.len() > LINE_LIMIT {
            return Err(StreamError::LongLine);
        }
        Ok(lines)
    }
}

/// The head in a line; `None` for comments, names of events and blank lines. Heads are the one topic asked for.
fn head(line: &[u8]) -> Result<Option<Head>, StreamError> {
    let Some(data) = line.strip_prefix(b"data:") else {
        return Ok(None);
    };
    serde_json::from_slice(data)
        .map(Some)
        .map_err(StreamError::Malformed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_event_in_pieces_is_one_head() {
        let root = |byte| Root([byte; 32]);
        let text = format!(
            "event: head\r\ndata: {{\"slot\":\"9\",\"previous_duty_dependent_root\":\"{}\",\"current_duty_dependent_root\":\"{}\"}}\r\n\r\n:\n",
            root(1),
            root(2)
        );
        let mut lines = Lines::default();
        let mut heads = Vec::new();
        for piece in text.as_bytes().chunks(7) {
            for line in lines.push(piece).unwrap() {
                heads.extend(head(&line).unwrap());
            }
        }
        let expected = Head {
            slot: Slot(9),
            previous_duty_dependent_root: root(1),
            current_duty_dependent_root: root(2),
        };
        assert_eq!(heads, [expected]);
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut lines = Lines::default();
        assert!(matches!(
            lines.push(&[b'x'; LINE_LIMIT + 1]),
            Err(StreamError::LongLine)
        ));
    }
}
