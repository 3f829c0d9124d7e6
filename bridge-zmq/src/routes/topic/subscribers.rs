//! Who gets which message: the subscribers of a topic and their prefixes, and the way of a batch to their outlets.

use std::sync::Arc;

use hashbrown::HashMap;
use myelin_bus::wire::{Body, Frames};
use myelin_bus::{Delivery, InlineHandler, Pressure};
use parking_lot::RwLock;

use super::super::frames_of;
use super::prefixes::Prefixes;
use crate::front::Peer;

/// The connected subscribers.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    table: RwLock<Table>,
}

#[derive(Debug, Default)]
struct Table {
    peers: HashMap<u64, Arc<Peer>>,
    prefixes: Prefixes<u64>,
}

/// What a change left behind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Changed {
    /// Whether a bound refused the subscription.
    pub(super) is_refused: bool,
    /// Whether anybody has subscribed to anything now.
    pub(super) is_wanted: bool,
}

impl Subscribers {
    pub(super) fn len(&self) -> usize {
        self.table.read().peers.len()
    }

    pub(super) fn add(&self, peer: &Arc<Peer>) {
        self.table.write().peers.insert(peer.id().get(), Arc::clone(peer));
    }

    pub(super) fn subscribe(&self, peer: &Peer, prefix: &[u8]) -> Changed {
        let mut table = self.table.write();
        let is_refused = !table.prefixes.subscribe(peer.id().get(), prefix);
        Changed { is_refused, is_wanted: table.prefixes.is_any() }
    }

    pub(super) fn cancel(&self, peer: &Peer, prefix: &[u8]) -> Changed {
        let mut table = self.table.write();
        table.prefixes.cancel(peer.id().get(), prefix);
        Changed { is_refused: false, is_wanted: table.prefixes.is_any() }
    }

    pub(super) fn remove(&self, peer: &Peer) -> Changed {
        let mut table = self.table.write();
        let left = table.peers.remove(&peer.id().get());
        table.prefixes.remove(peer.id().get());
        let changed = Changed { is_refused: false, is_wanted: table.prefixes.is_any() };
        drop(table);
        drop(left);
        changed
    }

    fn deliver(&self, bodies: &[Body]) -> Option<Pressure> {
        let framed: Vec<Frames>;
        // One allocation for the batch: a filtered iterator tells no length, and the list would be moved each time it doubles.
        let mut messages: Vec<&Frames> = Vec::with_capacity(bodies.len());
        // Only what comes from bus-native publishers has to be framed; the usual batch is borrowed as it is.
        if bodies.iter().all(|body| matches!(body, Body::Frames(_))) {
            messages.extend(bodies.iter().filter_map(as_frames));
        } else {
            framed = bodies.iter().map(frames_of).collect();
            messages.extend(&framed);
        }
        let mut over = Vec::new();
        let table = self.table.read();
        for id in table.prefixes.everything() {
            if let Some(peer) = table.peers.get(&id) {
                send(peer, messages.iter().copied(), &mut over);
            }
        }
        if table.prefixes.has_filters() {
            Self::deliver_filtered(&table, &messages, &mut over);
        }
        drop(table);
        relief(over)
    }

    fn deliver_filtered(table: &Table, messages: &[&Frames], over: &mut Vec<Arc<Peer>>) {
        let mut wanted: Vec<(u64, usize)> = Vec::new();
        for (index, message) in messages.iter().enumerate() {
            table.prefixes.matching(first_frame(message.packed()), |id| wanted.push((id, index)));
        }
        wanted.sort_unstable();
        wanted.dedup();
        for of_one in wanted.chunk_by(|a, b| a.0 == b.0) {
            if let Some(peer) = table.peers.get(&of_one[0].0) {
                send(peer, of_one.iter().map(|(_, index)| messages[*index]), over);
            }
        }
    }
}

/// The bus side of [`Subscribers`].
#[derive(Debug)]
pub(super) struct Handler(pub(super) Arc<Subscribers>);

impl InlineHandler for Handler {
    fn deliver(&self, delivery: Delivery<'_>) -> Option<Pressure> {
        self.0.deliver(delivery.bodies)
    }
}

fn send<'a>(peer: &Arc<Peer>, messages: impl Iterator<Item = &'a Frames>, over: &mut Vec<Arc<Peer>>) {
    if peer.send_batch(messages).over {
        over.push(Arc::clone(peer));
    }
}

/// What a publisher waits for: room at every subscriber that holds it back.
fn relief(over: Vec<Arc<Peer>>) -> Option<Pressure> {
    if over.is_empty() {
        return None;
    }
    Some(Pressure::new(async move {
        for peer in over {
            peer.outlet().relieved().await;
        }
    }))
}

fn as_frames(body: &Body) -> Option<&Frames> {
    match body {
        Body::Frames(frames) => Some(frames),
        Body::Blob(_) => None,
    }
}

/// The first frame of a packed message: what prefixes are compared with.
fn first_frame(packed: &[u8]) -> &[u8] {
    let (header, len) = match packed {
        [flags, len, ..] if flags & 2 == 0 => (2, usize::from(*len)),
        [_, a, b, c, d, e, f, g, h, ..] => (9, usize::try_from(u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h])).unwrap_or(0)),
        _ => (0, 0),
    };
    packed.get(header..header + len).unwrap_or_default()
}
