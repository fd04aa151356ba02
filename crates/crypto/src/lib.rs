//! Keys, signatures and shares
