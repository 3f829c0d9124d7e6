//! What a subscription takes its messages with.

use std::sync::Arc;

use crate::message::Offer;
use crate::subscription::Queue;
use crate::{Delivery, InlineHandler, Pressure};

/// The receiving end of one subscription. A closed set, so that the queue of our own can be handed a message to keep.
#[derive(Clone)]
pub(crate) enum Receiver {
    /// A [`Subscription`](crate::Subscription) reads it.
    Queue(Arc<Queue>),
    /// Runs inside the publisher's call.
    Handler(Arc<dyn InlineHandler>),
}

impl Receiver {
    /// Lends a batch.
    pub(crate) fn deliver(&self, delivery: Delivery<'_>) -> Option<Pressure> {
        match self {
            Self::Queue(queue) => queue.deliver(delivery),
            Self::Handler(handler) => handler.deliver(delivery),
        }
    }

    /// Gives one message away.
    pub(crate) fn take(&self, offer: Offer<'_>) -> Option<Pressure> {
        match self {
            Self::Queue(queue) => queue.take(offer),
            Self::Handler(handler) => handler.deliver(offer.as_delivery()),
        }
    }

    /// As [`InlineHandler::is_busy`].
    pub(crate) fn is_busy(&self) -> bool {
        match self {
            Self::Queue(_) => false,
            Self::Handler(handler) => handler.is_busy(),
        }
    }

    /// As [`InlineHandler::load`].
    pub(crate) fn load(&self) -> usize {
        match self {
            Self::Queue(queue) => queue.load(),
            Self::Handler(handler) => handler.load(),
        }
    }
}
