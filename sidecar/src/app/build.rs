//! Puts the sidecar together. Every component of it is created, bound and connected here and nowhere else.
//!
//! Order: the bus, who listens on it, the bridge's sockets, then health. What is bound last is what tells the world that we are here.

use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use myelin_bridge_zmq::codec::MessageLimit;
use myelin_bridge_zmq::discovery::address::AddressRule;
use myelin_bridge_zmq::discovery::metrics::DiscoveryMetrics;
use myelin_bridge_zmq::discovery::{Discovery, DiscoveryConfig};
use myelin_bridge_zmq::front::{Endpoint, Front, FrontConfig, Listener as ZmqListener, SocketType};
use myelin_bridge_zmq::routes::fleet::{Fleet, FleetConfig};
use myelin_bridge_zmq::routes::service::{self, QueueBounds, ServiceConfig};
use myelin_bridge_zmq::routes::{RouteContext, RouteMetrics};
use myelin_bus::listener::{BindError as NatsBindError, Listener as NatsListener, ListenerConfig};
use myelin_bus::outlet::{Budget, OutletConfig, Queued};
use myelin_bus::streams::{StreamServer, StreamServerMetrics};
use myelin_bus::{Bus, EmbeddedConfig};
use parking_lot::Mutex;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::agents::{AgentEntry, AgentsSource};
use super::api;
use super::error::BuildError;
use super::listens::Listens;
use super::phase::Phase;
use super::routes::{Routes, bind_failed, state, with_causes};
use super::undelivered::Undelivered;
use super::zmq::PeersSource;
use crate::config::{Config, Origin, Use};
use crate::http::{HttpServer, Pages, ProcessCollector};

/// A sidecar with everything bound and connected.
#[derive(Debug)]
pub(crate) struct App {
    pub(super) bus: Bus,
    pub(super) streams: StreamServer,
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

/// Everything that speaks ZMTP.
#[derive(Debug)]
pub(super) struct Bridge {
    pub(super) front: Front,
    /// Shared with the list of agents.
    pub(super) routes: Arc<Mutex<Routes>>,
    fleet: Option<Arc<Fleet>>,
    _discovery: Option<(Discovery, ZmqListener)>,
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
            peers: PeersSource { front: bridge.front.clone(), budget, payload_bytes_max: config.bus.payload_max },
        };
        api::start(&bus, sources, &tracker, token.clone()).await.map_err(|error| setting(config, "bus.payload_max", &error))?;

        let stream_metrics = StreamServerMetrics::default();
        stream_metrics.register(&mut registry);
        let streams = StreamServer::start(&bus, stream_metrics).await.map_err(|error| setting(config, "store.enabled", &error))?;

        registry.register("myelin_build", "The version that runs", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register_collector(Box::new(ProcessCollector::new()));
        let address = http_socket.local_addr().map_err(BuildError::Thread)?;
        listens.add("http", format!("http://{address}"), "/livez /readyz /metrics");
        let pages = Pages { bus: bus.clone(), phase: phases, registry, listens: listens.clone() };
        let http = HttpServer::start(http_socket, pages.router()).map_err(BuildError::Thread)?;

        phase.send_replace(Phase::Ready);
        let (drain_timeout, routes) = (config.serve.drain_timeout, config.routes.len());
        Ok(Self { bus, streams, nats, bridge, http, phase, drain_timeout, tracker, token, listens, routes })
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

impl Bridge {
    async fn build(
        config: &Config,
        (bus, budget): (&Bus, &Budget),
        registry: &mut Registry,
        listens: &mut Listens,
        tasks: (&TaskTracker, &CancellationToken),
    ) -> Result<Self, BuildError> {
        let context = route_context(config, bus, budget, registry)?;
        let mut routes = Routes::default();
        let (fleet, discovery) = if config.discovery.enabled {
            let (fleet, discovery, listener) = start_discovery(config, &context, registry, tasks).await?;
            listens.add("discovery", Endpoint::from(listener.local_addr()).to_string(), "agents register here");
            (Some(fleet), Some((discovery, listener)))
        } else {
            (None, None)
        };
        if config.hub.enabled {
            routes.open_hub(&context, config, listens).await?;
        }
        for route in &config.routes {
            routes.open(&context, config, route, listens).await?;
        }
        let routes = Arc::new(Mutex::new(routes));
        Ok(Self { front: context.front, routes, fleet, _discovery: discovery })
    }

    /// Requests that agents work on now.
    pub(super) fn replies_owed(&self) -> usize {
        self.routes.lock().replies_owed() + self.fleet.as_ref().map_or(0, |fleet| fleet.replies_owed())
    }

    /// What waits for peers that did not read it, or that were not there; to be asked once everything is closed.
    pub(super) fn undelivered(&self) -> Undelivered {
        let mut sums = Undelivered::default();
        for left in self.front.undelivered() {
            sums.add(&left.route, Queued { bytes: left.bytes, messages: left.messages });
        }
        self.routes.lock().waiting(&mut sums);
        for member in self.fleet.iter().flat_map(|fleet| fleet.members()) {
            sums.add(&member.name, Queued { bytes: member.waiting_bytes, messages: member.waiting });
        }
        sums
    }

    /// Agents that registered, then agents of routes.
    fn agents_source(&self) -> AgentsSource {
        let (fleet, routes) = (self.fleet.clone(), Arc::clone(&self.routes));
        Arc::new(move || {
            let mut agents = fleet.as_ref().map_or_else(Vec::new, |fleet| registered(fleet));
            agents.extend(routes.lock().agents());
            agents
        })
    }
}

fn registered(fleet: &Fleet) -> Vec<AgentEntry> {
    let entry = |member: myelin_bridge_zmq::routes::fleet::MemberStatus| AgentEntry {
        subject: service::subject(&member.name).map_or_else(|_| String::new(), |subject| subject.to_string()),
        state: state(member.connected),
        endpoints: member.endpoints.iter().map(|address| Endpoint::from(*address).to_string()).collect(),
        local_port: Some(member.port),
        health_port: member.health_port,
        source: "registration".to_owned(),
        waiting: member.waiting,
        name: member.name,
    };
    fleet.members().into_iter().map(entry).collect()
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
        BuildError::binding(&own("serve.listen", config, config.serve.listen.into()), Some(config.serve.listen), &source)
    })
}

