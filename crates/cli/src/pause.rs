//! `flotilla pause` and `flotilla resume`: the stop button (S11 of docs/protocol.md).

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use flotilla_node::folder;

use crate::run::default_data_dir;
use crate::say;

/// Stop all signing at once, without stopping the node.
///
/// The running node sees it within a second. It goes on to listen, to agree, and to help others; none of its key shares signs
/// anything until `flotilla resume`. The pause survives restarts: it is the file `paused` in the data folder.
#[derive(clap::Args)]
pub struct Pause {
    /// The node's data folder; may be given several times.
    #[arg(long, value_delimiter = ',')]
    data_dir: Vec<PathBuf>,
}

/// Let signing go on after `flotilla pause`.
#[derive(clap::Args)]
pub struct Resume {
    /// The node's data folder; may be given several times.
    #[arg(long, value_delimiter = ',')]
    data_dir: Vec<PathBuf>,
}

/// Stops signing.
pub fn pause(arguments: &Pause) -> anyhow::Result<()> {
    set(&arguments.data_dir, true)
}

/// Lets it go on.
pub fn resume(arguments: &Resume) -> anyhow::Result<()> {
    set(&arguments.data_dir, false)
}

fn set(folders: &[PathBuf], paused: bool) -> anyhow::Result<()> {
    let folders = if folders.is_empty() {
        vec![default_data_dir()]
    } else {
        folders.to_vec()
    };
    for data_dir in folders {
        ensure!(
            data_dir.is_dir(),
            "{} is no folder; name the node's with --data-dir",
            data_dir.display()
        );
        folder::set_paused(&data_dir, paused).with_context(|| data_dir.display().to_string())?;
        let state = if paused { "paused" } else { "resumed" };
        say(&format!(
            "{state}: {} (a running node sees it within a second)",
            data_dir.display()
        ));
    }
    Ok(())
}
