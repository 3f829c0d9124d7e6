//! A server of the NATS protocol to test against: our listener over an embedded bus, or the real `nats-server`.

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod raw;

use std::net::SocketAddr;
use std::time::Duration;

use myelin_bus::listener::{Listener, ListenerConfig};
use myelin_bus::{Bus, EmbeddedConfig};
use myelin_testkit::NatsServer;

/// How long a test waits for a state before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Either server.
pub(crate) enum Server {
    Ours { listener: Listener, bus: Bus },
    Real(NatsServer),
}

impl Server {
    /// Our listener on a free port.
    pub(crate) async fn ours() -> Self {
        Self::ours_with(EmbeddedConfig::default(), ListenerConfig::default()).await
    }

    /// Our listener on a free port, with these bounds.
    pub(crate) async fn ours_with(bus: EmbeddedConfig, listener: ListenerConfig) -> Self {
        let bus = Bus::embedded(bus);
        let config = ListenerConfig { address: SocketAddr::from(([127, 0, 0, 1], 0)), ..listener };
        let listener = Listener::bind(bus.clone(), config).await.expect("a free port");
        Self::Ours { listener, bus }
    }

    /// A `nats-server` process.
    pub(crate) async fn real() -> Self {
        let server = tokio::task::spawn_blocking(NatsServer::start).await.expect("nats-server starts");
        Self::Real(server)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Ours { listener, .. } => listener.local_addr(),
            Self::Real(server) => server.url().trim_start_matches("nats://").parse().expect("an address"),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    pub(crate) fn is_ours(&self) -> bool {
        matches!(self, Self::Ours { .. })
    }

    /// The bus behind our listener.
    pub(crate) fn bus(&self) -> &Bus {
        match self {
            Self::Ours { bus, .. } => bus,
            Self::Real(_) => panic!("the real server has no bus"),
        }
    }

    /// Our listener, to be shut down.
    pub(crate) fn into_listener(self) -> Listener {
        match self {
            Self::Ours { listener, .. } => listener,
            Self::Real(_) => panic!("the real server has no listener"),
        }
    }
}

/// Waits for what a test expects, and names it if it does not come.
pub(crate) async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// Waits until a state holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    within(what, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Makes one test per server of each function.
#[macro_export]
macro_rules! on_both_servers {
    ($($name:ident),+ $(,)?) => {
        mod our_listener {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::nats_support::Server::ours().await).await;
            })+
        }
        mod nats_server {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::nats_support::Server::real().await).await;
            })+
        }
    };
}
