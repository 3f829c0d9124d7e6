//! The other end of one established connection.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use myelin_bus::outlet::{Outlet, Pushed};
use myelin_bus::wire::Frames;
use myelin_bus::{Overflow, Pressure};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::DisconnectReason;
use super::connection::SocketContext;
use super::establish::Established;
use super::tag::Tag;
use super::traffic::Traffic;
use crate::codec::{self, Session, SocketType};
use crate::metrics::{DropCause, Metrics};

/// Names a connection; never used twice in one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(u64);

impl PeerId {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// The number, to be used as a key or a frame of an envelope.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// What a subscriber did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscriptionChange {
    /// It wants messages that start with the prefix. Equal subscriptions are one.
    Subscribe,
    /// It takes its subscription to the prefix back, however often it was made.
    Cancel,
}

/// One established connection: who the peer is, and the way to send to it.
///
/// Sending writes to the socket at once if it is free (see [`Outlet`]), in whatever task it happens. A peer that is gone takes messages and
/// drops them, counted.
pub struct Peer {
    id: PeerId,
    session: Session,
    remote: SocketAddr,
    local: SocketAddr,
    outlet: Outlet,
    overflow: Overflow,
    pub(super) token: CancellationToken,
    closing: AtomicBool,
    left: AtomicBool,
    reason: Mutex<Option<DisconnectReason>>,
    metrics: Metrics,
    pub(super) tag: Arc<Tag>,
    pub(super) ours: SocketType,
    pub(super) traffic: Traffic,
    drops_counted: AtomicU64,
    is_at_most_once: AtomicBool,
}

impl Peer {
    pub(super) fn new(established: &Established, context: &SocketContext, token: CancellationToken) -> Self {
        let queue = context.config.queue;
        Self {
            id: PeerId::next(),
            session: established.session.clone(),
            remote: established.remote,
            local: established.local,
            outlet: Outlet::with_budget(queue, &context.queued),
            overflow: queue.overflow,
            token,
            closing: AtomicBool::new(false),
            left: AtomicBool::new(false),
            reason: Mutex::new(None),
            metrics: context.metrics.clone(),
            tag: Arc::clone(&context.tag),
            ours: context.socket,
            traffic: Traffic::new(),
            drops_counted: AtomicU64::new(0),
            is_at_most_once: AtomicBool::new(false),
        }
    }

