//! The `flotilla` command: words to actions, one file per command.
//!
//! It knows flags and the terminal, and no rule of any protocol.

mod bar;
mod cluster;
mod combine;
mod create;
mod deposit;
mod environment;
mod exit;
mod feerecipient;
mod identity;
mod latency;
mod logging;
mod network;
mod pause;
mod run;
mod seat;
mod slashing;
mod testnet;
mod testnet_beacon;
mod topology;
mod validator_client;
mod verification;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// A distributed-validator node for Ethereum.
///
/// Independent operators each run one node; together they hold validator keys that none of them has, agree on each duty, and
/// sign it with a threshold of key shares. Files and wire are those of Charon clusters.
///
/// Try it:  flotilla testnet --slots 24
#[derive(Parser)]
#[command(name = "flotilla", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(Box<run::Arguments>),
    Testnet(Box<testnet::Arguments>),
    /// Make new files: an identity, the definition of a cluster, a whole cluster.
    #[command(subcommand)]
    Create(Create),
    Enr(identity::Show),
    Combine(combine::Arguments),
    /// Look at a cluster's files.
    #[command(subcommand)]
    Cluster(Cluster),
    /// Let validators leave.
    #[command(subcommand)]
    Exit(exit::Exit),
    /// Make further deposits for validators of the cluster.
    #[command(subcommand)]
    Deposit(deposit::Deposit),
    /// Change who receives the fees of a validator.
    #[command(subcommand)]
    Feerecipient(feerecipient::FeeRecipient),
    /// Measure.
    #[command(subcommand)]
    Bench(Bench),
    Pause(pause::Pause),
    Resume(pause::Resume),
    /// Bring a signing history in and out, as EIP-3076 files.
    #[command(subcommand)]
    SlashingProtection(slashing::SlashingProtection),
    Version(Version),
}

#[derive(Subcommand)]
enum Create {
    Enr(identity::Create),
    Dkg(Box<create::dkg::Arguments>),
    Cluster(Box<create::cluster::Arguments>),
}

#[derive(Subcommand)]
enum Cluster {
    Show(cluster::show::Arguments),
    Verify(cluster::verify::Arguments),
}

#[derive(Subcommand)]
enum Bench {
    Latency(latency::Arguments),
}

/// Show the version.
#[derive(clap::Args)]
struct Version {
    /// One JSON document instead of a line.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    // Children of `testnet`: their arguments are not for a person.
    let mut raw = std::env::args_os().skip(1);
    match raw.next().as_deref().and_then(std::ffi::OsStr::to_str) {
        Some(flotilla_testnet::NODE_COMMAND) => return flotilla_testnet::node_main(raw),
        Some(flotilla_testnet::PROXY_COMMAND) => return flotilla_testnet::proxy::main(),
        _ => {}
    }
    // An error means that another part of the process has installed one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let command = environment::with_boolean_values(run::with_flags_of_the_field(Cli::command()));
    let (arguments, warnings) =
        environment::complete(&command, std::env::args_os().collect(), |name| {
            std::env::var(name).ok()
        });
    let matches = command.get_matches_from(arguments);
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    // `run` has a log, and writes them there.
    if !matches!(cli.command, Command::Run(_)) {
        warnings.iter().for_each(|warning| warn(warning));
    }
    match execute(cli.command, &matches, &warnings) {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn execute(
    command: Command,
    matches: &clap::ArgMatches,
    warnings: &[String],
) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(arguments) => {
            run::execute(*arguments, matches, warnings).map(|()| ExitCode::SUCCESS)
        }
        Command::Testnet(arguments) => testnet::execute(*arguments),
        Command::Create(Create::Enr(arguments)) => {
            identity::create(&arguments).map(|()| ExitCode::SUCCESS)
        }
        Command::Create(Create::Dkg(arguments)) => {
            create::dkg::execute(&arguments).map(|()| ExitCode::SUCCESS)
        }
        Command::Create(Create::Cluster(arguments)) => {
            create::cluster::execute(&arguments).map(|()| ExitCode::SUCCESS)
        }
        Command::Combine(arguments) => combine::execute(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Cluster(Cluster::Show(arguments)) => {
            cluster::show::execute(&arguments).map(|()| ExitCode::SUCCESS)
        }
        Command::Cluster(Cluster::Verify(arguments)) => cluster::verify::execute(&arguments),
        Command::Enr(arguments) => identity::show(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Exit(command) => exit::execute(&command).map(|()| ExitCode::SUCCESS),
        Command::Deposit(command) => deposit::execute(&command).map(|()| ExitCode::SUCCESS),
        Command::Feerecipient(command) => {
            feerecipient::execute(&command).map(|()| ExitCode::SUCCESS)
        }
        Command::Bench(Bench::Latency(arguments)) => latency::execute(arguments),
        Command::Pause(arguments) => pause::pause(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Resume(arguments) => pause::resume(&arguments).map(|()| ExitCode::SUCCESS),
        Command::SlashingProtection(command) => {
            slashing::execute(&command).map(|()| ExitCode::SUCCESS)
        }
        Command::Version(Version { json }) => {
            let version = env!("CARGO_PKG_VERSION");
            match json {
                true => {
                    say(&serde_json::json!({ "name": "flotilla", "version": version }).to_string())
                }
                false => say(&format!("flotilla {version}")),
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What a command answers.
#[allow(clippy::print_stdout)]
fn say(text: &str) {
    println!("{text}");
}

#[allow(clippy::print_stderr)]
fn warn(text: &str) {
    eprintln!("warning: {text}");
}

#[allow(clippy::print_stderr)]
fn complain(error: &anyhow::Error) {
    eprintln!("error: {}", sentence(error));
}

/// The error and its causes in one sentence. Errors of ours quote their cause, and it is not said twice.
fn sentence(error: &anyhow::Error) -> String {
    let mut causes = error.chain().map(ToString::to_string);
    let first = causes.next().unwrap_or_default();
    causes.fold(first, |sentence, cause| {
        if sentence.ends_with(&cause) {
            sentence
        } else {
            format!("{sentence}: {cause}")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read it: {source}")]
    struct Quoting {
        source: std::io::Error,
    }

    #[test]
    fn a_quoted_cause_is_not_said_twice() {
        let source = std::io::Error::other("disk on fire");
        let error = anyhow::Error::from(Quoting { source });
        assert_eq!(sentence(&error), "cannot read it: disk on fire");
    }

    #[test]
    fn a_cause_that_is_not_quoted_is_added() {
        let error = anyhow::anyhow!("no space left").context("keys/0.json");
        assert_eq!(sentence(&error), "keys/0.json: no space left");
    }
}
