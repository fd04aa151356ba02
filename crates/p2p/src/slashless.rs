//! The one protocol name that has no leading slash.
//!
//! Why it exists: Charon up to v1.10 calls priority exchange `charon/priority/2.0.0` (sic), which
//! the negotiation library neither proposes nor understands (spec 20 §1.9 row 1). Inside this
//! process that protocol has a slashed alias, and [`Translated`] exchanges alias and name while a
//! stream negotiates. Everything after the negotiation passes untouched. It must not know any
//! other protocol.
//!
//! Multistream messages are a varint length and a text that ends in a line feed. The opener sends
//! a header and proposals, the listener a header and for each proposal `na` or its echo. A lazy
//! opener sends its payload right behind its only proposal; that is why bytes behind a proposal
//! are not read as negotiation before the answer is known to be `na`.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::{AsyncRead, AsyncWrite, ready};

use crate::{
    frame,
    protocol::{LEGACY_PRIORITY, LEGACY_PRIORITY_ALIAS},
};

const HEADER: &[u8] = b"/multistream/1.0.0\n";
const NOT_AVAILABLE: &[u8] = b"na\n";

/// No name is longer; what claims to be is not negotiation.
const LONGEST_MESSAGE: u64 = 1024;

/// Bytes read at once while a stream negotiates.
const CHUNK: usize = 512;

/// A stream whose negotiation is translated.
pub(crate) struct Translated<S> {
    inner: S,
    opener: bool,
    phase: Phase,
    incoming: Half,
    outgoing: Half,
}

/// How far the negotiation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The next message of the opener is its header or a proposal.
    Open,
    /// A proposal is out, its answer is not.
    Proposed,
    /// A protocol is agreed on.
    Settled,
}

/// One direction of a stream.
#[derive(Debug, Default)]
struct Half {
    /// As received; the front may be an incomplete message.
    raw: BytesMut,
    /// To be handed on.
    ready: BytesMut,
}

impl<S> Translated<S> {
    /// A stream that the peer opened.
    pub(crate) fn inbound(inner: S) -> Self {
        Self::new(inner, false)
    }

    /// A stream that this node opened.
    pub(crate) fn outbound(inner: S) -> Self {
        Self::new(inner, true)
    }

    fn new(inner: S, opener: bool) -> Self {
        Self {
            inner,
            opener,
            phase: Phase::Open,
            incoming: Half::default(),
            outgoing: Half::default(),
        }
    }
}

impl Half {
    /// Hands on the opener's next message. False when it is not whole yet, or none is expected.
    fn proposal(&mut self, phase: &mut Phase) -> bool {
        if *phase != Phase::Open {
            return false;
        }
        self.message(phase, |text| match text {
            HEADER => Phase::Open,
            _ => Phase::Proposed,
        })
    }

    /// Hands on the listener's next message, likewise.
    fn answer(&mut self, phase: &mut Phase) -> bool {
        if *phase == Phase::Settled {
            return false;
        }
        let unchanged = *phase;
        self.message(phase, |text| match text {
            HEADER => unchanged,
            NOT_AVAILABLE => Phase::Open,
            _ => Phase::Settled,
        })
    }

    fn message(&mut self, phase: &mut Phase, follows: impl Fn(&[u8]) -> Phase) -> bool {
        match take_message(&mut self.raw) {
            Message::Whole(text) => {
                *phase = follows(&text);
                put_translated(&text, &mut self.ready);
                true
            }
            Message::Incomplete => false,
            Message::Alien => {
                *phase = Phase::Settled;
                false
            }
        }
    }

    /// Hands on everything as it is.
    fn release(&mut self) {
        let raw = self.raw.split();
        self.ready.unsplit(raw);
    }
}

/// The front of a direction.
enum Message {
    /// The text of a message with its line feed.
    Whole(Bytes),
    /// More bytes are needed.
    Incomplete,
    /// Not a negotiation message.
    Alien,
}

fn take_message(raw: &mut BytesMut) -> Message {
    match frame::decode_length(raw) {
        Ok(Some((length, _))) if length > LONGEST_MESSAGE => Message::Alien,
        Ok(Some((length, used))) => {
            let length = usize::try_from(length).expect("at most LONGEST_MESSAGE");
            if raw.len() < used + length {
                return Message::Incomplete;
            }
            raw.advance(used);
            Message::Whole(raw.split_to(length).freeze())
        }
        Ok(None) => Message::Incomplete,
        Err(_) => Message::Alien,
    }
}

