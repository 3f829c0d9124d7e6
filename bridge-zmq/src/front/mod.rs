//! The ZMTP front: real sockets around the [`codec`](crate::codec).
//!
//! The path of a message in: `conversation` waits for a batch, `intake` reads it, the codec slices it, [`PeerHandler::received`] takes it, all in the task of the
//! connection. The path out: [`Peer::send`] writes to the socket in the task of whoever has the message.
//!
//! Invariants:
//! - **One task per connection**, owned by the front's tracker and ended by its token.
//! - **Backpressure is not reading.** While a handler's pressure lasts, nothing is read from that peer, and its silence is not held against it.
//!   Its end is noticed all the same: it gives up its identity and what waits for it, and keeps its place until what it said is read.
//! - **Once each.** [`PeerHandler::disconnected`] follows every [`PeerHandler::connected`], also when the handler panics.

mod bind;
mod budget;
mod buffer;
mod config;
mod connection;
mod connections;
mod connector;
mod conversation;
mod endpoint;
mod establish;
mod heartbeat;
mod http;
mod identities;
mod intake;
mod listener;
mod peer;
mod peers;
mod pending;
mod reason;
mod secrets;
mod source;
mod spare;
mod stream;
mod tag;
mod traffic;
mod undelivered;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use myelin_bus::Pressure;
use myelin_bus::outlet::Budget as QueueBudget;
use myelin_bus::wire::Body;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::budget::Budget;
use self::connection::SocketContext;
use self::connections::Connections;
use self::peers::Peers;
use self::pending::Pending;
use self::tag::Tag;
use crate::metrics::Metrics;

pub use self::config::{FrontConfig, HeartbeatConfig, IdentityPolicy, ReconnectConfig, Security};
pub use self::connector::{Connector, ConnectorState};
pub use self::endpoint::{Endpoint, EndpointError, Host};
pub use self::http::HealthPage;
pub(crate) use self::http::response_len;
pub use self::listener::{BindError, Listener};
pub use self::peer::{Peer, PeerId, SubscriptionChange};
pub use self::peers::{FailedHandshake, PeerPage, PeerQuery, PeerStatus};
pub use self::reason::DisconnectReason;
pub use self::secrets::{SecretFileError, read_public, read_secrets};
pub use self::traffic::Passed;
pub use self::undelivered::Undelivered;
pub use crate::codec::curve::{Clients, CurveClient, CurveServer, KeyPair, PublicKey};
pub use crate::codec::{ClientSecurity, Login, Mechanism, SecretError, ServerSecurity, SocketType, Users};

/// What a route does with the peers of one of its sockets. All calls are inline on the peer's task: none may block.
pub trait PeerHandler: Send + Sync + 'static {
    /// The handshake is over. A SUB or XSUB of ours subscribes here, with [`Peer::subscribe`].
    fn connected(&self, peer: &Arc<Peer>);

    /// Every message of one read, in order; what the handler leaves in `batch` is dropped. While the returned pressure lasts, the peer is not
    /// read.
    fn received(&self, peer: &Arc<Peer>, batch: &mut Vec<Body>) -> Option<Pressure>;

    /// Asked before each read: while the returned pressure lasts, the peer is not read. For routes with many producers, each of which would else be
    /// read once more than there is room for.
    fn held_back(&self, peer: &Arc<Peer>) -> Option<Pressure> {
        let _ = peer;
        None
    }

    /// A peer of our PUB or XPUB subscribes or cancels, in whichever dialect.
    fn subscription(&self, peer: &Arc<Peer>, change: SubscriptionChange, prefix: Bytes);

    /// The peer answered a [`Peer::barrier`]. Only routes that set barriers care.
    fn pong(&self, peer: &Arc<Peer>, context: &Bytes) {
        let _ = (peer, context);
    }

    /// Somebody asks by HTTP, in `request_bytes` bytes, how the agent behind the socket is. What is not known is not answered.
    fn health_page(&self, request_bytes: usize) -> Option<HealthPage> {
        let _ = request_bytes;
        None
    }

    /// The connection is over; nothing follows for this peer.
    fn disconnected(&self, peer: &Arc<Peer>, reason: &DisconnectReason);
}

/// Listens and connects for the routes; owns every task and connection. Clones share them.
#[derive(Debug, Clone)]
pub struct Front {
    shared: Arc<Shared>,
    config: Arc<FrontConfig>,
    tag: Arc<Tag>,
}