fn bind_http(config: &Config) -> Result<TcpListener, BuildError> {
    let address = config.serve.http;
    TcpListener::bind(address).map_err(|error| BuildError::binding(&own("serve.http", config, address.into()), Some(address), &error))
}

fn route_context(config: &Config, bus: &Bus, budget: &Budget, registry: &mut Registry) -> Result<RouteContext, BuildError> {
    let limit = MessageLimit::new(config.bus.payload_max).map_err(|error| setting(config, "bus.payload_max", &error))?;
    let defaults = FrontConfig::default();
    let front_config = FrontConfig {
        message_bytes_max: limit,
        handshake_timeout: config.limits.handshake,
        connections_max: config.limits.connections,
        queue: OutletConfig {
            bytes_max: config.limits.queue_bytes,
            messages_max: config.limits.queue_messages,
            overflow: defaults.queue.overflow,
        },
        budget: budget.clone(),
        identity: config.security.identity,
        security: super::security::read(config)?,
        ..defaults
    };
    let front_metrics = myelin_bridge_zmq::metrics::Metrics::default();
    front_metrics.register(registry);
    let metrics = RouteMetrics::default();
    metrics.register(registry);
    Ok(RouteContext { bus: bus.clone(), front: Front::new(front_config, front_metrics), metrics })
}

async fn start_discovery(
    config: &Config,
    context: &RouteContext,
    registry: &mut Registry,
    (tracker, token): (&TaskTracker, &CancellationToken),
) -> Result<(Arc<Fleet>, Discovery, ZmqListener), BuildError> {
    let waiting = QueueBounds { bytes_max: config.limits.queue_bytes, requests_max: config.limits.queue_messages };
    let (first, last) = config.discovery.port_range;
    let bound = crate::config::bind_addr(&config.discovery.listen);
    let fleet_config = FleetConfig {
        // Whoever can register must also be able to reach the ports that are handed out.
        host: bound.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip()),
        ports: first..=last,
        service: ServiceConfig { waiting, ..ServiceConfig::default() },
    };
    let fleet = Fleet::new(context, fleet_config);
    let allowed = config.discovery.allow_hosts.iter().map(|host| host.parse()).collect::<Result<Vec<_>, _>>();
    let allowed = allowed.map_err(|error| setting(config, "discovery.allow_hosts", &error))?;
    let discovery_config = DiscoveryConfig {
        advertise: advertised(config).await?,
        addresses: AddressRule::new(allowed),
        reserved_ports: config.binds().iter().map(|used| used.endpoint.port()).filter(|port| *port != 0).collect(),
        ..DiscoveryConfig::new(&config.serve.state_dir)
    };
    let metrics = DiscoveryMetrics::default();
    metrics.register(registry);
    let discovery = Discovery::start(discovery_config, fleet.attacher(), metrics, tracker, token.clone());
    let discovery = discovery.await.map_err(|error| BuildError::StateDir {
        place: config.settings.origin("serve.state_dir").prefix(),
        path: config.serve.state_dir.clone(),
        reason: with_causes(&error),
    })?;
    let endpoint = &config.discovery.listen;
    let front = context.front.for_route("discovery").at_side("agents");
    let listener = front.listen(endpoint, SocketType::Router, discovery.handler()).await;
    let listener = listener.map_err(|error| bind_failed(&own("discovery.listen", config, endpoint.clone()), error))?;
    Ok((fleet, discovery, listener))
}

/// The address to name in answers. A host name is resolved once, here, so that a wrong one stops us and not the agents.
async fn advertised(config: &Config) -> Result<Option<IpAddr>, BuildError> {
    const KEY: &str = "discovery.advertise";
    let Some(host) = &config.discovery.advertise else { return Ok(None) };
    let addresses = tokio::net::lookup_host((host.as_str(), 0)).await.map_err(|error| setting(config, KEY, &error))?;
    let addresses: Vec<IpAddr> = addresses.map(|address| address.ip()).collect();
    let first = addresses.iter().find(|address| address.is_ipv4()).or_else(|| addresses.first());
    let none = || setting(config, KEY, &std::io::Error::other(format!("{host} has no address")));
    first.copied().map(Some).ok_or_else(none)
}

fn own(key: &str, config: &Config, endpoint: Endpoint) -> Use {
    Use { setting: key.to_owned(), origin: config.settings.origin(key).clone(), endpoint, route: None }
}

pub(super) fn setting(config: &Config, key: &str, error: &dyn std::error::Error) -> BuildError {
    let origin: &Origin = config.settings.origin(key);
    BuildError::Setting { place: origin.prefix(), setting: key.to_owned(), reason: with_causes(error) }
}
