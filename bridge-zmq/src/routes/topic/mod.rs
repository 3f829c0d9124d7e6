//! A `topic` route: publishers (PUB) on one side, subscribers (SUB) on the other, a bus subject between them.
//!
//! The path of a message, four hops: `Publishers::received` → `Publisher::publish_batch` (bus) → `Subscribers::deliver` → each subscriber's
//! outlet. All messages of one read travel as one batch: one look-up, and per subscriber one lock and one write.
//!
//! Cost per message and subscriber: one copy into the outgoing buffer (a reference above 4 KiB), no allocation; a filter costs a walk over at most
//! as many bytes as the longest prefix has.
//!
//! Invariants:
//! - **Everything, to everybody who asked.** We subscribe to the publishers' whole output; prefixes apply at the subscriber's side.
//! - **A slow subscriber is its own problem**: its outlet's policy decides, unless the route says `block`, which holds the publishers back.

mod prefixes;

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use myelin_bus::outlet::OutletConfig;
use myelin_bus::wire::{Body, Frames, Subject};
use myelin_bus::{Delivery, InlineHandler, InlineSubscription, Overflow, Pressure, Publisher};
use parking_lot::RwLock;

use self::prefixes::Prefixes;
use super::{RouteContext, RouteError, frames_of};
use crate::front::{BindError, Connector, DisconnectReason, Endpoint, Listener, Peer, PeerHandler, SocketType, SubscriptionChange};

/// One topic on this machine. Dropping it takes it off the bus.
#[derive(Debug)]
pub struct Topic {
    subject: Subject,
    context: RouteContext,
    publishers: Arc<Publishers>,
    subscribers: Arc<Subscribers>,
    _on_bus: InlineSubscription,
}

impl Topic {
    /// A topic named `name`, on the bus at `zmq.topic.<name>`. A subscriber that does not keep up loses messages as `overflow` says; libzmq's own
    /// publishers would drop the newest.
    ///
    /// # Errors
    /// [`RouteError`] when the name makes no subject or the bus refuses the subscription.
    pub fn new(context: &RouteContext, name: &str, overflow: Overflow) -> Result<Self, RouteError> {
        let subject = super::subject("topic", name)?;
        let context = context.for_route(name).with_queue(OutletConfig { overflow, ..context.front.config().queue });
        let subscribers = Arc::new(Subscribers { context: context.clone(), table: RwLock::default() });
        let on_bus = context.bus.subscribe_inline(&subject.clone().into(), None, Handler(Arc::clone(&subscribers)))?;
        Ok(Self {
            publishers: Arc::new(Publishers { publisher: context.bus.publisher(subject.clone()) }),
            subject,
            context,
            subscribers,
            _on_bus: on_bus,
        })
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
        self.context.front.at_side("subscribers").listen(endpoint, SocketType::XPub, self.subscribers.clone()).await
    }

    /// Connects an XPUB to a subscriber that binds.
    #[must_use = "dropping the connector closes the connection"]
    pub fn connect_subscriber(&self, endpoint: &Endpoint) -> Connector {
        self.context.front.at_side("subscribers").connect(endpoint, SocketType::XPub, Bytes::new(), self.subscribers.clone())
    }

    /// Subscribers that are connected now.
    #[must_use]
    pub fn subscribers_connected(&self) -> usize {
        self.subscribers.table.read().peers.len()
    }
}

/// The publishers' side.
#[derive(Debug)]
struct Publishers {
    publisher: Publisher,
}

impl PeerHandler for Publishers {
    fn connected(&self, peer: &Arc<Peer>) {
        // A fresh queue takes it; if the connection failed already, the next one asks again.
        peer.subscribe(b"");
    }

    fn received(&self, _peer: &Arc<Peer>, batch: &mut Vec<Body>) -> Option<Pressure> {
        self.publisher.publish_batch(batch).pressure
    }

    fn subscription(&self, _peer: &Arc<Peer>, _change: SubscriptionChange, _prefix: Bytes) {}

    fn disconnected(&self, _peer: &Arc<Peer>, _reason: &DisconnectReason) {}
}

/// The subscribers' side.
#[derive(Debug)]
struct Subscribers {
    context: RouteContext,
    table: RwLock<Table>,
}

#[derive(Debug, Default)]
struct Table {
    peers: HashMap<u64, Arc<Peer>>,
    prefixes: Prefixes<u64>,
}

