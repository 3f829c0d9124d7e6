//! Accepts connections for one socket of a route.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, warn};

use super::bind::Bound;
use super::connection::{self, SocketContext};
use super::endpoint::Endpoint;
use super::establish::{EstablishError, Established, establish};
use super::http::Visitor;
use super::identities::{Claimed, Identities};
use super::source::Source;
use super::stream::Stream;
use super::{IdentityPolicy, Peer, Shared};
use crate::codec::{Handshake, Role, ServerSecurity, SocketType};
use crate::metrics::{HandshakeFailure, IdentityConflict};

/// Pause after a failed accept: out of file descriptors, it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A bound socket. Dropping it stops accepting and closes its peers.
#[derive(Debug)]
pub struct Listener {
    local: SocketAddr,
    stopped: CancellationToken,
    guard: DropGuard,
}

/// Why a socket could not be bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The host has no address.
    #[error("cannot resolve {endpoint}")]
    Resolve {
        /// What was asked for.
        endpoint: Endpoint,
        /// What the resolver said.
        #[source]
        source: io::Error,
    },
    /// Other machines could connect, and nobody would have to prove anything.
    #[error("{endpoint} can be reached from other machines and asks for no proof: set security.mechanism, or security.insecure = true")]
    Insecure {
        /// What was asked for.
        endpoint: Endpoint,
    },
    /// Somebody else has the port.
    #[error("{endpoint} is in use")]
    InUse {
        /// What was asked for.
        endpoint: Endpoint,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The system refused.
    #[error("cannot bind {endpoint}")]
    Bind {
        /// What was asked for.
        endpoint: Endpoint,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Listener {
    /// Where it listens; the port is the real one also when any free port was asked for. Loopback without a port for `ipc://`.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Stops accepting and closes the peers, each after it wrote its queue or the linger passed.
    pub fn close(self) -> impl Future<Output = ()> + Send + 'static {
        let stopped = self.stopped.clone();
        drop(self.guard);
        async move { stopped.cancelled().await }
    }
}

/// Starts the accept loop of a bound socket.
pub(super) fn spawn(shared: &Arc<Shared>, listener: Bound, context: SocketContext) -> io::Result<Listener> {
    let local = listener.local_addr()?;
    let token = shared.token.child_token();
    let stopped = CancellationToken::new();
    // Only a ROUTER addresses its peers by their identities.
    let policy = if context.socket == SocketType::Router { context.config.identity } else { IdentityPolicy::Share };
    let identities = Identities::new(policy);
    let acceptor = Acceptor { shared: Arc::clone(shared), context: Arc::new(context), identities, token: token.clone() };
    let done = stopped.clone().drop_guard();
    shared.tracker.spawn(async move {
        acceptor.run(listener).await;
        drop(done);
    });
    Ok(Listener { local, stopped, guard: token.drop_guard() })
}

#[derive(Clone)]
struct Acceptor {
    shared: Arc<Shared>,
    context: Arc<SocketContext>,
    identities: Arc<Identities>,
    token: CancellationToken,
}

impl Acceptor {
    async fn run(self, listener: Bound) {
        loop {
            let accepted = tokio::select! {
                () = self.token.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, remote)) => self.admit(stream, remote),
                Err(error) => {
                    warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, stream: Stream, remote: SocketAddr) {
        let source = Source::of(&stream, remote);
        let place = match self.shared.connections.accept(source, &self.context.tag.route) {
            Ok(place) => place,
            Err(error) => {
                self.context.metrics.connection_refused(error.0);
                self.context.peers.failed(&self.context.tag, remote.to_string(), error.to_string());
                debug!(%remote, %error, "refused");
                return;
            }
        };
        let ticket = self.shared.pending.admit(source);
        let this = self.clone();
        self.shared.tracker.spawn(async move {
            let Self { context, token, .. } = &this;
            let handshake = Handshake::accepted(context.socket, &context.config.security.listen, &context.tag.route);
            let established = tokio::select! {
                () = token.cancelled() => return,
                () = ticket.evicted.cancelled() => {
                    context.metrics.handshake_failed(HandshakeFailure::Evicted);
                    context.peers.failed(&context.tag, remote.to_string(), "too many pending handshakes, most of them from here".to_owned());
                    debug!(%remote, "dropped: pending_max reached and its source has most");
                    return;
                }
                established = establish(stream, Role::Accepted, handshake, context.config.handshake_timeout) => established,
            };
            drop(ticket);
            let established = match established {
                Err(EstablishError::Http { visitor, source }) => {
                    if this.answers_http(*visitor).await {
                        return;
                    }
                    Err(EstablishError::Handshake(source))
                }
                established => established,
            };
            match established {
                Ok(established) => this.serve(established).await,
                Err(error) => {
                    context.metrics.handshake_failed(error.failure());
                    context.peers.failed(&context.tag, remote.to_string(), super::chain(&error));
                    debug!(%remote, error = %super::chain(&error), "handshake failed");
                }
            }
            drop(place);
        });
    }

    /// Answers a health check. Where callers have to prove who they are it is told nothing.
    async fn answers_http(&self, visitor: Visitor) -> bool {
        let Self { context, token, .. } = self;
        if !matches!(context.config.security.listen, ServerSecurity::Null) {
            return false;
        }
        let answering = visitor.answer(&*context.handler, context.config.handshake_timeout);
        token.run_until_cancelled(answering).await.unwrap_or(false)
    }

    async fn serve(&self, established: Established) {
        let context = &self.context;
        let peer = Arc::new(Peer::new(&established, context, self.token.child_token()));
        let claimed = tokio::select! {
            () = self.token.cancelled() => return,
            claimed = self.identities.claim(&peer) => claimed,
        };
        let conflict = match claimed {
            Ok(Claimed::From(_)) => Some(IdentityConflict::HandedOver),
            Ok(Claimed::Free | Claimed::Alone(_)) => None,
            Err(_) => Some(IdentityConflict::Refused),
        };
        if let Some(outcome) = conflict {
            context.metrics.identity_conflict(outcome);
            warn!(remote = %peer.remote(), identity = ?peer.identity(), ?outcome, "a second connection announces this identity");
        }
        // Refused without a word: libzmq does not try again after an ERROR.
        let Ok(claimed) = claimed else {
            context.peers.failed(&context.tag, peer.remote().to_string(), "another connection has this identity".to_owned());
            return;
        };
        let _claim = claimed.into_claim();
        connection::run(established, &peer, context).await;
    }
}
