//! JSON as the cluster files use it: read strictly with the path of every complaint, written byte
//! for byte as Go's encoder does. It knows nothing of what the files mean.

mod read;
mod write;

pub(crate) use read::{Field, parse};
pub use read::{MAX_FILE_BYTES, ParseError};
pub(crate) use write::{Output, bare_hex, prefixed_hex};
