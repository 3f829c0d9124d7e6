//! A `pipeline` route: producers (PUSH) on one side, consumers (PULL) on the other, each message to one consumer.
//!
//! Two kinds, with the same sockets: `durable`, whose messages are on the disk between the two sides, and `memory`, for where there is no
//! store or its cost is not wanted. What they promise stands at the head of each.

mod durable;
mod memory;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use myelin_bus::outlet::{OutletConfig, Queued};
use myelin_bus::streams::Name;
use myelin_bus::wire::{QueueGroup, Subject};
use myelin_bus::{InlineSubscription, Overflow};

use self::durable::Durable;
use super::service::QueueBounds;
use super::{RouteContext, RouteError};
use crate::front::{BindError, Connector, Endpoint, Front, FrontConfig, Listener, PeerHandler, SocketType};

pub use self::durable::{DurableConfig, PipelineStatus, stream_name};

/// The queue group that the sidecars of a fleet share for a pipeline in memory.
const QUEUE_GROUP: &str = "zmq";

/// What may wait at one consumer: little, so that work goes to whoever is free and not to whoever came first.
const CONSUMER_OUTLET: OutletConfig = OutletConfig { bytes_max: 1024 * 1024, messages_max: 256, overflow: Overflow::Block };

/// One pipeline on this machine. Dropping it takes it off the bus; what is stored stays.
#[derive(Debug)]
pub struct Pipeline {
    subject: Subject,
    context: RouteContext,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Memory { producers: Arc<memory::Producers>, consumers: Arc<memory::Consumers>, _on_bus: InlineSubscription },
    Durable(Durable),
}

impl Pipeline {
    /// A pipeline in memory named `name`, on the bus at `zmq.pipeline.<name>`, that holds at most `waiting`.
    ///
    /// # Errors
    /// [`RouteError`] when the name makes no subject or the bus refuses the subscription.
    pub fn new(context: &RouteContext, name: &str, waiting: QueueBounds) -> Result<Self, RouteError> {
        let subject = super::subject("pipeline", name)?;
        let context = context.for_route(name);
        let consumers = Arc::new(memory::Consumers::new(&context, waiting));
        let group = QueueGroup::new(QUEUE_GROUP).expect("a plain word is a legal group");
        let on_bus = context.bus.subscribe_inline(&subject.clone().into(), Some(group), memory::Handler(Arc::clone(&consumers)))?;
        let queue = context.bus.capabilities().block_holds_publisher.then(|| Arc::clone(&consumers.queue));
        let producers = Arc::new(memory::Producers { publisher: context.bus.publisher(subject.clone()), queue });
        Ok(Self { subject, context, kind: Kind::Memory { producers, consumers, _on_bus: on_bus } })
    }

    /// A pipeline named `name` whose messages are kept in the stream [`stream_name`] of the bus's store, which stores `zmq.pipeline.<name>`. The
    /// stream and its consumer are made, or changed to `config`.
    ///
    /// # Errors
    /// [`RouteError`] when the name makes no subject, the bus has no store, or a stream of another purpose is in the way.
    ///
    /// # Cancel safety
    /// The stream may have been made.
    pub async fn durable(context: &RouteContext, name: &str, config: DurableConfig) -> Result<Self, RouteError> {
        let subject = super::subject("pipeline", name)?;
        let context = context.for_route(name);
        let durable = Durable::open(&context, name, &subject, config).await?;
        Ok(Self { subject, context, kind: Kind::Durable(durable) })
    }

    /// The subject on the bus.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The stream that it is kept in; `None` for one in memory.
    #[must_use]
    pub fn stream(&self) -> Option<&Name> {
        match &self.kind {
            Kind::Durable(durable) => Some(durable.stream()),
            Kind::Memory { .. } => None,
        }
    }

    /// Binds a PULL that producers connect to.
    ///
    /// # Errors
    /// As [`Front::listen`](crate::front::Front::listen).
    pub async fn bind_producers(&self, endpoint: &Endpoint) -> Result<Listener, BindError> {
        self.context.front.at_side("producers").listen(endpoint, SocketType::Pull, self.producers()).await
    }

    /// Connects a PULL to a producer that binds.
    #[must_use = "dropping the connector closes the connection"]
    pub fn connect_producer(&self, endpoint: &Endpoint) -> Connector {
        self.context.front.at_side("producers").connect(endpoint, SocketType::Pull, Bytes::new(), self.producers())
    }

    /// Binds a PUSH that consumers connect to.
    ///
    /// # Errors
    /// As [`Front::listen`](crate::front::Front::listen).
    pub async fn bind_consumers(&self, endpoint: &Endpoint) -> Result<Listener, BindError> {
        self.consumers_front().listen(endpoint, SocketType::Push, self.consumers()).await
    }

    /// Connects a PUSH to a consumer that binds.
    #[must_use = "dropping the connector closes the connection"]
    pub fn connect_consumer(&self, endpoint: &Endpoint) -> Connector {
        self.consumers_front().connect(endpoint, SocketType::Push, Bytes::new(), self.consumers())
    }

    /// Messages that a stop of the process loses: in memory those that wait for a consumer with room, else those that were read and are not stored
    /// yet.
    #[must_use]
    pub fn messages_waiting(&self) -> usize {
        self.waiting().messages
    }

    /// The same, with their bytes.
    #[must_use]
    pub fn waiting(&self) -> Queued {
        match &self.kind {
            Kind::Memory { consumers, .. } => consumers.queue.queued(),
            Kind::Durable(durable) => durable.unstored(),
        }
    }

    /// Who is there and what is in their hands; `None` for a pipeline in memory.
    #[must_use]
    pub fn status(&self) -> Option<PipelineStatus> {
        match &self.kind {
            Kind::Durable(durable) => Some(durable.status()),
            Kind::Memory { .. } => None,
        }
    }

    /// Ends a durable pipeline in order: producers are not read any more, what was read is stored, and consumers have a moment to confirm what they
    /// were given. Tells whether everything that was read is stored; what is not shows in [`waiting`](Self::waiting). Nothing to do in memory.
    ///
    /// # Cancel safety
    /// It is ending; call it again to go on waiting.
    pub async fn finish(&self, deadline: Duration) -> bool {
        match &self.kind {
            Kind::Durable(durable) => durable.finish(deadline).await,
            Kind::Memory { .. } => true,
        }
    }

    fn producers(&self) -> Arc<dyn PeerHandler> {
        match &self.kind {
            Kind::Memory { producers, .. } => producers.clone(),
            Kind::Durable(durable) => durable.producers(),
        }
    }

    fn consumers(&self) -> Arc<dyn PeerHandler> {
        match &self.kind {
            Kind::Memory { consumers, .. } => consumers.clone(),
            Kind::Durable(durable) => durable.consumers(),
        }
    }

    fn consumers_front(&self) -> Front {
        let front = self.context.with_queue(CONSUMER_OUTLET).front;
        // A durable pipeline asks for signs of life by its barriers: a PULL over its high-water mark answers no PING and lives all the same.
        let front = match &self.kind {
            Kind::Durable(_) => front.with_config(FrontConfig { heartbeat: None, ..front.config().clone() }),
            Kind::Memory { .. } => front,
        };
        front.at_side("consumers")
    }
}
