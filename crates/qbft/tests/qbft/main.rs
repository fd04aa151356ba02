//! The algorithm as a whole: published vectors, recorded traces, simulated networks and noise.
#![allow(clippy::unwrap_used)]

mod files;
mod frames;
mod noise;
mod scenarios;
mod tables;
mod traces;
mod world;
