//! Conversations with a ROUTER agent: one DEALER connection per caller, no frame of ours.
//!
//! The agent's program sees exactly what it would have seen without us, `[identity, frames…]`, and may answer a request never, once or often, or
//! speak first. The connection closes with its caller, what the caller has sent before being written first; a caller without a connection here
//! (bus-native, or beyond this machine) gets one for a single answer, or for [`ANONYMOUS_IDLE`].
//!
//! An identity has one connection at a time: a ROUTER that meets a second one takes the first frame sent on it for a name and misreads the rest.
//! A caller that announces an identity in use waits, as if it had not connected yet, until the other one has gone, and then gets its connection
//! (see [`named`](super::named)), as does one that comes within [`IDENTITY_KEPT`].
//!
//! Bounds: [`SESSIONS_MAX`] connections per agent; what waits for a connection to open is bounded by [`WAITING_MAX`] messages and
//! [`WAITING_BYTES_MAX`] bytes each. What is beyond is refused and counted.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use hashbrown::HashMap;
use myelin_bus::wire::limits::QUEUE_BYTES_MAX;
use myelin_bus::{Pressure, ReplyTo};
use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::RouteContext;
use super::agents::Agents;
use super::fair_queue::CallerId;
use super::identities::Identities;
use super::named::Named;
use super::pool::ReplicaId;
use super::request::Request;
use super::session::Session;
use crate::front::{Endpoint, SocketType};

/// Connections to one agent; beyond it requests are refused and counted.
const SESSIONS_MAX: usize = 4096;

/// Messages one caller may send before its connection is open.
pub(super) const WAITING_MAX: usize = 1024;

/// Bytes of them; one message is always taken.
pub(super) const WAITING_BYTES_MAX: usize = QUEUE_BYTES_MAX;

/// How long the connection of a caller without one of its own stays open for an answer.
const ANONYMOUS_IDLE: Duration = Duration::from_secs(60);

/// How long what a caller sent may wait for the agent after the caller has gone: as long as the front gives a handshake.
const GONE_GRACE: Duration = Duration::from_secs(5);

/// How long the connection of a caller that has gone is kept for the next one with its identity: a client that closes its socket and opens another
/// comes at once, one that is started again within a second or so.
const IDENTITY_KEPT: Duration = Duration::from_secs(1);

/// How long an identity rests after its connection was closed: a ROUTER whose program is not busy has forgotten it by then.
const IDENTITY_REST: Duration = Duration::from_millis(500);

/// The sessions of one ROUTER agent. Dropping it closes them.
#[derive(Debug)]
pub(super) struct Sessions {
    shared: Arc<Shared>,
    /// Ends every session with the agent.
    _attached: DropGuard,
}

#[derive(Debug)]
struct Shared {
    context: RouteContext,
    agent: Endpoint,
    replica: ReplicaId,
    agents: Weak<Agents>,
    open: Mutex<HashMap<CallerId, Arc<Session>>>,
    identities: Identities,
    attached: CancellationToken,
}

impl Sessions {
    /// Of the agent at `agent`, which `agents` knows as `replica`.
    pub(super) fn new(context: RouteContext, agent: Endpoint, replica: ReplicaId, agents: Weak<Agents>) -> Self {
        let attached = CancellationToken::new();
        Self {
            shared: Arc::new(Shared {
                context,
                agent,
                replica,
                agents,
                open: Mutex::default(),
                identities: Identities::default(),
                attached: attached.clone(),
            }),
            _attached: attached.drop_guard(),
        }
    }

    /// Sends a request on its caller's connection, which it opens at the first.
    pub(super) fn send(&self, caller: CallerId, request: Request) -> Option<Pressure> {
        let mut open = self.shared.open.lock();
        if let Some(session) = open.get(&caller) {
            let session = Arc::clone(session);
            drop(open);
            return session.send(&request);
        }
        if open.len() >= SESSIONS_MAX {
            drop(open);
            self.shared.context.metrics.requests_refused.inc();
            self.shared.left(caller);
            return None;
        }
        let session = Arc::new(Session::new(self.shared.context.clone(), &request));
        open.insert(caller, Arc::clone(&session));
        drop(open);
        session.send(&request);
        let shared = Arc::clone(&self.shared);
        let over = session.over(request.reply.as_ref().and_then(ReplyTo::caller));
        self.shared.context.front.spawn(async move {
            shared.hold(&session, &over).await;
            shared.left(caller);
            shared.retire(session.identity()).await;
            // Only now, so that connections that are kept are counted.
            shared.open.lock().remove(&caller);
        });
        None
    }
}

impl Sessions {
    /// Replies that the agent owes to callers that still wait.
    pub(super) fn owed(&self) -> usize {
        self.shared.open.lock().values().map(|session| session.owed()).sum()
    }
}

impl Shared {
    fn left(&self, caller: CallerId) {
        if let Some(agents) = self.agents.upgrade() {
            agents.left(self.replica, caller);
        }
    }

    /// Keeps a session's connection for as long as it is wanted.
    async fn hold(&self, session: &Arc<Session>, over: &CancellationToken) {
        let given_up = async {
            ended(session, over).await;
            tokio::time::sleep(GONE_GRACE).await;
        };
        tokio::select! {
            () = self.attached.cancelled() => {}
            () = given_up => {}
            () = self.serve(session, over) => {}
        }
    }

    async fn serve(&self, session: &Arc<Session>, over: &CancellationToken) {
        let identity = session.identity();
        if identity.is_empty() {
            let connector = self.context.front.connect(&self.agent, SocketType::Dealer, Bytes::new(), session.clone());
            ended(session, over).await;
            // What was sent before the end is still meant: a caller may send and leave.
            session.handed_over().await;
            connector.close().await;
            return;
        }
        let mut turn = self.identities.turn(identity).await;
        let named = turn.get_or_insert_with(|| Named::open(&self.context, &self.agent, identity.clone()));
        let _seated = named.seat(session);
        ended(session, over).await;
        session.handed_over().await;
    }

    /// Closes the connection that a caller has left unless another takes it; then whoever did sees to it.
    async fn retire(&self, identity: &Bytes) {
        if identity.is_empty() {
            return;
        }
        let unused = async {
            tokio::time::sleep(IDENTITY_KEPT).await;
            let Some(mut turn) = self.identities.free_turn(identity) else { return };
            if let Some(named) = turn.take_if(|named| named.is_vacant_for(IDENTITY_KEPT)) {
                named.close().await;
                // Whoever comes now waits for the turn.
                tokio::time::sleep(IDENTITY_REST).await;
            }
        };
        tokio::select! {
            () = self.attached.cancelled() => {}
            () = unused => {}
        }
        self.identities.leave(identity);
    }
}

async fn ended(session: &Session, over: &CancellationToken) {
    if session.is_anonymous() {
        // Answered or not: there is nobody whose end would tell.
        drop(tokio::time::timeout(ANONYMOUS_IDLE, over.cancelled()).await);
    } else {
        over.cancelled().await;
    }
}
