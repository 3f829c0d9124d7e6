//! The engine inside this process: a router, and nothing between publisher and receiver.

use super::{Attachment, EngineOps};
use crate::error::{PublishError, SubscribeError};
use crate::message::{Offer, Offered};
use crate::router::{Interest, Receiver, RouteCache, Router};
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

    pub(crate) fn is_heard(&self, subject: &Subject) -> bool {
        self.router.is_heard(subject)
    }
}

impl EngineOps for Embedded {
    fn payload_bytes_max(&self) -> usize {
        self.payload_bytes_max
    }

    fn dispatch(&self, cache: Option<&RouteCache>, delivery: Delivery<'_>) -> Published {
        match cache {
            Some(cache) => self.router.matches_cached(cache, delivery.subject).deliver(delivery),
            None => self.router.matches(delivery.subject).deliver(delivery),
        }
    }

    fn offer<'a>(&self, cache: Option<&RouteCache>, offer: Offer<'a>) -> Offered<'a> {
        let matched = match cache {
            Some(cache) => self.router.matches_cached(cache, offer.subject),
            None => self.router.matches(offer.subject),
        };
        Offered::Taken(matched.offer(offer))
    }

    async fn publish(&self, offer: Offer<'_>) -> Result<Published, PublishError> {
        Ok(self.dispatch(None, offer.as_delivery()))
    }

    fn attach(&self, interest: Interest, receiver: Receiver) -> Result<Attachment, SubscribeError> {
        let place = self.router.insert(interest, receiver).ok_or(SubscribeError::TooMany { max: self.subscriptions_max })?;
        Ok(Attachment::Embedded(place))
    }

    fn detach(&self, attachment: &Attachment) {
        match attachment {
            Attachment::Embedded(place) => self.router.remove(place),
            Attachment::Nats(_) => debug_assert!(false, "an attachment belongs to the engine that made it"),
        }
    }

    fn detach_all(&self) {
        self.router.clear();
    }

    async fn flush(&self) {}

    async fn close(&self) {}
}
