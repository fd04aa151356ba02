//! Bytes that arrive later than they were sent.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep_until};

/// Bytes under way in one direction of a connection, at most. Beyond that the sender feels back-pressure, as from a
/// real link's buffers. At 100 ms it allows 80 MB/s: far above what a cluster sends.
const IN_FLIGHT_BYTES: usize = 8 * 1024 * 1024;
/// Pieces under way in one direction, at most.
const IN_FLIGHT_PIECES: usize = 16 * 1024;
/// Read at once, at most.
const PIECE_BYTES: usize = 64 * 1024;

/// How a link delays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// One way.
    pub(crate) latency: Duration,
    /// Uniform, either way; never to less than nothing.
    pub(crate) jitter: Duration,
}

impl Shape {
    fn sample(&self, rng: &mut ChaCha12Rng) -> Duration {
        let jitter = self.jitter.as_secs_f64();
        if jitter == 0.0 {
            return self.latency;
        }
        let delay = self.latency.as_secs_f64() + rng.random_range(-jitter..=jitter);
        Duration::from_secs_f64(delay.max(0.0))
    }
}

/// Some bytes and when they are due; without bytes, the end of the stream.
struct Piece {
    due: Instant,
    bytes: BytesMut,
    _in_flight: OwnedSemaphorePermit,
}

/// Carries everything from `reader` to `writer`, each piece late by a sample of `shape` but never before an earlier one.
/// The end of the stream is late as well.
///
/// # Errors
/// Reading or writing failed; what was under way is lost.
pub(crate) async fn carry<R, W>(
    reader: R,
    writer: W,
    shape: Shape,
    rng: ChaCha12Rng,
) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (pieces, arriving) = mpsc::channel(IN_FLIGHT_PIECES);
    tokio::try_join!(
        take_in(reader, pieces, shape, rng),
        give_out(writer, arriving)
    )
    .map(|_| ())
}

async fn take_in<R>(
    mut reader: R,
    pieces: mpsc::Sender<Piece>,
    shape: Shape,
    mut rng: ChaCha12Rng,
) -> io::Result<()>
where
    R: AsyncRead + Unpin,
{
    let room = Arc::new(Semaphore::new(IN_FLIGHT_BYTES));
    let mut last = Instant::now();
    loop {
        let mut bytes = BytesMut::with_capacity(PIECE_BYTES);
        reader.read_buf(&mut bytes).await?;
        let due = last.max(Instant::now() + shape.sample(&mut rng));
        last = due;
        let ended = bytes.is_empty();
        let length = u32::try_from(bytes.len()).expect("a piece has at most 64 KiB");
        let permit = room
            .clone()
            .acquire_many_owned(length)
            .await
            .expect("the semaphore is never closed");
        // Small pieces would otherwise keep their 64 KiB of room alive while under way.
        let bytes = if bytes.len() < PIECE_BYTES / 2 {
            BytesMut::from(&bytes[..])
        } else {
            bytes
        };
        if pieces
            .send(Piece {
                due,
                bytes,
                _in_flight: permit,
            })
            .await
            .is_err()
            || ended
        {
            return Ok(());
        }
    }
}

async fn give_out<W>(mut writer: W, mut pieces: mpsc::Receiver<Piece>) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
{
    while let Some(piece) = pieces.recv().await {
        sleep_until(piece.due).await;
        if piece.bytes.is_empty() {
            return writer.shutdown().await;
        }
        writer.write_all(&piece.bytes).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::io::{DuplexStream, duplex};

    use super::*;
    use crate::chain::Seed;

    fn milliseconds(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    /// The two ends of a shaped link.
    fn link(shape: Shape) -> (DuplexStream, DuplexStream) {
        let (near, near_inner) = duplex(PIECE_BYTES);
        let (far_inner, far) = duplex(PIECE_BYTES);
        tokio::spawn(carry(near_inner, far_inner, shape, Seed(1).rng("link", 0)));
        (near, far)
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_arrive_one_latency_later() {
        let (mut near, mut far) = link(Shape {
            latency: milliseconds(75),
            jitter: Duration::ZERO,
        });
        let sent = Instant::now();
        near.write_all(b"x").await.unwrap();
        far.read_u8().await.unwrap();
        let taken = sent.elapsed();
        assert!(
            taken >= milliseconds(75) && taken <= milliseconds(77),
            "{taken:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn latency_does_not_limit_throughput() {
        let (mut near, mut far) = link(Shape {
            latency: milliseconds(100),
            jitter: Duration::ZERO,
        });
        let sent = Instant::now();
        tokio::spawn(async move {
            for _ in 0..1_000 {
                near.write_all(b"message").await.unwrap();
            }
        });
        let mut received = vec![0; 7_000];
        far.read_exact(&mut received).await.unwrap();
        assert!(sent.elapsed() <= milliseconds(105), "{:?}", sent.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn jitter_varies_the_delay_and_keeps_the_order() {
        let (mut near, mut far) = link(Shape {
            latency: milliseconds(50),
            jitter: milliseconds(40),
        });
        let mut delays = Vec::new();
        for number in 0..200_u8 {
            let sent = Instant::now();
            near.write_u8(number).await.unwrap();
            assert_eq!(far.read_u8().await.unwrap(), number);
            delays.push(sent.elapsed());
        }
        assert!(
            delays
                .iter()
                .all(|delay| *delay >= milliseconds(10) && *delay <= milliseconds(92))
        );
        assert!(
            delays
                .iter()
                .max()
                .unwrap()
                .saturating_sub(*delays.iter().min().unwrap())
                > milliseconds(60)
        );

        let burst: Vec<u8> = (0..200).collect();
        for byte in &burst {
            near.write_u8(*byte).await.unwrap();
            tokio::time::sleep(milliseconds(1)).await;
        }
        let mut received = vec![0; burst.len()];
        far.read_exact(&mut received).await.unwrap();
        assert_eq!(received, burst);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_arrives_late_and_after_the_bytes() {
        let (mut near, mut far) = link(Shape {
            latency: milliseconds(75),
            jitter: Duration::ZERO,
        });
        let sent = Instant::now();
        near.write_all(b"last words").await.unwrap();
        drop(near);
        let mut received = Vec::new();
        far.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"last words");
        assert!(sent.elapsed() >= milliseconds(75));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stuck_receiver_stops_the_sender() {
        let (mut near, _far) = link(Shape {
            latency: milliseconds(1),
            jitter: Duration::ZERO,
        });
        let block = vec![0; PIECE_BYTES];
        let mut taken = 0;
        while tokio::time::timeout(milliseconds(500), near.write_all(&block))
            .await
            .is_ok()
        {
            taken += block.len();
            assert!(
                taken <= IN_FLIGHT_BYTES + 8 * PIECE_BYTES,
                "nothing holds the sender back"
            );
        }
    }
}
