//! The configuration as the rest of the program sees it.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use myelin_bus::Overflow;

use super::endpoint::Endpoint;
use super::route::Route;
use super::security::Security;
use super::settings::Settings;

/// Everything `serve` and `doctor` need, checked and with runtime types.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) serve: Serve,
    pub(crate) bus: Bus,
    pub(crate) store: Store,
    pub(crate) discovery: Discovery,
    pub(crate) hub: Hub,
    pub(crate) security: Security,
    pub(crate) limits: Limits,
    pub(crate) routes: Vec<Route>,
    /// Where each value came from, for messages that name the place to edit.
    pub(crate) settings: Settings,
}

/// `[serve]`
#[derive(Debug, Clone)]
pub(crate) struct Serve {
    /// Address of the NATS-protocol listener.
    pub(crate) listen: SocketAddr,
    /// Address of `/livez`, `/readyz`, `/metrics`.
    pub(crate) http: SocketAddr,
    /// Directory for what must survive a restart.
    pub(crate) state_dir: PathBuf,
    /// The one deadline of a graceful stop.
    pub(crate) drain_timeout: Duration,
    /// Worker threads; `None` is for the program to choose.
    pub(crate) threads: Option<NonZeroUsize>,
}

/// `[bus]`
#[derive(Debug, Clone)]
pub(crate) struct Bus {
    /// Largest payload in bytes.
    pub(crate) payload_max: usize,
    /// What the full queue of a subscriber of the hub or of a topic does, unless the route says otherwise.
    pub(crate) overflow: Overflow,
}

/// `[store]`
#[derive(Debug, Clone)]
pub(crate) struct Store {
    /// Whether this sidecar keeps streams.
    pub(crate) enabled: bool,
    /// Where they are.
    pub(crate) directory: PathBuf,
}

/// `[discovery]`
#[derive(Debug, Clone)]
pub(crate) struct Discovery {
    pub(crate) enabled: bool,
    /// Where agents register and ask.
    pub(crate) listen: Endpoint,
    /// The host in answers; `None` is the address through which the asking agent reached us.
    pub(crate) advertise: Option<String>,
    /// Hosts that a registration may name besides the peer's own and loopback.
    pub(crate) allow_hosts: Vec<String>,
    /// First and last port that may be given to agents.
    pub(crate) port_range: (u16, u16),
}

/// `[hub]`
#[derive(Debug, Clone)]
pub(crate) struct Hub {
    pub(crate) enabled: bool,
    /// Where PUB agents connect to.
    pub(crate) publishers: Endpoint,
    /// Where SUB agents connect to.
    pub(crate) subscribers: Endpoint,
}

/// `[limits]`
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Of ZeroMQ peers over all sockets, and again of NATS clients: two budgets, so that neither locks the other out.
    pub(crate) connections: usize,
    /// From accept to the end of the handshake.
    pub(crate) handshake: Duration,
    /// Per peer.
    pub(crate) queue_bytes: usize,
    /// Per peer.
    pub(crate) queue_messages: usize,
    /// Of all peers together, ZeroMQ agents and NATS clients.
    pub(crate) queued_bytes: usize,
}

impl Config {
    pub(crate) fn new(settings: Settings, routes: Vec<Route>) -> Self {
        Self {
            serve: Serve {
                listen: settings.address("serve.listen"),
                http: settings.address("serve.http"),
                state_dir: settings.path("serve.state_dir"),
                drain_timeout: settings.duration("serve.drain_timeout"),
                threads: NonZeroUsize::new(settings.number("serve.threads")),
            },
            bus: Bus { payload_max: settings.number("bus.payload_max"), overflow: overflow(settings.choice("bus.overflow")) },
            store: Store {
                enabled: settings.bool("store.enabled"),
                directory: settings.file("store.directory").unwrap_or_else(|| settings.path("serve.state_dir").join("store")),
            },
            discovery: Discovery {
                enabled: settings.bool("discovery.enabled"),
                listen: settings.bind("discovery.listen"),
                advertise: settings.host("discovery.advertise"),
                allow_hosts: settings.hosts("discovery.allow_hosts"),
                port_range: settings.ports("discovery.port_range"),
            },
            hub: Hub {
                enabled: settings.bool("hub.enabled"),
                publishers: settings.bind("hub.publishers"),
                subscribers: settings.bind("hub.subscribers"),
            },
            security: Security::new(&settings),
            limits: Limits {
                connections: settings.number("limits.connections"),
                handshake: settings.duration("limits.handshake"),
                queue_bytes: settings.number("limits.queue_bytes"),
                queue_messages: settings.number("limits.queue_messages"),
                queued_bytes: settings.number("limits.queued_bytes"),
            },
            routes,
            settings,
        }
    }
}

/// The policy behind a name that the key table has already accepted.
pub(super) fn overflow(name: &str) -> Overflow {
    name.parse().expect("the key table lists exactly the names of Overflow")
}