#[derive(Debug)]
struct Shared {
    token: CancellationToken,
    tracker: TaskTracker,
    connections: Connections,
    pending: Pending,
    incomplete: Budget,
    queued: QueueBudget,
    peers: Arc<Peers>,
    metrics: Metrics,
}

impl Front {
    /// A front without sockets.
    #[must_use]
    pub fn new(config: FrontConfig, metrics: Metrics) -> Self {
        let tag = Arc::new(Tag::none(&metrics));
        let shared = Shared {
            token: CancellationToken::new(),
            tracker: TaskTracker::new(),
            connections: Connections::new(config.connections_max),
            pending: Pending::new(config.pending_max, metrics.handshakes_pending.clone()),
            incomplete: Budget::new(config.incomplete_bytes_max),
            queued: config.budget.clone(),
            peers: Arc::default(),
            metrics,
        };
        Self { shared: Arc::new(shared), config: Arc::new(config), tag }
    }

    /// The same front with other settings for the sockets opened through the returned handle: a route's own queue bounds or limits. The caps on
    /// connections, pending handshakes, incomplete messages and queued bytes stay those of the whole front.
    #[must_use]
    pub fn with_config(&self, config: FrontConfig) -> Self {
        Self { config: Arc::new(config), ..self.clone() }
    }

    /// The settings of sockets opened through this handle.
    #[must_use]
    pub fn config(&self) -> &FrontConfig {
        &self.config
    }

    /// The counters.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Binds an endpoint and serves whoever connects.
    ///
    /// # Errors
    /// When the endpoint cannot be resolved or bound, or other machines could reach it and nobody would have to prove anything; the error names it.
    ///
    /// # Cancel safety
    /// Dropping the future binds nothing.
    pub async fn listen(&self, endpoint: &Endpoint, socket: SocketType, handler: Arc<dyn PeerHandler>) -> Result<Listener, BindError> {
        let bound = bind::bind(endpoint, &self.config.security).await?;
        listener::spawn(&self.shared, bound, self.context(socket, handler))
            .map_err(|source| BindError::Bind { endpoint: endpoint.clone(), source })
    }

    /// Connects to an endpoint, and again whenever the connection is lost, until the connector is closed. `identity` is announced to the peer: at
    /// most 255 bytes, not starting with a zero byte; empty announces none.
    pub fn connect(&self, endpoint: &Endpoint, socket: SocketType, identity: Bytes, handler: Arc<dyn PeerHandler>) -> Connector {
        connector::spawn(&self.shared, endpoint.clone(), identity, self.context(socket, handler))
    }

    /// Closes every listener, connector and connection, and waits for them: at most the linger plus the time handlers take. Returns what could not
    /// be delivered, per route.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop the shutdown; [`undelivered`](Self::undelivered) tells what there is to tell by then.
    pub async fn shutdown(&self) -> Vec<Undelivered> {
        self.shutdown_within(self.config.linger).await
    }

    /// As [`shutdown`](Self::shutdown), with up to `limit` for peers that keep reading what waits for them; one that reads nothing for as long as the
    /// configured linger is closed then.
    ///
    /// # Cancel safety
    /// As [`shutdown`](Self::shutdown).
    pub async fn shutdown_within(&self, limit: Duration) -> Vec<Undelivered> {
        self.shared.peers.stop(Instant::now() + limit);
        self.shared.token.cancel();
        self.shared.tracker.close();
        self.shared.tracker.wait().await;
        self.undelivered()
    }

    /// Runs a task that belongs to the front until it ends or the front is shut down, which waits for it.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let token = self.shared.token.clone();
        self.shared.tracker.spawn(async move {
            tokio::select! {
                () = token.cancelled() => {}
                () = task => {}
            }
        });
    }

    fn context(&self, socket: SocketType, handler: Arc<dyn PeerHandler>) -> SocketContext {
        SocketContext {
            socket,
            handler,
            config: Arc::clone(&self.config),
            metrics: self.shared.metrics.clone(),
            incomplete: self.shared.incomplete.clone(),
            queued: self.shared.queued.clone(),
            peers: Arc::clone(&self.shared.peers),
            tag: Arc::clone(&self.tag),
        }
    }
}

/// An error with everything behind it, for a log line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
