//! A publisher that remembers who listens to its subject.

use std::sync::Arc;

use crate::bus::Shared;
use crate::error::{NoResponders, PublishError};
use crate::message::{Offer, Offered};
use crate::reply::ReplyTo;
use crate::router::RouteCache;
use crate::wire::{Body, Subject};
use crate::{Delivery, Meta, Published};

/// Publishes to one subject. Its match list is made again only after somebody has subscribed or unsubscribed; until then a message costs no walk
/// through the router and no allocation.
#[derive(Debug)]
pub struct Publisher {
    shared: Arc<Shared>,
    subject: Subject,
    /// `None` when the subject is a reply address.
    cache: Option<RouteCache>,
}

impl Publisher {
    pub(crate) fn new(shared: Arc<Shared>, subject: Subject) -> Self {
        let cache = shared.route_cache(&subject);
        Self { shared, subject, cache }
    }

    /// What it publishes to.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Publishes one message and waits for the pressure, if there is any.
    ///
    /// # Errors
    /// As [`Bus::publish`](crate::Bus::publish).
    ///
    /// # Cancel safety
    /// Every receiver has the message after the first poll; dropping the future loses the waiting.
    pub async fn publish(&self, body: Body) -> Result<(), PublishError> {
        let published = match self.shared.offer(self.cache.as_ref(), Offer::new(&self.subject, body))? {
            Offered::Taken(published) => published,
            Offered::Waits(offer) => self.shared.send(offer).await?,
        };
        published.settled().await;
        Ok(())
    }

    /// Publishes a batch inside this call, without a wakeup in between for those who listen inline.
    ///
    /// Bodies larger than the bus carries are left out and counted; on a closed bus there are no receivers.
    pub fn publish_batch(&self, bodies: &[Body]) -> Published {
        self.dispatch(None, None, bodies)
    }

    /// Sends a request inside this call. Replies go to `reply`, zero or more, for as long as somebody sends them.
    ///
    /// # Errors
    /// When nobody is subscribed, the bus is closed, or the body is larger than the bus carries: nothing was sent. Over a network it turns out
    /// later that nobody is: see [`ReplySink::on_unserved`](crate::ReplySink::on_unserved).
    pub fn request_inline(&self, body: Body, reply: ReplyTo) -> Result<Published, NoResponders> {
        let metrics = &self.shared.metrics;
        metrics.requests.inc();
        let published = self.dispatch(Some(&reply), None, std::slice::from_ref(&body));
        if published.receivers == 0 {
            metrics.no_responders.inc();
            return Err(NoResponders);
        }
        Ok(published)
    }

    /// As [`publish_batch`](Self::publish_batch), with all that a message can carry.
    pub(crate) fn dispatch(&self, reply: Option<&ReplyTo>, meta: Option<&Meta>, bodies: &[Body]) -> Published {
        self.shared.dispatch(self.cache.as_ref(), Delivery { subject: &self.subject, reply, meta, bodies })
    }
}
