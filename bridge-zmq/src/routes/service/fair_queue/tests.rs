use proptest::prelude::*;

use super::*;

const BOUNDS: QueueBounds = QueueBounds { bytes_max: 100, requests_max: 8 };

/// Bounds of which only the bytes are ever reached.
const BYTES: QueueBounds = QueueBounds { bytes_max: 100, requests_max: 1000 };

/// How many of `requests` requests of `bytes` a caller gets in.
fn fill(queue: &mut FairQueue<&'static str>, caller: CallerId, requests: usize, bytes: usize) -> usize {
    (0..requests).filter(|_| queue.push(caller, "", bytes).is_ok()).count()
}

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
fn a_caller_that_is_alone_has_three_quarters() {
    assert_eq!(fill(&mut FairQueue::new(BOUNDS), 1, 20, 1), 6, "of eight requests");
    assert_eq!(fill(&mut FairQueue::new(BYTES), 1, 20, 10), 7, "of a hundred bytes, by ten");
    assert_eq!(fill(&mut FairQueue::new(BYTES), 1, 20, 25), 3, "to the byte");
}

#[test]
fn with_others_a_caller_has_a_quarter() {
    let mut queue = FairQueue::new(BOUNDS);
    queue.push(2, "", 1).unwrap();
    assert_eq!(fill(&mut queue, 1, 8, 1), 2, "of eight requests");
    let mut queue = FairQueue::new(BYTES);
    queue.push(2, "", 1).unwrap();
    assert_eq!(fill(&mut queue, 1, 8, 10), 2, "of a hundred bytes, by ten");
    let mut queue = FairQueue::new(BYTES);
    queue.push(2, "", 1).unwrap();
    assert_eq!(fill(&mut queue, 1, 8, 60), 1, "its first may be larger");
}

#[test]
fn when_two_have_filled_the_queue_the_longer_line_makes_room_for_a_third() {
    let mut queue = FairQueue::new(BOUNDS);
    for request in ["a1", "a2", "a3", "a4", "a5", "a6"] {
        queue.push(1, request, 1).unwrap();
    }
    for request in ["b1", "b2"] {
        assert_eq!(queue.push(2, request, 1), Ok(vec![]));
    }
    assert_eq!(queue.push(2, "b3", 1), Err("b3"), "beyond its quarter");
    assert_eq!(queue.push(3, "c1", 1), Ok(vec!["a6"]), "the last of the longest line");
    assert_eq!(queue.push(3, "c2", 1), Ok(vec!["a5"]));
    assert_eq!(queue.push(4, "d1", 1), Ok(vec!["a4"]));
    assert_eq!(queue.push(4, "d2", 1), Ok(vec!["a3"]));
    assert_eq!(queue.push(5, "e1", 1), Ok(vec!["d2"]), "of equally long lines, that of the newest caller");
    assert_eq!(queue.push(5, "e2", 1), Err("e2"), "no line is longer than this one would be");
    let served: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(_, request)| request).collect();
    assert_eq!(served, ["a1", "b1", "c1", "d1", "e1", "a2", "b2", "c2"]);
}

#[test]
fn the_line_with_most_bytes_makes_room_where_bytes_are_short() {
    let mut queue = FairQueue::new(BYTES);
    for request in ["a1", "a2", "a3"] {
        queue.push(1, request, 25).unwrap();
    }
    for request in ["b1", "b2", "b3", "b4"] {
        queue.push(2, request, 6).unwrap();
    }
    assert_eq!(queue.push(3, "c1", 30), Ok(vec!["a3", "a2"]), "shorter by requests, longer by bytes");
    assert_eq!((queue.len(), queue.bytes()), (6, 79));
    assert_eq!(queue.push(4, "d1", 25), Err("d1"), "what lines have beyond 25 bytes is not enough");
    assert_eq!((queue.len(), queue.bytes()), (6, 79), "and nothing was evicted for it");
}

#[test]
fn nobody_loses_an_oldest_request() {
    let mut queue = FairQueue::new(BYTES);
    for caller in 1..=2 {
        queue.push(caller, "large", 50).unwrap();
    }
    assert_eq!(queue.push(3, "small", 1), Err("small"));
    queue.pop();
    queue.push(3, "small", 1).unwrap();
}

