//! Conversations with a ROUTER agent: one DEALER connection per caller, no frame of ours.
//!
//! The agent's program sees exactly what it would have seen without us, `[identity, frames…]`, and may answer a request never, once or often, or
//! speak first. The connection closes with its caller; a caller without a connection here (bus-native, or beyond this machine) gets one for
//! a single answer, or for [`ANONYMOUS_IDLE`].
//!
//! Bounds: [`SESSIONS_MAX`] connections per agent; what waits for a connection to open is bounded by [`WAITING_MAX`] messages each.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use hashbrown::HashMap;
use myelin_bus::wire::{Body, Frames};
use myelin_bus::{Pressure, ReplyTo};
use parking_lot::Mutex;

use super::fair_queue::CallerId;
use super::request::{Request, in_callers_form};
use super::super::RouteContext;
use crate::front::{Connector, DisconnectReason, Endpoint, Peer, PeerHandler, SocketType, SubscriptionChange};

/// Connections to one agent; beyond it requests are refused and counted.
const SESSIONS_MAX: usize = 4096;

/// Messages one caller may send before its connection is open.
const WAITING_MAX: usize = 1024;

/// How long the connection of a caller without one of its own stays open for an answer.
const ANONYMOUS_IDLE: Duration = Duration::from_secs(60);

/// The sessions of one ROUTER agent. Dropping it closes them.
#[derive(Debug)]
pub(super) struct Sessions {
    context: RouteContext,
    agent: SocketAddr,
    open: Arc<Mutex<HashMap<CallerId, Open>>>,
}

#[derive(Debug)]
struct Open {
    session: Arc<Session>,
    /// Closes the connection when dropped.
    _connector: Connector,
}

/// One caller's conversation.
#[derive(Debug)]
struct Session {
    context: RouteContext,
    caller: CallerId,
    reply: Option<ReplyTo>,
    is_blob: bool,
    /// Answer once, then close: the caller has no connection whose end would tell.
    is_anonymous: bool,
    link: Mutex<Link>,
    siblings: Weak<Mutex<HashMap<CallerId, Open>>>,
}

#[derive(Debug)]
enum Link {
    Opening(Vec<Frames>),
    Open(Arc<Peer>),
}

impl Sessions {
    pub(super) fn new(context: RouteContext, agent: SocketAddr) -> Self {
        Self { context, agent, open: Arc::default() }
    }

    /// Sends a request on its caller's connection, which it opens at the first.
    pub(super) fn send(&self, caller: CallerId, request: Request) -> Option<Pressure> {
        let frames = request.frames();
        let mut open = self.open.lock();
        if let Some(known) = open.get(&caller) {
            let session = Arc::clone(&known.session);
            drop(open);
            return session.send(frames);
        }
        if open.len() >= SESSIONS_MAX {
            drop(open);
            self.context.metrics.requests_refused.inc();
            return None;
        }
        let connection = request.reply.as_ref().and_then(ReplyTo::caller).cloned();
        let session = Arc::new(Session {
            context: self.context.clone(),
            caller,
            is_blob: matches!(request.body, Body::Blob(_)),
            is_anonymous: connection.is_none(),
            reply: request.reply,
            link: Mutex::new(Link::Opening(vec![frames])),
            siblings: Arc::downgrade(&self.open),
        });
        let identity = connection.map(|caller| caller.identity).unwrap_or_default();
        let connector = self.context.front.connect(&Endpoint::from(self.agent), SocketType::Dealer, identity, session.clone());
        if session.is_anonymous {
            self.context.front.spawn(close_when_idle(Arc::downgrade(&self.open), caller));
        }
        open.insert(caller, Open { session, _connector: connector });
        None
    }

    /// The caller's connection closed.
    pub(super) fn caller_gone(&self, caller: CallerId) {
        let closed = self.open.lock().remove(&caller);
        // Dropped without the lock: closing calls back into the session.
        drop(closed);
    }
}

async fn close_when_idle(open: Weak<Mutex<HashMap<CallerId, Open>>>, caller: CallerId) {
    tokio::time::sleep(ANONYMOUS_IDLE).await;
    if let Some(open) = open.upgrade() {
        let closed = open.lock().remove(&caller);
        drop(closed);
    }
}

impl Session {
    fn send(&self, frames: Frames) -> Option<Pressure> {
        let mut link = self.link.lock();
        match &mut *link {
            Link::Open(peer) => {
                let peer = Arc::clone(peer);
                drop(link);
                peer.send(&frames).over.then(|| peer.pressure())
            }
            Link::Opening(waiting) if waiting.len() < WAITING_MAX => {
                waiting.push(frames);
                None
            }
            Link::Opening(_) => {
                self.context.metrics.requests_refused.inc();
                None
            }
        }
    }

    fn close(&self) {
        if let Some(siblings) = self.siblings.upgrade() {
            let closed = siblings.lock().remove(&self.caller);
            drop(closed);
        }
    }
}

impl PeerHandler for Session {
    fn connected(&self, peer: &Arc<Peer>) {
        let before = std::mem::replace(&mut *self.link.lock(), Link::Open(Arc::clone(peer)));
        if let Link::Opening(waiting) = before {
            for frames in waiting {
                peer.send(&frames);
            }
        }
    }

    fn received(&self, _peer: &Arc<Peer>, batch: &mut Vec<Body>) -> Option<Pressure> {
        for body in batch.drain(..) {
            if let (Some(reply), Body::Frames(frames)) = (&self.reply, body) {
                reply.respond(&self.context.bus, in_callers_form(self.is_blob, frames));
            }
            if self.is_anonymous {
                self.close();
                return None;
            }
        }
        None
    }

    fn subscription(&self, _peer: &Arc<Peer>, _change: SubscriptionChange, _prefix: Bytes) {}

    fn disconnected(&self, _peer: &Arc<Peer>, _reason: &DisconnectReason) {
        // What was sent may have run: it is not sent again. What comes meanwhile waits for the next connection.
        *self.link.lock() = Link::Opening(Vec::new());
    }
}
