//! Callers of other machines, as connections of this one.
//!
//! A request of a connection carries in a header which connection of which node it is, and its identity. The other side gives it a number of its
//! own, the same for each of its requests, and a token that is cancelled when the caller's node says that the connection has closed, or has gone
//! itself: so a ROUTER agent keeps one conversation per caller across machines, and nobody works for callers that have left.
//!
//! Bounds: [`CALLERS_MAX`] callers from elsewhere; the one known for longest is let go for another.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::announcement::NodeId;
use crate::{Caller, Meta};

/// What names the caller of a request: `<node> <connection> <request> x<identity in hex>`.
const HEADER: &str = "Myelin-Caller";

/// Most callers from elsewhere, as many as this machine may have connections of its own.
const CALLERS_MAX: usize = crate::wire::limits::CONNECTIONS_MAX;

/// Longest identity of a ZMTP peer.
const IDENTITY_BYTES_MAX: usize = 255;

/// Numbers of callers from elsewhere have this bit: connections of this process count from 1.
const ELSEWHERE: u64 = 1 << 62;

/// Connections of this machine whose requests went elsewhere: their end has to be told.
#[derive(Debug, Default)]
pub(super) struct Departed(Mutex<HashSet<u64>>);

/// Connections of other machines whose requests came here.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    known: Mutex<Known>,
    next: AtomicU64,
}

#[derive(Debug, Default)]
struct Known {
    callers: HashMap<(NodeId, u64), Local>,
    /// In the order in which they came; some have gone since.
    order: VecDeque<(NodeId, u64)>,
}

#[derive(Debug)]
struct Local {
    number: u64,
    gone: CancellationToken,
}

impl Departed {
    /// Notes a connection. Returns whether it is new.
    pub(super) fn add(&self, connection: u64) -> bool {
        self.0.lock().insert(connection)
    }

    pub(super) fn remove(&self, connection: u64) {
        self.0.lock().remove(&connection);
    }
}

impl Arrived {
    /// The caller that the headers of a request name, if they do, and its node and connection there.
    pub(super) fn caller(&self, headers: &[(Box<str>, Bytes)]) -> Option<Caller> {
        let (_, value) = headers.iter().find(|(name, _)| **name == *HEADER)?;
        let named = Named::parse(std::str::from_utf8(value).ok()?)?;
        let (number, gone) = self.local((named.node, named.connection));
        Some(Caller { connection: number, identity: named.identity, request: named.request, gone })
    }

    fn local(&self, caller: (NodeId, u64)) -> (u64, CancellationToken) {
        let mut known = self.known.lock();
        if let Some(local) = known.callers.get(&caller) {
            return (local.number, local.gone.clone());
        }
        let evicted = (known.callers.len() >= CALLERS_MAX).then(|| known.evict()).flatten();
        let local = Local { number: ELSEWHERE | self.next.fetch_add(1, Ordering::Relaxed), gone: CancellationToken::new() };
        let found = (local.number, local.gone.clone());
        known.callers.insert(caller, local);
        known.order.push_back(caller);
        known.forget_order_of_gone();
        drop(known);
        // Outside of the lock: whoever waits for it may come back here.
        if let Some(evicted) = evicted {
            evicted.gone.cancel();
        }
        found
    }

    /// A node says that connections of its have closed.
    pub(super) fn left(&self, node: NodeId, connections: &[u64]) {
        let gone: Vec<Local> = {
            let mut known = self.known.lock();
            connections.iter().filter_map(|connection| known.callers.remove(&(node, *connection))).collect()
        };
        gone.iter().for_each(|local| local.gone.cancel());
    }

    /// A node has gone, and all its connections with it.
    pub(super) fn node_gone(&self, node: NodeId) {
        let gone: Vec<Local> = self.known.lock().callers.extract_if(|(of, _), _| *of == node).map(|(_, local)| local).collect();
        gone.iter().for_each(|local| local.gone.cancel());
    }
}

impl Known {
    fn evict(&mut self) -> Option<Local> {
        while let Some(oldest) = self.order.pop_front() {
            if let Some(local) = self.callers.remove(&oldest) {
                return Some(local);
            }
        }
        None
    }

