//! What a shutdown could not deliver, per route.

use std::collections::BTreeMap;
use std::sync::Arc;

use myelin_bus::outlet::Queued;

/// Messages that were queued for the peers of one route and never reached their sockets. What a peer's own system had taken counts as delivered;
/// messages that were just being written count as not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    /// The route.
    pub route: Arc<str>,
    /// Peers that left something unread.
    pub peers: usize,
    /// Messages that waited for them.
    pub messages: usize,
    /// Bytes of these messages on the wire.
    pub bytes: usize,
}

/// The sum per route; at most one entry for each.
#[derive(Debug, Clone, Default)]
pub(super) struct Sums(BTreeMap<Arc<str>, Undelivered>);

impl Sums {
    pub(super) fn add(&mut self, route: &Arc<str>, left: Queued) {
        if left.messages == 0 {
            return;
        }
        let empty = || Undelivered { route: Arc::clone(route), peers: 0, messages: 0, bytes: 0 };
        let sum = self.0.entry(Arc::clone(route)).or_insert_with(empty);
        sum.peers += 1;
        sum.messages += left.messages;
        sum.bytes += left.bytes;
    }

    pub(super) fn into_list(self) -> Vec<Undelivered> {
        self.0.into_values().collect()
    }
}
