//! Messages to bytes and back, signed
