//! A bounded memory of what was seen last.

use std::collections::{BTreeSet, VecDeque};

/// The last `capacity` distinct items; the oldest makes room.
#[derive(Debug)]
pub(crate) struct Recent<T> {
    order: VecDeque<T>,
    items: BTreeSet<T>,
    capacity: usize,
}

impl<T: Copy + Ord> Recent<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            order: VecDeque::new(),
            items: BTreeSet::new(),
            capacity,
        }
    }

    pub(crate) fn contains(&self, item: &T) -> bool {
        self.items.contains(item)
    }

    pub(crate) fn insert(&mut self, item: T) {
        if !self.items.insert(item) {
            return;
        }
        self.order.push_back(item);
        if self.order.len() > self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.items.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_makes_room() {
        let mut recent = Recent::new(2);
        for item in [1, 2, 1, 3] {
            recent.insert(item);
        }
        assert_eq!(
            [1, 2, 3].map(|item| recent.contains(&item)),
            [false, true, true]
        );
    }
}
