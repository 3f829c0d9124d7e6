//! A `pipeline` route: producers (PUSH) on one side, consumers (PULL) on the other, each message to exactly one consumer.
//!
//! The path of a message: `Producers::received` → `Publisher::publish_batch` (bus) → `Consumers` as the subject's handler → the outlet of a
//! consumer with room, in turn; or, if none has room, the route's queue, from which each consumer's own task takes as room appears.
//!
//! Invariants:
//! - **Producers are held back, nothing is dropped** while both ends live: a full queue stops the reading of the producers' sockets, as a libzmq
//!   PUSH without room would block.
//! - **Order** of one producer is kept as far as the first consumer that takes each message.
//! - In memory: what is in the queue or in a consumer's outlet is lost with the process or that consumer, and counted.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use myelin_bus::outlet::{OutletConfig, Queued};
use myelin_bus::wire::{Body, Frames, QueueGroup, Subject};
use myelin_bus::{Delivery, InlineHandler, InlineSubscription, Overflow, Pressure, Publisher};
use parking_lot::Mutex;

use super::service::QueueBounds;
use super::work_queue::{WorkQueue, feed};
use super::{RouteContext, RouteError, frames_of};
use crate::front::{BindError, Connector, DisconnectReason, Endpoint, Front, Listener, Peer, PeerHandler, SocketType, SubscriptionChange};

/// The queue group that the sidecars of a fleet share for a pipeline.
const QUEUE_GROUP: &str = "zmq";

/// What may wait at one consumer: little, so that work goes to whoever is free and not to whoever came first.
const CONSUMER_OUTLET: OutletConfig = OutletConfig { bytes_max: 1024 * 1024, messages_max: 256, overflow: Overflow::Block };

/// One pipeline on this machine. Dropping it takes it off the bus.
#[derive(Debug)]
pub struct Pipeline {
    subject: Subject,
    context: RouteContext,
    producers: Arc<Producers>,
    consumers: Arc<Consumers>,
    _on_bus: InlineSubscription,
}

impl Pipeline {
    /// A pipeline named `name`, on the bus at `zmq.pipeline.<name>`, that holds at most `waiting`.
    ///
    /// # Errors
    /// [`RouteError`] when the name makes no subject or the bus refuses the subscription.
    pub fn new(context: &RouteContext, name: &str, waiting: QueueBounds) -> Result<Self, RouteError> {
        let subject = super::subject("pipeline", name)?;
        let context = context.for_route(name);
        let consumers = Arc::new(Consumers { context: context.clone(), queue: Arc::new(WorkQueue::new(waiting)), peers: Mutex::default() });
        let group = QueueGroup::new(QUEUE_GROUP).expect("a plain word is a legal group");
        let on_bus = context.bus.subscribe_inline(&subject.clone().into(), Some(group), Handler(Arc::clone(&consumers)))?;
        Ok(Self {
            producers: Arc::new(Producers { publisher: context.bus.publisher(subject.clone()) }),
            subject,
            context,
            consumers,
            _on_bus: on_bus,
        })
    }

    /// The subject on the bus.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Binds a PULL that producers connect to.
    ///
    /// # Errors
    /// As [`Front::listen`](crate::front::Front::listen).
    pub async fn bind_producers(&self, endpoint: &Endpoint) -> Result<Listener, BindError> {
        self.context.front.at_side("producers").listen(endpoint, SocketType::Pull, self.producers.clone()).await
    }

    /// Connects a PULL to a producer that binds.
    #[must_use = "dropping the connector closes the connection"]
    pub fn connect_producer(&self, endpoint: &Endpoint) -> Connector {
        self.context.front.at_side("producers").connect(endpoint, SocketType::Pull, Bytes::new(), self.producers.clone())
    }

    /// Binds a PUSH that consumers connect to.
    ///
    /// # Errors
    /// As [`Front::listen`](crate::front::Front::listen).
    pub async fn bind_consumers(&self, endpoint: &Endpoint) -> Result<Listener, BindError> {
        self.consumers_front().listen(endpoint, SocketType::Push, self.consumers.clone()).await
    }

