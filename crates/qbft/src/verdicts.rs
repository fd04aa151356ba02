//! What the caller thinks of the values proposed.

use crate::Hash;
use std::collections::VecDeque;

/// Values remembered. Each takes a justified proposal or a prepared certificate, so at most one or
/// two per round; past this many rounds the oldest is forgotten and would be asked for again.
const CAPACITY: usize = 128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Asked,
    Good,
    Bad,
}

/// The verdicts asked for and given, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdicts {
    known: VecDeque<(Hash, Verdict)>,
}

/// What a vote for a value has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Approval {
    /// Go out.
    Granted,
    /// Not go out: the verdict is bad or has not come yet.
    Withheld,
    /// Not go out yet, and the question is still to be asked.
    Ask,
}

impl Verdicts {
    /// Whether a vote for `value` may go out; answers [`Approval::Ask`] once per value.
    pub(crate) fn approval(&mut self, value: Hash) -> Approval {
        match self.entry(value) {
            Some(Verdict::Good) => Approval::Granted,
            Some(Verdict::Asked | Verdict::Bad) => Approval::Withheld,
            None => {
                self.remember(value, Verdict::Asked);
                Approval::Ask
            }
        }
    }

    /// Takes the caller's verdict. The first one stands.
    pub(crate) fn give(&mut self, value: Hash, good: bool) {
        let verdict = if good { Verdict::Good } else { Verdict::Bad };
        match self.entry(value) {
            Some(entry @ Verdict::Asked) => *entry = verdict,
            Some(Verdict::Good | Verdict::Bad) => {}
            None => self.remember(value, verdict),
        }
    }

    fn entry(&mut self, value: Hash) -> Option<&mut Verdict> {
        self.known
            .iter_mut()
            .find(|(known, _)| *known == value)
            .map(|(_, verdict)| verdict)
    }

    fn remember(&mut self, value: Hash, verdict: Verdict) {
        if self.known.len() == CAPACITY {
            self.known.pop_front();
        }
        self.known.push_back((value, verdict));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_asked_for_once() {
        let mut verdicts = Verdicts::default();
        assert_eq!(verdicts.approval([1; 32]), Approval::Ask);
        assert_eq!(verdicts.approval([1; 32]), Approval::Withheld);
        assert_eq!(verdicts.approval([2; 32]), Approval::Ask);
    }

    #[test]
    fn the_first_verdict_stands() {
        let mut verdicts = Verdicts::default();
        verdicts.give([1; 32], false);
        verdicts.give([1; 32], true);
        assert_eq!(verdicts.approval([1; 32]), Approval::Withheld);
        verdicts.give([2; 32], true);
        assert_eq!(verdicts.approval([2; 32]), Approval::Granted);
    }

    #[test]
    fn memory_is_bounded_and_forgets_the_oldest() {
        let mut verdicts = Verdicts::default();
        for byte in 0..=CAPACITY {
            verdicts.give([u8::try_from(byte).expect("small"); 32], true);
        }
        assert_eq!(verdicts.known.len(), CAPACITY);
        assert_eq!(verdicts.approval([0; 32]), Approval::Ask);
        assert_eq!(verdicts.approval([128; 32]), Approval::Granted);
    }
}
