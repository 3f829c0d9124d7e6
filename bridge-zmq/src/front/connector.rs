//! Keeps one connection to an endpoint, for ever.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, info, warn};

use super::connection::{self, SocketContext};
use super::endpoint::{Endpoint, Host};
use super::establish::{EstablishError, Established, establish};
use super::stream::Stream;
use super::{Peer, PeerId, ReconnectConfig, Shared};
use crate::codec::{Handshake, Role};

/// A session this long is a success: the next failure starts with the shortest pause again.
const STABLE: Duration = Duration::from_secs(1);

/// A socket that connects, and connects again. Dropping it closes the connection.
#[derive(Debug)]
pub struct Connector {
    endpoint: Endpoint,
    state: watch::Receiver<ConnectorState>,
    _guard: DropGuard,
}

/// What a connector is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectorState {
    /// It tries.
    Connecting,
    /// There is a session.
    Connected {
        /// With this peer.
        peer: PeerId,
    },
    /// It pauses before the next attempt.
    Waiting {
        /// Attempts and short sessions in a row that failed.
        failures: u32,
        /// What went wrong last.
        cause: Arc<str>,
    },
    /// It was closed.
    Closed,
}

impl Connector {
    /// Where it connects.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What it is doing, as a value to look at or to wait for.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<ConnectorState> {
        self.state.clone()
    }

    /// Closes the connection, after its queue was written or the linger passed, and stops connecting. The future ends when that is done.
    pub fn close(self) -> impl Future<Output = ()> + Send + 'static {
        let mut state = self.state.clone();
        drop(self);
        async move {
            // An error says that the task is gone, which is what is waited for.
            drop(state.wait_for(|state| *state == ConnectorState::Closed).await);
        }
    }
}

/// Starts connecting.
pub(super) fn spawn(shared: &Arc<Shared>, endpoint: Endpoint, identity: Bytes, context: SocketContext) -> Connector {
    let token = shared.token.child_token();
    let (state, watcher) = watch::channel(ConnectorState::Connecting);
    let dialer = Dialer { shared: Arc::clone(shared), endpoint: endpoint.clone(), identity, context, token: token.clone(), state };
    shared.tracker.spawn(dialer.run());
    Connector { endpoint, state: watcher, _guard: token.drop_guard() }
}

struct Dialer {
    shared: Arc<Shared>,
    endpoint: Endpoint,
    identity: Bytes,
    context: SocketContext,
    token: CancellationToken,
    state: watch::Sender<ConnectorState>,
}

#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("cannot resolve the host")]
    Resolve(#[source] io::Error),
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    #[error("no connection after {after:?}")]
    Timeout { after: Duration },
    #[error(transparent)]
    Establish(#[from] EstablishError),
}

impl Dialer {
    async fn run(self) {
        let mut failures = 0;
        loop {
            self.state.send_replace(ConnectorState::Connecting);
            let dialed = tokio::select! {
                () = self.token.cancelled() => break,
                dialed = self.dial() => dialed,
            };
            let cause = match dialed {
                Ok(established) => {
                    let since = Instant::now();
                    self.serve(established).await;
                    if since.elapsed() >= STABLE {
                        failures = 0;
                    }
                    "connection lost".into()
                }
                Err(error) => self.failed(&error, failures),
            };
            if self.token.is_cancelled() {
                break;
            }
            let pause = pause(self.context.config.reconnect, failures, fastrand::f64());
            failures += 1;
            self.state.send_replace(ConnectorState::Waiting { failures, cause });
            tokio::select! {
                () = self.token.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.state.send_replace(ConnectorState::Closed);
    }

    async fn dial(&self) -> Result<Established, DialError> {
        let limit = self.context.config.handshake_timeout;
        let stream = timeout(limit, self.open()).await.map_err(|_| DialError::Timeout { after: limit })??;
        let handshake = Handshake::connected(self.context.socket, self.identity.clone(), &self.context.config.security.connect);
        Ok(establish(stream, Role::Connected, handshake, limit).await?)
    }

    /// Tries every address of the host, in the resolver's order.
    async fn open(&self) -> Result<Stream, DialError> {
        if let Host::Local(name) = self.endpoint.host() {
            return UnixStream::connect(Endpoint::socket_name(name)).await.map(Stream::Unix).map_err(DialError::Connect);
        }
        let mut last = DialError::Resolve(io::ErrorKind::NotFound.into());
        for address in lookup_host(self.endpoint.target()).await.map_err(DialError::Resolve)? {
            match TcpStream::connect(address).await {
                // Nobody listens, and the system chose that very port for our end: we would talk to ourselves.
                Ok(stream) if stream.local_addr().ok() == Some(address) => {
                    last = DialError::Connect(io::ErrorKind::ConnectionRefused.into());
                }
                Ok(stream) => return Ok(Stream::Tcp(stream)),
                Err(error) => last = DialError::Connect(error),
            }
        }
        Err(last)
    }

    async fn serve(&self, established: Established) {
        let _place = match self.shared.connections.open() {
            Ok(place) => place,
            Err(error) => {
                warn!(endpoint = %self.endpoint, %error, "connection refused by ourselves");
                self.context.metrics.connection_refused(error.0);
                return;
            }
        };
        let peer = Arc::new(Peer::new(&established, &self.context, self.token.child_token()));
        debug!(endpoint = %self.endpoint, peer = %peer.id(), "connected");
        self.state.send_replace(ConnectorState::Connected { peer: peer.id() });
        connection::run(established, &peer, &self.context).await;
    }

    /// Logs the first failure of a series; the others are the same news.
    fn failed(&self, error: &DialError, failures: u32) -> Arc<str> {
        if let DialError::Establish(error) = error {
            self.context.metrics.handshake_failed(error.failure());
            self.context.peers.failed(&self.context.tag, self.endpoint.to_string(), super::chain(error));
        }
        let cause = super::chain(error);
        if failures == 0 {
            info!(endpoint = %self.endpoint, error = %cause, "cannot connect, will keep trying");
        } else {
            debug!(endpoint = %self.endpoint, error = %cause, failures, "cannot connect");
        }
        cause.into()
    }
}

/// The pause before the next attempt; `jitter` in 0..1 spreads it over the upper half.
fn pause(config: ReconnectConfig, failures: u32, jitter: f64) -> Duration {
    let doubled = config.base.saturating_mul(2u32.saturating_pow(failures));
    doubled.min(config.max).mul_f64(0.5 + jitter / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_up_to_its_bound_and_is_jittered_downwards() {
        let config = ReconnectConfig::default();
        let longest = |failures| pause(config, failures, 1.0);
        assert_eq!(longest(0), Duration::from_millis(100));
        assert_eq!(longest(3), Duration::from_millis(800));
        assert_eq!(longest(6), Duration::from_secs(5));
        assert_eq!(longest(u32::MAX), Duration::from_secs(5));
        assert_eq!(pause(config, 0, 0.0), Duration::from_millis(50));
    }
}
