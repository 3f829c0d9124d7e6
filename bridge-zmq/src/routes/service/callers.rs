//! The callers' side of a service: puts their requests on the bus and writes replies to the connection each came from.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use hashbrown::HashMap;
use myelin_bus::wire::Body;
use myelin_bus::{Caller, Pressure, Publisher};
use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::RouteContext;
use super::ServiceConfig;
use super::agents::Agents;
use super::dead_letters::DeadLetters;
use super::request::envelope;
use super::way::{Address, Fail, Way};
use crate::front::{DisconnectReason, HealthPage, Peer, PeerHandler, SubscriptionChange};
use crate::health::Place;

/// All callers of one service on this machine.
#[derive(Debug)]
pub(super) struct Callers {
    context: RouteContext,
    publisher: Publisher,
    agents: Arc<Agents>,
    config: Arc<ServiceConfig>,
    /// Where requests without a reply are kept.
    letters: Option<Arc<DeadLetters>>,
    /// Knows what agents elsewhere answer to polls.
    place: Option<Arc<Place>>,
    connections: Mutex<HashMap<u64, Connection>>,
}

/// One caller's connection.
#[derive(Debug)]
struct Connection {
    /// Its reply address, made once.
    address: Address,
    caller: Caller,
    /// Tells others of its end.
    _gone: DropGuard,
}

impl Connection {
    /// Requests without a reply: below zero where replies come unasked.
    fn open(&self) -> usize {
        usize::try_from(self.address.way.open.load(Ordering::Relaxed)).unwrap_or(0)
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
        let place = agents.place();
        Self { context, publisher, agents, config, letters, place, connections: Mutex::new(HashMap::new()) }
    }

    /// Answers a poll of an agent elsewhere, if its answer is known. Not while anything else of the connection waits: its answer comes first.
    fn answer(&self, peer: &Peer, way: &Way, body: &Body) -> bool {
        let (Some(place), Body::Frames(request)) = (&self.place, body) else { return false };
        if way.open.load(Ordering::Relaxed) > 0 {
            return false;
        }
        let Some((reply, saved)) = place.answer(request) else { return false };
        if peer.send(&reply).accepted > 0 {
            self.context.metrics.replies.inc();
            saved.count(!way.was_polled.swap(true, Ordering::Relaxed));
        } else {
            self.context.metrics.replies_late.inc();
        }
        true
    }

    /// A reply address for this request alone, where it is watched or the route may have to answer it.
    fn address_of(&self, peer: &Arc<Peer>, caller: &Caller, open: &Arc<AtomicI64>, body: &Body) -> Address {
        let watched = self.letters.clone().and_then(|letters| {
            let key = letters.watch(peer.id().get(), body)?;
            Some((letters, key))
        });
        let caller = watched.as_ref().map_or_else(|| caller.clone(), |(_, key)| key.caller(caller));
        let fail = self.config.fail_fast.clone().map(|text| Fail { text, envelope: envelope(body) });
        let mut way = Way::new(peer, &self.context, Arc::clone(open));
        (way.watched, way.fail) = (watched, fail);
        way.address(caller)
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

    fn request(&self, body: Body, address: &Address) -> Option<Pressure> {
        // Before its reply, which may come within the call.
        address.way.open.fetch_add(1, Ordering::Relaxed);
        if let Ok(published) = self.publisher.request_inline(body, address.reply.clone()) {
            return published.pressure;
        }
        address.way.unserved();
        None
    }
}

impl PeerHandler for Callers {
    fn connected(&self, peer: &Arc<Peer>) {
        let gone = CancellationToken::new();
        let caller = Caller { connection: peer.id().get(), identity: peer.identity().clone(), request: 0, gone: gone.clone() };
        let address = Way::new(peer, &self.context, Arc::default()).address(caller.clone());
        self.connections.lock().insert(peer.id().get(), Connection { address, caller, _gone: gone.drop_guard() });
    }

    fn received(&self, peer: &Arc<Peer>, batch: &mut Vec<Body>) -> Option<Pressure> {
        let is_told_apart = self.letters.is_some() || self.config.fail_fast.is_some();
        let connections = self.connections.lock();
        let connection = connections.get(&peer.id().get())?;
        let (address, caller) = (connection.address.clone(), is_told_apart.then(|| connection.caller.clone()));
        drop(connections);
        self.context.metrics.requests.inc_by(batch.len() as u64);
        let mut pressure = None;
        for body in batch.drain(..) {
            if self.answer(peer, &address.way, &body) {
                continue;
            }
            let own = caller.as_ref().map(|caller| self.address_of(peer, caller, &address.way.open, &body));
            pressure = self.request(body, own.as_ref().unwrap_or(&address)).or(pressure);
        }
        pressure
    }

    fn subscription(&self, _peer: &Arc<Peer>, _change: SubscriptionChange, _prefix: Bytes) {}

    fn health_page(&self, request_bytes: usize) -> Option<HealthPage> {
        self.place.as_ref()?.page(request_bytes)
    }

    fn disconnected(&self, peer: &Arc<Peer>, _reason: &DisconnectReason) {
        let left = self.connections.lock().remove(&peer.id().get());
        drop(left);
        if let Some(letters) = &self.letters {
            letters.left(peer.id().get(), self.agents.connected() > 0);
        }
        self.agents.caller_gone(peer.id().get());
    }
}
