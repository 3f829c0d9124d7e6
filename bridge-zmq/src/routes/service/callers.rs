//! The callers' side of a service: puts their requests on the bus and writes replies to the connection each came from.

use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use myelin_bus::wire::{Body, Frames};
use myelin_bus::{Caller, Pressure, Publisher, ReplySink, ReplyTo};
use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::RouteContext;
use super::ServiceConfig;
use super::agents::Agents;
use super::request::Request;
use crate::front::{DisconnectReason, Peer, PeerHandler, SubscriptionChange};

/// All callers of one service on this machine.
#[derive(Debug)]
pub(super) struct Callers {
    context: RouteContext,
    publisher: Publisher,
    agents: Arc<Agents>,
    config: Arc<ServiceConfig>,
    /// The reply address of each connection, made once, and what tells others of its end.
    addresses: Mutex<HashMap<u64, (ReplyTo, DropGuard)>>,
}

impl Callers {
    pub(super) fn new(context: RouteContext, publisher: Publisher, agents: Arc<Agents>, config: Arc<ServiceConfig>) -> Self {
        Self { context, publisher, agents, config, addresses: Mutex::new(HashMap::new()) }
    }

    fn request(&self, body: Body, reply: &ReplyTo) -> Option<Pressure> {
        // The body is only needed again, for its envelope, where the route answers in place of an agent.
        let spare = self.config.fail_fast.as_ref().map(|text| (text, body.clone()));
        if let Ok(published) = self.publisher.request_inline(body, reply.clone()) {
            return published.pressure;
        }
        self.context.metrics.requests_without_responder.inc();
        if let Some((text, body)) = spare {
            Request { body, reply: Some(reply.clone()) }.owed(true).fail(&self.context.bus, text);
        }
        None
    }
}

impl PeerHandler for Callers {
    fn connected(&self, peer: &Arc<Peer>) {
        // Weak: a request in an agent's hands must not keep a closed connection in memory.
        let connection = Arc::downgrade(peer);
        let metrics = self.context.metrics.clone();
        let gone = CancellationToken::new();
        let caller = Caller { connection: peer.id().get(), identity: peer.identity().clone(), gone: gone.clone() };
        let sink = ReplySink::for_caller(caller, move |body| {
            let accepted = connection.upgrade().map_or(0, |peer| peer.send(&frames_for_caller(body)).accepted);
            if accepted > 0 {
                metrics.replies.inc()
            } else {
                metrics.replies_late.inc()
            };
        });
        self.addresses.lock().insert(peer.id().get(), (ReplyTo::Sink(sink), gone.drop_guard()));
    }

    fn received(&self, peer: &Arc<Peer>, batch: &mut Vec<Body>) -> Option<Pressure> {
        let reply = self.addresses.lock().get(&peer.id().get())?.0.clone();
        self.context.metrics.requests.inc_by(batch.len() as u64);
        let mut pressure = None;
        for body in batch.drain(..) {
            pressure = self.request(body, &reply).or(pressure);
        }
        pressure
    }

    fn subscription(&self, _peer: &Arc<Peer>, _change: SubscriptionChange, _prefix: Bytes) {}

    fn disconnected(&self, peer: &Arc<Peer>, _reason: &DisconnectReason) {
        let left = self.addresses.lock().remove(&peer.id().get());
        drop(left);
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
