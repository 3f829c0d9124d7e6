//! The place of the one peer of a side.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use myelin_bus::outlet::{OutletConfig, Queued};
use myelin_bus::wire::{Body, Frames};
use myelin_bus::{Delivery, InlineHandler, Overflow, Pressure, Publisher};
use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::service::QueueBounds;
use super::super::work_queue::{WorkQueue, feed};
use super::super::{RouteContext, frames_of};
use crate::front::{DisconnectReason, Peer, PeerHandler, SubscriptionChange};

/// What may wait in the peer's own queue: little, for that is what it takes along when it goes.
pub(super) const PEER_OUTLET: OutletConfig = OutletConfig { bytes_max: 1024 * 1024, messages_max: 1024, overflow: Overflow::Block };

#[derive(Debug)]
pub(super) struct Seat {
    context: RouteContext,
    publisher: Publisher,
    queue: Arc<WorkQueue>,
    taken: Mutex<Option<Taken>>,
    /// A peer that is refused comes back every 100 ms; once is enough to say.
    has_warned: AtomicBool,
}

#[derive(Debug)]
struct Taken {
    peer: Arc<Peer>,
    _feed: DropGuard,
}

impl Seat {
    pub(super) fn new(context: RouteContext, publisher: Publisher, waiting: QueueBounds) -> Self {
        Self { context, publisher, queue: Arc::new(WorkQueue::new(waiting)), taken: Mutex::default(), has_warned: AtomicBool::new(false) }
    }

    pub(super) fn is_taken(&self) -> bool {
        self.taken.lock().is_some()
    }

    pub(super) fn waiting(&self) -> Queued {
        self.queue.queued()
    }

    fn is_held_by(&self, peer: &Peer) -> bool {
        self.taken.lock().as_ref().is_some_and(|taken| taken.peer.id() == peer.id())
    }

    /// Gives a message to the peer if it is there and has room, or back.
    fn give(&self, frames: Frames) -> Result<(), Frames> {
        let taken = self.taken.lock();
        match &*taken {
            Some(Taken { peer, .. }) if peer.outlet().has_room() && peer.send(&frames).accepted > 0 => Ok(()),
            _ => Err(frames),
        }
    }

    fn refuse(&self, peer: &Peer) {
        self.context.metrics.pair_peers_refused.inc();
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            let (refused, at) = (peer.remote(), peer.local());
            tracing::warn!(%refused, %at, "a second peer at one side of a pair is closed; each side has exactly one");
        }
        peer.close(DisconnectReason::Closed { why: "the pair has a peer on this side" });
    }
}

impl PeerHandler for Seat {
    fn connected(&self, peer: &Arc<Peer>) {
        let over = CancellationToken::new();
        {
            let mut taken = self.taken.lock();
            // One that has left hears nothing any more: what it said last may wait for long, its successor need not.
            if taken.as_ref().is_some_and(|taken| !taken.peer.has_left()) {
                drop(taken);
                self.refuse(peer);
                return;
            }
            *taken = Some(Taken { peer: Arc::clone(peer), _feed: over.clone().drop_guard() });
        }
        let feed = feed(Arc::clone(&self.queue), Arc::clone(peer));
        self.context.front.spawn(async move {
            tokio::select! {
                () = over.cancelled() => {}
                () = feed => {}
            }
        });
    }

    fn received(&self, peer: &Arc<Peer>, batch: &mut Vec<Body>) -> Option<Pressure> {
        // One that is refused may have spoken before it noticed; one that has left spoke while it had the place.
        if !self.is_held_by(peer) && !peer.has_left() {
            return None;
        }
        self.publisher.publish_batch(batch).pressure
    }

    fn subscription(&self, _peer: &Arc<Peer>, _change: SubscriptionChange, _prefix: Bytes) {}

    fn disconnected(&self, peer: &Arc<Peer>, _reason: &DisconnectReason) {
        if self.is_held_by(peer) {
            self.taken.lock().take();
        }
    }
}

/// What the other side says, on its way to this one's peer.
#[derive(Debug)]
pub(super) struct Handler(pub(super) Arc<Seat>);

impl InlineHandler for Handler {
    fn deliver(&self, delivery: Delivery<'_>) -> Option<Pressure> {
        let mut is_over = false;
        for body in delivery.bodies {
            is_over |= self.0.queue.offer(frames_of(body), |frames| self.0.give(frames));
        }
        is_over.then(|| {
            let queue = Arc::clone(&self.0.queue);
            Pressure::new(async move { queue.relieved().await })
        })
    }
}