#[test]
fn an_empty_queue_takes_a_request_of_any_size() {
    let mut queue = FairQueue::new(BOUNDS);
    queue.push(1, (), 1000).unwrap();
    queue.push(1, (), 1).unwrap_err();
    queue.push(2, (), 1).unwrap_err();
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

/// The slow, clear version: every line whole, looked through for each decision.
#[derive(Debug, Default)]
struct Model {
    lines: Vec<(CallerId, Vec<(u32, usize)>)>,
}

impl Model {
    fn requests(&self) -> usize {
        self.lines.iter().map(|(_, line)| line.len()).sum()
    }

    fn bytes(&self) -> usize {
        self.lines.iter().map(|(_, line)| bytes_of(line)).sum()
    }

    fn line(&self, caller: CallerId) -> &[(u32, usize)] {
        self.lines.iter().find(|(other, _)| *other == caller).map_or(&[], |(_, line)| line)
    }

    fn push(&mut self, caller: CallerId, number: u32, bytes: usize) -> Option<Vec<u32>> {
        let own = self.line(caller);
        let (requests, own_bytes) = (own.len() + 1, bytes_of(own) + bytes);
        let share = |max: usize| if self.lines.len() == 1 { max - max / 4 } else { max.div_ceil(4) };
        if requests > 1 && (requests > share(BOUNDS.requests_max) || own_bytes > share(BOUNDS.bytes_max)) {
            return None;
        }
        let evictable = |requests: usize| self.lines.iter().map(|(_, line)| line).filter(move |line| line.len() > requests.max(1));
        if !self.lines.is_empty() {
            if self.requests() == BOUNDS.requests_max && evictable(requests).next().is_none() {
                return None;
            }
            let to_give: usize = evictable(1).map(|line| bytes_of(line).saturating_sub(own_bytes.max(line[0].1))).sum();
            if (self.bytes() + bytes).saturating_sub(BOUNDS.bytes_max) > to_give {
                return None;
            }
        }
        let mut evicted = Vec::new();
        loop {
            let measure: fn(&[(u32, usize)]) -> usize = if self.requests() == BOUNDS.requests_max {
                <[(u32, usize)]>::len
            } else if self.bytes() + bytes > BOUNDS.bytes_max && !self.lines.is_empty() {
                bytes_of
            } else {
                break;
            };
            let lines = self.lines.iter_mut().filter(|(_, line)| line.len() > 1);
            let (_, line) = lines.max_by_key(|(caller, line)| (measure(line), *caller)).unwrap();
            evicted.extend(line.pop().map(|(number, _)| number));
        }
        match self.lines.iter_mut().find(|(other, _)| *other == caller) {
            Some((_, line)) => line.push((number, bytes)),
            None => self.lines.push((caller, vec![(number, bytes)])),
        }
        Some(evicted)
    }

    /// Lines are in the order of their turns.
    fn pop(&mut self) -> Option<(CallerId, u32)> {
        if self.lines.is_empty() {
            return None;
        }
        let (caller, mut line) = self.lines.remove(0);
        let (number, _) = line.remove(0);
        if !line.is_empty() {
            self.lines.push((caller, line));
        }
        Some((caller, number))
    }
}

fn bytes_of(line: &[(u32, usize)]) -> usize {
    line.iter().map(|(_, bytes)| bytes).sum()
}

proptest! {
    /// The same requests wait, go and are lost as in the model; bounds hold; nobody loses an oldest request; whoever loses has the longest line.
    #[test]
    fn it_does_what_the_model_does(steps in prop::collection::vec((0u8..6, 0u64..6, 0usize..40), 0..300)) {
        let mut queue = FairQueue::new(BOUNDS);
        let mut model = Model::default();
        for (number, (kind, caller, bytes)) in (0..).zip(steps) {
            let oldest: Vec<u32> = model.lines.iter().map(|(_, line)| line[0].0).collect();
            match kind {
                0..=3 => {
                    let pushed = queue.push(caller, number, bytes);
                    prop_assert_eq!(pushed.clone().ok(), model.push(caller, number, bytes));
                    if let Ok(evicted) = pushed {
                        prop_assert!(evicted.iter().all(|number| !oldest.contains(number)));
                    }
                }
                4 => prop_assert_eq!(queue.pop(), model.pop()),
                _ => {
                    let before = model.requests();
                    model.lines.retain(|(other, _)| *other != caller);
                    prop_assert_eq!(queue.remove(caller), before - model.requests());
                }
            }
            prop_assert_eq!((queue.len(), queue.bytes()), (model.requests(), model.bytes()));
            prop_assert!(queue.len() <= BOUNDS.requests_max);
            prop_assert!(queue.bytes() <= BOUNDS.bytes_max || queue.len() == 1);
        }
        // What waits is served, one of each caller per round.
        while let Some(next) = model.pop() {
            prop_assert_eq!(queue.pop(), Some(next));
        }
        prop_assert_eq!(queue.pop(), None);
        prop_assert_eq!(queue.lengths.most_requests(), None);
    }

    /// However much two callers ask for, a third gets its first request in, if there is more than one request of somebody to evict.
    #[test]
    fn two_cannot_keep_a_third_out(steps in prop::collection::vec((1u64..3, 1usize..4), 0..100)) {
        let mut queue = FairQueue::new(BOUNDS);
        for (caller, bytes) in steps {
            drop(queue.push(caller, (), bytes));
        }
        prop_assert!(queue.push(3, (), 1).is_ok());
    }
}
