//! A `topic` route: publishers (PUB) on one side, subscribers (SUB) on the other, a bus subject between them.
//!
//! The path of a message, four hops: `Publishers::received` → `Publisher::publish_batch` (bus) → `Audience`'s handler `Subscribers::deliver` → each subscriber's
//! outlet. All messages of one read travel as one batch: one look-up, and per subscriber one lock and one write.
//!
//! Cost per message and subscriber: one copy into the outgoing buffer (a reference above 4 KiB), no allocation; a filter costs a walk over at most
//! as many bytes as the longest prefix has.
//!
//! Invariants:
//! - **Everything, to everybody who asked.** We subscribe to the publishers' whole output; prefixes apply at the subscriber's side.
//! - **On the bus only while somebody listens.** The subject is subscribed to from the first subscription of a connected subscriber to the last, see
//!   `audience`; other machines send what is published there only meanwhile.
//! - **A slow subscriber is its own problem**: its outlet's policy decides, unless the route says `block`, which holds the publishers back.

mod audience;
mod prefixes;
mod subscribers;
mod thinning;

use std::sync::Arc;

use bytes::Bytes;
use myelin_bus::outlet::OutletConfig;
use myelin_bus::wire::{Body, Subject};
use myelin_bus::{Overflow, Pressure, Publisher};
use tokio::time::Instant;

use self::audience::Audience;
use self::thinning::Thinner;
pub use self::thinning::Thinning;
use super::{RouteContext, RouteError};
use crate::front::{BindError, Connector, DisconnectReason, Endpoint, Listener, Peer, PeerHandler, SocketType, SubscriptionChange};

/// One topic on this machine. Dropping it takes it off the bus.
#[derive(Debug)]
pub struct Topic {
    subject: Subject,
    context: RouteContext,
    publishers: Arc<Publishers>,
    audience: Arc<Audience>,
}

impl Drop for Topic {
    fn drop(&mut self) {
        // Its sockets may live longer.
        self.audience.close();
    }
}

impl Topic {
    /// A topic named `name`, on the bus at `zmq.topic.<name>`. A subscriber that does not keep up loses messages as `overflow` says; libzmq's own
    /// publishers would drop the newest.
    ///
    /// # Errors
    /// [`RouteError`] when the name makes no subject.
    pub fn new(context: &RouteContext, name: &str, overflow: Overflow) -> Result<Self, RouteError> {
        let subject = super::subject("topic", name)?;
        let context = context.for_route(name).with_queue(OutletConfig { overflow, ..context.front.config().queue });
        Ok(Self {
            publishers: Arc::new(Publishers { publisher: context.bus.publisher(subject.clone()), thinner: None }),
            audience: Arc::new(Audience::new(&context, subject.clone())),
            subject,
            context,
        })
    }

    /// The same topic, which does not pass on what says nothing new. To be called before its first socket is opened.
    #[must_use]
    pub fn thinned(mut self, thinning: Thinning) -> Self {
        let publisher = self.context.bus.publisher(self.subject.clone());
        self.publishers = Arc::new(Publishers { publisher, thinner: Some(Thinner::new(thinning)) });
        self
    }

    /// The subject on the bus.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Binds a SUB that publishers connect to.
    ///
    /// # Errors
    /// As [`Front::listen`](crate::front::Front::listen).
    pub async fn bind_publishers(&self, endpoint: &Endpoint) -> Result<Listener, BindError> {
        self.context.front.at_side("publishers").listen(endpoint, SocketType::Sub, self.publishers.clone()).await
    }

    /// Connects a SUB to a publisher that binds.
    #[must_use = "dropping the connector closes the connection"]
    pub fn connect_publisher(&self, endpoint: &Endpoint) -> Connector {
        self.context.front.at_side("publishers").connect(endpoint, SocketType::Sub, Bytes::new(), self.publishers.clone())
    }

    /// Binds an XPUB that subscribers connect to.
    ///
    /// # Errors
    /// As [`Front::listen`](crate::front::Front::listen).
    pub async fn bind_subscribers(&self, endpoint: &Endpoint) -> Result<Listener, BindError> {
        self.context.front.at_side("subscribers").listen(endpoint, SocketType::XPub, self.audience.clone()).await
    }

    /// Connects an XPUB to a subscriber that binds.
    #[must_use = "dropping the connector closes the connection"]
    pub fn connect_subscriber(&self, endpoint: &Endpoint) -> Connector {
        self.context.front.at_side("subscribers").connect(endpoint, SocketType::XPub, Bytes::new(), self.audience.clone())
    }

    /// Subscribers that are connected now.
    #[must_use]
    pub fn subscribers_connected(&self) -> usize {
        self.audience.connected()
    }
}

/// The publishers' side.
#[derive(Debug)]
struct Publishers {
    publisher: Publisher,
    /// Knows what was said before; none where everything is passed on.
    thinner: Option<Thinner>,
}

impl PeerHandler for Publishers {
    fn connected(&self, peer: &Arc<Peer>) {
        // A fresh queue takes it; if the connection failed already, the next one asks again.
        peer.subscribe(b"");
    }

    fn received(&self, peer: &Arc<Peer>, batch: &mut Vec<Body>) -> Option<Pressure> {
        if let Some(thinner) = &self.thinner {
            thinner.thin(peer.id().get(), batch, Instant::now());
        }
        self.publisher.publish_batch(batch).pressure
    }

    fn subscription(&self, _peer: &Arc<Peer>, _change: SubscriptionChange, _prefix: Bytes) {}

    fn disconnected(&self, peer: &Arc<Peer>, _reason: &DisconnectReason) {
        if let Some(thinner) = &self.thinner {
            thinner.forget(peer.id().get());
        }
    }
}
