//! The consumers' sockets: who comes, what they answer, who goes.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use myelin_bus::Pressure;
use myelin_bus::streams::Consumer;
use myelin_bus::wire::Body;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::warn;

use super::super::super::{RouteContext, RouteMetrics};
use super::line::{Line, Place};
use super::seat::{Patience, Seat};
use crate::front::{DisconnectReason, HeartbeatConfig, Peer, PeerHandler, SubscriptionChange};

/// What the contexts of our barriers begin with; their number follows. Other PINGs of ours have no context, and other PONGs mean nothing here.
const BARRIER: &[u8; 8] = b"pipeline";

/// The consumers of one pipeline.
#[derive(Debug)]
pub(super) struct Consumers {
    context: RouteContext,
    /// The worker whose deliveries they share, once the stream is there.
    consumer: OnceLock<Consumer>,
    pub(super) patience: Patience,
    /// How long a peer may take for its first PONG.
    first_answer: Duration,
    missed_max: u32,
    line: Mutex<Line>,
    /// Wakes the leasing task and who waits for the end: somebody has room, or has none any more.
    pub(super) turned: Notify,
    /// Wakes the keeper: something was taken, or needs more time.
    pub(super) taken: Notify,
}

impl Consumers {
    pub(super) fn new(context: &RouteContext, ack_wait: Duration) -> Self {
        let config = context.front.config();
        let heartbeat = config.heartbeat;
        let answer = |HeartbeatConfig { interval, missed_max }: HeartbeatConfig| interval * missed_max.max(1);
        let patience =
            Patience { ack_wait, silence: heartbeat.map(|heartbeat| heartbeat.interval), answer: heartbeat.map_or(Duration::MAX, answer) };
        Self {
            context: context.clone(),
            consumer: OnceLock::new(),
            patience,
            first_answer: config.handshake_timeout,
            missed_max: heartbeat.map_or(0, |heartbeat| heartbeat.missed_max),
            line: Mutex::default(),
            turned: Notify::new(),
            taken: Notify::new(),
        }
    }

    /// The stream is there.
    pub(super) fn begin(&self, consumer: Consumer) {
        self.consumer.get_or_init(|| consumer);
    }

    /// The worker whose deliveries they share. Nothing is delivered before it is there.
    pub(super) fn consumer(&self) -> &Consumer {
        self.consumer.get().expect("messages are taken, acked and given back only after the stream was made")
    }

    /// Intervals without an answer after which a consumer with nothing in hand is dead.
    pub(super) fn missed_max(&self) -> u32 {
        self.missed_max
    }

    pub(super) fn metrics(&self) -> &RouteMetrics {
        &self.context.metrics
    }

    pub(super) fn with<R>(&self, act: impl FnOnce(&mut Line) -> R) -> R {
        act(&mut self.line.lock())
    }

