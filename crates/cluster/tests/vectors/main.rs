//! The shared vectors of cluster files: what Charon and an independent program made.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

mod collected;
mod created;
mod files;
mod folder;
mod independent;
mod kinds;
mod known_answers;
mod node_folder;
mod peer_ids;
mod place;
