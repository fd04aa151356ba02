//! Published and recorded bytes, read from `FLOTILLA_VECTORS` or `../shared/vectors` beside the workspace. Every file of
//! a kind is read, so more can be dropped in.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod encodings;
mod folder;
mod proposals;
mod signing;
mod snapshots;
mod time;
