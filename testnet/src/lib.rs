//! The local testnet: a beacon-chain simulator and one process per operator.

pub mod api;
pub mod chain;
mod http;
pub mod options;
pub mod proxy;
