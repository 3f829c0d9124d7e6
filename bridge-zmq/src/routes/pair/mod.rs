//! A `pair` route: one PAIR on side `a`, one PAIR on side `b`, and two bus subjects between them.
//!
//! What the peer at `a` says is published at `zmq.pair.<name>.a` and sent to the peer at `b`, and the other way round; programs on the bus may
//! listen to either, or speak in a peer's place.
//!
//! Invariants:
//! - **One peer a side.** A second one is closed and counted, as a libzmq PAIR has it; it may have the place once the first has gone.
//! - **Nothing is dropped** between peers that live: what finds no peer, or one that does not read, waits in a bounded queue, and then the other
//!   peer is not read. What a peer leaves unread when it goes is lost and counted.
//! - **Opaque and in order**, both ways.

mod seat;

use std::sync::Arc;

use bytes::Bytes;
use myelin_bus::InlineSubscription;
use myelin_bus::outlet::Queued;
use myelin_bus::wire::Subject;
use parking_lot::Mutex;

use self::seat::{Handler, PEER_OUTLET, Seat};
use super::service::QueueBounds;
use super::{RouteContext, RouteError};
use crate::front::{BindError, Connector, Endpoint, Front, Listener, SocketType};

/// One of the two sides of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one, whose peer speaks at `….a`.
    A,
    /// The other, whose peer speaks at `….b`.
    B,
}

impl Side {
    /// The name in configuration files and subjects.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// One pair on this machine. Dropping it takes it off the bus.
#[derive(Debug)]
pub struct Pair {
    context: RouteContext,
    a: End,
    b: End,
}

/// A side, its subject, and its ear on the bus: only a side that has a socket here listens.
#[derive(Debug)]
struct End {
    subject: Subject,
    seat: Arc<Seat>,
    hears: Mutex<Option<InlineSubscription>>,
}

impl End {
    fn new(context: &RouteContext, name: &str, side: Side, waiting: QueueBounds) -> Result<Self, RouteError> {
        let subject = super::side_subject("pair", name, side.as_str())?;
        let seat = Arc::new(Seat::new(context.clone(), context.bus.publisher(subject.clone()), waiting));
        Ok(Self { subject, seat, hears: Mutex::default() })
    }
}

impl Pair {
    /// A pair named `name`, on the bus at `zmq.pair.<name>.a` and `.b`, that holds at most `waiting` for each side.
    ///
    /// # Errors
    /// [`RouteError::Name`] when the name makes no subject.
    pub fn new(context: &RouteContext, name: &str, waiting: QueueBounds) -> Result<Self, RouteError> {
        let context = context.for_route(name).with_queue(PEER_OUTLET);
        let (a, b) = (End::new(&context, name, Side::A, waiting)?, End::new(&context, name, Side::B, waiting)?);
        Ok(Self { context, a, b })
    }

    /// The subject at which the peer of this side speaks.
    #[must_use]
    pub fn subject(&self, side: Side) -> &Subject {
        &self.end(side).subject
    }

    /// Binds a PAIR that the peer of this side connects to.
    ///
    /// # Errors
    /// As [`Front::listen`].
    pub async fn bind(&self, side: Side, endpoint: &Endpoint) -> Result<Listener, BindError> {
        let seat = self.hear(side);
        self.front(side).listen(endpoint, SocketType::Pair, seat).await
    }

    /// Connects a PAIR to the peer of this side.
    #[must_use = "dropping the connector closes the connection"]
    pub fn connect(&self, side: Side, endpoint: &Endpoint) -> Connector {
        let seat = self.hear(side);
        self.front(side).connect(endpoint, SocketType::Pair, Bytes::new(), seat)
    }

    /// Whether this side has its peer now.
    #[must_use]
    pub fn is_connected(&self, side: Side) -> bool {
        self.end(side).seat.is_taken()
    }

    /// What waits for the peer of this side, beyond what is in its own queue.
    #[must_use]
    pub fn waiting(&self, side: Side) -> Queued {
        self.end(side).seat.waiting()
    }

    fn end(&self, side: Side) -> &End {
        match side {
            Side::A => &self.a,
            Side::B => &self.b,
        }
    }

    fn front(&self, side: Side) -> Front {
        self.context.front.at_side(side.as_str())
    }

    /// Begins to take what the other side says, if this one has not yet.
    fn hear(&self, side: Side) -> Arc<Seat> {
        let end = self.end(side);
        let mut hears = end.hears.lock();
        if hears.is_none() {
            let said = self.subject(side.other()).clone();
            match self.context.bus.subscribe_inline(&said.into(), None, Handler(Arc::clone(&end.seat))) {
                Ok(subscription) => *hears = Some(subscription),
                Err(error) => tracing::error!(pair = %end.subject, %error, "the bus refuses the pair, its peers do not hear each other"),
            }
        }
        Arc::clone(&end.seat)
    }
}
