//! Ethereum's vocabulary and its encodings, as far as a distributed validator needs them
