//! What a run showed: the ledger in which chain and nodes are set against each other, the figures drawn from it, and how
//! they are told to people and programs.

mod display;
mod distribution;
mod document;
mod ledger;
mod live;
mod outcome;

pub use distribution::{Distribution, Percentiles};
pub use document::{DutyReport, Link, Miss, NodeReport, Report, StageLatency};
pub use ledger::{Ledger, Presence, SlotDuties, SlotView};
pub use live::{Live, NodeView};
pub use outcome::{Fate, OutcomeLine, StageTimes, ValidatorLine, Word};
