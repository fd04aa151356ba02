//! What an instance is told once: who takes part, who leads, how it keeps time.

use crate::RoundTimer;

/// The fixed facts of one instance; the same at every process except for `me`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Number of processes, at least 1.
    pub nodes: usize,
    /// The index of this process, below `nodes`.
    pub me: usize,
    /// What the round is added to before the leader is taken modulo `nodes`, so that instances
    /// start with different leaders.
    pub leader_offset: u64,
    /// When rounds end.
    pub timer: RoundTimer,
    /// Whether this process takes part or only learns.
    pub mode: Mode,
    /// Deliberate mistakes; `Faults::default()` makes none.
    pub faults: Faults,
}

impl Config {
    /// The index of the process that proposes in `round`.
    #[must_use]
    pub fn leader(&self, round: u64) -> usize {
        let turn = u128::from(self.leader_offset) + u128::from(round);
        let nodes = self.nodes.max(1) as u128;
        usize::try_from(turn % nodes).expect("a remainder of a usize fits a usize")
    }

    /// The quorum this instance works with.
    pub(crate) fn quorum(&self) -> usize {
        let quorum = quorum(self.nodes);
        if self.faults.quorum_one_too_low() {
            quorum.saturating_sub(1).max(1)
        } else {
            quorum
        }
    }
}

/// Whether an instance takes part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Proposes and votes.
    #[default]
    Voting,
    /// Says nothing of its own, because what it said before a crash is not known. It still learns
    /// decisions, and shows them to processes that lag behind.
    ListenOnly,
}

/// The number of processes whose word is enough: `⌈2n/3⌉`, so that two quorums share a correct one.
///
/// ```
/// assert_eq!(flotilla_qbft::quorum(4), 3);
/// ```
#[must_use]
pub const fn quorum(nodes: usize) -> usize {
    // ⌈2n/3⌉ = n − ⌊n/3⌋, which cannot overflow.
    nodes - nodes / 3
}

/// The number of processes that may be arbitrarily faulty: `⌊(n − 1)/3⌋`.
#[must_use]
pub const fn faulty(nodes: usize) -> usize {
    nodes.saturating_sub(1) / 3
}

/// Deliberate mistakes, each the one some implementation has made.
///
/// The switches exist only with the cargo feature `faults`, which the simulator turns on to prove
/// that its checkers notice; without it this type is empty and no mistake can be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// One vote fewer than a quorum is enough.
    #[cfg(feature = "faults")]
    pub quorum_one_too_low: bool,
    /// Every message counts as justified.
    #[cfg(feature = "faults")]
    pub skip_justification_check: bool,
    /// Null is a value like any other (32 zero bytes).
    #[cfg(feature = "faults")]
    pub accept_null_value: bool,
}

#[cfg(feature = "faults")]
impl Faults {
    pub(crate) const fn quorum_one_too_low(self) -> bool {
        self.quorum_one_too_low
    }
    pub(crate) const fn skip_justification_check(self) -> bool {
        self.skip_justification_check
    }
    pub(crate) const fn accept_null_value(self) -> bool {
        self.accept_null_value
    }
}

#[cfg(not(feature = "faults"))]
impl Faults {
    pub(crate) const fn quorum_one_too_low(self) -> bool {
        false
    }
    pub(crate) const fn skip_justification_check(self) -> bool {
        false
    }
    pub(crate) const fn accept_null_value(self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn two_quorums_share_a_correct_process() {
        for nodes in 1..200 {
            assert!(2 * quorum(nodes) - nodes > faulty(nodes), "n = {nodes}");
            assert!(
                quorum(nodes) <= nodes - faulty(nodes),
                "n = {nodes}: the correct ones suffice"
            );
        }
    }

    #[test]
    fn leaders_take_turns_and_absurd_rounds_do_not_overflow() {
        let config = Config {
            nodes: 4,
            me: 0,
            leader_offset: 3,
            timer: RoundTimer::EagerDoubleLinear {
                start: Duration::ZERO,
                extra: Duration::ZERO,
            },
            mode: Mode::Voting,
            faults: Faults::default(),
        };
        assert_eq!(
            [1, 2, 3, 4, 5].map(|round| config.leader(round)),
            [0, 1, 2, 3, 0]
        );
        assert!(
            Config {
                leader_offset: u64::MAX,
                ..config
            }
            .leader(u64::MAX)
                < 4
        );
    }
}
