//! Compiles the schemas in `proto/` with a compiler written in Rust, so that building needs nothing but cargo.

use std::error::Error;
use std::path::PathBuf;

const FILES: [&str; 4] = [
    "duty.proto",
    "consensus.proto",
    "priority.proto",
    "peer_info.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    let schemas = protox::compile(FILES, [&folder])?;
    // Maps in key order make prost's encoding the deterministic one that is hashed and signed.
    prost_build::Config::new()
        .btree_map(["."])
        .compile_fds(schemas)?;
    println!("cargo::rerun-if-changed={}", folder.display());
    Ok(())
}
