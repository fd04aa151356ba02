//! One operator's process: started, killed, stopped, watched.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use reqwest::Client;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::launch::Launch;
use super::metrics::{self, PeerTraffic};
use super::usage::{self, Usage};
use crate::report::{NodeReport, NodeView};

/// How long a node may take to answer for its metrics.
const METRICS_TIMEOUT: Duration = Duration::from_millis(250);

/// A node, running or not.
#[derive(Debug)]
pub(super) struct Node {
    program: PathBuf,
    launch: Launch,
    child: Option<Child>,
    /// Its validator client, which lives through the node's restarts.
    client: Option<Child>,
    paused: bool,
    restarts: u64,
    /// Of processes that have ended.
    before: Totals,
    usage: Usage,
    traffic: PeerTraffic,
    peak_rss_bytes: u64,
    cpu_percent: f64,
    looked: Instant,
}

/// What adds up over a node's processes.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    cpu_seconds: f64,
    sent_bytes: u64,
    received_bytes: u64,
}

impl Node {
    /// A node that is not yet started.
    pub(super) fn new(program: &Path, launch: Launch) -> Self {
        Node {
            program: program.to_owned(),
            launch,
            child: None,
            client: None,
            paused: false,
            restarts: 0,
            before: Totals::default(),
            usage: Usage::default(),
            traffic: PeerTraffic::default(),
            peak_rss_bytes: 0,
            cpu_percent: 0.0,
            looked: Instant::now(),
        }
    }

    /// Where its output goes.
    pub(super) fn log(&self) -> &Path {
        &self.launch.log
    }

    /// Where its outcomes are streamed.
    pub(super) fn outcomes_url(&self) -> String {
        format!("http://{}/flotilla/outcomes", self.launch.monitoring)
    }

    /// Whether there is a process, and it is not stopped.
    pub(super) fn is_running(&self) -> bool {
        self.child.is_some() && !self.paused
    }

    /// Starts the process.
    ///
    /// Must be called on a thread that lives as long as the testnet: the kernel's watch over the parent is one over the
    /// thread that forked. Tokio's workers do, its blocking threads do not.
    ///
    /// # Errors
    /// The log cannot be opened, or the program not be started.
    pub(super) fn start(&mut self) -> io::Result<()> {
        let command = self.launch.command(&self.program);
        self.child = Some(spawn(command, &self.launch.log)?);
        self.paused = false;
        Ok(())
    }

    /// Starts the validator client beside it, if it has one. The same thread as for [`Node::start`] is needed.
    ///
    /// # Errors
    /// As for [`Node::start`].
    pub(super) fn start_client(&mut self, node: usize, template: Option<&str>) -> io::Result<()> {
        let command = self.launch.client_command(&self.program, node, template);
        if let Some(command) = command {
            self.client = Some(spawn(
                command,
                &self.launch.log.with_extension("client.log"),
            )?);
        }
        Ok(())
    }

    /// Starts the process again, if there is none.
    ///
    /// # Errors
    /// As for [`Node::start`].
    pub(super) fn restart(&mut self) -> io::Result<()> {
        if self.child.is_none() {
            self.start()?;
            self.restarts += 1;
        }
        Ok(())
    }

    /// Ends the process with SIGKILL.
    pub(super) async fn kill(&mut self) {
        self.look();
        if let Some(mut child) = self.child.take() {
            // SIGKILL also ends a process that is stopped. It fails only if the process has ended by itself.
            let _ = child.kill().await;
            self.account();
        }
    }

    /// Stops the process with SIGSTOP.
    pub(super) fn pause(&mut self) {
        self.signal(Signal::STOP);
        self.paused = self.child.is_some();
    }

    /// Lets a stopped process go on.
    pub(super) fn resume(&mut self) {
        self.signal(Signal::CONT);
        self.paused = false;
    }

    /// Asks the process, and its validator client, to end.
    pub(super) fn terminate(&mut self) {
        if let Some(client) = &self.client {
            signal(client, Signal::TERM);
        }
        self.look();
        self.resume();
        self.signal(Signal::TERM);
    }

    /// Waits for the process to end by itself until `deadline`, then ends it.
    pub(super) async fn join(&mut self, deadline: tokio::time::Instant) {
        let Some(child) = &mut self.child else { return };
        match tokio::time::timeout_at(deadline, child.wait()).await {
            Ok(_) => {
                self.child = None;
                self.account();
            }
            Err(_) => self.kill().await,
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            self::signal(child, signal);
        }
    }

    /// The status of a process that has ended unasked, once.
    pub(super) fn exited(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        self.child = None;
        self.paused = false;
        self.account();
        Some(status)
    }

    /// Adds what the ended process has used to the totals.
    fn account(&mut self) {
        self.before.cpu_seconds += self.usage.cpu_seconds;
        self.before.sent_bytes += self.traffic.sent_bytes;
        self.before.received_bytes += self.traffic.received_bytes;
        self.usage = Usage::default();
        self.traffic = PeerTraffic::default();
        self.cpu_percent = 0.0;
    }

