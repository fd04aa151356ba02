//! Listens to a node's outcomes for as long as the run lasts, through its restarts.

use std::time::Duration;

use futures::StreamExt;
use reqwest::Client;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::report::OutcomeLine;

/// Between attempts to reach a node that is down.
const RETRY: Duration = Duration::from_millis(100);
/// A node that does not even accept a connection for this long is tried anew.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest line accepted: thousands of validators.
const MAX_LINE_BYTES: usize = 8 * 1024 * 1024;

/// A node's word, and which node's it is.
pub(super) type Heard = (usize, OutcomeLine);

/// Starts to listen to node `node` at `url`. The task ends when the receiver of `heard` has gone, or by `abort`.
pub(super) fn listen(node: usize, url: String, heard: mpsc::Sender<Heard>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let client = crate::http::client();
        while !heard.is_closed() {
            // A node that is killed, stopped or not yet up is an everyday thing here: try again.
            let _ = follow(node, &client, &url, &heard).await;
            tokio::time::sleep(RETRY).await;
        }
    })
}

async fn follow(
    node: usize,
    client: &Client,
    url: &str,
    heard: &mpsc::Sender<Heard>,
) -> Result<(), reqwest::Error> {
    let request = tokio::time::timeout(CONNECT_TIMEOUT, client.get(url).send());
    let Ok(response) = request.await else {
        return Ok(());
    };
    let mut body = response?.error_for_status()?.bytes_stream();
    let mut lines = Lines::default();
    while let Some(bytes) = body.next().await {
        for line in lines.push(&bytes?) {
            if heard.send((node, line)).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Cuts a stream into lines and reads them.
#[derive(Debug, Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// Adds bytes and returns the outcomes in lines that are now complete. Lines that are no outcome, such as blank
    /// ones to keep a connection alive, are skipped.
    fn push(&mut self, bytes: &[u8]) -> Vec<OutcomeLine> {
        self.rest.extend_from_slice(bytes);
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            if self.rest.len() > MAX_LINE_BYTES {
                self.rest.clear();
            }
            return Vec::new();
        };
        let complete: Vec<u8> = self.rest.drain(..=end).collect();
        complete
            .split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::Router;
    use axum::routing::get;
    use tokio::net::TcpListener;

    use super::*;

    const LINE: &str = "{\"kind\":\"ended\",\"slot\":3,\"duty\":\"attester\"}\n";

    #[test]
    fn lines_are_read_however_they_are_cut() {
        let mut lines = Lines::default();
        let bytes = format!("\n{LINE}nonsense\n{LINE}").into_bytes();
        let read: usize = bytes.chunks(7).map(|chunk| lines.push(chunk).len()).sum();
        assert_eq!((read, lines.rest.len()), (2, 0));
    }

    #[test]
    fn an_endless_line_is_dropped() {
        let mut lines = Lines::default();
        for _ in 0..20 {
            lines.push(&vec![b'x'; 1024 * 1024]);
        }
        assert!(lines.rest.len() <= MAX_LINE_BYTES + 1024 * 1024);
    }

    #[tokio::test]
    async fn a_stream_that_ends_is_followed_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            axum::serve(listener, Router::new().route("/", get(|| async { LINE }))).await
        });
        let (sender, mut receiver) = mpsc::channel(4);
        let task = listen(7, url, sender);
        for _ in 0..3 {
            let (node, line) = receiver.recv().await.unwrap();
            assert_eq!((node, line.slot), (7, 3));
        }
        drop(receiver);
        task.await.unwrap();
        server.abort();
    }
}
