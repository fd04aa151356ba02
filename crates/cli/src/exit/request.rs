//! `flotilla exit request`: an exit through the running cluster, without anybody's server.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use flotilla_node::exits;
use flotilla_testnet::options::parse_duration;

use super::Which;
use crate::say;
use crate::seat::LockFlags;

/// How often the progress is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Ask the running node to sign a validator's exit and to send it to the other members.
///
/// Once a threshold of operators has done the same on their nodes, each node brings the exit to its beacon nodes and the
/// validator leaves. No server is needed, and nobody has to be there at the same time: nodes keep what members have signed in
/// exits.json in the data folder, and send theirs again every epoch. All members sign for the epoch that most have signed for,
/// else the current one. An exit cannot be taken back.
///
/// The node must use the built-in signer. With a validator client use the client's own command for exits, pointed at the node.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Request {
    #[command(flatten)]
    which: Which,
    /// Wait so long for the exit to be brought to the beacon node, and show how many members have signed.
    #[arg(long, value_parser = parse_duration)]
    wait: Option<Duration>,
    #[command(flatten)]
    lock: LockFlags,
}

impl Request {
    /// Leaves the wish in the data folder, where the node finds it.
    pub fn execute(&self) -> anyhow::Result<()> {
        let (lock, folder) = (self.lock.open()?, self.lock.folder());
        let validators = self.which.validators(&lock);
        for validator in &validators {
            ensure!(
                lock.validators()
                    .iter()
                    .any(|known| known.public_key == *validator),
                "validator {validator} is not in this cluster"
            );
            exits::request(&folder, *validator)
                .with_context(|| format!("cannot leave the wish in {}", folder.display()))?;
            say(&format!(
                "{validator}: asked; the node in {} signs within a second if it runs, else when it starts",
                folder.display()
            ));
        }
        let Some(wait) = self.wait else { return Ok(()) };
        let until = Instant::now() + wait;
        let mut told = String::new();
        loop {
            let progress = exits::progress(&folder)?;
            let open: Vec<_> = progress
                .iter()
                .filter(|exit| validators.contains(&exit.validator))
                .collect();
            let asked = validators
                .iter()
                .any(|validator| exits::is_requested(&folder, validator));
            if open.is_empty() && !asked {
                say("the node has brought the exits to its beacon nodes");
                return Ok(());
            }
            let lines = open.iter().map(|exit| {
                format!(
                    "{}: epoch {}, {} of {} signatures, shares {:?}",
                    exit.validator,
                    exit.epoch,
                    exit.shares.len(),
                    lock.threshold(),
                    exit.shares
                )
            });
            let lines = lines.collect::<Vec<_>>().join("\n");
            if lines != told {
                say(&lines);
                told = lines;
            }
            ensure!(
                Instant::now() < until,
                "not complete after {} s: more operators must ask for the same; what is signed is kept",
                wait.as_secs()
            );
            std::thread::sleep(LOOK_EVERY);
        }
    }
}