    /// Reads what the process uses of the machine.
    pub(super) fn look(&mut self) {
        let Some(usage) = self
            .child
            .as_ref()
            .and_then(Child::id)
            .and_then(usage::read)
        else {
            return;
        };
        let elapsed = self.looked.elapsed().as_secs_f64();
        if elapsed > 0.0 {
            self.cpu_percent =
                100.0 * (usage.cpu_seconds - self.usage.cpu_seconds).max(0.0) / elapsed;
        }
        self.looked = Instant::now();
        self.peak_rss_bytes = self.peak_rss_bytes.max(usage.peak_rss_bytes);
        self.usage = usage;
    }

    /// Reads what the process tells of its peers. A node that does not answer keeps its last figures.
    pub(super) async fn ask(&mut self, client: &Client) {
        if !self.is_running() {
            return;
        }
        let request = client
            .get(format!("http://{}/metrics", self.launch.monitoring))
            .timeout(METRICS_TIMEOUT);
        let Ok(response) = request.send().await else {
            return;
        };
        if let Ok(text) = response.text().await {
            self.traffic = metrics::read(&text);
        }
    }

    /// Processor time of all its processes so far.
    pub(super) fn cpu_seconds(&self) -> f64 {
        self.before.cpu_seconds + self.usage.cpu_seconds
    }

    /// For the live table.
    pub(super) fn view(&self) -> NodeView {
        NodeView {
            running: self.is_running(),
            peers: self.traffic.peers,
            cpu_percent: self.cpu_percent,
            rss_bytes: self.usage.rss_bytes,
        }
    }

    /// For the report; `cpu_ms_per_validator_epoch` is the caller's to add.
    pub(super) fn report(&self) -> NodeReport {
        NodeReport {
            cpu_seconds: self.cpu_seconds(),
            cpu_ms_per_validator_epoch: 0.0,
            peak_rss_bytes: self.peak_rss_bytes,
            sent_bytes: self.before.sent_bytes + self.traffic.sent_bytes,
            received_bytes: self.before.received_bytes + self.traffic.received_bytes,
            restarts: self.restarts,
        }
    }
}

/// Starts a process whose output is appended to a log.
fn spawn(command: std::process::Command, log: &Path) -> io::Result<Child> {
    let log = OpenOptions::new().create(true).append(true).open(log)?;
    let mut command = Command::from(command);
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true);
    // Ctrl-C on the terminal is for the testnet, which ends its processes in order.
    command.process_group(0);
    command.spawn()
}

fn signal(child: &Child, signal: Signal) {
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(pid) = id.and_then(Pid::from_raw) {
        // It has ended by itself: `exited` will find out.
        let _ = kill_process(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use flotilla_types::{ForkVersion, Timestamp};

    use super::*;

    /// A node whose program is a shell script, which ignores the arguments of a node.
    fn node(dir: &Path, script: &str) -> Node {
        use std::os::unix::fs::PermissionsExt;
        let program = dir.join("program");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        let address = "127.0.0.1:1".parse().unwrap();
        let launch = Launch {
            data_dir: dir.to_owned(),
            log: dir.join("log"),
            beacon_url: String::new(),
            p2p: address,
            peers: Vec::new(),
            monitoring: address,
            validator_api: address,
            signer: crate::options::Signer::Builtin,
            fork_version: ForkVersion([0; 4]),
            genesis: Timestamp::from_secs(1),
        };
        Node::new(&program, launch)
    }

    #[tokio::test]
    async fn a_killed_node_can_be_started_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut node = node(dir.path(), "exec sleep 600");
        node.start().unwrap();
        assert!(node.is_running() && node.exited().is_none());
        node.kill().await;
        assert!(!node.is_running());
        node.restart().unwrap();
        assert!(node.is_running());
        assert_eq!(node.report().restarts, 1);
    }

    #[tokio::test]
    async fn a_paused_node_is_not_running_and_still_ends() {
        let dir = tempfile::tempdir().unwrap();
        let mut node = node(dir.path(), "exec sleep 600");
        node.start().unwrap();
        node.pause();
        assert!(!node.is_running());
        node.terminate();
        node.join(tokio::time::Instant::now() + Duration::from_secs(60))
            .await;
        assert!(node.child.is_none());
    }

    #[tokio::test]
    async fn output_goes_to_the_log_and_the_exit_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let mut node = node(dir.path(), "echo some words; exit 3");
        node.start().unwrap();
        node.child.as_mut().unwrap().wait().await.unwrap();
        assert_eq!(node.exited().unwrap().code(), Some(3));
        assert!(node.exited().is_none());
        assert_eq!(std::fs::read_to_string(node.log()).unwrap(), "some words\n");
    }
}
