//! The way back to a caller: takes replies to its connection, and the word that there will be none.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use myelin_bus::streams::DeadReason;
use myelin_bus::wire::{Body, Frames};
use myelin_bus::{Caller, ReplySink, ReplyTo};

use super::super::{RouteContext, RouteMetrics};
use super::dead_letters::{DeadLetters, Key};
use super::request::failure;
use crate::front::Peer;

/// Takes the replies to a caller's connection, or to one request of it.
#[derive(Debug)]
pub(super) struct Way {
    /// Weak: a request in an agent's hands must not keep a closed connection in memory.
    connection: Weak<Peer>,
    metrics: RouteMetrics,
    /// Requests of the connection without a reply.
    pub(super) open: Arc<AtomicI64>,
    /// The one request that it is for, if that is watched.
    pub(super) watched: Option<(Arc<DeadLetters>, Key)>,
    /// What the route answers that request in place of an agent.
    pub(super) fail: Option<Fail>,
    /// A poll of the connection was answered without its agent.
    pub(super) was_polled: AtomicBool,
    has_answered: AtomicBool,
}

/// A fail-fast reply, and the envelope it has to bear.
#[derive(Debug)]
pub(super) struct Fail {
    pub(super) text: Bytes,
    pub(super) envelope: Option<Frames>,
}

/// A way, and what leads there over the bus.
#[derive(Debug, Clone)]
pub(super) struct Address {
    pub(super) way: Arc<Way>,
    pub(super) reply: ReplyTo,
}

impl Way {
    /// To the connection, for any request of it.
    pub(super) fn new(peer: &Arc<Peer>, context: &RouteContext, open: Arc<AtomicI64>) -> Self {
        let connection = Arc::downgrade(peer);
        let metrics = context.metrics.clone();
        Self {
            connection,
            metrics,
            open,
            watched: None,
            fail: None,
            was_polled: AtomicBool::new(false),
            has_answered: AtomicBool::new(false),
        }
    }

    pub(super) fn address(self, caller: Caller) -> Address {
        let way = Arc::new(self);
        let (taking, told) = (Arc::clone(&way), Arc::clone(&way));
        let sink = ReplySink::for_caller(caller, move |body| taking.take(body)).on_unserved(move || told.unserved());
        Address { way, reply: ReplyTo::Sink(sink) }
    }

    fn take(&self, body: Body) {
        if let Some((letters, key)) = &self.watched {
            letters.answered(*key, self.has_answered.swap(true, Ordering::Relaxed));
        }
        self.open.fetch_sub(1, Ordering::Relaxed);
        let accepted = self.connection.upgrade().map_or(0, |peer| peer.send(&frames_for_caller(body)).accepted);
        if accepted > 0 {
            self.metrics.replies.inc()
        } else {
            self.metrics.replies_late.inc()
        };
    }

    /// Nobody serves a request that was sent with this address. Embedded, that is known at once; over a network it comes later.
    pub(super) fn unserved(&self) {
        self.metrics.requests_without_responder.inc();
        if let Some((letters, key)) = &self.watched {
            letters.lost_one(*key, DeadReason::NoRoute, "nobody serves it");
        }
        match &self.fail {
            Some(Fail { text, envelope }) => self.take(failure(envelope.clone(), text)),
            None => _ = self.open.fetch_sub(1, Ordering::Relaxed),
        }
    }
}

/// A ZMQ agent's reply is passed on verbatim; a bus-native one gets the delimiter a REQ expects.
fn frames_for_caller(body: Body) -> Frames {
    match body {
        Body::Frames(frames) => frames,
        Body::Blob(blob) => Frames::from_parts([&b""[..], &blob]).expect("two frames are some"),
    }
}
