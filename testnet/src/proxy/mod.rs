//! Links with latency: a process that stands between the nodes.
//!
//! For each ordered pair of nodes there is a port; whoever dials it is connected to the target, and every byte in
//! either direction arrives one latency later, plus or minus a jitter, in order. The process is a separate one so that
//! its work shows up in nobody's CPU figures. [`main`] is its whole life, [`Proxy`] the handle of who started it.
//!
//! The two talk in lines of JSON: a [`Settings`] on standard input; then lines on standard output, first the ports,
//! then a round-trip time now and then. The process ends when its standard input does, so it cannot outlive its parent.

mod delay;
mod handle;
mod link;
mod probe;

use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

pub use handle::{Proxy, ProxyError};
pub(crate) use probe::{echo, measure as measure_round_trips};

use delay::Shape;

/// What a proxy is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// One-way latency.
    pub latency: Duration,
    /// Uniform variation of it, either way.
    pub jitter: Duration,
    /// The jitter follows from it.
    pub seed: u64,
    /// Where each link leads.
    pub targets: Vec<SocketAddr>,
}

/// What a proxy says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// Once: where to dial for each target, in the order of the settings.
    Listening(Vec<SocketAddr>),
    /// A round trip through a link of its own.
    RoundTripMs(f64),
    /// Once, instead of everything else.
    Failed(String),
}

/// The life of a proxy process: settings in, links up, until standard input ends.
pub fn main() -> ExitCode {
    let result = read_settings().and_then(|settings| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(run(settings))
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without a reader there is nobody to tell.
            let _ = say(&Line::Failed(error.to_string()));
            ExitCode::FAILURE
        }
    }
}

fn read_settings() -> io::Result<Settings> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

fn say(line: &Line) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    serde_json::to_writer(&mut stdout, line)?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}

async fn run(settings: Settings) -> io::Result<()> {
    let shape = Shape {
        latency: settings.latency,
        jitter: settings.jitter,
    };
    let mut addresses = Vec::new();
    for (number, target) in (0..).zip(settings.targets) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        addresses.push(listener.local_addr()?);
        tokio::spawn(link::serve(
            listener,
            target,
            shape,
            settings.seed.wrapping_add(number),
        ));
    }
    say(&Line::Listening(addresses))?;

    let echo = probe::echo().await?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let through = listener.local_addr()?;
    tokio::spawn(link::serve(
        listener,
        echo,
        shape,
        settings.seed.wrapping_sub(1),
    ));
    let pings = probe::measure(through, |round_trip| {
        say(&Line::RoundTripMs(round_trip.as_secs_f64() * 1e3))
    });

    // Standard input is read on a thread of its own: it blocks, and its end is the signal to stop.
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = ended.send(());
    });
    tokio::select! {
        _ = end => Ok(()),
        result = pings => result,
    }
}
