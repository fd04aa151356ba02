//! How a node is started: its command line, and a guard that lets it not outlive the testnet.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use flotilla_types::{ForkVersion, Timestamp};

use crate::options::Signer;

/// The hidden subcommand that must call [`node_main`].
pub const NODE_COMMAND: &str = "testnet-node";
/// The hidden subcommand that must call [`proxy::main`](crate::proxy::main).
pub const PROXY_COMMAND: &str = "testnet-proxy";

/// Name and chain id under which nodes know the network.
const NETWORK_NAME: &str = "flotilla-testnet";
/// See [`NETWORK_NAME`].
pub(super) const CHAIN_ID: u64 = 1337;

/// The life of a node process until it becomes `flotilla run`: asks the kernel to kill it when its parent dies, even if
/// that is killed itself, then replaces itself by this same program with `arguments` (all after `testnet-node`).
///
/// Being a step of its own, it needs nothing between fork and exec, where only unsafe code could do the same.
pub fn node_main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let error = match become_node(arguments) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    // Standard error goes to the node's log, which the testnet quotes.
    use io::Write;
    let _ = writeln!(io::stderr(), "the node could not be started: {error}");
    ExitCode::from(2)
}

fn become_node(
    arguments: impl IntoIterator<Item = OsString>,
) -> io::Result<std::convert::Infallible> {
    let mut arguments = arguments.into_iter();
    let parent = arguments.next().unwrap_or_default();
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // The parent may have died before the line above.
    let now = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    if parent.to_str() != Some(now.to_string().as_str()) {
        return Err(io::Error::other("the testnet has gone"));
    }
    Err(Command::new(std::env::current_exe()?)
        .args(arguments)
        .exec())
}

/// Where one node listens, and where its files are.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    /// Key, lock and keystores.
    pub(super) data_dir: PathBuf,
    /// Its output is appended here.
    pub(super) log: PathBuf,
    /// Its own beacon node.
    pub(super) beacon_url: String,
    /// Listens to peers.
    pub(super) p2p: SocketAddr,
    /// Where to dial each peer, by index.
    pub(super) peers: Vec<(usize, SocketAddr)>,
    /// Serves metrics and outcomes.
    pub(super) monitoring: SocketAddr,
    /// Serves validator clients.
    pub(super) validator_api: SocketAddr,
    /// Who signs.
    pub(super) signer: Signer,
    /// Genesis fork version of the chain.
    pub(super) fork_version: ForkVersion,
    /// Genesis of the chain.
    pub(super) genesis: Timestamp,
}

/// Whether a variable stands for a flag of `run`.
fn is_setting(name: &str) -> bool {
    name.starts_with("FLOTILLA_") || name.starts_with("CHARON_")
}

impl Launch {
    /// The command that becomes the node.
    pub(super) fn command(&self, program: &Path) -> Command {
        Self::guarded(program, self.arguments())
    }

    /// The command that becomes the node's validator client, if it has one.
    pub(super) fn client_command(
        &self,
        program: &Path,
        node: usize,
        template: Option<&str>,
    ) -> Option<Command> {
        if self.signer != Signer::ValidatorClient {
            return None;
        }
        let (api, keystores) = (
            format!("http://{}", self.validator_api),
            self.data_dir.join("validator_keys"),
        );
        Some(match template {
            None => {
                let mut arguments: Vec<OsString> = vec!["testnet".into()];
                let rest = [
                    "validator-client",
                    "--beacon-node",
                    &api,
                    "--builder",
                    "--keystores",
                ];
                arguments.extend(rest.map(OsString::from));
                arguments.push(keystores.into());
                Self::guarded(program, arguments)
            }
            Some(template) => {
                let mut command = Command::new("sh");
                let line = template
                    .replace("{api}", &api)
                    .replace("{keystores}", &keystores.to_string_lossy())
                    .replace("{node}", &node.to_string());
                command.arg("-c").arg(format!("exec {line}"));
                command
            }
        })
    }

    /// This program with these arguments, ending when this process ends.
    fn guarded(program: &Path, arguments: Vec<OsString>) -> Command {
        let mut command = Command::new(program);
        command
            .arg(NODE_COMMAND)
            .arg(std::process::id().to_string())
            .args(arguments);
        // What the person's environment says is about the person's node, not about these.
        let settings = std::env::vars_os().map(|(name, _)| name);
        for name in settings.filter(|name| is_setting(&name.to_string_lossy())) {
            command.env_remove(name);
        }
        command
    }

    fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec![
            "run".into(),
            "--data-dir".into(),
            self.data_dir.clone().into(),
        ];
        let mut flag = |name: &str, value: String| arguments.extend([name.into(), value.into()]);
        flag("--beacon-node-endpoints", self.beacon_url.clone());
        flag("--p2p-tcp-address", self.p2p.to_string());
        for (peer, address) in &self.peers {
            flag(
                "--p2p-peer",
                format!("{peer}=/ip4/{}/tcp/{}", address.ip(), address.port()),
            );
        }
        flag("--monitoring-address", self.monitoring.to_string());
        flag("--validator-api-address", self.validator_api.to_string());
        let signer = match self.signer {
            Signer::Builtin => "builtin",
            Signer::ValidatorClient => "vc",
        };
        flag("--signer", signer.into());
        flag("--testnet-name", NETWORK_NAME.into());
        flag("--testnet-fork-version", self.fork_version.to_string());
        flag("--testnet-chain-id", CHAIN_ID.to_string());
        flag(
            "--testnet-genesis-timestamp",
            self.genesis.as_secs().to_string(),
        );
        arguments.push("--builder-api".into());
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn the_command_line_names_peers_and_network() {
        let launch = Launch {
            data_dir: "/x/node0".into(),
            log: "/x/node0.log".into(),
            beacon_url: "http://127.0.0.1:5".into(),
            p2p: address(6),
            peers: vec![(1, address(7)), (2, address(8))],
            monitoring: address(9),
            validator_api: address(10),
            signer: Signer::Builtin,
            fork_version: ForkVersion([0x10, 0, 9, 0x10]),
            genesis: Timestamp::from_secs(99),
        };
        let arguments = launch.arguments();
        let text: Vec<_> = arguments
            .iter()
            .filter_map(|argument| argument.to_str())
            .collect();
        let text = text.join(" ");
        assert!(
            text.starts_with("run --data-dir /x/node0 --beacon-node-endpoints http://127.0.0.1:5 "),
            "{text}"
        );
        assert!(
            text.contains("--p2p-peer 1=/ip4/127.0.0.1/tcp/7 --p2p-peer 2=/ip4/127.0.0.1/tcp/8"),
            "{text}"
        );
        assert!(text.ends_with("--testnet-fork-version 0x10000910 --testnet-chain-id 1337 --testnet-genesis-timestamp 99 --builder-api"), "{text}");
    }
}
