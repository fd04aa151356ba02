//! The Beacon API, both directions
