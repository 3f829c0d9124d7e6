//! Puts the sidecar together. Every component of it is created, bound and connected here and in what is called from here: `bridge.rs` for
//! the ZeroMQ sockets, `fleet.rs` for discovery, `routes.rs` for each route.
//!
//! Order: the bus, who listens on it, the bridge's sockets, then health. What is bound last is what tells the world that we are here.

use std::net::TcpListener;
use std::time::Duration;

use myelin_bus::listener::{BindError as NatsBindError, Listener as NatsListener, ListenerConfig};
use myelin_bus::outlet::Budget;
use myelin_bus::streams::{StreamServer, StreamServerMetrics};
use myelin_bus::{Bus, EmbeddedConfig};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::api;
use super::bridge::Bridge;
use super::error::BuildError;
use super::listens::Listens;
use super::phase::Phase;
use super::zmq::PeersSource;
use crate::config::Config;
use crate::http::{HttpServer, Pages, ProcessCollector};
use crate::memory::MemoryServer;

/// A sidecar with everything bound and connected.
#[derive(Debug)]
pub(crate) struct App {
    pub(super) bus: Bus,
    pub(super) streams: StreamServer,
    pub(super) memory: MemoryServer,
    pub(super) nats: NatsListener,
    pub(super) bridge: Bridge,
    pub(super) http: HttpServer,
    pub(super) phase: watch::Sender<Phase>,
    pub(super) drain_timeout: Duration,
    /// Tasks of the sidecar itself and of discovery.
    pub(super) tracker: TaskTracker,
    pub(super) token: CancellationToken,
    listens: Listens,
    routes: usize,
}

impl App {
    /// Binds and connects everything that `config` asks for.
    ///
    /// # Errors
    /// The first thing that cannot be had, with the setting that asks for it. Nothing stays bound.
    ///
    /// # Cancel safety
    /// Dropping the future closes what was opened so far.
    pub(crate) async fn build(config: &Config) -> Result<Self, BuildError> {
        let (phase, phases) = watch::channel(Phase::Starting);
        let (tracker, token) = (TaskTracker::new(), CancellationToken::new());
        let mut registry = Registry::default();
        let mut listens = Listens::default();

        let bus_config = EmbeddedConfig { payload_bytes_max: config.bus.payload_max, ..EmbeddedConfig::default() };
        bus_config.metrics.register(&mut registry);
        let bus = super::store::open(config, bus_config, &mut registry).await?;

        // One budget for whoever is connected, by whichever protocol.
        let budget = Budget::new(config.limits.queued_bytes);
        budget.register(&mut registry);
        let nats = bind_nats(config, &bus, &budget, &mut registry).await?;
        listens.add("bus", format!("nats://{}", nats.local_addr()), "NATS clients and the other commands");

        let http_socket = bind_http(config)?;
        let bridge = Bridge::build(config, (&bus, &budget), &mut registry, &mut listens, (&tracker, &token)).await?;
        let sources = api::Sources {
            agents: bridge.agents_source(),
            meter: bridge.meter.clone(),
            peers: PeersSource {
                front: bridge.front.clone(),
                budget,
                payload_bytes_max: config.bus.payload_max,
                bus: bus.clone(),
                pipelines: bridge.pipelines_source(),
            },
        };
        api::start(&bus, sources, &tracker, token.clone()).await.map_err(|error| BuildError::setting(config, "bus.payload_max", &error))?;

        let stream_metrics = StreamServerMetrics::default();
        stream_metrics.register(&mut registry);
        let streams =
            StreamServer::start(&bus, stream_metrics).await.map_err(|error| BuildError::setting(config, "store.enabled", &error))?;

        let memory = super::memory::start(config, &bus, &mut registry).await?;

        registry.register("myelin_build", "The version that runs", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register_collector(Box::new(ProcessCollector::new()));
        let address = http_socket.local_addr().map_err(BuildError::Thread)?;
        listens.add("http", format!("http://{address}"), "/livez /readyz /metrics");
        let pages = Pages { bus: bus.clone(), phase: phases, registry, listens: listens.clone() };
        let http = HttpServer::start(http_socket, pages.router()).map_err(BuildError::Thread)?;

        phase.send_replace(Phase::Ready);
        let (drain_timeout, routes) = (config.serve.drain_timeout, config.routes.len());
        Ok(Self { bus, streams, memory, nats, bridge, http, phase, drain_timeout, tracker, token, listens, routes })
    }

    /// What listens where.
    pub(crate) fn listens(&self) -> &Listens {
        &self.listens
    }

    /// How many configured routes are open.
    pub(crate) fn routes(&self) -> usize {
        self.routes
    }
}

async fn bind_nats(config: &Config, bus: &Bus, budget: &Budget, registry: &mut Registry) -> Result<NatsListener, BuildError> {
    let settings = ListenerConfig {
        address: config.serve.listen,
        connections_max: config.limits.connections,
        payload_bytes_max: config.bus.payload_max,
        queue_bytes_max: config.limits.queue_bytes,
        queue_messages_max: config.limits.queue_messages,
        budget: budget.clone(),
        ..ListenerConfig::default()
    };
    settings.metrics.register(registry);
    NatsListener::bind(bus.clone(), settings).await.map_err(|error| {
        let source = match error {
            NatsBindError::Unavailable { source, .. } => source,
            NatsBindError::InUse { .. } => std::io::ErrorKind::AddrInUse.into(),
            other => std::io::Error::other(other),
        };
        BuildError::binding(&config.own_use("serve.listen", config.serve.listen.into()), Some(config.serve.listen), &source)
    })
}

fn bind_http(config: &Config) -> Result<TcpListener, BuildError> {
    let address = config.serve.http;
    TcpListener::bind(address).map_err(|error| BuildError::binding(&config.own_use("serve.http", address.into()), Some(address), &error))
}