    /// Connects a PUSH to a consumer that binds.
    #[must_use = "dropping the connector closes the connection"]
    pub fn connect_consumer(&self, endpoint: &Endpoint) -> Connector {
        self.consumers_front().connect(endpoint, SocketType::Push, Bytes::new(), self.consumers.clone())
    }

    /// Messages that wait for a consumer with room.
    #[must_use]
    pub fn messages_waiting(&self) -> usize {
        self.consumers.queue.len()
    }

    /// The same, with their bytes.
    #[must_use]
    pub fn waiting(&self) -> Queued {
        self.consumers.queue.queued()
    }

    fn consumers_front(&self) -> Front {
        self.context.with_queue(CONSUMER_OUTLET).front.at_side("consumers")
    }
}

/// The producers' side.
#[derive(Debug)]
struct Producers {
    publisher: Publisher,
}

impl PeerHandler for Producers {
    fn connected(&self, _peer: &Arc<Peer>) {}

    fn received(&self, _peer: &Arc<Peer>, batch: &mut Vec<Body>) -> Option<Pressure> {
        self.publisher.publish_batch(batch).pressure
    }

    fn subscription(&self, _peer: &Arc<Peer>, _change: SubscriptionChange, _prefix: Bytes) {}

    fn disconnected(&self, _peer: &Arc<Peer>, _reason: &DisconnectReason) {}
}

/// The consumers' side.
#[derive(Debug)]
struct Consumers {
    context: RouteContext,
    queue: Arc<WorkQueue>,
    peers: Mutex<Peers>,
}

#[derive(Debug, Default)]
struct Peers {
    /// In turn order; the next to be offered a message is in front.
    turn: std::collections::VecDeque<Arc<Peer>>,
    tasks: HashMap<u64, tokio_util::sync::CancellationToken>,
}

impl Consumers {
    /// Gives a message to the next consumer with room, or back.
    fn offer(&self, frames: Frames) -> Result<(), Frames> {
        let mut peers = self.peers.lock();
        for _ in 0..peers.turn.len() {
            peers.turn.rotate_left(1);
            let peer = peers.turn.back().expect("the loop runs once per peer");
            if peer.outlet().has_room() {
                // Taken by nobody if its connection has just ended: then it is the next one's.
                if peer.send(&frames).accepted > 0 {
                    return Ok(());
                }
            }
        }
        Err(frames)
    }
}

/// The bus side of `Consumers`.
#[derive(Debug)]
struct Handler(Arc<Consumers>);

impl InlineHandler for Handler {
    fn deliver(&self, delivery: Delivery<'_>) -> Option<Pressure> {
        let mut is_over = false;
        for body in delivery.bodies {
            is_over |= self.0.queue.offer(frames_of(body), |frames| self.0.offer(frames));
        }
        is_over.then(|| {
            let queue = Arc::clone(&self.0.queue);
            Pressure::new(async move { queue.relieved().await })
        })
    }

    fn load(&self) -> usize {
        // Where nobody consumes, messages only wait: the last choice.
        if self.0.peers.lock().turn.is_empty() { usize::MAX - 1 } else { self.0.queue.len() }
    }
}

impl PeerHandler for Consumers {
    fn connected(&self, peer: &Arc<Peer>) {
        let token = tokio_util::sync::CancellationToken::new();
        {
            let mut peers = self.peers.lock();
            peers.turn.push_back(Arc::clone(peer));
            peers.tasks.insert(peer.id().get(), token.clone());
        }
        let feed = feed(Arc::clone(&self.queue), Arc::clone(peer));
        self.context.front.spawn(async move {
            tokio::select! {
                () = token.cancelled() => {}
                () = feed => {}
            }
        });
    }

    fn received(&self, _peer: &Arc<Peer>, _batch: &mut Vec<Body>) -> Option<Pressure> {
        None
    }

    fn subscription(&self, _peer: &Arc<Peer>, _change: SubscriptionChange, _prefix: Bytes) {}

    fn disconnected(&self, peer: &Arc<Peer>, _reason: &DisconnectReason) {
        let mut peers = self.peers.lock();
        peers.turn.retain(|other| other.id() != peer.id());
        if let Some(task) = peers.tasks.remove(&peer.id().get()) {
            task.cancel();
        }
    }
}
