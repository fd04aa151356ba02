//! Benchmarks of the hot paths; see the `benches` folder beside this file.
