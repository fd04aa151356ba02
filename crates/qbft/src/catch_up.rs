//! After the decision: helping those who missed it.

use crate::{Draft, Hash, Message, MessageKind, Output, Recipients};

/// Answers given to one process in all.
const ANSWERS_PER_SOURCE: usize = 16;

/// A decision, with its proof, ready to be shown to processes that still change rounds.
#[derive(Clone, Debug)]
pub(crate) struct CatchUp<S> {
    round: u64,
    value: Hash,
    commits: Vec<Message<S>>,
    answered: Vec<Answered>,
}

/// What one process has been told.
#[derive(Clone, Copy, Debug, Default)]
struct Answered {
    /// The highest round it was answered in.
    round: u64,
    times: usize,
}

impl<S: Clone> CatchUp<S> {
    pub(crate) fn new(nodes: usize, round: u64, value: Hash, commits: Vec<Message<S>>) -> Self {
        Self {
            round,
            value,
            commits,
            answered: vec![Answered::default(); nodes],
        }
    }

    /// Q11: the DECIDED for a process whose message shows that it has not decided: once for every
    /// round it moves on to, and not for ever.
    pub(crate) fn answer(&mut self, message: &Message<S>) -> Option<Output<S>> {
        let answered = self.answered.get_mut(message.source)?;
        if message.kind != MessageKind::RoundChange
            || message.round <= answered.round
            || answered.times >= ANSWERS_PER_SOURCE
        {
            return None;
        }
        *answered = Answered {
            round: message.round,
            times: answered.times + 1,
        };
        let draft = Draft {
            kind: MessageKind::Decided,
            round: self.round,
            value: Some(self.value),
            prepared_round: 0,
            prepared_value: None,
        };
        let to = Recipients::One(message.source);
        Some(Output::Send {
            to,
            draft,
            justification: self.commits.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(source: usize, round: u64) -> Message<()> {
        Message {
            kind: MessageKind::RoundChange,
            source,
            round,
            value: None,
            prepared_round: 0,
            prepared_value: None,
            seal: (),
        }
    }

    #[test]
    fn each_further_round_is_answered_once_up_to_the_limit() {
        let mut decision = CatchUp::new(4, 1, [1; 32], vec![]);
        assert!(decision.answer(&moved(2, 2)).is_some());
        assert!(decision.answer(&moved(2, 2)).is_none());
        assert!(decision.answer(&moved(3, 2)).is_some());
        let answers = (3..100)
            .filter(|round| decision.answer(&moved(2, *round)).is_some())
            .count();
        assert_eq!(answers, ANSWERS_PER_SOURCE - 1);
    }

    #[test]
    fn only_a_round_change_asks_for_an_answer() {
        let mut decision = CatchUp::new(4, 1, [1; 32], vec![]);
        let prepare = Message {
            kind: MessageKind::Prepare,
            value: Some([1; 32]),
            ..moved(2, 2)
        };
        assert!(decision.answer(&prepare).is_none());
    }
}
