//! Ids of messages that were stored lately.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

/// Most ids that are remembered: 1,048,576. At a higher rate than 8,738 ids per second over two minutes the window gets shorter, which is counted.
pub(crate) const IDS_MAX: usize = 1 << 20;

/// What was stored under which id. An id is remembered for the window, and as long as there is room.
#[derive(Debug, Default)]
pub(crate) struct Dedup {
    ids: HashMap<Arc<str>, u64>,
    /// Oldest first.
    order: VecDeque<(u64, u64, Arc<str>)>,
    /// Ids that were forgotten before their time.
    pub(crate) forgotten: u64,
}

impl Dedup {
    /// The sequence of the message that had this id.
    pub(crate) fn find(&self, id: &str) -> Option<u64> {
        self.ids.get(id).copied()
    }

    pub(crate) fn insert(&mut self, id: &str, sequence: u64, stored_ms: u64) {
        if self.order.len() >= IDS_MAX {
            self.forgotten += 1;
            self.pop();
        }
        let id: Arc<str> = id.into();
        self.ids.insert(Arc::clone(&id), sequence);
        self.order.push_back((stored_ms, sequence, id));
    }

    /// Forgets what was stored before `since_ms`.
    pub(crate) fn expire(&mut self, since_ms: u64) {
        while self.order.front().is_some_and(|(stored_ms, ..)| *stored_ms < since_ms) {
            self.pop();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.order.len()
    }

    fn pop(&mut self) {
        if let Some((_, sequence, id)) = self.order.pop_front()
            // The same id may have been stored again since, after its window: both are found when a log is read.
            && self.ids.get(&id) == Some(&sequence)
        {
            self.ids.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_for_the_window() {
        let mut dedup = Dedup::default();
        dedup.insert("a", 1, 100);
        dedup.insert("b", 2, 200);
        dedup.expire(150);
        assert_eq!((dedup.find("a"), dedup.find("b"), dedup.len()), (None, Some(2), 1));
    }

    /// When a log is read, nothing expires meanwhile: the end of the first window must not end the second.
    #[test]
    fn an_id_that_was_stored_again_is_known_for_its_second_window() {
        let mut dedup = Dedup::default();
        dedup.insert("a", 1, 100);
        dedup.insert("a", 2, 300);
        dedup.expire(200);
        assert_eq!(dedup.find("a"), Some(2));
        dedup.expire(301);
        assert_eq!((dedup.find("a"), dedup.len()), (None, 0));
    }
}
