//! Bytes between known peers
