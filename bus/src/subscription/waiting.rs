//! How much waits in a queue, against its bounds.

use super::SubscribeOptions;
use crate::wire::Body;

/// Messages and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl Waiting {
    pub(super) fn fits(&self, bytes: usize, options: &SubscribeOptions) -> bool {
        self.messages == 0 || (self.messages < options.messages_max && self.bytes + bytes <= options.bytes_max)
    }

    pub(super) fn exceeds(&self, options: &SubscribeOptions) -> bool {
        self.messages > 1 && (self.messages > options.messages_max || self.bytes > options.bytes_max)
    }

    pub(super) fn is_relieved(&self, options: &SubscribeOptions) -> bool {
        self.messages <= options.messages_max / 2 && (self.bytes <= options.bytes_max / 2 || self.messages == 0)
    }

    pub(super) fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes;
    }

    pub(super) fn remove(&mut self, read: Self) {
        // Abandoning a queue forgets what its receiver has in its hands.
        self.messages = self.messages.saturating_sub(read.messages);
        self.bytes = self.bytes.saturating_sub(read.bytes);
    }
}

/// What a body counts for: the bytes it keeps alive, frame headers included.
pub(super) fn cost(body: &Body) -> usize {
    match body {
        Body::Blob(blob) => blob.len(),
        Body::Frames(frames) => frames.packed().len(),
    }
}
