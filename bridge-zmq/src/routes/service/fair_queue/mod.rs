//! Requests that wait for a free window, one line per caller, served in turn: a caller with a thousand requests delays nobody's first.
//!
//! Bounds: bytes and requests in total; three quarters of each for a caller that is alone, a quarter per caller as soon as there is more than one, so
//! that a caller rarely fills the queue for those to come. When it is full all the same:
//!
//! Invariants:
//! - **The longest line makes room.** A newcomer takes the place of the last requests of the longest lines, by the bound that is hit, if what these
//!   lines have beyond the length that the newcomer's would have makes up for it. Otherwise the new request is refused and given back.
//! - **Whoever waits is served.** A caller's oldest request is never evicted: it has its turn within one round.
//! - **One or the other.** Nothing is evicted for a request that is then refused.

mod lengths;

use std::collections::VecDeque;

use hashbrown::HashMap;

use self::lengths::{Length, Lengths};

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
    /// The lines from which something can be evicted.
    lengths: Lengths,
    total: Length,
}

#[derive(Debug)]
struct Line<T> {
    waiting: VecDeque<(T, usize)>,
    bytes: usize,
    /// Its caller has gone.
    is_abandoned: bool,
}

impl<T> Line<T> {
    fn length(&self) -> Length {
        Length { requests: self.waiting.len(), bytes: self.bytes }
    }

    /// What it could lose by and still be as long as `bytes`, its oldest request excepted.
    fn bytes_beyond(&self, bytes: usize) -> usize {
        let oldest = self.waiting.front().map_or(0, |(_, bytes)| *bytes);
        self.bytes.saturating_sub(bytes.max(oldest))
    }
}

impl<T> FairQueue<T> {
    pub(crate) fn new(bounds: QueueBounds) -> Self {
        Self { bounds, lines: HashMap::new(), turn: VecDeque::new(), lengths: Lengths::default(), total: Length::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.total.requests
    }

    pub(crate) fn bytes(&self) -> usize {
        self.total.bytes
    }

    /// Appends a request of `bytes` to its caller's line and returns what had to make room for it, or gives it back when there is none. An empty
    /// queue takes any size.
    pub(crate) fn push(&mut self, caller: CallerId, request: T, bytes: usize) -> Result<Vec<T>, T> {
        let before = self.lines.get(&caller).map_or_else(Length::default, Line::length);
        let after = Length { requests: before.requests + 1, bytes: before.bytes + bytes };
        if self.total.requests > 0 && (self.is_beyond_share(before, after) || !self.can_make_room(after, bytes)) {
            return Err(request);
        }
        let evicted = self.make_room(bytes);
        let line = self.lines.entry(caller).or_insert_with(|| Line { waiting: VecDeque::new(), bytes: 0, is_abandoned: false });
        line.waiting.push_back((request, bytes));
        line.bytes += bytes;
        if before.requests == 0 {
            self.turn.push_back(caller);
        }
        self.total.requests += 1;
        self.total.bytes += bytes;
        self.lengths.changed(caller, before, after);
        Ok(evicted)
    }

    /// A caller's first request is never beyond it.
    fn is_beyond_share(&self, before: Length, after: Length) -> bool {
        let is_alone = self.lines.len() == 1;
        let share = |max: usize| if is_alone { max - max / 4 } else { max.div_ceil(4) };
        before.requests > 0 && (after.requests > share(self.bounds.requests_max) || after.bytes > share(self.bounds.bytes_max))
    }

    /// What the queue would be over its bounds with one more request of `bytes`.
    fn excess(&self, bytes: usize) -> Length {
        Length {
            requests: (self.total.requests + 1).saturating_sub(self.bounds.requests_max),
            bytes: (self.total.bytes + bytes).saturating_sub(self.bounds.bytes_max),
        }
    }

    /// Whether the longer lines can make room for a request of `bytes` that makes its own line as long as `newcomer`.
    fn can_make_room(&self, newcomer: Length, bytes: usize) -> bool {
        let excess = self.excess(bytes);
        if excess.requests > 0 && self.lengths.most_requests().is_none_or(|(requests, _)| requests <= newcomer.requests) {
            return false;
        }
        // Ends early: every line that is asked has at least a byte to give.
        let mut missing = excess.bytes;
        for (_, caller) in self.lengths.by_bytes().take_while(|(bytes, _)| *bytes > newcomer.bytes) {
            if missing == 0 {
                break;
            }
            missing = missing.saturating_sub(self.lines[&caller].bytes_beyond(newcomer.bytes));
        }
        missing == 0
    }

    /// Evicts from the longest lines until a request of `bytes` fits, or nothing is left to evict: an empty queue takes any size.
    fn make_room(&mut self, bytes: usize) -> Vec<T> {
        let mut evicted = Vec::new();
        loop {
            let excess = self.excess(bytes);
            let longest = match excess {
                Length { requests: 0, bytes: 0 } => None,
                Length { requests: 0, .. } => self.lengths.by_bytes().next(),
                _ => self.lengths.most_requests(),
            };
            let Some((_, caller)) = longest else { return evicted };
            evicted.push(self.evict_from(caller));
        }
    }

    fn evict_from(&mut self, caller: CallerId) -> T {
        let line = self.lines.get_mut(&caller).expect("lines with a length exist");
        let before = line.length();
        let (request, bytes) = line.waiting.pop_back().expect("lines with a length have requests");
        line.bytes -= bytes;
        self.total.requests -= 1;
        self.total.bytes -= bytes;
        self.lengths.changed(caller, before, line.length());
        request
    }

    /// Takes the next request: the oldest of the caller whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<(CallerId, T)> {
        let caller = self.turn.pop_front()?;
        let line = self.lines.get_mut(&caller).expect("callers in turn have a line");
        let before = line.length();
        let (request, bytes) = line.waiting.pop_front().expect("callers in turn have a request");
        line.bytes -= bytes;
        self.total.requests -= 1;
        self.total.bytes -= bytes;
        self.lengths.changed(caller, before, line.length());
        if line.waiting.is_empty() {
            self.lines.remove(&caller);
        } else {
            self.turn.push_back(caller);
        }
        Some((caller, request))
    }

    /// Drops all requests of one caller and returns how many those were.
    pub(crate) fn remove(&mut self, caller: CallerId) -> usize {
        let dropped = self.forget(caller);
        self.turn.retain(|other| *other != caller);
        dropped
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
        let dropped = abandoned.into_iter().map(|caller| self.forget(caller)).sum();
        self.turn.retain(|caller| self.lines.contains_key(caller));
        dropped
    }

    /// Drops a line whose caller still has to lose its turn.
    fn forget(&mut self, caller: CallerId) -> usize {
        let Some(line) = self.lines.remove(&caller) else { return 0 };
        let length = line.length();
        self.total.requests -= length.requests;
        self.total.bytes -= length.bytes;
        self.lengths.changed(caller, length, Length::default());
        length.requests
    }
}

#[cfg(test)]
mod tests;
