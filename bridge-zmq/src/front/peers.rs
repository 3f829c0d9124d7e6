//! Who is connected, who failed to, and what the departed left unread: for an operator to look at. Nothing is decided by it.
//!
//! Bounds: one entry per connection, weakly held; the last [`FAILURES_MAX`] failed handshakes; one sum per route.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use myelin_bus::outlet::Queued;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::tag::Tag;
use super::traffic::Passed;
use super::undelivered::{Sums, Undelivered};
use super::{Front, Peer, PeerId, SocketType};

/// Failed handshakes that are remembered: enough to see who knocks, at a few hundred bytes each.
const FAILURES_MAX: usize = 100;

/// Which peers to list.
#[derive(Debug, Clone, Default)]
pub struct PeerQuery {
    /// Only those of this route.
    pub route: Option<String>,
    /// Only connections after this one, for the next page; 0 for the first.
    pub after: u64,
    /// At most this many.
    pub limit: usize,
}

/// A part of the list of peers, oldest connection first.
#[derive(Debug, Clone)]
pub struct PeerPage {
    /// The peers.
    pub peers: Vec<PeerStatus>,
    /// What to ask [`after`](PeerQuery::after) for the rest; `None` when there is none.
    pub next: Option<u64>,
}

/// One established connection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PeerStatus {
    /// The number of the connection, unique in the process.
    pub id: u64,
    /// The route its socket belongs to, and the side of it.
    pub route: Arc<str>,
    /// The side of the route.
    pub side: &'static str,
    /// What we are to it.
    pub ours: SocketType,
    /// What it is.
    pub socket_type: SocketType,
    /// The security mechanism of the connection.
    pub mechanism: &'static str,
    /// What it calls itself; empty when it does not.
    pub identity: Bytes,
    /// Its address.
    pub remote: String,
    /// When the handshake was over.
    pub since: SystemTime,
    /// How long nothing came from it.
    pub silent: Duration,
    /// Whether it has left: it was held back, and what it said before it closed the connection is still to be read.
    pub has_left: bool,
    /// What waits for it to read.
    pub queued: Queued,
    /// Messages that were dropped instead of reaching it.
    pub dropped: u64,
    /// Whether its route serves it at most once although it promises more, see [`Peer::is_at_most_once`].
    pub is_at_most_once: bool,
    /// What came from it.
    pub received: Passed,
    /// What was queued for it.
    pub sent: Passed,
}

/// A connection that did not become a session.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FailedHandshake {
    /// When it failed.
    pub at: SystemTime,
    /// The route whose socket it was.
    pub route: Arc<str>,
    /// The side of the route.
    pub side: &'static str,
    /// Who it was: an address, or the endpoint that we tried.
    pub remote: String,
    /// What went wrong.
    pub reason: String,
}

/// All of it, for one front.
#[derive(Debug, Default)]
pub(super) struct Peers {
    live: Mutex<BTreeMap<u64, Weak<Peer>>>,
    failures: Mutex<VecDeque<FailedHandshake>>,
    /// When what the peers have not read by then is given up; set when the front shuts down.
    stop_by: OnceLock<Instant>,
    undelivered: Mutex<Sums>,
}

impl Peers {
    pub(super) fn enter(&self, peer: &Arc<Peer>) {
        self.live.lock().insert(peer.id().get(), Arc::downgrade(peer));
    }

    /// Takes a peer off the list, once its outlet is closed.
    pub(super) fn leave(&self, peer: &Peer) {
        self.live.lock().remove(&peer.id().get());
        if self.stop_by.get().is_some() {
            self.undelivered.lock().add(&peer.tag.route, peer.outlet().unwritten());
        }
    }

    /// From here on, peers have until `by` to read, and what leaving ones did not read is summed up. The first call counts.
    pub(super) fn stop(&self, by: Instant) {
        self.stop_by.get_or_init(|| by);
    }

    /// Until when a connection that closes now may write: for `linger`, or as long as there is when everything closes.
    pub(super) fn linger_until(&self, linger: Duration) -> Instant {
        self.stop_by.get().copied().unwrap_or_else(|| Instant::now() + linger)
    }

    pub(super) fn failed(&self, tag: &Tag, remote: String, reason: String) {
        let failure = FailedHandshake { at: SystemTime::now(), route: Arc::clone(&tag.route), side: tag.side, remote, reason };
        let mut failures = self.failures.lock();
        if failures.len() == FAILURES_MAX {
            failures.pop_front();
        }
        failures.push_back(failure);
    }

    fn page(&self, query: &PeerQuery) -> (Vec<Arc<Peer>>, Option<u64>) {
        let live = self.live.lock();
        let from = (Bound::Excluded(query.after), Bound::Unbounded);
        let wanted = |peer: &Arc<Peer>| query.route.as_ref().is_none_or(|route| **route == *peer.tag.route);
        let mut matching = live.range(from).filter_map(|(_, peer)| peer.upgrade()).filter(wanted);
        let peers: Vec<_> = matching.by_ref().take(query.limit).collect();
        let next = matching.next().and_then(|_| peers.last()).map(|last| last.id().get());
        (peers, next)
    }
}

impl Front {
    /// The connections of now, over all listeners and connectors.
    #[must_use]
    pub fn peers(&self, query: &PeerQuery) -> PeerPage {
        let (peers, next) = self.shared.peers.page(query);
        let now = Instant::now();
        PeerPage { peers: peers.iter().map(|peer| peer.status(now)).collect(), next }
    }

    /// How long nothing has come over a connection; `None` when it has closed.
    #[must_use]
    pub fn silence_of(&self, peer: PeerId) -> Option<Duration> {
        let peer = self.shared.peers.live.lock().get(&peer.get()).and_then(Weak::upgrade)?;
        Some(peer.traffic.idle(Instant::now()))
    }

    /// The last 100 connections that did not become a session, oldest first.
    #[must_use]
    pub fn handshake_failures(&self) -> Vec<FailedHandshake> {
        self.shared.peers.failures.lock().iter().cloned().collect()
    }

    /// What [`shutdown`](Self::shutdown) could not deliver so far: what waited for the peers that have left since it began, and what still waits
    /// for the others.
    #[must_use]
    pub fn undelivered(&self) -> Vec<Undelivered> {
        let peers = &self.shared.peers;
        let mut sums = peers.undelivered.lock().clone();
        let live: Vec<_> = peers.live.lock().values().filter_map(Weak::upgrade).collect();
        for peer in live {
            sums.add(&peer.tag.route, peer.outlet().queued());
        }
        sums.into_list()
    }
}

impl Peer {
    fn status(&self, now: Instant) -> PeerStatus {
        PeerStatus {
            id: self.id().get(),
            route: Arc::clone(&self.tag.route),
            side: self.tag.side,
            ours: self.ours,
            socket_type: self.socket_type(),
            mechanism: self.mechanism(),
            identity: self.identity().clone(),
            remote: self.remote().to_string(),
            since: self.traffic.since,
            silent: self.traffic.idle(now),
            has_left: self.has_left(),
            queued: self.outlet().queued(),
            dropped: self.outlet().dropped(),
            is_at_most_once: self.is_at_most_once(),
            received: self.traffic.received(),
            sent: self.traffic.sent(),
        }
    }
}
