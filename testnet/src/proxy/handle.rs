//! The proxy process as its parent sees it.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::{Line, Settings};

/// What a proxy is given to open its ports.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Round trips kept: the newest, an hour's worth.
const ROUND_TRIPS_KEPT: usize = 16 * 1024;

/// Why there is no proxy.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The process could not be started or talked to.
    #[error("the link proxy could not be started: {0}")]
    Io(#[from] io::Error),
    /// The process itself says what is wrong.
    #[error("the link proxy failed: {0}")]
    Failed(String),
    /// It said something else than its ports.
    #[error("the link proxy said {0:?} instead of its ports")]
    Unexpected(String),
}

/// A running proxy process. It ends when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    addresses: Vec<SocketAddr>,
    round_trips_ms: Arc<Mutex<Vec<f64>>>,
    /// The process ends when its standard input does.
    _stdin: ChildStdin,
    _child: Child,
}

impl Proxy {
    /// Starts `program` with `arguments`, which must end up in [`main`](super::main), and waits for its ports.
    ///
    /// # Errors
    /// [`ProxyError`].
    pub async fn start(
        program: &Path,
        arguments: &[OsString],
        settings: &Settings,
    ) -> Result<Self, ProxyError> {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        // Ctrl-C on the terminal is for the testnet, which ends its processes in order.
        command.process_group(0);
        let mut child = command.spawn()?;
        let mut stdin = child
            .stdin
            .take()
            .ok_or_else(|| io::Error::other("no standard input"))?;
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| io::Error::other("no standard output"))?;
        let mut line = serde_json::to_string(settings).map_err(io::Error::from)?;
        line.push('\n');
        stdin.write_all(line.as_bytes()).await?;
        let mut reader = BufReader::new(stdout);
        let mut first = String::new();
        let answered = tokio::time::timeout(START_TIMEOUT, reader.read_line(&mut first)).await;
        answered.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let addresses = match serde_json::from_str(&first) {
            Ok(Line::Listening(addresses)) => addresses,
            Ok(Line::Failed(reason)) => return Err(ProxyError::Failed(reason)),
            Ok(Line::RoundTripMs(_)) | Err(_) => return Err(ProxyError::Unexpected(first)),
        };
        let round_trips_ms = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(collect(reader, round_trips_ms.clone()));
        Ok(Proxy {
            addresses,
            round_trips_ms,
            _stdin: stdin,
            _child: child,
        })
    }

    /// Where to dial for each target of the settings.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The newest round trips through a link, in milliseconds.
    pub fn round_trips_ms(&self) -> Vec<f64> {
        self.round_trips_ms
            .lock()
            .expect("no code panics while it holds this")
            .clone()
    }
}

async fn collect(mut reader: BufReader<ChildStdout>, round_trips_ms: Arc<Mutex<Vec<f64>>>) {
    let mut line = String::new();
    while reader.read_line(&mut line).await.is_ok_and(|read| read > 0) {
        if let Ok(Line::RoundTripMs(round_trip)) = serde_json::from_str(&line) {
            let mut kept = round_trips_ms
                .lock()
                .expect("no code panics while it holds this");
            if kept.len() == ROUND_TRIPS_KEPT {
                kept.drain(..ROUND_TRIPS_KEPT / 2);
            }
            kept.push(round_trip);
        }
        line.clear();
    }
}
