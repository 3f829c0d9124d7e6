//! Which lines are the longest, without looking at all of them: a queue may have tens of thousands.

use std::collections::BTreeSet;

use super::CallerId;

/// How long a line, or the whole queue, is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Length {
    pub(super) requests: usize,
    pub(super) bytes: usize,
}

/// The lengths of the lines that have more than one request. The usual line has one, and costs nothing here.
#[derive(Debug, Default)]
pub(super) struct Lengths {
    requests: BTreeSet<(usize, CallerId)>,
    bytes: BTreeSet<(usize, CallerId)>,
}

impl Lengths {
    /// The line of `caller` was as long as `before` and is as long as `after`.
    pub(super) fn changed(&mut self, caller: CallerId, before: Length, after: Length) {
        if before.requests > 1 {
            self.requests.remove(&(before.requests, caller));
            self.bytes.remove(&(before.bytes, caller));
        }
        if after.requests > 1 {
            self.requests.insert((after.requests, caller));
            self.bytes.insert((after.bytes, caller));
        }
    }

    /// The line with most requests; of several, that of the newest caller.
    pub(super) fn most_requests(&self) -> Option<(usize, CallerId)> {
        self.requests.last().copied()
    }

    /// Bytes and callers, the line with most bytes first.
    pub(super) fn by_bytes(&self) -> impl Iterator<Item = (usize, CallerId)> {
        self.bytes.iter().rev().copied()
    }
}
