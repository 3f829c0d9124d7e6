//! A connection that announces an identity, and is handed from caller to caller.
//!
//! A ROUTER of libzmq forgets a closed connection in several steps: its I/O thread sees the end and tells the program's thread, which asks back and
//! is answered. The program's thread takes part only when the program calls into its socket, so a busy program keeps a name for as long as it
//! works. A successor that announces the name meanwhile is ignored for good, and nothing tells it so. The same connection serves the successor
//! instead: the ROUTER, which addresses names, sees no difference to a successor that it has let in.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use myelin_bus::Pressure;
use myelin_bus::wire::Body;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::super::RouteContext;
use super::session::Session;
use crate::front::{Connector, DisconnectReason, Endpoint, Peer, PeerHandler, SocketType, SubscriptionChange};

/// One such connection. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Named {
    connector: Connector,
    seat: Arc<Seat>,
}

/// The place of the caller whose turn it is, until it is dropped.
#[derive(Debug)]
pub(super) struct Seated(Arc<Seat>);

#[derive(Debug)]
struct Seat(Mutex<State>);

/// Lock order: this one first, then whatever a session or an outlet locks.
#[derive(Debug)]
struct State {
    session: Option<Arc<Session>>,
    peer: Option<Arc<Peer>>,
    /// Since when there is no session.
    vacant: Instant,
}

impl Named {
    /// Opens the connection to the agent at `agent`.
    pub(super) fn open(context: &RouteContext, agent: &Endpoint, identity: Bytes) -> Self {
        let seat = Arc::new(Seat(Mutex::new(State { session: None, peer: None, vacant: Instant::now() })));
        let connector = context.front.connect(agent, SocketType::Dealer, identity, seat.clone());
        Self { connector, seat }
    }

    /// Gives the connection to `session`: what it has to say follows what its predecessors said, and what the agent says from here on is for it.
    pub(super) fn seat(&self, session: &Arc<Session>) -> Seated {
        let mut state = self.seat.0.lock();
        state.session = Some(Arc::clone(session));
        if let Some(peer) = &state.peer {
            session.connected(peer);
        }
        drop(state);
        Seated(Arc::clone(&self.seat))
    }

    /// Whether nobody has had it for at least `span`.
    pub(super) fn is_vacant_for(&self, span: Duration) -> bool {
        let state = self.seat.0.lock();
        state.session.is_none() && state.vacant.elapsed() >= span
    }

    /// Closes the connection once everything is written, or the linger has passed.
    pub(super) async fn close(self) {
        self.connector.close().await;
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        state.vacant = Instant::now();
        // Outside the lock: it may be the last reference.
        let left = state.session.take();
        drop(state);
        drop(left);
    }
}

impl PeerHandler for Seat {
    fn connected(&self, peer: &Arc<Peer>) {
        let mut state = self.0.lock();
        state.peer = Some(Arc::clone(peer));
        if let Some(session) = &state.session {
            session.connected(peer);
        }
    }

    fn received(&self, peer: &Arc<Peer>, batch: &mut Vec<Body>) -> Option<Pressure> {
        // What comes for nobody goes nowhere, as it would at a ROUTER that had noticed.
        let session = self.0.lock().session.clone();
        session.and_then(|session| session.received(peer, batch))
    }

    fn subscription(&self, _peer: &Arc<Peer>, _change: SubscriptionChange, _prefix: Bytes) {}

    fn disconnected(&self, peer: &Arc<Peer>, reason: &DisconnectReason) {
        let mut state = self.0.lock();
        state.peer = None;
        if let Some(session) = &state.session {
            session.disconnected(peer, reason);
        }
    }
}
