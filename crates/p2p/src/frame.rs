//! One message on a stream: a varint length and that many bytes (spec 20 §2.1).
//!
//! Why it exists: the length is a stranger's number. It is compared with the limit before anything
//! is allocated, and memory follows the bytes that arrive rather than the announcement. It must
//! not know protocols or peers.

use std::io;

use bytes::{Bytes, BytesMut};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::Fault;

/// The longest length prefix of the wire format.
const MAX_PREFIX: usize = 9;

/// Bytes asked for before the length is known; most consensus messages end within them.
const FIRST_READ: usize = 4 * 1024;

/// The least by which the buffer of a long frame grows.
const GROWTH: usize = 64 * 1024;

/// Messages up to this size are joined with their prefix, which saves a muxer frame.
const JOINED: usize = 16 * 1024;

/// Reads the length of a frame from its first bytes: the length and the bytes it took, `None` when
/// more bytes are needed, or the fault that no further bytes would mend.
pub(crate) fn decode_length(bytes: &[u8]) -> Result<Option<(u64, usize)>, Fault> {
    let mut length = 0u64;
    for (position, byte) in bytes.iter().take(MAX_PREFIX).enumerate() {
        length |= u64::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            let padded = *byte == 0 && position > 0;
            return if padded {
                Err(Fault::BadLength)
            } else {
                Ok(Some((length, position + 1)))
            };
        }
    }
    if bytes.len() >= MAX_PREFIX {
        return Err(Fault::BadLength);
    }
    Ok(None)
}

/// The length prefix of a frame.
pub(crate) fn encode_length(length: usize) -> ([u8; MAX_PREFIX], usize) {
    let mut bytes = [0; MAX_PREFIX];
    let mut rest = length;
    let mut used = 0;
    loop {
        let low = (rest & 0x7f) as u8;
        rest >>= 7;
        let more = rest > 0;
        bytes[used] = if more { low | 0x80 } else { low };
        used += 1;
        if !more || used == MAX_PREFIX {
            return (bytes, used);
        }
    }
}

/// A frame that is being read. The length comes first, so that the caller can make room for the
/// content before [`Reader::content`].
pub(crate) struct Reader<'stream, S> {
    stream: &'stream mut S,
    /// Content received so far, perhaps with bytes after the frame.
    buffer: BytesMut,
    length: usize,
}

impl<'stream, S: AsyncRead + Unpin> Reader<'stream, S> {
    /// Reads the length and compares it with `limit`, in bytes.
    pub(crate) async fn begin(stream: &'stream mut S, limit: usize) -> Result<Self, Fault> {
        let mut buffer = BytesMut::new();
        let (length, used) = loop {
            if let Some(found) = decode_length(&buffer)? {
                break found;
            }
            if read_some(stream, &mut buffer, FIRST_READ).await == 0 {
                return Err(Fault::Truncated {
                    received: 0,
                    announced: None,
                });
            }
        };
        let admitted = usize::try_from(length)
            .ok()
            .filter(|length| *length <= limit);
        let Some(admitted) = admitted else {
            return Err(Fault::Oversized { length, limit });
        };
        let _prefix = buffer.split_to(used);
        Ok(Self {
            stream,
            buffer,
            length: admitted,
        })
    }

    /// Bytes of content that the peer announced.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// Reads the content. Bytes after the frame are ignored.
    pub(crate) async fn content(mut self) -> Result<Bytes, Fault> {
        while self.buffer.len() < self.length {
            let missing = self.length - self.buffer.len();
            let step = missing.min(self.buffer.len().max(GROWTH));
            if read_some(self.stream, &mut self.buffer, step).await == 0 {
                return Err(Fault::Truncated {
                    received: self.buffer.len(),
                    announced: Some(self.length as u64),
                });
            }
        }
        self.buffer.truncate(self.length);
        Ok(self.buffer.freeze())
    }
}

/// Appends up to `most` bytes; 0 at the end of the stream, which a reset also is.
async fn read_some(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    most: usize,
) -> usize {
    let filled = buffer.len();
    buffer.resize(filled + most, 0);
    let received = stream.read(&mut buffer[filled..]).await.unwrap_or(0);
    buffer.truncate(filled + received);
    received
}

/// Writes one frame and flushes it.
pub(crate) async fn write(
    stream: &mut (impl AsyncWrite + Unpin),
    content: &[u8],
) -> io::Result<()> {
    let (prefix, used) = encode_length(content.len());
    if content.len() <= JOINED {
        let frame = [&prefix[..used], content].concat();
        stream.write_all(&frame).await?;
    } else {
        stream.write_all(&prefix[..used]).await?;
        stream.write_all(content).await?;
    }
    stream.flush().await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures::{executor::block_on, io::Cursor};
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8], limit: usize) -> Result<Bytes, Fault> {
        let mut stream = Cursor::new(bytes);
        block_on(async { Reader::begin(&mut stream, limit).await?.content().await })
    }

    fn framed(content: &[u8]) -> Vec<u8> {
        let mut stream = Cursor::new(Vec::new());
        block_on(write(&mut stream, content)).unwrap();
        stream.into_inner()
    }

    #[test]
    fn empty_message_is_one_zero_byte() {
        assert_eq!(framed(b""), [0]);
        assert_eq!(read(&[0], 10), Ok(Bytes::new()));
    }

    #[test]
    fn bytes_after_the_frame_are_ignored() {
        assert_eq!(read(b"\x02abmore", 10), Ok(Bytes::from_static(b"ab")));
    }

    #[test]
    fn length_over_the_limit_is_refused_before_the_content() {
        let (prefix, used) = encode_length(1 << 40);
        let expected = Fault::Oversized {
            length: 1 << 40,
            limit: 10,
        };
        assert_eq!(read(&prefix[..used], 10), Err(expected));
        assert_eq!(
            read(b"\x0b", 10),
            Err(Fault::Oversized {
                length: 11,
                limit: 10
            })
        );
    }

    #[test]
    fn length_at_the_limit_passes() {
        assert_eq!(read(b"\x02ab", 2), Ok(Bytes::from_static(b"ab")));
    }

    #[test]
    fn stream_that_ends_inside_the_frame_is_truncated() {
        assert_eq!(
            read(b"\x05abc", 10),
            Err(Fault::Truncated {
                received: 3,
                announced: Some(5)
            })
        );
        assert_eq!(
            read(b"\x80", 10),
            Err(Fault::Truncated {
                received: 0,
                announced: None
            })
        );
    }

    #[test]
    fn padded_and_endless_lengths_are_refused() {
        assert_eq!(read(b"\x81\x00a", 10), Err(Fault::BadLength));
        assert_eq!(read(&[0x80; 12], 10), Err(Fault::BadLength));
    }

    proptest! {
        #[test]
        fn any_bytes_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let content = read(&bytes, 200);
            if let Ok(content) = content {
                prop_assert!(content.len() <= 200);
            }
        }

        #[test]
        fn what_is_written_is_read(content in proptest::collection::vec(any::<u8>(), 0..40_000)) {
            prop_assert_eq!(read(&framed(&content), 40_000), Ok(Bytes::from(content)));
        }

        #[test]
        fn any_length_survives(length in 0usize..(1 << 62)) {
            let (prefix, used) = encode_length(length);
            prop_assert_eq!(decode_length(&prefix[..used]), Ok(Some((length as u64, used))));
        }
    }
}
