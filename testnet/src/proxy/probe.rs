//! Measures round trips: what a link really costs, timers and loopback included.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::MissedTickBehavior;

/// Between pings.
const INTERVAL: Duration = Duration::from_millis(250);

/// Starts a task that sends everything back, and returns where it listens.
pub(crate) async fn echo() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    });
    Ok(address)
}

/// Sends a byte to an echo at `address` again and again, and reports how long each took to come back.
///
/// # Errors
/// The connection broke, or `report` failed.
pub(crate) async fn measure(
    address: SocketAddr,
    mut report: impl FnMut(Duration) -> io::Result<()>,
) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let sent = Instant::now();
        stream.write_u8(0).await?;
        stream.read_u8().await?;
        report(sent.elapsed())?;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn round_trips_are_reported_until_the_reporter_has_enough() {
        let address = echo().await.unwrap();
        let mut count = 0;
        let result = measure(address, |round_trip| {
            assert!(round_trip > Duration::ZERO);
            count += 1;
            if count == 2 {
                Err(io::Error::other("enough"))
            } else {
                Ok(())
            }
        });
        assert!(result.await.is_err());
        assert_eq!(count, 2);
    }
}
