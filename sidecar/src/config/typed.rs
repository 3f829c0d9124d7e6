//! The configuration as the rest of the program sees it.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use myelin_bus::Overflow;

use super::endpoint::Endpoint;
use super::health::Health;
use super::memory::Memory;
use super::route::Route;
use super::security::Security;
use super::settings::Settings;

/// Everything `serve` and `doctor` need, checked and with runtime types.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) serve: Serve,
    pub(crate) bus: Bus,
    pub(crate) nats: Nats,
    pub(crate) store: Store,
    pub(crate) memory: Memory,
    pub(crate) discovery: Discovery,
    pub(crate) hub: Hub,
    pub(crate) health: Health,
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
    /// What this machine is called to others.
    pub(crate) host: String,
}

/// `[bus]`
#[derive(Debug, Clone)]
pub(crate) struct Bus {
    /// What carries the messages.
    pub(crate) engine: Engine,
    /// Largest payload in bytes.
    pub(crate) payload_max: usize,
    /// What the full queue of a subscriber of the hub or of a topic does, unless the route says otherwise.
    pub(crate) overflow: Overflow,
}

/// What carries the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    /// This process alone.
    Embedded,
    /// This process, linked to those of other machines.
    Nats,
}

/// `[nats]`. The files with secrets are read when the link is made.
#[derive(Debug, Clone)]
pub(crate) struct Nats {
    /// Servers of one cluster, by URLs without secrets.
    pub(crate) servers: Vec<String>,
    /// Who we are there, if a password says so.
    pub(crate) user: Option<String>,
    /// Whether a server without TLS is refused.
    pub(crate) tls: bool,
    /// Servers that keep each stream.
    pub(crate) replicas: usize,
    /// How often a silent link is tried.
    pub(crate) ping_interval: Duration,
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
                host: settings.host("serve.host").unwrap_or_else(host_name),
            },
            bus: Bus {
                engine: if settings.choice("bus.engine") == "nats" { Engine::Nats } else { Engine::Embedded },
                payload_max: settings.number("bus.payload_max"),
                overflow: overflow(settings.choice("bus.overflow")),
            },
            nats: Nats {
                servers: settings.servers("nats.servers"),
                user: settings.name("nats.user"),
                tls: settings.bool("nats.tls"),
                replicas: settings.number("nats.replicas"),
                ping_interval: settings.duration("nats.ping_interval"),
            },
            store: Store {
                enabled: settings.bool("store.enabled"),
                directory: settings.file("store.directory").unwrap_or_else(|| settings.path("serve.state_dir").join("store")),
            },
            memory: Memory::new(&settings),
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
            health: Health::new(&settings),
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

/// What the system calls this machine.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "unnamed".to_owned() } else { name.to_owned() }
}

/// The policy behind a name that the key table has already accepted.
pub(super) fn overflow(name: &str) -> Overflow {
    name.parse().expect("the key table lists exactly the names of Overflow")
}
