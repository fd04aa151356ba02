//! Running the binary, and a key manager that writes down what it is given.
#![allow(clippy::unwrap_used, dead_code)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::thread::JoinHandle;

/// Receives fees and withdrawals in tests.
pub const ADDRESS: &str = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

/// Runs the binary.
pub fn flotilla(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_flotilla"))
        .args(arguments)
        .output()
        .unwrap()
}

/// Both streams.
pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), output.stderr.as_slice()].concat())
        .into_owned()
}

/// Output of a run that must succeed.
pub fn success(arguments: &[&str]) -> String {
    let output = flotilla(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output));
    text(&output)
}

/// Output of a run that must fail with code 1.
pub fn failure(arguments: &[&str]) -> String {
    let output = flotilla(arguments);
    assert_eq!(
        output.status.code(),
        Some(1),
        "{arguments:?}: {}",
        text(&output)
    );
    text(&output)
}

/// A path as an argument.
pub fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Makes a cluster of 4 nodes and 2 validators with cheap keystores.
pub fn create_cluster(folder: &Path, more: &[&str]) -> String {
    let common = [
        "create",
        "cluster",
        "--cluster-dir",
        path(folder),
        "--nodes",
        "4",
        "--num-validators",
        "2",
        "--network",
        "hoodi",
        "--insecure-keys",
        "--fee-recipient-addresses",
        ADDRESS,
        "--withdrawal-addresses",
        ADDRESS,
    ];
    success(&[common.as_slice(), more].concat())
}

/// Splits the keys in a folder into a cluster of 4 nodes with cheap keystores.
pub fn split_cluster(folder: &Path, keys: &Path, more: &[&str]) -> Output {
    let common = [
        "create",
        "cluster",
        "--cluster-dir",
        path(folder),
        "--nodes",
        "4",
        "--network",
        "hoodi",
        "--insecure-keys",
        "--fee-recipient-addresses",
        ADDRESS,
        "--withdrawal-addresses",
        ADDRESS,
        "--split-existing-keys",
        "--split-keys-dir",
        path(keys),
    ];
    flotilla(&[common.as_slice(), more].concat())
}

/// Takes one import of two keystores; a connection without a request is a probe.
pub struct KeyManager {
    pub address: String,
    thread: JoinHandle<(String, String)>,
}

impl KeyManager {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            loop {
                let (mut stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut head = String::new();
                while reader.read_line(&mut head).unwrap_or(0) > 0 && !head.ends_with("\r\n\r\n") {}
                if head.is_empty() {
                    continue;
                }
                let length = head
                    .lines()
                    .find_map(|line| {
                        line.to_lowercase()
                            .strip_prefix("content-length: ")?
                            .parse()
                            .ok()
                    })
                    .unwrap();
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let answer = r#"{"data":[{"status":"imported"},{"status":"imported"}]}"#;
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}",
                    answer.len()
                )
                .unwrap();
                return (head, String::from_utf8(body).unwrap());
            }
        });
        Self { address, thread }
    }

    /// Head and body of the import.
    pub fn request(self) -> (String, String) {
        self.thread.join().unwrap()
    }
}