    /// Keeps the order from growing with callers that come and go.
    fn forget_order_of_gone(&mut self) {
        if self.order.len() > 2 * self.callers.len().max(64) {
            let Self { callers, order } = self;
            order.retain(|caller| callers.contains_key(caller));
        }
    }
}

/// The header of one request.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    node: NodeId,
    connection: u64,
    request: u64,
    identity: Bytes,
}

impl Named {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let node = NodeId::parse(parts.next()?)?;
        let connection = parts.next()?.parse().ok()?;
        let request = parts.next()?.parse().ok()?;
        let identity = from_hex(parts.next()?.strip_prefix('x')?)?;
        parts.next().is_none().then_some(Self { node, connection, request, identity })
    }
}

/// The facts about a request of `caller`, with the header that names it.
pub(super) fn with_caller(meta: Option<&Meta>, node: NodeId, caller: &Caller) -> Meta {
    let mut meta = meta.cloned().unwrap_or_default();
    let identity: String = caller.identity.iter().map(|byte| format!("{byte:02x}")).collect();
    // A blank at the end would not arrive.
    let value = format!("{node} {} {} x{identity}", caller.connection, caller.request);
    meta.headers.push((HEADER.into(), value.into()));
    meta
}

/// Whether something names the caller of a request.
pub(super) fn is_named(meta: &Meta) -> bool {
    meta.headers.iter().any(|(name, _)| **name == *HEADER)
}

/// The facts about a request without what was added to them on the way; nothing if there were no others.
pub(super) fn without_caller(meta: Option<&Meta>) -> Option<Meta> {
    let mut meta = meta.cloned()?;
    meta.headers.retain(|(name, _)| **name != *HEADER);
    (meta != Meta::default()).then_some(meta)
}

fn from_hex(text: &str) -> Option<Bytes> {
    if text.len() > 2 * IDENTITY_BYTES_MAX || !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn caller(connection: u64, identity: &[u8]) -> Caller {
        Caller { connection, identity: Bytes::copy_from_slice(identity), request: 3, gone: CancellationToken::new() }
    }

    #[test]
    fn a_caller_keeps_its_number_until_it_leaves() {
        let (arrived, node) = (Arrived::default(), NodeId::random());
        let there = caller(7, b"\x00agent\xff");
        let meta = with_caller(None, node, &there);
        let here = arrived.caller(&meta.headers).expect("named");
        assert_eq!((here.identity.clone(), here.request), (there.identity.clone(), 3));
        assert_eq!(arrived.caller(&meta.headers).expect("named").connection, here.connection);
        let nameless = with_caller(None, node, &caller(8, b""));
        assert_eq!(nameless.headers[0].1.trim_ascii(), &nameless.headers[0].1[..], "a header loses its blanks on the way");
        assert_ne!(arrived.caller(&nameless.headers).expect("named").connection, here.connection);
        assert_ne!(arrived.caller(&with_caller(None, NodeId::random(), &there).headers).expect("named").connection, here.connection);

        arrived.left(node, &[9, 7]);
        assert!(here.gone.is_cancelled());
        let again = arrived.caller(&meta.headers).expect("named");
        assert!(!again.gone.is_cancelled() && again.connection != here.connection, "a number is not used twice");
        arrived.node_gone(node);
        assert!(again.gone.is_cancelled());
        assert_eq!(without_caller(Some(&meta)), None, "nothing of it is left for the agent");
    }

    #[test]
    fn callers_are_bounded() {
        let (arrived, node) = (Arrived::default(), NodeId::random());
        let first = arrived.local((node, 0)).1;
        for connection in 1..=CALLERS_MAX as u64 {
            arrived.local((node, connection));
        }
        assert!(first.is_cancelled(), "the oldest had to go");
        assert_eq!(arrived.known.lock().callers.len(), CALLERS_MAX);
        for connection in 0..10 * CALLERS_MAX as u64 {
            arrived.local((node, connection));
            arrived.left(node, &[connection]);
        }
        assert!(arrived.known.lock().order.len() <= 2 * CALLERS_MAX + 1, "{}", arrived.known.lock().order.len());
    }

    proptest! {
        #[test]
        fn any_header_is_read_or_left_out(text in "[0-9a-f ]{0,60}|[0-9a-f]{16} [0-9]{1,3} [0-9]{1,3} x[0-9a-f]{0,20}|\\PC{0,60}") {
            let _either = Named::parse(&text);
        }
    }
}
