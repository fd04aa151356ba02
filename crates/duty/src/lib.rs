//! The life of every duty, from due to outcome, as a pure state machine
