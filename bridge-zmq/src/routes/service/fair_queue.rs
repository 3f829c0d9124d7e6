//! Requests that wait for a free window, one line per caller, served in turn: a caller with a thousand requests delays nobody's first.
//!
//! Bounds: bytes and requests in total; three quarters of each for a caller that is alone, a quarter per caller as soon as there is more than one, so
//! that no caller can fill the queue for those to come. When full, the new request is refused and given back.

use std::collections::VecDeque;

use hashbrown::HashMap;

/// Names the connection a request came from, and the replies go to.
pub(crate) type CallerId = u64;

/// The bounds of a `FairQueue`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueBounds {
    /// Payload bytes that may wait.
    pub bytes_max: usize,
    /// Requests that may wait.
    pub requests_max: usize,
}

#[derive(Debug)]
pub(crate) struct FairQueue<T> {
    bounds: QueueBounds,
    lines: HashMap<CallerId, Line<T>>,
    /// Callers with waiting requests, the next to be served in front. Each caller appears once.
    turn: VecDeque<CallerId>,
    bytes: usize,
    requests: usize,
}

#[derive(Debug)]
struct Line<T> {
    waiting: VecDeque<(T, usize)>,
    bytes: usize,
    /// Its caller has gone.
    is_abandoned: bool,
}

impl<T> FairQueue<T> {
    pub(crate) fn new(bounds: QueueBounds) -> Self {
        Self { bounds, lines: HashMap::new(), turn: VecDeque::new(), bytes: 0, requests: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.requests
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends a request of `bytes` to its caller's line, or gives it back when a bound is reached. An empty queue takes any size.
    pub(crate) fn push(&mut self, caller: CallerId, request: T, bytes: usize) -> Result<(), T> {
        if self.is_full(caller, bytes) {
            return Err(request);
        }
        let line = self.lines.entry(caller).or_insert_with(|| Line { waiting: VecDeque::new(), bytes: 0, is_abandoned: false });
        if line.waiting.is_empty() {
            self.turn.push_back(caller);
        }
        line.waiting.push_back((request, bytes));
        line.bytes += bytes;
        self.bytes += bytes;
        self.requests += 1;
        Ok(())
    }

    fn is_full(&self, caller: CallerId, bytes: usize) -> bool {
        let QueueBounds { bytes_max, requests_max } = self.bounds;
        if self.requests == 0 {
            return false;
        }
        if self.requests >= requests_max || self.bytes + bytes > bytes_max {
            return true;
        }
        let Some(line) = self.lines.get(&caller) else { return false };
        let is_alone = self.lines.len() == 1;
        let share = |max: usize| if is_alone { max - max / 4 } else { max.div_ceil(4) };
        line.waiting.len() >= share(requests_max) || line.bytes + bytes > share(bytes_max)
    }

    /// Takes the next request: the oldest of the caller whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<(CallerId, T)> {
        let caller = self.turn.pop_front()?;
        let line = self.lines.get_mut(&caller).expect("callers in turn have a line");
        let (request, bytes) = line.waiting.pop_front().expect("callers in turn have a request");
        line.bytes -= bytes;
        self.bytes -= bytes;
        self.requests -= 1;
        if line.waiting.is_empty() {
            self.lines.remove(&caller);
        } else {
            self.turn.push_back(caller);
        }
        Some((caller, request))
    }

    /// Drops all requests of one caller and returns how many those were.
    pub(crate) fn remove(&mut self, caller: CallerId) -> usize {
        let Some(line) = self.lines.remove(&caller) else { return 0 };
        self.turn.retain(|other| *other != caller);
        self.bytes -= line.bytes;
        self.requests -= line.waiting.len();
        line.waiting.len()
    }

    /// Notes that a caller has gone; what it asked for waits on.
    pub(crate) fn abandon(&mut self, caller: CallerId) {
        if let Some(line) = self.lines.get_mut(&caller) {
            line.is_abandoned = true;
        }
    }

    /// Drops all requests of callers that have gone and returns how many those were.
    pub(crate) fn remove_abandoned(&mut self) -> usize {
        let abandoned: Vec<CallerId> = self.lines.iter().filter(|(_, line)| line.is_abandoned).map(|(caller, _)| *caller).collect();
        if abandoned.is_empty() {
            return 0;
        }
        // One pass over the turns for all of them: thousands of one-shot callers may have come and gone.
        let dropped: Vec<Line<T>> = abandoned.iter().filter_map(|caller| self.lines.remove(caller)).collect();
        self.turn.retain(|caller| self.lines.contains_key(caller));
        self.bytes -= dropped.iter().map(|line| line.bytes).sum::<usize>();
        let requests = dropped.iter().map(|line| line.waiting.len()).sum();
        self.requests -= requests;
        requests
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: QueueBounds = QueueBounds { bytes_max: 100, requests_max: 8 };

    #[test]
    fn callers_are_served_in_turn() {
        let mut queue = FairQueue::new(BOUNDS);
        for request in ["a1", "a2", "a3"] {
            queue.push(1, request, 1).unwrap();
        }
        queue.push(2, "b1", 1).unwrap();
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(_, request)| request).collect();
        assert_eq!(order, ["a1", "b1", "a2", "a3"]);
    }

    #[test]
    fn one_caller_cannot_fill_the_queue_for_others() {
        let mut queue = FairQueue::new(BOUNDS);
        queue.push(2, 0, 1).unwrap();
        let taken = (0..8).filter(|request| queue.push(1, *request, 1).is_ok()).count();
        assert_eq!(taken, 2);
        queue.push(3, 0, 1).unwrap();
    }

    #[test]
    fn an_empty_queue_takes_a_request_of_any_size() {
        let mut queue = FairQueue::new(BOUNDS);
        queue.push(1, (), 1000).unwrap();
        queue.push(1, (), 1).unwrap_err();
    }

    #[test]
    fn what_is_abandoned_waits_until_it_is_removed() {
        let mut queue = FairQueue::new(BOUNDS);
        for (caller, request) in [(1, "a1"), (2, "b1"), (1, "a2"), (3, "c1")] {
            queue.push(caller, request, 1).unwrap();
        }
        queue.abandon(1);
        queue.abandon(3);
        assert_eq!(queue.pop(), Some((1, "a1")));
        assert_eq!(queue.remove_abandoned(), 2);
        assert_eq!((queue.pop(), queue.pop(), queue.bytes()), (Some((2, "b1")), None, 0));
    }

    proptest! {
        #[test]
        fn it_counts_what_it_holds(steps in prop::collection::vec((0u8..4, 0u64..4, 0usize..40), 0..200)) {
            let mut queue = FairQueue::new(BOUNDS);
            let mut model: Vec<(u64, usize)> = Vec::new();
            for (kind, caller, bytes) in steps {
                match kind {
                    0 | 1 => if queue.push(caller, bytes, bytes).is_ok() { model.push((caller, bytes)) },
                    2 => match queue.pop() {
                        None => prop_assert!(model.is_empty()),
                        Some((caller, bytes)) => {
                            // The oldest of that caller: order within a caller is kept.
                            let index = model.iter().position(|(other, _)| *other == caller).unwrap();
                            prop_assert_eq!(model.remove(index).1, bytes);
                        }
                    },
                    _ => {
                        let before = model.len();
                        model.retain(|(other, _)| *other != caller);
                        prop_assert_eq!(queue.remove(caller), before - model.len());
                    }
                }
                prop_assert_eq!(queue.len(), model.len());
                prop_assert_eq!(queue.bytes(), model.iter().map(|(_, bytes)| bytes).sum::<usize>());
            }
        }
    }
}
