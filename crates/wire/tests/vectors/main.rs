//! Published and recorded bytes of the cluster's wire, read from `FLOTILLA_VECTORS` or `../shared/vectors` beside the
//! workspace, and own ones from `tests/data`. Every file of a kind is read, so more can be dropped in.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod conditions;
mod consensus;
mod folder;
mod frozen;
mod hashing;
mod peer_info;
mod signatures;
