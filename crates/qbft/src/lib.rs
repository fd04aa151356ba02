//! QBFT: agreement of n processes on one value, as a pure state machine
