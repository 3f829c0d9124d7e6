//! The engine inside this process: a router, and nothing between publisher and receiver.

use std::sync::Arc;

use super::{Attachment, EngineOps};
use crate::error::{PublishError, SubscribeError};
use crate::message::{Offer, Offered};
use crate::router::{Interest, Matched, Place, Receiver, RouteCache, Router};
use crate::wire::Subject;
use crate::{Delivery, Published};

#[derive(Debug)]
pub(crate) struct Embedded {
    router: Router,
    payload_bytes_max: usize,
    subscriptions_max: usize,
}

impl Embedded {
    pub(crate) fn new(payload_bytes_max: usize, subscriptions_max: usize) -> Self {
        Self { router: Router::new(subscriptions_max), payload_bytes_max, subscriptions_max }
    }

    /// The receivers of a subject, now. `cache` belongs to it.
    pub(crate) fn matched(&self, cache: Option<&RouteCache>, subject: &Subject) -> Arc<Matched> {
        match cache {
            Some(cache) => self.router.matches_cached(cache, subject),
            None => self.router.matches(subject),
        }
    }

    pub(crate) fn join(&self, interest: Interest, receiver: Receiver) -> Result<Place, SubscribeError> {
        self.router.insert(interest, receiver).ok_or(SubscribeError::TooMany { max: self.subscriptions_max })
    }

    pub(crate) fn leave(&self, place: &Place) {
        self.router.remove(place);
    }

    pub(crate) fn is_heard(&self, subject: &Subject) -> bool {
        self.router.is_heard(subject)
    }
}

impl EngineOps for Embedded {
    fn payload_bytes_max(&self) -> usize {
        self.payload_bytes_max
    }

    fn dispatch(&self, cache: Option<&RouteCache>, delivery: Delivery<'_>) -> Published {
        self.matched(cache, delivery.subject).deliver(delivery)
    }

    fn offer<'a>(&self, cache: Option<&RouteCache>, offer: Offer<'a>) -> Offered<'a> {
        Offered::Taken(self.matched(cache, offer.subject).offer(offer))
    }

    async fn publish(&self, offer: Offer<'_>) -> Result<Published, PublishError> {
        Ok(self.dispatch(None, offer.as_delivery()))
    }

    fn attach(&self, interest: Interest, receiver: Receiver) -> Result<Attachment, SubscribeError> {
        Ok(Attachment::Embedded(self.join(interest, receiver)?))
    }

    fn detach(&self, attachment: &Attachment) {
        match attachment {
            Attachment::Embedded(place) => self.leave(place),
            Attachment::Nats(_) | Attachment::Linked(_) => debug_assert!(false, "an attachment belongs to the engine that made it"),
        }
    }

    fn detach_all(&self) {
        self.router.clear();
    }

    async fn flush(&self) {}

    async fn close(&self) {}
}
