//! The engine inside this process: a router, and nothing between publisher and receiver.

use std::sync::Arc;

use super::{Attachment, EngineOps};
use crate::error::{PublishError, SubscribeError};
use crate::router::{Interest, RouteCache, Router};
use crate::wire::Subject;
use crate::{Delivery, InlineHandler, Published};

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

    async fn publish(&self, cache: Option<&RouteCache>, delivery: Delivery<'_>) -> Result<Published, PublishError> {
        Ok(self.dispatch(cache, delivery))
    }

    fn attach(&self, interest: Interest, handler: Arc<dyn InlineHandler>) -> Result<Attachment, SubscribeError> {
        let place = self.router.insert(interest, handler).ok_or(SubscribeError::TooMany { max: self.subscriptions_max })?;
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
