//! Who may be in a handshake when there are too many: the fullest source makes room.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use tokio_util::sync::CancellationToken;

use super::source::Source;

/// The connections in their handshake.
///
/// A newcomer is always admitted. At the bound it displaces the oldest pending connection of the source that has most of them: a healthy
/// handshake is over in milliseconds, so the oldest of the fullest source is a silent one.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    state: Arc<Mutex<State>>,
    gauge: Gauge,
}

/// The place of one connection; dropped when its handshake is over.
#[derive(Debug)]
pub(super) struct Ticket {
    pending: Pending,
    source: Source,
    id: u64,
    pub(super) evicted: CancellationToken,
}

#[derive(Debug)]
struct State {
    max: usize,
    total: usize,
    next: u64,
    /// Oldest first, so ids ascend.
    sources: HashMap<Source, VecDeque<(u64, CancellationToken)>>,
}

impl Pending {
    pub(super) fn new(max: usize, gauge: Gauge) -> Self {
        let state = State { max: max.max(1), total: 0, next: 0, sources: HashMap::new() };
        Self { state: Arc::new(Mutex::new(state)), gauge }
    }

    pub(super) fn admit(&self, source: Source) -> Ticket {
        let evicted = CancellationToken::new();
        let (id, victim) = self.state.lock().admit(source, evicted.clone());
        self.gauge.inc();
        if let Some(victim) = victim {
            victim.cancel();
        }
        Ticket { pending: self.clone(), source, id, evicted }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.pending.gauge.dec();
        self.pending.state.lock().remove(self.source, self.id);
    }
}

impl State {
    fn admit(&mut self, source: Source, token: CancellationToken) -> (u64, Option<CancellationToken>) {
        let victim = if self.total >= self.max { self.evict() } else { None };
        let id = self.next;
        self.next += 1;
        self.total += 1;
        self.sources.entry(source).or_default().push_back((id, token));
        (id, victim)
    }

    fn evict(&mut self) -> Option<CancellationToken> {
        let fullest = *self.sources.iter().max_by_key(|(_, queue)| queue.len())?.0;
        let (id, token) = self.sources.get(&fullest)?.front()?.clone();
        self.remove(fullest, id);
        Some(token)
    }

    fn remove(&mut self, source: Source, id: u64) {
        let Some(queue) = self.sources.get_mut(&source) else { return };
        if let Ok(at) = queue.binary_search_by_key(&id, |(id, _)| *id) {
            queue.remove(at);
            self.total -= 1;
        }
        if queue.is_empty() {
            self.sources.remove(&source);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn source(last: u8) -> Source {
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)).into()
    }

    #[test]
    fn the_oldest_of_the_fullest_source_makes_room() {
        let pending = Pending::new(4, Gauge::default());
        let hoard: Vec<_> = (0..3).map(|_| pending.admit(source(1))).collect();
        let modest = pending.admit(source(2));
        let newcomer = pending.admit(source(3));
        assert!(hoard[0].evicted.is_cancelled());
        assert!(!hoard[1].evicted.is_cancelled());
        assert!(!modest.evicted.is_cancelled());
        assert!(!newcomer.evicted.is_cancelled());
    }

    #[test]
    fn a_finished_handshake_frees_its_place() {
        let pending = Pending::new(2, Gauge::default());
        let first = pending.admit(source(1));
        drop(pending.admit(source(1)));
        let second = pending.admit(source(1));
        assert!(!first.evicted.is_cancelled());
        let third = pending.admit(source(1));
        assert!(first.evicted.is_cancelled());
        drop(first);
        drop((second, third));
        assert!(pending.state.lock().sources.is_empty());
        assert_eq!(pending.state.lock().total, 0);
        assert_eq!(pending.gauge.get(), 0);
    }
}
