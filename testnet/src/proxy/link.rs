//! One link: a port that leads to another, late.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::delay::{Shape, carry};
use crate::chain::Seed;

/// Pause after a failed accept (too many open files), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections and carries each to `target`, until the task is dropped.
pub(crate) async fn serve(listener: TcpListener, target: SocketAddr, shape: Shape, seed: u64) {
    for number in 0.. {
        match listener.accept().await {
            // Failures belong to the two ends: each sees its connection close.
            Ok((near, _)) => drop(tokio::spawn(connect(
                near,
                target,
                shape,
                Seed(seed),
                number,
            ))),
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn connect(
    near: TcpStream,
    target: SocketAddr,
    shape: Shape,
    seed: Seed,
    number: u64,
) -> io::Result<()> {
    let far = TcpStream::connect(target).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (near_reader, near_writer) = near.into_split();
    let (far_reader, far_writer) = far.into_split();
    let there = carry(near_reader, far_writer, shape, seed.rng("there", number));
    let back = carry(far_reader, near_writer, shape, seed.rng("back", number));
    tokio::try_join!(there, back).map(|_| ())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::proxy::probe;

    #[tokio::test]
    async fn both_directions_are_carried_and_late() {
        let shape = Shape {
            latency: Duration::from_millis(20),
            jitter: Duration::ZERO,
        };
        let echo = probe::echo().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, echo, shape, 1));
        let mut stream = TcpStream::connect(address).await.unwrap();
        let sent = std::time::Instant::now();
        stream.write_all(b"to and fro").await.unwrap();
        let mut answer = [0; 10];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"to and fro");
        assert!(sent.elapsed() >= Duration::from_millis(40));
    }

    #[tokio::test]
    async fn a_target_that_is_down_closes_the_connection() {
        let gone = TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(
            listener,
            gone,
            Shape {
                latency: Duration::ZERO,
                jitter: Duration::ZERO,
            },
            1,
        ));
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert!(matches!(stream.read(&mut [0; 1]).await, Ok(0) | Err(_)));
    }
}
