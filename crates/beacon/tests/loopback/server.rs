//! The server as validator clients see it: over HTTP on loopback, before an in-memory node and small beacon nodes.

mod bad_input;
mod blocks;
mod bounds;
mod decided;
mod duties;
mod encrypted;
mod memory;
mod proxy;
mod selections;
mod setup;
mod signing;
mod validators;
