//! Named checks of what operators would otherwise find out too late, each with advice (spec 30 §8.5, and our own).
//!
//! Every half minute the cluster's counters are noted, and the checks look at what changed in the last five minutes or the last
//! hour, and at a few facts of the moment. A check says that something is wrong, never what duties do about it: nothing here is
//! on their way.

mod checks;
mod watch;
mod window;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flotilla_types::Epoch;
use serde::Serialize;

pub use checks::CHECKS;
pub(crate) use watch::keep_watch;
use window::Window;
pub use window::{Sample, View};

/// How much a failing check matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Duties are missed, or will be.
    Critical,
    /// Something is worse than it should be.
    Warning,
    /// Good to know.
    Info,
}

impl Severity {
    /// The label in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// One check.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Its name, the field's where it has one.
    pub name: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// When it fails.
    pub description: &'static str,
    /// What to do then.
    pub advice: &'static str,
    /// What is wrong now, with numbers; `None` while all is well.
    pub fails: fn(&View<'_>) -> Option<String>,
}

/// What is true at the moment, beside the counters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Whether a beacon node is in sync on our chain.
    pub has_beacon_node: bool,
    /// Whether only fallbacks are.
    pub uses_fallback: bool,
    /// Beacon nodes that serve another chain.
    pub on_other_chain: Vec<String>,
    /// The agreement's quorum, ourselves counted.
    pub quorum: usize,
    /// Whether builders' blocks are wanted.
    pub builder_api: bool,
    /// Why the slashing database cannot be written, if so.
    pub database_failing: Option<String>,
    /// Whether the operator has stopped signing.
    pub is_paused: bool,
    /// A validator client signs, and none calls.
    pub is_client_silent: bool,
    /// The first epoch of a fork that this version does not know, and the current one.
    pub unknown_fork: Option<(Epoch, Epoch)>,
    /// How long a slot lasts, in seconds.
    pub slot_seconds: f64,
}

/// A check that fails, as the status page shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failing {
    /// Its name.
    pub name: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What is wrong, with numbers.
    pub problem: String,
    /// What to do.
    pub advice: &'static str,
}

/// A change of a check's result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It began to fail.
    Fails(Failing),
    /// It is well again: its name.
    Well(&'static str),
}

/// One cluster's health. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    window: Window,
    failing: BTreeMap<(Severity, &'static str), Failing>,
}

impl Health {
    /// Evaluates all checks with one more sample, and returns what has changed.
    pub fn evaluate(&self, sample: Sample, facts: &Facts) -> Vec<Change> {
        let mut state = self.lock();
        state.window.push(sample);
        let failing: BTreeMap<_, _> = {
            let view = state.window.view(facts);
            CHECKS
                .iter()
                .filter_map(|check| check.look(&view))
                .collect()
        };
        let before = std::mem::replace(&mut state.failing, failing.clone());
        let begun = failing
            .iter()
            .filter(|(key, _)| !before.contains_key(*key))
            .map(|(_, failing)| Change::Fails(failing.clone()));
        let over = before
            .keys()
            .filter(|key| !failing.contains_key(*key))
            .map(|(_, name)| Change::Well(name));
        begun.chain(over).collect()
    }

    /// What fails now, the worst first.
    pub fn failing(&self) -> Vec<Failing> {
        self.lock().failing.values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Check {
    fn look(&self, view: &View<'_>) -> Option<((Severity, &'static str), Failing)> {
        let failing = Failing {
            name: self.name,
            severity: self.severity,
            problem: (self.fails)(view)?,
            advice: self.advice,
        };
        Some(((self.severity, self.name), failing))
    }
}

#[cfg(test)]
mod tests;
