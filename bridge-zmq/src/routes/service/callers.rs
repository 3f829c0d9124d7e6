//! The callers' side of a service: puts their requests on the bus and writes replies to the connection each came from.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use hashbrown::HashMap;
use myelin_bus::wire::{Body, Frames};
use myelin_bus::{Pressure, Publisher, ReplySink, ReplyTo};
use parking_lot::Mutex;

use super::ServiceConfig;
use super::agents::Agents;
use super::request::Request;
use crate::front::{DisconnectReason, Peer, PeerHandler, SubscriptionChange};

/// All callers of one service on this machine.
#[derive(Debug)]
pub(super) struct Callers {
    publisher: Publisher,
    agents: Arc<Agents>,
    config: Arc<ServiceConfig>,
    /// The reply address of each connection, made once.
    addresses: Mutex<HashMap<u64, ReplyTo>>,
}

impl Callers {
    pub(super) fn new(publisher: Publisher, agents: Arc<Agents>, config: Arc<ServiceConfig>) -> Self {
        Self {
            publisher,
            agents,
            config,
            addresses: Mutex::new(HashMap::new()),
        }
    }

    fn unserved(&self, bus: &myelin_bus::Bus, request: Request) {
        self.agents.metrics().request_without_responder();
        if let Some(text) = &self.config.fail_fast {
            request.owed(true).fail(bus, text);
        }
    }
}

impl PeerHandler for Callers {
    fn connected(&self, peer: &Arc<Peer>) {
        // Weak: a request in an agent's hands must not keep a closed connection in memory.
        let connection = Arc::downgrade(peer);
        let metrics = self.agents.metrics().clone();
        let sink = ReplySink::for_caller(peer.id().get(), move |body| match connection.upgrade() {
            Some(peer) => drop(peer.send(&frames_for_caller(body))),
            None => metrics.reply_late(),
        });
        self.addresses.lock().insert(peer.id().get(), ReplyTo::Sink(sink));
    }

    fn received(&self, peer: &Arc<Peer>, batch: &mut Vec<Body>) -> Option<Pressure> {
        let reply = self.addresses.lock().get(&peer.id().get())?.clone();
        for body in batch.drain(..) {
            if let Err(no_responders) = self.publisher.request_inline(body, reply.clone()) {
                self.unserved(no_responders);
            }
        }
        None
    }

    fn subscription(&self, _peer: &Arc<Peer>, _change: SubscriptionChange, _prefix: Bytes) {}

    fn disconnected(&self, peer: &Arc<Peer>, _reason: &DisconnectReason) {
        self.addresses.lock().remove(&peer.id().get());
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