    /// Consumers, those served at most once, and messages in hand.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        self.with(|line| (line.len(), line.unfenced(), line.held()))
    }

    /// Waits until no consumer has anything in hand.
    pub(super) async fn idle(&self) {
        loop {
            let mut turned = std::pin::pin!(self.turned.notified());
            // Registered before the check, or a change between check and wait would be missed.
            turned.as_mut().enable();
            if self.with(|line| line.held()) == 0 {
                return;
            }
            turned.await;
        }
    }

    /// Sends what follows what was written to a consumer: a barrier, or somebody who waits until its socket has taken everything.
    pub(super) fn wrote(self: &Arc<Self>, peer: &Arc<Peer>) {
        let queued = peer.outlet().queued().bytes;
        let after = self.with(|line| {
            let seat = line.seat(peer.id().get())?;
            let barrier = seat.wrote(queued);
            Some((barrier, seat.is_unfenced().then(|| seat.unfenced_leases())))
        });
        let Some((barrier, unfenced)) = after else { return };
        send_barrier(peer, barrier);
        match unfenced {
            // The usual case: all of it is in the socket already.
            Some(leases) if queued == 0 && !peer.outlet().is_closed() => self.flushed(peer, leases),
            Some(_) => self.wait_for_socket(peer),
            None => {}
        }
    }

    fn wait_for_socket(self: &Arc<Self>, peer: &Arc<Peer>) {
        let (consumers, peer) = (Arc::clone(self), Arc::clone(peer));
        let id = peer.id().get();
        self.context.front.spawn(async move {
            let leases = consumers.with(|line| line.seat(id).map_or(0, |seat| seat.unfenced_leases()));
            peer.outlet().flushed().await;
            if !peer.outlet().is_closed() {
                consumers.flushed(&peer, leases);
            }
        });
    }

    /// The socket of a peer that answers no PING has taken its first `leases`.
    fn flushed(&self, peer: &Arc<Peer>, leases: usize) {
        let id = peer.id().get();
        let messages = self.with(|line| {
            let Some(part) = line.seat(id).map(|seat| seat.flushed(leases, Instant::now(), &self.patience)) else { return 0 };
            let messages = part.leases.len();
            line.taken.push((id, part));
            messages
        });
        self.metrics().pipeline_at_most_once.inc_by(messages as u64);
        self.taken.notify_one();
    }

    /// A peer turned out to answer no PING, or to answer them after all.
    pub(super) fn mark(&self, peer: &Peer, is_at_most_once: bool) {
        if peer.mark_at_most_once(is_at_most_once) == is_at_most_once {
            return;
        }
        if is_at_most_once {
            self.metrics().pipeline_at_most_once_peers.inc();
            warn!(peer = %peer.id(), remote = %peer.remote(), "this consumer answers no PING: what its socket takes counts as delivered");
        } else {
            self.metrics().pipeline_at_most_once_peers.dec();
        }
    }
}

/// Sends a barrier behind everything that was written.
pub(super) fn send_barrier(peer: &Peer, barrier: Option<u64>) {
    if let Some(barrier) = barrier {
        let mut context = [0; 16];
        context[..8].copy_from_slice(BARRIER);
        context[8..].copy_from_slice(&barrier.to_be_bytes());
        // To a closed connection it goes nowhere, and what was before it comes again.
        peer.barrier(&context);
    }
}

/// The number of the barrier that a PONG answers, if it is one of ours.
fn barrier_of(context: &[u8]) -> Option<u64> {
    let number = context.strip_prefix(BARRIER)?;
    Some(u64::from_be_bytes(number.try_into().ok()?))
}

impl PeerHandler for Consumers {
    fn connected(&self, peer: &Arc<Peer>) {
        let now = Instant::now();
        let (seat, ask) = Seat::new(peer.answers_pings(), now, now + self.first_answer);
        self.with(|line| line.enter(Place { peer: Arc::clone(peer), seat }));
        send_barrier(peer, ask);
        if ask.is_none() {
            self.mark(peer, true);
        }
        self.turned.notify_waiters();
    }

    fn received(&self, _peer: &Arc<Peer>, _batch: &mut Vec<Body>) -> Option<Pressure> {
        None
    }

    fn subscription(&self, _peer: &Arc<Peer>, _change: SubscriptionChange, _prefix: Bytes) {}

    fn pong(&self, peer: &Arc<Peer>, context: &Bytes) {
        let Some(number) = barrier_of(context) else { return };
        let id = peer.id().get();
        let answered = self.with(|line| {
            let now = Instant::now();
            let seat = line.seat(id)?;
            let (part, next) = seat.pong(number, now, &self.patience)?;
            let extend = seat.extend(now, &self.patience);
            let messages = part.leases.len();
            line.taken.push((id, part));
            line.extending.extend(extend);
            Some((messages, next))
        });
        let Some((messages, next)) = answered else { return };
        send_barrier(peer, next);
        self.mark(peer, false);
        self.metrics().pipeline_acked.inc_by(messages as u64);
        self.taken.notify_one();
        // The first answer of a consumer, or one after a long silence, brings it into the turn.
        self.turned.notify_waiters();
    }

    fn disconnected(&self, peer: &Arc<Peer>, _reason: &DisconnectReason) {
        let left = self.with(|line| line.leave(peer.id().get()));
        self.mark(peer, false);
        if let Some(place) = left {
            let leases = place.seat.leases();
            if !leases.is_empty() {
                self.consumer().release_all(&leases);
            }
        }
        self.turned.notify_waiters();
    }
}
