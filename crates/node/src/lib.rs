//! A running node