    /// The name of this connection.
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.id
    }

    /// What the peer is.
    #[must_use]
    pub fn socket_type(&self) -> SocketType {
        self.session.peer_type
    }

    /// What the peer calls itself; empty when it does not. Nothing vouches for it.
    #[must_use]
    pub fn identity(&self) -> &Bytes {
        &self.session.identity
    }

    /// The security mechanism that both sides agreed on.
    #[must_use]
    pub fn mechanism(&self) -> &'static str {
        self.session.mechanism.as_str()
    }

    /// The name of whom the peer proved to be; `None` when its listener asks for no proof.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.session.user.as_deref()
    }

    /// Whether the peer knows commands of the data phase: ZMTP 3.1. Others answer no PING.
    #[must_use]
    pub fn answers_pings(&self) -> bool {
        self.session.minor >= 1
    }

    /// Whether its route serves it at most once although it promises more: the peer cannot tell what it took.
    #[must_use]
    pub fn is_at_most_once(&self) -> bool {
        self.is_at_most_once.load(Ordering::Relaxed)
    }

    /// Notes it, for operators to see. Returns what was noted before.
    pub fn mark_at_most_once(&self, is_so: bool) -> bool {
        self.is_at_most_once.swap(is_so, Ordering::Relaxed)
    }

    /// The peer's address.
    #[must_use]
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Our address, as the peer reached it.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The write queue.
    #[must_use]
    pub fn outlet(&self) -> &Outlet {
        &self.outlet
    }

    /// Sends one message.
    pub fn send(&self, frames: &Frames) -> Pushed {
        self.count(self.outlet.push(&[], frames.packed()), frames.packed().len())
    }

    /// Sends one message with frames before it: `head` is whole frames in wire form, each with the MORE flag.
    pub fn send_prefixed(&self, head: &[u8], frames: &Frames) -> Pushed {
        self.count(self.outlet.push(head, frames.packed()), head.len() + frames.packed().len())
    }

    /// Sends several messages under one lock, with as few writes as possible.
    pub fn send_batch<'a>(&self, messages: impl IntoIterator<Item = &'a Frames>) -> Pushed {
        let mut bytes = 0;
        let pushed = self.outlet.push_batch(messages.into_iter().map(|frames| {
            bytes += frames.packed().len();
            frames.packed()
        }));
        self.count(pushed, bytes)
    }

    /// Subscribes to a PUB or XPUB peer, in its dialect. Our SUB and XSUB sockets subscribe to nothing by themselves.
    pub fn subscribe(&self, prefix: &[u8]) -> Pushed {
        self.outlet.push(&[], &codec::encode_subscribe(self.session.minor, prefix))
    }

    /// Takes one subscription back.
    pub fn cancel(&self, prefix: &[u8]) -> Pushed {
        self.outlet.push(&[], &codec::encode_cancel(self.session.minor, prefix))
    }

    /// Sends a PING behind every message sent so far, with a context of 1 to 16 bytes: when [`pong`](super::PeerHandler::pong) brings it back, the
    /// peer has taken them. `None`, and nothing is sent, when the peer knows no PING.
    pub fn barrier(&self, context: &[u8]) -> Option<Pushed> {
        self.answers_pings().then(|| self.outlet.push(&[], &codec::encode_ping(Duration::ZERO, context)))
    }

    /// Pressure that lasts until this peer has read half of its queue: what a handler returns when a push was `over`.
    pub fn pressure(self: &Arc<Self>) -> Pressure {
        let peer = Arc::clone(self);
        Pressure::new(async move { peer.outlet.relieved().await })
    }

    /// Closes the connection: what its queue holds is written first, for at most the configured linger. Only the first reason counts.
    pub fn close(&self, reason: DisconnectReason) {
        self.reason.lock().get_or_insert(reason);
        self.closing.store(true, Ordering::Release);
        self.token.cancel();
    }

    /// Whether [`close`](Self::close) was called.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Whether the peer closed the connection while it was held back. It hears nothing any more; what it said before is read, and the connection
    /// over, when the pressure is.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    /// Notes that it has left, and gives up what waited for it.
    pub(super) fn leave(&self) {
        self.left.store(true, Ordering::Release);
        self.outlet.close();
    }

    pub(super) fn take_reason(&self) -> Option<DisconnectReason> {
        self.reason.lock().take()
    }

    /// Closes the write side and counts what it still held.
    pub(super) fn finish(&self, reason: &DisconnectReason) {
        let cause = reason.drop_cause();
        // What still comes for a peer that the policy has ended is lost to the policy too.
        self.closing.fetch_or(cause == DropCause::Disconnected, Ordering::Release);
        self.outlet.close();
        let uncounted = self.outlet.dropped().saturating_sub(self.drops_counted.load(Ordering::Relaxed));
        self.tag.dropped(cause, uncounted);
    }

    /// What drops of now are to be counted as.
    fn drop_cause(&self) -> DropCause {
        // An outlet that a policy has closed is not known to be closing yet; one that failed drops whatever its policy is.
        let has_failed = self.overflow != Overflow::Disconnect && self.outlet.is_closed();
        if self.is_closing() || has_failed { DropCause::Disconnected } else { self.overflow.into() }
    }

    fn count(&self, pushed: Pushed, bytes: usize) -> Pushed {
        if pushed.accepted > 0 {
            self.metrics.messages_sent.inc_by(pushed.accepted as u64);
            self.metrics.bytes_sent.inc_by(bytes as u64);
            self.traffic.on_sent(pushed.accepted, bytes);
        }
        if pushed.dropped > 0 {
            self.drops_counted.fetch_add(pushed.dropped as u64, Ordering::Relaxed);
            self.tag.dropped(self.drop_cause(), pushed.dropped as u64);
        }
        pushed
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("id", &self.id)
            .field("session", &self.session)
            .field("remote", &self.remote)
            .field("local", &self.local)
            .field("outlet", &self.outlet)
            .finish_non_exhaustive()
    }
}
