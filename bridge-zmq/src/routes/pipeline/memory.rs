//! A pipeline whose messages wait in memory, and go with the process or with the consumer that had them.
//!
//! The path of a message: `Producers::received` → `Publisher::publish_batch` (bus) → `Consumers` as the subject's handler → the outlet of a
//! consumer with room, in turn; or, if none has room, the route's queue, from which each consumer's own task takes as room appears.
//!
//! Invariants:
//! - **Producers are held back, nothing is dropped** while both ends live: a full queue stops the reading of the producers' sockets, as a libzmq
//!   PUSH without room would block.
//! - **Order** of one producer is kept as far as the first consumer that takes each message.
//! - What is in the queue or in a consumer's outlet is lost with the process or that consumer, and counted.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use myelin_bus::wire::{Body, Frames};
use myelin_bus::{Delivery, InlineHandler, Pressure, Publisher};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::super::service::QueueBounds;
use super::super::work_queue::{WorkQueue, feed};
use super::super::{RouteContext, frames_of};
use crate::front::{DisconnectReason, Peer, PeerHandler, SubscriptionChange};

/// The producers' side.
#[derive(Debug)]
pub(super) struct Producers {
    pub(super) publisher: Publisher,
    /// Where what they send waits; `None` where it may as well go to another machine, whose consumers have room when ours have none.
    pub(super) queue: Option<Arc<WorkQueue>>,
}

impl PeerHandler for Producers {
    fn connected(&self, _peer: &Arc<Peer>) {}

    fn received(&self, _peer: &Arc<Peer>, batch: &mut Vec<Body>) -> Option<Pressure> {
        self.publisher.publish_batch(batch).pressure
    }

    fn held_back(&self, _peer: &Arc<Peer>) -> Option<Pressure> {
        self.queue.as_ref().filter(|queue| queue.is_over()).map(pressure_of)
    }

    fn subscription(&self, _peer: &Arc<Peer>, _change: SubscriptionChange, _prefix: Bytes) {}

    fn disconnected(&self, _peer: &Arc<Peer>, _reason: &DisconnectReason) {}
}

/// The consumers' side.
#[derive(Debug)]
pub(super) struct Consumers {
    context: RouteContext,
    pub(super) queue: Arc<WorkQueue>,
    peers: Mutex<Peers>,
}

#[derive(Debug, Default)]
struct Peers {
    /// In turn order; the next to be offered a message is in front.
    turn: VecDeque<Arc<Peer>>,
    tasks: HashMap<u64, CancellationToken>,
}

impl Consumers {
    pub(super) fn new(context: &RouteContext, waiting: QueueBounds) -> Self {
        Self { context: context.clone(), queue: Arc::new(WorkQueue::new(waiting)), peers: Mutex::default() }
    }

    /// Gives a message to the next consumer with room, or back.
    fn offer(&self, frames: Frames) -> Result<(), Frames> {
        let mut peers = self.peers.lock();
        for _ in 0..peers.turn.len() {
            peers.turn.rotate_left(1);
            let peer = peers.turn.back().expect("the loop runs once per peer");
            if peer.outlet().has_room() {
                // Taken by nobody if its connection has just ended: then it is the next one's.
                if peer.send(&frames).accepted > 0 {
                    return Ok(());
                }
            }
        }
        Err(frames)
    }
}

/// The bus side of `Consumers`.
#[derive(Debug)]
pub(super) struct Handler(pub(super) Arc<Consumers>);

impl InlineHandler for Handler {
    fn deliver(&self, delivery: Delivery<'_>) -> Option<Pressure> {
        let mut is_over = false;
        for body in delivery.bodies {
            is_over |= self.0.queue.offer(frames_of(body), |frames| self.0.offer(frames));
        }
        is_over.then(|| pressure_of(&self.0.queue))
    }

    fn load(&self) -> usize {
        // Where nobody consumes, messages only wait: the last choice.
        if self.0.peers.lock().turn.is_empty() { usize::MAX - 1 } else { self.0.queue.len() }
    }
}

fn pressure_of(queue: &Arc<WorkQueue>) -> Pressure {
    let queue = Arc::clone(queue);
    Pressure::new(async move { queue.relieved().await })
}

impl PeerHandler for Consumers {
    fn connected(&self, peer: &Arc<Peer>) {
        let token = CancellationToken::new();
        {
            let mut peers = self.peers.lock();
            peers.turn.push_back(Arc::clone(peer));
            peers.tasks.insert(peer.id().get(), token.clone());
        }
        let feed = feed(Arc::clone(&self.queue), Arc::clone(peer));
        self.context.front.spawn(async move {
            tokio::select! {
                () = token.cancelled() => {}
                () = feed => {}
            }
        });
    }

    fn received(&self, _peer: &Arc<Peer>, _batch: &mut Vec<Body>) -> Option<Pressure> {
        None
    }

    fn subscription(&self, _peer: &Arc<Peer>, _change: SubscriptionChange, _prefix: Bytes) {}

    fn disconnected(&self, peer: &Arc<Peer>, _reason: &DisconnectReason) {
        let mut peers = self.peers.lock();
        peers.turn.retain(|other| other.id() != peer.id());
        if let Some(task) = peers.tasks.remove(&peer.id().get()) {
            task.cancel();
        }
    }
}
