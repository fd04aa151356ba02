//! `flotilla create …`: what is made once.

pub mod cluster;
pub mod dkg;
mod existing;
mod handover;
mod terms;
