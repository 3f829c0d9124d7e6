//! The connections to agents: those that we make, and those that agents make.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use myelin_bus::Pressure;
use myelin_bus::wire::Body;

use super::agents::Agents;
use crate::front::{DisconnectReason, Endpoint, Host, Peer, PeerHandler, SocketType, SubscriptionChange};

/// Agents that listen: REP or ROUTER.
#[derive(Debug)]
pub(super) struct ConnectedAgents {
    agents: Arc<Agents>,
    endpoint: Endpoint,
}

impl ConnectedAgents {
    /// Those at `endpoint`.
    pub(super) fn new(agents: Arc<Agents>, endpoint: Endpoint) -> Self {
        Self { agents, endpoint }
    }

    /// Where this very agent listens: a name may lead to another one the next time, and a Unix domain socket has no address.
    fn place(&self, peer: &Peer) -> Endpoint {
        match self.endpoint.host() {
            Host::Local(_) => self.endpoint.clone(),
            Host::Any | Host::Address(_) | Host::Name(_) => peer.remote().into(),
        }
    }
}

impl PeerHandler for ConnectedAgents {
    fn connected(&self, peer: &Arc<Peer>) {
        self.agents.attached(peer, &self.place(peer));
    }

    fn received(&self, peer: &Arc<Peer>, batch: &mut Vec<Body>) -> Option<Pressure> {
        self.agents.received(peer, batch);
        None
    }

    fn subscription(&self, _peer: &Arc<Peer>, _change: SubscriptionChange, _prefix: Bytes) {}

    fn disconnected(&self, peer: &Arc<Peer>, reason: &DisconnectReason) {
        self.agents.detached(peer, reason);
    }
}

/// Agents that connect to us: REP. A ROUTER must see one connection per caller, and where it connects from, nothing of ours can connect to: its
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
            self.agents.attached(peer, &peer.remote().into());
            return;
        }
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            let (agent, at) = (peer.remote(), peer.local());
            tracing::warn!(%agent, %at, "a ROUTER agent connects where only REP agents can: let it bind, and the route connect to it");
        }
        peer.close(DisconnectReason::Closed { why: "a ROUTER agent has to be connected to" });
    }

    fn received(&self, peer: &Arc<Peer>, batch: &mut Vec<Body>) -> Option<Pressure> {
        self.agents.received(peer, batch);
        None
    }

    fn subscription(&self, _peer: &Arc<Peer>, _change: SubscriptionChange, _prefix: Bytes) {}

    fn disconnected(&self, peer: &Arc<Peer>, reason: &DisconnectReason) {
        self.agents.detached(peer, reason);
    }
}
