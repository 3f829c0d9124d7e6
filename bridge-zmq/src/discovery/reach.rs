//! Whether something accepts connections at an address.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Most verdicts that are kept. One is worth a second at most, so all may be thrown away when there are too many.
const VERDICTS_MAX: usize = 4_096;

/// Connects to addresses and remembers for a moment how it went.
#[derive(Debug)]
pub(super) struct Reach {
    timeout: Duration,
    keep: Duration,
    verdicts: Mutex<HashMap<SocketAddr, Verdict>>,
}

#[derive(Clone, Copy, Debug)]
struct Verdict {
    alive: bool,
    until: Instant,
}

impl Reach {
    /// A connect may take `timeout`; a success counts for `keep`, a failure for a quarter of it, because agents that
    /// have just registered are about to listen.
    pub(super) fn new(timeout: Duration, keep: Duration) -> Self {
        Self { timeout, keep, verdicts: Mutex::new(HashMap::new()) }
    }

    /// Which of these endpoints accept connections, in the same order.
    ///
    /// # Cancel safety
    /// Dropping it gives up the connects under way.
    pub(super) async fn alive(self: &Arc<Self>, endpoints: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
        let mut endpoints: Vec<_> = endpoints.into_iter().collect();
        if let [only] = endpoints[..] {
            let alive = self.check(only).await;
            endpoints.truncate(usize::from(alive));
            return endpoints;
        }
        // One dead host must not add its timeout to that of the next.
        let mut checks = JoinSet::new();
        for endpoint in endpoints.iter().copied() {
            let reach = Arc::clone(self);
            checks.spawn(async move { reach.check(endpoint).await.then_some(endpoint) });
        }
        let alive = checks.join_all().await;
        endpoints.retain(|endpoint| alive.contains(&Some(*endpoint)));
        endpoints
    }

    /// Forgets what is known of an endpoint: it has just said something about itself.
    pub(super) fn forget(&self, endpoint: SocketAddr) {
        self.verdicts.lock().remove(&endpoint);
    }

    async fn check(&self, endpoint: SocketAddr) -> bool {
        let known = self.verdicts.lock().get(&endpoint).copied();
        if let Some(verdict) = known.filter(|verdict| Instant::now() < verdict.until) {
            return verdict.alive;
        }
        let alive = match tokio::time::timeout(self.timeout, TcpStream::connect(endpoint)).await {
            // A connect to a free local port may be given that very port as its source, and then connects to itself.
            Ok(Ok(stream)) => stream.local_addr().is_ok_and(|local| local != endpoint),
            Ok(Err(_)) | Err(_) => false,
        };
        let until = Instant::now() + if alive { self.keep } else { self.keep / 4 };
        let mut verdicts = self.verdicts.lock();
        if verdicts.len() >= VERDICTS_MAX {
            verdicts.clear();
        }
        verdicts.insert(endpoint, Verdict { alive, until });
        alive
    }
}
