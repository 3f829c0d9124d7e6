//! What carries the messages: this process, or a NATS server.
//!
//! An engine routes and nothing else. Admission of sizes, requests and their replies, counting and draining are written once, above it.

mod embedded;
mod linked;
mod nats;

pub(crate) use self::embedded::Embedded;
pub(crate) use self::linked::Linked;
pub use self::linked::{LinkMetrics, LinkedConfig};
pub(crate) use self::nats::{Feature, Nats, Room};
pub use self::nats::{NatsConfig, NatsCredentials, NatsTls};
use crate::error::{PublishError, SubscribeError};
use crate::message::{Offer, Offered};
use crate::router::{Interest, Place, Receiver, RouteCache};
use crate::{Delivery, Published};

/// The engine of a bus, chosen at run time from a closed set.
#[derive(Debug)]
pub(crate) enum Engine {
    Embedded(Embedded),
    Nats(Nats),
    /// Boxed, because the others are small.
    Linked(Box<Linked>),
}

/// What an engine gave a subscription to be known by.
#[derive(Debug, Clone)]
pub(crate) enum Attachment {
    Embedded(Place),
    Nats(nats::Attached),
    Linked(linked::Joined),
}

/// What an engine does. A delivery that arrives here has been admitted, and its subject is not a reply address of this bus.
pub(crate) trait EngineOps {
    /// Largest payload in bytes, as far as the other side has stated one.
    fn payload_bytes_max(&self) -> usize;

    /// Hands a delivery over inside this call. `cache` belongs to the delivery's subject.
    fn dispatch(&self, cache: Option<&RouteCache>, delivery: Delivery<'_>) -> Published;

    /// As `dispatch`, for one message that the last receiver keeps. An engine that may have to wait gives the message back.
    fn offer<'a>(&self, cache: Option<&RouteCache>, offer: Offer<'a>) -> Offered<'a>;

    /// Publishes what `offer` gave back, and waits for a connection to take it. Dropped before it is ready, the message may or may not have been
    /// taken.
    async fn publish(&self, offer: Offer<'_>) -> Result<Published, PublishError>;

    /// Hands `receiver` every delivery that matches, from now on or (over a connection) from the next `flush` on at the latest.
    fn attach(&self, interest: Interest, receiver: Receiver) -> Result<Attachment, SubscribeError>;

    /// Ends one subscription. Doing it twice, or after `detach_all`, does nothing.
    fn detach(&self, attachment: &Attachment);

    /// Ends all subscriptions and lets go of their handlers.
    fn detach_all(&self);

    /// Waits until everything published and attached before has reached whoever routes it.
    async fn flush(&self);

    /// Flushes and lets go of the connection.
    async fn close(&self);
}

/// Forwards every method to the engine in use.
impl EngineOps for Engine {
    fn payload_bytes_max(&self) -> usize {
        match self {
            Self::Embedded(engine) => engine.payload_bytes_max(),
            Self::Nats(engine) => engine.payload_bytes_max(),
            Self::Linked(engine) => engine.payload_bytes_max(),
        }
    }

    fn dispatch(&self, cache: Option<&RouteCache>, delivery: Delivery<'_>) -> Published {
        match self {
            Self::Embedded(engine) => engine.dispatch(cache, delivery),
            Self::Nats(engine) => engine.dispatch(cache, delivery),
            Self::Linked(engine) => engine.dispatch(cache, delivery),
        }
    }

    fn offer<'a>(&self, cache: Option<&RouteCache>, offer: Offer<'a>) -> Offered<'a> {
        match self {
            Self::Embedded(engine) => engine.offer(cache, offer),
            Self::Nats(engine) => engine.offer(cache, offer),
            Self::Linked(engine) => engine.offer(cache, offer),
        }
    }

    async fn publish(&self, offer: Offer<'_>) -> Result<Published, PublishError> {
        match self {
            Self::Embedded(engine) => engine.publish(offer).await,
            Self::Nats(engine) => engine.publish(offer).await,
            Self::Linked(engine) => engine.publish(offer).await,
        }
    }

    fn attach(&self, interest: Interest, receiver: Receiver) -> Result<Attachment, SubscribeError> {
        match self {
            Self::Embedded(engine) => engine.attach(interest, receiver),
            Self::Nats(engine) => engine.attach(interest, receiver),
            Self::Linked(engine) => engine.attach(interest, receiver),
        }
    }

    fn detach(&self, attachment: &Attachment) {
        match self {
            Self::Embedded(engine) => engine.detach(attachment),
            Self::Nats(engine) => engine.detach(attachment),
            Self::Linked(engine) => engine.detach(attachment),
        }
    }

    fn detach_all(&self) {
        match self {
            Self::Embedded(engine) => engine.detach_all(),
            Self::Nats(engine) => engine.detach_all(),
            Self::Linked(engine) => engine.detach_all(),
        }
    }

    async fn flush(&self) {
        match self {
            Self::Embedded(engine) => engine.flush().await,
            Self::Nats(engine) => engine.flush().await,
            Self::Linked(engine) => engine.flush().await,
        }
    }

    async fn close(&self) {
        match self {
            Self::Embedded(engine) => engine.close().await,
            Self::Nats(engine) => engine.close().await,
            Self::Linked(engine) => engine.close().await,
        }
    }
}
