//! The local testnet: a beacon-chain simulator and one process per operator
