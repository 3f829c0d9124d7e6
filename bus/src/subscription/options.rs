//! What a subscriber states about its queue, and what it learns about its end.

use crate::Overflow;
use crate::wire::{QueueGroup, limits};

/// How a subscription takes its messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// Share the messages with the other members of this group; default: every message.
    pub group: Option<QueueGroup>,
    /// What happens when the queue is full; default [`Overflow::DropNewest`], so that a subscriber that forgets to read holds nobody back.
    ///
    /// With [`Overflow::Block`] a publisher hands its message to every subscriber first and waits after that; the queue exceeds its bounds by
    /// at most one batch per publisher.
    pub overflow: Overflow,
    /// Most bytes that wait, default 8 MiB. One message is always admitted.
    pub bytes_max: usize,
    /// Most messages that wait, default 65,536.
    pub messages_max: usize,
}

impl Default for SubscribeOptions {
    fn default() -> Self {
        Self { group: None, overflow: Overflow::DropNewest, bytes_max: limits::QUEUE_BYTES_MAX, messages_max: limits::QUEUE_MESSAGES_MAX }
    }
}

impl SubscribeOptions {
    /// Joins a queue group.
    #[must_use]
    pub fn group(mut self, group: QueueGroup) -> Self {
        self.group = Some(group);
        self
    }

    /// States what happens when the queue is full.
    #[must_use]
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Bounds the queue in messages.
    #[must_use]
    pub fn messages_max(mut self, messages_max: usize) -> Self {
        self.messages_max = messages_max;
        self
    }

    /// Bounds the queue in bytes.
    #[must_use]
    pub fn bytes_max(mut self, bytes_max: usize) -> Self {
        self.bytes_max = bytes_max;
        self
    }
}

/// Why a subscription gets no more messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SubscriptionEnd {
    /// Its queue was full and its policy is [`Overflow::Disconnect`]: messages have been missed.
    Overflowed,
    /// It was drained, by itself or with its bus.
    Drained,
    /// It was dropped.
    Unsubscribed,
    /// The connection to the server is gone for good.
    Disconnected,
}
