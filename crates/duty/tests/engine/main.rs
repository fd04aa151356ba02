//! Whole engines, input by input: what one node does in one duty, whatever the others do.

#![allow(clippy::unwrap_used)] // Tests may.

mod aggregation;
mod bench;
mod clients;
mod exits;
mod guard;
mod peers;
mod proposal;
