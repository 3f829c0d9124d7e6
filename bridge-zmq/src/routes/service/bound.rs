//! Agents that connect to us instead of being connected to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use myelin_bus::Pressure;
use myelin_bus::wire::Body;

use super::agents::Agents;
use crate::front::{DisconnectReason, Peer, PeerHandler, SocketType, SubscriptionChange};

/// Admits the REPs among them. A ROUTER must see one connection per caller, and where it connects from, nothing of ours can connect to: its
/// callers would wait for ever.
#[derive(Debug)]
pub(super) struct BoundAgents {
    agents: Arc<Agents>,
    /// A ROUTER comes back every 100 ms; once is enough to say.
    has_warned: AtomicBool,
}

impl BoundAgents {
    pub(super) fn new(agents: Arc<Agents>) -> Self {
        Self { agents, has_warned: AtomicBool::new(false) }
    }
}

impl PeerHandler for BoundAgents {
    fn connected(&self, peer: &Arc<Peer>) {
        if peer.socket_type() != SocketType::Router {
            PeerHandler::connected(&*self.agents, peer);
            return;
        }
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            let (agent, at) = (peer.remote(), peer.local());
            tracing::warn!(%agent, %at, "a ROUTER agent connects where only REP agents can: let it bind, and the route connect to it");
        }
        peer.close(DisconnectReason::Closed { why: "a ROUTER agent has to be connected to" });
    }

    fn received(&self, peer: &Arc<Peer>, batch: &mut Vec<Body>) -> Option<Pressure> {
        self.agents.received(peer, batch)
    }

    fn subscription(&self, _peer: &Arc<Peer>, _change: SubscriptionChange, _prefix: Bytes) {}

    fn disconnected(&self, peer: &Arc<Peer>, reason: &DisconnectReason) {
        self.agents.disconnected(peer, reason);
    }
}
