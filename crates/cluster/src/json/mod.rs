//! JSON as the cluster files use it: read strictly with the path of every complaint, written byte
//! for byte as Go's encoder does. It knows nothing of what the files mean.

mod read;
mod write;

/// How many unknown members of a file are remembered: enough to see what kind of file it is.
pub(crate) const MAX_UNKNOWN_FIELDS: usize = 16;

pub(crate) use read::{Field, parse};
pub use read::{MAX_FILE_BYTES, ParseError};
pub(crate) use write::{Output, bare_hex, prefixed_hex};