impl PeerHandler for Subscribers {
    fn connected(&self, peer: &Arc<Peer>) {
        self.table.write().peers.insert(peer.id().get(), Arc::clone(peer));
    }

    fn received(&self, _peer: &Arc<Peer>, _batch: &mut Vec<Body>) -> Option<Pressure> {
        // An XSUB may talk upstream; nobody here listens to that.
        None
    }

    fn subscription(&self, peer: &Arc<Peer>, change: SubscriptionChange, prefix: Bytes) {
        let mut table = self.table.write();
        match change {
            SubscriptionChange::Subscribe => {
                if !table.prefixes.subscribe(peer.id().get(), &prefix) {
                    drop(table);
                    self.context.metrics.subscriptions_refused.inc();
                }
            }
            SubscriptionChange::Cancel => table.prefixes.cancel(peer.id().get(), &prefix),
        }
    }

    fn disconnected(&self, peer: &Arc<Peer>, _reason: &DisconnectReason) {
        let mut table = self.table.write();
        table.peers.remove(&peer.id().get());
        table.prefixes.remove(peer.id().get());
    }
}

/// The bus side of `Subscribers`.
#[derive(Debug)]
struct Handler(Arc<Subscribers>);

impl InlineHandler for Handler {
    fn deliver(&self, delivery: Delivery<'_>) -> Option<Pressure> {
        self.0.deliver(delivery.bodies)
    }
}

impl Subscribers {
    fn deliver(&self, bodies: &[Body]) -> Option<Pressure> {
        let framed: Vec<Frames>;
        // One allocation for the batch: a filtered iterator tells no length, and the list would be moved each time it doubles.
        let mut messages: Vec<&Frames> = Vec::with_capacity(bodies.len());
        // Only what comes from bus-native publishers has to be framed; the usual batch is borrowed as it is.
        if bodies.iter().all(|body| matches!(body, Body::Frames(_))) {
            messages.extend(bodies.iter().filter_map(as_frames));
        } else {
            framed = bodies.iter().map(frames_of).collect();
            messages.extend(&framed);
        }
        let mut over = Vec::new();
        let table = self.table.read();
        for id in table.prefixes.everything() {
            if let Some(peer) = table.peers.get(&id) {
                send(peer, messages.iter().copied(), &mut over);
            }
        }
        if table.prefixes.has_filters() {
            Self::deliver_filtered(&table, &messages, &mut over);
        }
        drop(table);
        relief(over)
    }

    fn deliver_filtered(table: &Table, messages: &[&Frames], over: &mut Vec<Arc<Peer>>) {
        let mut wanted: Vec<(u64, usize)> = Vec::new();
        for (index, message) in messages.iter().enumerate() {
            table.prefixes.matching(first_frame(message.packed()), |id| wanted.push((id, index)));
        }
        wanted.sort_unstable();
        wanted.dedup();
        for of_one in wanted.chunk_by(|a, b| a.0 == b.0) {
            if let Some(peer) = table.peers.get(&of_one[0].0) {
                send(peer, of_one.iter().map(|(_, index)| messages[*index]), over);
            }
        }
    }
}

fn send<'a>(peer: &Arc<Peer>, messages: impl Iterator<Item = &'a Frames>, over: &mut Vec<Arc<Peer>>) {
    if peer.send_batch(messages).over {
        over.push(Arc::clone(peer));
    }
}

/// What a publisher waits for: room at every subscriber that holds it back.
fn relief(over: Vec<Arc<Peer>>) -> Option<Pressure> {
    if over.is_empty() {
        return None;
    }
    Some(Pressure::new(async move {
        for peer in over {
            peer.outlet().relieved().await;
        }
    }))
}

fn as_frames(body: &Body) -> Option<&Frames> {
    match body {
        Body::Frames(frames) => Some(frames),
        Body::Blob(_) => None,
    }
}

/// The first frame of a packed message: what prefixes are compared with.
fn first_frame(packed: &[u8]) -> &[u8] {
    let (header, len) = match packed {
        [flags, len, ..] if flags & 2 == 0 => (2, usize::from(*len)),
        [_, a, b, c, d, e, f, g, h, ..] => (9, usize::try_from(u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h])).unwrap_or(0)),
        _ => (0, 0),
    };
    packed.get(header..header + len).unwrap_or_default()
}
