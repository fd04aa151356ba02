//! What arrives before the instance starts.

use crate::Message;
use crate::votes::KEPT_PER_SOURCE;
use std::collections::VecDeque;

/// Messages in the order of their arrival, at most [`KEPT_PER_SOURCE`] per source.
#[derive(Clone, Debug)]
pub(crate) struct Waiting<S> {
    queue: VecDeque<(Message<S>, Vec<Message<S>>)>,
    counts: Vec<usize>,
}

impl<S> Waiting<S> {
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            counts: vec![0; nodes],
        }
    }

    /// Queues a message unless the same is waiting already. Returns false if there is no room left
    /// for its source: then the newcomer is dropped.
    pub(crate) fn push(&mut self, message: Message<S>, shown: Vec<Message<S>>) -> bool {
        if self
            .queue
            .iter()
            .any(|waiting| is_same(waiting, &message, &shown))
        {
            return true;
        }
        match self.counts.get_mut(message.source) {
            Some(count) if *count < KEPT_PER_SOURCE => *count += 1,
            _ => return false,
        }
        self.queue.push_back((message, shown));
        true
    }

    /// Hands out everything, in order.
    pub(crate) fn take(&mut self) -> VecDeque<(Message<S>, Vec<Message<S>>)> {
        self.counts.fill(0);
        std::mem::take(&mut self.queue)
    }
}

fn is_same<S>(
    waiting: &(Message<S>, Vec<Message<S>>),
    message: &Message<S>,
    shown: &[Message<S>],
) -> bool {
    waiting.0.says_the_same_as(message)
        && waiting.1.len() == shown.len()
        && waiting
            .1
            .iter()
            .zip(shown)
            .all(|(one, other)| one.says_the_same_as(other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MessageKind;

    fn commit(source: usize, round: u64) -> Message<()> {
        Message {
            kind: MessageKind::Commit,
            source,
            round,
            value: Some([1; 32]),
            prepared_round: 0,
            prepared_value: None,
            seal: (),
        }
    }

    #[test]
    fn order_is_kept_and_repetitions_take_no_room() {
        let mut waiting = Waiting::new(2);
        for round in [3, 1, 3, 3, 2] {
            assert!(waiting.push(commit(1, round), vec![]));
        }
        let rounds: Vec<u64> = waiting
            .take()
            .iter()
            .map(|(message, _)| message.round)
            .collect();
        assert_eq!(rounds, [3, 1, 2]);
        assert!(waiting.take().is_empty());
    }

    #[test]
    fn a_flooding_source_fills_its_own_room_only() {
        let mut waiting = Waiting::new(2);
        for round in 1..=100 {
            assert!(waiting.push(commit(1, round), vec![]));
        }
        assert!(!waiting.push(commit(1, 101), vec![]));
        assert!(waiting.push(commit(0, 101), vec![]));
    }
}
