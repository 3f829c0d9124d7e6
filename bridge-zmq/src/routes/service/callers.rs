//! The callers' side of a service: puts their requests on the bus and writes replies to the connection each came from.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use bytes::Bytes;
use hashbrown::HashMap;
use myelin_bus::streams::DeadReason;
use myelin_bus::wire::{Body, Frames};
use myelin_bus::{Caller, Pressure, Publisher, ReplySink, ReplyTo};
use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::RouteContext;
use super::ServiceConfig;
use super::agents::Agents;
use super::dead_letters::{DeadLetters, Key};
use super::request::Request;
use crate::front::{DisconnectReason, Peer, PeerHandler, SubscriptionChange};

/// All callers of one service on this machine.
#[derive(Debug)]
pub(super) struct Callers {
    context: RouteContext,
    publisher: Publisher,
    agents: Arc<Agents>,
    config: Arc<ServiceConfig>,
    /// Where requests without a reply are kept.
    letters: Option<Arc<DeadLetters>>,
    connections: Mutex<HashMap<u64, Connection>>,
}

/// One caller's connection.
#[derive(Debug)]
struct Connection {
    /// Its reply address, made once.
    reply: ReplyTo,
    caller: Caller,
    open: Arc<AtomicI64>,
    /// Tells others of its end.
    _gone: DropGuard,
}

impl Connection {
    /// Requests without a reply: below zero where replies come unasked.
    fn open(&self) -> usize {
        usize::try_from(self.open.load(Ordering::Relaxed)).unwrap_or(0)
    }
}

impl Callers {
    pub(super) fn new(
        context: RouteContext,
        publisher: Publisher,
        agents: Arc<Agents>,
        config: Arc<ServiceConfig>,
        letters: Option<Arc<DeadLetters>>,
    ) -> Self {
        Self { context, publisher, agents, config, letters, connections: Mutex::new(HashMap::new()) }
    }

    /// Takes the replies to a caller's connection, or to one request of it that is watched.
    fn sink(&self, peer: &Arc<Peer>, caller: Caller, open: Arc<AtomicI64>) -> ReplySink {
        // Weak: a request in an agent's hands must not keep a closed connection in memory.
        let connection = Arc::downgrade(peer);
        let metrics = self.context.metrics.clone();
        let watched = self.letters.clone().zip(Key::of_caller(&caller));
        let has_answered = AtomicBool::new(false);
        ReplySink::for_caller(caller, move |body| {
            if let Some((letters, key)) = &watched {
                letters.answered(*key, has_answered.swap(true, Ordering::Relaxed));
            }
            open.fetch_sub(1, Ordering::Relaxed);
            let accepted = connection.upgrade().map_or(0, |peer| peer.send(&frames_for_caller(body)).accepted);
            if accepted > 0 {
                metrics.replies.inc()
            } else {
                metrics.replies_late.inc()
            };
        })
    }

    /// A reply address for this request alone, where it is watched.
    fn watch(&self, peer: &Arc<Peer>, caller: &Caller, open: &Arc<AtomicI64>, body: &Body) -> Option<ReplyTo> {
        let key = self.letters.as_ref()?.watch(peer.id().get(), body)?;
        Some(ReplyTo::Sink(self.sink(peer, key.caller(caller), Arc::clone(open))))
    }

    /// Requests that went to responders beyond this bridge, NATS clients or other programs, and whose callers still wait.
    pub(super) fn owed_elsewhere(&self) -> usize {
        let mut elsewhere: HashMap<u64, usize> = HashMap::new();
        for connection in self.context.bus.callers_unanswered() {
            *elsewhere.entry(connection).or_default() += 1;
        }
        let connections = self.connections.lock();
        // A listener that only looks on never answers: no more is owed than the caller waits for.
        elsewhere.iter().filter_map(|(id, sent)| Some(connections.get(id)?.open().min(*sent))).sum()
    }

    fn request(&self, body: Body, reply: &ReplyTo, open: &AtomicI64) -> Option<Pressure> {
        // The body is only needed again, for its envelope, where the route answers in place of an agent.
        let spare = self.config.fail_fast.as_ref().map(|text| (text, body.clone()));
        // Before its reply, which may come within the call.
        open.fetch_add(1, Ordering::Relaxed);
        if let Ok(published) = self.publisher.request_inline(body, reply.clone()) {
            return published.pressure;
        }
        self.context.metrics.requests_without_responder.inc();
        open.fetch_sub(1, Ordering::Relaxed);
        if let Some(letters) = &self.letters {
            letters.lost(Some(reply), DeadReason::NoRoute, "nobody serves it");
        }
        if let Some((text, body)) = spare {
            Request { body, reply: Some(reply.clone()) }.owed(true).fail(&self.context.bus, text);
        }
        None
    }
}

impl PeerHandler for Callers {
    fn connected(&self, peer: &Arc<Peer>) {
        let gone = CancellationToken::new();
        let caller = Caller { connection: peer.id().get(), identity: peer.identity().clone(), request: 0, gone: gone.clone() };
        let open = Arc::new(AtomicI64::new(0));
        let sink = self.sink(peer, caller.clone(), Arc::clone(&open));
        let connection = Connection { reply: ReplyTo::Sink(sink), caller, open, _gone: gone.drop_guard() };
        self.connections.lock().insert(peer.id().get(), connection);
    }

    fn received(&self, peer: &Arc<Peer>, batch: &mut Vec<Body>) -> Option<Pressure> {
        let connections = self.connections.lock();
        let connection = connections.get(&peer.id().get())?;
        let (reply, open) = (connection.reply.clone(), Arc::clone(&connection.open));
        let caller = self.letters.as_ref().map(|_| connection.caller.clone());
        drop(connections);
        self.context.metrics.requests.inc_by(batch.len() as u64);
        let mut pressure = None;
        for body in batch.drain(..) {
            let own = caller.as_ref().and_then(|caller| self.watch(peer, caller, &open, &body));
            pressure = self.request(body, own.as_ref().unwrap_or(&reply), &open).or(pressure);
        }
        pressure
    }

    fn subscription(&self, _peer: &Arc<Peer>, _change: SubscriptionChange, _prefix: Bytes) {}

    fn disconnected(&self, peer: &Arc<Peer>, _reason: &DisconnectReason) {
        let left = self.connections.lock().remove(&peer.id().get());
        drop(left);
        if let Some(letters) = &self.letters {
            letters.left(peer.id().get(), self.agents.connected() > 0);
        }
        self.agents.caller_gone(peer.id().get());
    }
}

/// A ZMQ agent's reply is passed on verbatim; a bus-native one gets the delimiter a REQ expects.
fn frames_for_caller(body: Body) -> Frames {
    match body {
        Body::Frames(frames) => frames,
        Body::Blob(blob) => Frames::from_parts([&b""[..], &blob]).expect("two frames are some"),
    }
}
