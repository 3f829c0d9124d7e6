//! A listener that speaks the NATS client protocol, so that any NATS client reaches an embedded bus.
//!
//! The hot path, in four hops: `connection` reads → `session` groups consecutive publishes to one subject → the bus finds the receivers →
//! `delivery` writes `MSG` into the outlet of each.
//!
//! Cost of one small message from client to client: its bytes are sliced out of the read buffer, copied once into the receiver's outlet, and
//! written together with the rest of the read. Per read batch: one lock and one `write` per receiver, no task switch.
//!
//! What it is **not**: a server for JetStream, accounts, authentication or TLS; it listens on loopback unless told otherwise.
//!
//! Differences from nats-server, on purpose:
//! - a malformed operation is answered with `-ERR` before the connection closes, always;
//! - subjects and queue groups are at most 255 bytes, and a publish to a subject with wildcards reaches nobody;
//! - a slow consumer is told `-ERR 'Slow Consumer'` at the end of the last whole message, and has a moment to read it.
//!
//! Limits: see [`ListenerConfig`].

mod client;
mod config;
mod connection;
mod delivery;
mod liveness;
mod metrics;
mod origin;
mod protocol;
mod session;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use self::client::Client;
pub use self::config::ListenerConfig;
use self::connection::Connection;
pub use self::metrics::ListenerMetrics;
use self::protocol::{Info, error_line};
use self::session::Session;
use crate::Bus;

/// How long accepting rests after it failed, which it does when the process is out of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Connections beyond the maximum that are told so at a time; the rest is closed without a word.
const REFUSALS_MAX: usize = 64;

/// How long a refused connection may take to read why.
const REFUSAL_TIME: Duration = Duration::from_secs(1);

/// A listener for NATS clients. Dropping it closes it and every connection at once.
pub struct Listener {
    address: SocketAddr,
    accepting: CancellationToken,
    draining: CancellationToken,
    tracker: TaskTracker,
    _closing: DropGuard,
}

/// Why a listener does not listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Somebody else listens there.
    #[error("nats listener: {address} is already in use")]
    InUse {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("nats listener: cannot listen on {address}")]
    Unavailable {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says about it.
        #[source]
        source: io::Error,
    },
}

impl BindError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::InUse { .. })
    }

    /// Whether a listener may exist all the same: never.
    pub fn may_have_happened(&self) -> bool {
        false
    }
}

impl Listener {
    /// Listens for NATS clients of `bus`.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn bind(bus: Bus, config: ListenerConfig) -> Result<Self, BindError> {
        let wanted = config.address;
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { address: wanted },
            _ => BindError::Unavailable { address: wanted, source },
        };
        let socket = TcpListener::bind(wanted).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let (accepting, draining, closing) = (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let tracker = TaskTracker::new();
        let acceptor = Acceptor {
            bus,
            address,
            server_id: server_id(),
            connections: Arc::new(Semaphore::new(config.connections_max)),
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
            config: Arc::new(config),
            draining: draining.clone(),
            closing: closing.clone(),
            tracker: tracker.clone(),
            clients: AtomicU64::new(0),
        };
        let accepting_ends = accepting.clone().cancelled_owned();
        let closing_begins = closing.clone().cancelled_owned();
        tracker.spawn(async move {
            tokio::select! {
                () = acceptor.accept(socket) => {}
                () = accepting_ends => {}
                () = closing_begins => {}
            }
        });
        Ok(Self { address, accepting, draining, tracker, _closing: closing.drop_guard() })
    }

    /// Where it listens; the port is the real one, also when 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Ends in order: no new connections; clients are told to go elsewhere, get what waits for them and are closed. What is not done by the
    /// deadline is cut. Returns whether everything was done.
    ///
    /// # Cancel safety
    /// Dropping the future closes every connection at once.
    pub async fn shutdown(self, deadline: Duration) -> bool {
        self.accepting.cancel();
        self.draining.cancel();
        self.tracker.close();
        timeout(deadline, self.tracker.wait()).await.is_ok()
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A name for this listener in the form that servers use: `N` and 55 letters and digits.
fn server_id() -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    std::iter::once('N').chain((0..55).map(|_| char::from(ALPHABET[fastrand::usize(..ALPHABET.len())]))).collect()
}

