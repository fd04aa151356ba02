//! Client and server of the Beacon API on loopback: the client against small servers that answer as told, the server as validator
//! clients see it.

#![allow(clippy::unwrap_used)]

mod client;
mod server;
mod upstream;