fn put_translated(text: &[u8], into: &mut BytesMut) {
    let name = text.strip_suffix(b"\n").unwrap_or(text);
    let translated = if name == LEGACY_PRIORITY.as_bytes() {
        Some(LEGACY_PRIORITY_ALIAS)
    } else if name == LEGACY_PRIORITY_ALIAS.as_bytes() {
        Some(LEGACY_PRIORITY)
    } else {
        None
    };
    match translated {
        Some(name) => {
            let line = [name.as_bytes(), b"\n"].concat();
            put_message(&line, into);
        }
        None => put_message(text, into),
    }
}

fn put_message(text: &[u8], into: &mut BytesMut) {
    let (prefix, used) = frame::encode_length(text.len());
    into.put_slice(&prefix[..used]);
    into.put_slice(text);
}

impl<S: AsyncWrite + Unpin> Translated<S> {
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.ready.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.outgoing.ready))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.ready.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Whether what is written now is no negotiation any more: agreed, or a lazy opener's payload.
    fn writes_payload(&self) -> bool {
        let lazy = self.opener && self.phase == Phase::Proposed;
        (self.phase == Phase::Settled || lazy) && self.outgoing.raw.is_empty()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Translated<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        while this.incoming.ready.is_empty() {
            let handed_on = match (this.phase, this.opener) {
                (Phase::Settled, _) | (Phase::Proposed, false) => {
                    if this.incoming.raw.is_empty() {
                        return Pin::new(&mut this.inner).poll_read(cx, buf);
                    }
                    this.incoming.release();
                    true
                }
                (Phase::Open, false) => this.incoming.proposal(&mut this.phase),
                (Phase::Open | Phase::Proposed, true) => this.incoming.answer(&mut this.phase),
            };
            if !handed_on && this.phase != Phase::Settled {
                let mut chunk = [0; CHUNK];
                let received = ready!(Pin::new(&mut this.inner).poll_read(cx, &mut chunk))?;
                if received == 0 {
                    this.phase = Phase::Settled;
                }
                this.incoming.raw.put_slice(&chunk[..received]);
            }
        }
        let most = this.incoming.ready.len().min(buf.len());
        this.incoming.ready.copy_to_slice(&mut buf[..most]);
        Poll::Ready(Ok(most))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Translated<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_drain(cx))?;
        if this.writes_payload() {
            return Pin::new(&mut this.inner).poll_write(cx, buf);
        }
        this.outgoing.raw.put_slice(buf);
        if this.opener {
            while this.outgoing.proposal(&mut this.phase) {}
        } else {
            while this.outgoing.answer(&mut this.phase) {}
        }
        let lazy = this.opener && this.phase == Phase::Proposed;
        if lazy || this.phase == Phase::Settled {
            this.outgoing.release();
        }
        // What is left goes out with the next write, flush or close.
        if let Poll::Ready(Err(error)) = this.poll_drain(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures::{AsyncReadExt, AsyncWriteExt, executor::block_on, io::Cursor};
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Reads from one buffer, writes to another.
    struct Pipe {
        input: Cursor<Vec<u8>>,
        output: Vec<u8>,
    }

    impl AsyncRead for Pipe {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.input).poll_read(cx, buf)
        }
    }

    impl AsyncWrite for Pipe {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.output).poll_write(cx, buf)
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn pipe(input: &[u8]) -> Pipe {
        Pipe {
            input: Cursor::new(input.to_vec()),
            output: Vec::new(),
        }
    }

    fn messages(texts: &[&str]) -> Vec<u8> {
        let mut bytes = BytesMut::new();
        for text in texts {
            put_message(format!("{text}\n").as_bytes(), &mut bytes);
        }
        bytes.to_vec()
    }

    const HEADER_TEXT: &str = "/multistream/1.0.0";

    #[test]
    fn legacy_token_is_the_one_of_the_specification() {
        assert_eq!(messages(&[LEGACY_PRIORITY]), b"\x16charon/priority/2.0.0\n");
    }

    #[test]
    fn proposed_legacy_name_is_read_as_the_alias_and_echoed_as_the_name() {
        let wire = [
            messages(&[HEADER_TEXT, LEGACY_PRIORITY]),
            b"payload".to_vec(),
        ]
        .concat();
        let alias = messages(&[HEADER_TEXT, LEGACY_PRIORITY_ALIAS]);
        let mut stream = Translated::inbound(pipe(&wire));
        block_on(async {
            let mut read = vec![0; alias.len()];
            stream.read_exact(&mut read).await.unwrap();
            assert_eq!(read, alias);
            stream.write_all(&alias).await.unwrap();
            let mut payload = Vec::new();
            stream.read_to_end(&mut payload).await.unwrap();
            assert_eq!(payload, b"payload");
        });
        assert_eq!(
            stream.inner.output,
            messages(&[HEADER_TEXT, LEGACY_PRIORITY])
        );
    }

    #[test]
    fn name_after_a_refused_one_is_still_translated() {
        let proposals = messages(&[HEADER_TEXT, "/unknown", LEGACY_PRIORITY]);
        let mut stream = Translated::inbound(pipe(&proposals));
        block_on(async {
            let first = messages(&[HEADER_TEXT, "/unknown"]);
            let mut read = vec![0; first.len()];
            stream.read_exact(&mut read).await.unwrap();
            stream
                .write_all(&messages(&[HEADER_TEXT, "na"]))
                .await
                .unwrap();
            let second = messages(&[LEGACY_PRIORITY_ALIAS]);
            let mut read = vec![0; second.len()];
            stream.read_exact(&mut read).await.unwrap();
            assert_eq!(read, second);
        });
    }

    #[test]
    fn opener_proposes_the_name_after_a_refusal() {
        let answers = messages(&[HEADER_TEXT, "na", LEGACY_PRIORITY]);
        let mut stream = Translated::outbound(pipe(&answers));
        block_on(async {
            let first = messages(&[HEADER_TEXT, "/charon/priority/2.0.0"]);
            stream.write_all(&first).await.unwrap();
            let refusal = messages(&[HEADER_TEXT, "na"]);
            let mut read = vec![0; refusal.len()];
            stream.read_exact(&mut read).await.unwrap();
            let second = messages(&[LEGACY_PRIORITY_ALIAS]);
            stream.write_all(&second).await.unwrap();
            stream.flush().await.unwrap();
            let mut read = vec![0; second.len()];
            stream.read_exact(&mut read).await.unwrap();
            assert_eq!(read, second);
        });
        let wire = messages(&[HEADER_TEXT, "/charon/priority/2.0.0", LEGACY_PRIORITY]);
        assert_eq!(stream.inner.output, wire);
    }

    #[test]
    fn lazy_payload_that_looks_like_negotiation_is_left_alone() {
        let payload = messages(&[LEGACY_PRIORITY, LEGACY_PRIORITY_ALIAS]);
        let sent = [messages(&[HEADER_TEXT, "/x"]), payload].concat();
        let mut stream = Translated::outbound(pipe(&[]));
        block_on(async {
            stream.write_all(&sent).await.unwrap();
            stream.flush().await.unwrap();
        });
        assert_eq!(stream.inner.output, sent);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in vec(any::<u8>(), 0..700)) {
            let streams = [Translated::inbound(pipe(&bytes)), Translated::outbound(pipe(&bytes))];
            for mut stream in streams {
                let mut read = Vec::new();
                block_on(stream.read_to_end(&mut read)).unwrap();
            }
        }

        #[test]
        fn any_payload_passes_unchanged(payload in vec(any::<u8>(), 0..2000)) {
            let negotiation = messages(&[HEADER_TEXT, "/charon/parsigex/2.0.0"]);
            let sent = [&negotiation[..], &payload].concat();

            let mut outbound = Translated::outbound(pipe(&sent));
            block_on(outbound.write_all(&sent)).unwrap();
            block_on(outbound.flush()).unwrap();
            prop_assert_eq!(&outbound.inner.output, &sent);
            let mut read = Vec::new();
            block_on(outbound.read_to_end(&mut read)).unwrap();
            prop_assert_eq!(&read, &sent);

            let mut inbound = Translated::inbound(pipe(&sent));
            let mut read = vec![0; negotiation.len()];
            block_on(inbound.read_exact(&mut read)).unwrap();
            block_on(inbound.write_all(&sent)).unwrap();
            block_on(inbound.read_to_end(&mut read)).unwrap();
            prop_assert_eq!(&read, &sent);
            prop_assert_eq!(&inbound.inner.output, &sent);
        }
    }
}