/// Counts one connection for as long as it lives, however it ends.
struct Connected(Gauge);

impl Connected {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}

struct Acceptor {
    bus: Bus,
    config: Arc<ListenerConfig>,
    address: SocketAddr,
    server_id: String,
    /// One permit per connection.
    connections: Arc<Semaphore>,
    /// One permit per refused connection that is being told.
    refusals: Arc<Semaphore>,
    draining: CancellationToken,
    closing: CancellationToken,
    tracker: TaskTracker,
    clients: AtomicU64,
}

impl Acceptor {
    async fn accept(self, socket: TcpListener) {
        let acceptor = Arc::new(self);
        loop {
            match socket.accept().await {
                Ok((stream, peer)) => acceptor.admit(stream, peer),
                Err(error) => {
                    warn!(%error, "accepting NATS clients failed");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
    }

    fn admit(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        if let Err(error) = stream.set_nodelay(true) {
            // Only a connection that is gone already refuses this.
            debug!(%error, "client left before it was served");
            return;
        }
        let acceptor = Arc::clone(self);
        let serve: Pin<Box<dyn Future<Output = ()> + Send>> = match Arc::clone(&self.connections).try_acquire_owned() {
            Ok(permit) => Box::pin(async move { acceptor.serve(stream, peer, permit).await }),
            Err(_full) => {
                self.config.metrics.refused.inc();
                let Ok(permit) = Arc::clone(&self.refusals).try_acquire_owned() else { return };
                Box::pin(async move { acceptor.refuse(stream, peer, permit).await })
            }
        };
        let closing = self.closing.clone().cancelled_owned();
        self.tracker.spawn(async move {
            tokio::select! {
                () = serve => {}
                () = closing => {}
            }
        });
    }

    async fn serve(&self, stream: TcpStream, peer: SocketAddr, _permit: OwnedSemaphorePermit) {
        let metrics = &self.config.metrics;
        metrics.accepted.inc();
        let _connected = Connected::new(&metrics.connections);
        let client = Arc::new(Client::new(self.next_client(), self.bus.clone(), &self.config));
        let session = Session::new(self.bus.clone(), Arc::clone(&client), &self.config);
        let info = self.info(client.id, peer, session.payload_bytes_max());
        let connection = Connection { config: Arc::clone(&self.config), client, session, draining: self.draining.clone() };
        connection.run(stream, info).await;
    }

    async fn refuse(&self, mut stream: TcpStream, peer: SocketAddr, _permit: OwnedSemaphorePermit) {
        // Clients read INFO first, whatever comes after.
        let mut told = self.info(self.next_client(), peer, self.config.payload_bytes_max).to_line();
        told.extend_from_slice(&error_line("maximum connections exceeded"));
        let tell = async {
            stream.write_all(&told).await?;
            stream.shutdown().await?;
            // Until the client closes as well, or the line could be lost with the connection's reset.
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
        };
        if !matches!(timeout(REFUSAL_TIME, tell).await, Ok(Ok(_))) {
            debug!(%peer, "refused client did not read why");
        }
    }

    fn next_client(&self) -> u64 {
        self.clients.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn info(&self, client_id: u64, peer: SocketAddr, payload_bytes_max: usize) -> Info<'_> {
        Info {
            server_id: &self.server_id,
            server_name: &self.config.server_name,
            host: self.address.ip(),
            port: self.address.port(),
            payload_bytes_max,
            client_id,
            client_ip: peer.ip(),
            is_draining: false,
        }
    }
}
