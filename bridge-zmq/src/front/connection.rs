//! One established connection from the end of its handshake to its end, however that comes.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use myelin_bus::outlet::Seal;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

use super::budget::Budget;
use super::conversation::Conversation;
use super::establish::Established;
use super::peers::Peers;
use super::tag::Tag;
use super::{DisconnectReason, FrontConfig, Peer, PeerHandler};
use crate::codec::SocketType;
use crate::codec::curve::{Sealer, Transform};
use crate::metrics::{DisconnectKind, Metrics};

/// What the sockets of one listener or connector have in common.
pub(super) struct SocketContext {
    pub(super) socket: SocketType,
    pub(super) handler: Arc<dyn PeerHandler>,
    pub(super) config: Arc<FrontConfig>,
    pub(super) metrics: Metrics,
    pub(super) incomplete: Budget,
    pub(super) queued: myelin_bus::outlet::Budget,
    pub(super) peers: Arc<Peers>,
    pub(super) tag: Arc<Tag>,
}

/// Serves a connection from the end of its handshake to its end.
pub(super) async fn run(established: Established, peer: &Arc<Peer>, context: &SocketContext) {
    let (mut reader, writer) = established.stream.into_split();
    let opener = established.transform.map(|Transform { sealer, opener }| {
        peer.outlet().seal_with(Box::new(Sealing(Mutex::new(sealer))));
        opener
    });
    peer.outlet().attach(writer);
    let guard = Guard { peer, context };
    context.metrics.connections.inc();
    context.metrics.connections_opened.inc();
    context.peers.enter(peer);
    context.handler.connected(peer);
    let reason = Conversation::new(context, peer, established.input, opener).run(&mut reader).await;
    if matches!(reason, DisconnectReason::Closed { .. } | DisconnectReason::HandedOver { .. } | DisconnectReason::Shutdown) {
        let patience = context.config.linger;
        linger(peer, patience, context.peers.linger_until(patience)).await;
    }
    peer.finish(&reason);
    // Others may hold the peer, and with it the socket, for a while; the far end must not wait for them.
    if let Err(error) = reader.shutdown() {
        debug!(peer = %peer.id(), %error, "shutdown failed, the socket is already gone");
    }
    guard.finish(&reason);
}

/// The outlet writes for one producer at a time, so the lock is never waited for.
struct Sealing(Mutex<Sealer>);

impl Seal for Sealing {
    fn seal(&self, plain: &[u8], out: &mut BytesMut) {
        self.0.lock().seal(plain, out);
    }
}

/// Writes what is queued before the socket closes: not beyond `until`, and not for a peer that reads nothing for as long as `patience`.
async fn linger(peer: &Peer, patience: Duration, until: Instant) {
    let mut written = std::pin::pin!(async {
        tokio::select! {
            () = peer.outlet().flushed() => {}
            _ = peer.outlet().drive() => {}
        }
    });
    loop {
        let before = peer.outlet().queued();
        let look = until.min(Instant::now() + patience);
        if timeout_at(look, written.as_mut()).await.is_ok() {
            return;
        }
        let left = peer.outlet().queued();
        if look == until || left == before {
            debug!(peer = %peer.id(), queued = ?left, "closed with messages in the queue");
            return;
        }
    }
}

/// Tells the handler and closes the outlet however the task ends, so that nobody waits for a peer whose task is gone.
struct Guard<'a> {
    peer: &'a Arc<Peer>,
    context: &'a SocketContext,
}

impl Guard<'_> {
    fn finish(self, reason: &DisconnectReason) {
        self.leave(reason);
        std::mem::forget(self);
    }

    fn leave(&self, reason: &DisconnectReason) {
        let (peer, remote) = (self.peer.id(), self.peer.remote());
        match reason.kind() {
            // One-shot clients come and go by the thousand.
            DisconnectKind::Peer | DisconnectKind::Local => debug!(%peer, %remote, %reason, "disconnected"),
            DisconnectKind::Protocol | DisconnectKind::Overload | DisconnectKind::Slow | DisconnectKind::Silent => {
                warn!(%peer, %remote, reason = %super::chain(reason), "disconnected");
            }
        }
        self.context.metrics.connections.dec();
        self.context.metrics.disconnected(reason.kind());
        self.context.peers.leave(self.peer);
        self.context.handler.disconnected(self.peer, reason);
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let reason = DisconnectReason::Closed { why: "the connection's task ended early" };
        self.peer.finish(&reason);
        self.leave(&reason);
    }
}
