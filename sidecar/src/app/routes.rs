//! Configured routes, turned into sockets of the bridge.

use std::net::SocketAddr;
use std::sync::Arc;

use myelin_bridge_zmq::front::{BindError, Connector, Endpoint, FrontConfig, Listener};
use myelin_bridge_zmq::meter::Meter;
use myelin_bridge_zmq::routes::pair::{Pair, Side as PairSide};
use myelin_bridge_zmq::routes::pipeline::{DurableConfig, Pipeline};
use myelin_bridge_zmq::routes::service::{OnCallerGone, QueueBounds, Service, ServiceConfig};
use myelin_bridge_zmq::routes::topic::{Thinning, Topic};
use myelin_bridge_zmq::routes::{RouteContext, RouteError};

use super::agents::AgentEntry;
use super::error::BuildError;
use super::listens::{Listens, reached_at};
use super::undelivered::Undelivered;
use crate::config::{Config, Keeping, Linger, Overrides, Role, Route, RouteKind, Side, Use};

/// Everything that routes keep open. Dropping it closes them.
#[derive(Debug, Default)]
pub(super) struct Routes {
    /// Counts what topics do not pass on.
    meter: Meter,
    routes: Vec<(Route, Handle)>,
    listeners: Vec<Listener>,
    connectors: Vec<Connector>,
}

#[derive(Debug)]
enum Handle {
    Service(Service),
    Topic(Topic),
    Pipeline(Arc<Pipeline>),
    Pair(Pair),
}

/// A route only has the two roles of its kind; see `RouteKind::sides`.
const ROLES: &str = "a route has no other roles than those of its kind";

impl Handle {
    async fn new(context: &RouteContext, config: &Config, route: &Route, meter: &Meter) -> Result<Self, RouteError> {
        let waiting = QueueBounds { bytes_max: config.limits.queue_bytes, requests_max: config.limits.queue_messages };
        Ok(match &route.kind {
            RouteKind::Service { window, on_caller_gone, fail_fast, dead_letter_requests, .. } => {
                let on_caller_gone = match on_caller_gone {
                    Linger::Deliver => OnCallerGone::Deliver,
                    Linger::Drop => OnCallerGone::Drop,
                };
                let fail_fast = fail_fast.clone().map(Into::into);
                let dead_letter_requests = *dead_letter_requests;
                let settings = ServiceConfig { window: *window as usize, on_caller_gone, waiting, fail_fast, dead_letter_requests };
                Self::Service(Service::new(context, &route.name, settings)?)
            }
            RouteKind::Topic { overflow, thinning, .. } => {
                let topic = Topic::new(context, &route.name, overflow.unwrap_or(config.bus.overflow))?;
                let masks = config.health.config.masks.clone();
                let thin = |topic: Topic| topic.thinned(Thinning { at_most_every: thinning.at_most_every, masks, meter: meter.clone() });
                Self::Topic(if *thinning == crate::config::Thinning::default() { topic } else { thin(topic) })
            }
            RouteKind::Pipeline { keeping, .. } => Self::Pipeline(Arc::new(if keeping.durable.unwrap_or(config.store.enabled) {
                Pipeline::durable(context, &route.name, kept(keeping)).await?
            } else {
                Pipeline::new(context, &route.name, waiting)?
            })),
            RouteKind::Pair { .. } => Self::Pair(Pair::new(context, &route.name, waiting)?),
        })
    }

    async fn bind(&self, role: Role, at: &Endpoint) -> Result<Listener, BindError> {
        match (self, role) {
            (Self::Service(service), Role::Callers) => service.bind_callers(at).await,
            (Self::Service(service), Role::Agents) => service.bind_agents(at).await,
            (Self::Topic(topic), Role::Publishers) => topic.bind_publishers(at).await,
            (Self::Topic(topic), Role::Subscribers) => topic.bind_subscribers(at).await,
            (Self::Pipeline(pipeline), Role::Producers) => pipeline.bind_producers(at).await,
            (Self::Pipeline(pipeline), Role::Consumers) => pipeline.bind_consumers(at).await,
            (Self::Pair(pair), Role::A) => pair.bind(PairSide::A, at).await,
            (Self::Pair(pair), Role::B) => pair.bind(PairSide::B, at).await,
            _ => unreachable!("{ROLES}"),
        }
    }

    fn connect(&self, role: Role, to: &Endpoint) -> Connector {
        match (self, role) {
            (Self::Service(service), Role::Callers) => service.connect_callers(to),
            (Self::Service(service), Role::Agents) => service.connect_agent(to),
            (Self::Topic(topic), Role::Publishers) => topic.connect_publisher(to),
            (Self::Topic(topic), Role::Subscribers) => topic.connect_subscriber(to),
            (Self::Pipeline(pipeline), Role::Producers) => pipeline.connect_producer(to),
            (Self::Pipeline(pipeline), Role::Consumers) => pipeline.connect_consumer(to),
            (Self::Pair(pair), Role::A) => pair.connect(PairSide::A, to),
            (Self::Pair(pair), Role::B) => pair.connect(PairSide::B, to),
            _ => unreachable!("{ROLES}"),
        }
    }
}

impl Routes {
    /// None yet.
    pub(super) fn new(meter: Meter) -> Self {
        Self { meter, ..Self::default() }
    }

    /// Opens one configured route.
    pub(super) async fn open(
        &mut self,
        context: &RouteContext,
        config: &Config,
        route: &Route,
        listens: &mut Listens,
    ) -> Result<(), BuildError> {
        let secured = if route.security.is_empty() { context.clone() } else { secured(context, config, route)? };
        let handle = Handle::new(&secured, config, route, &self.meter).await.map_err(|error| BuildError::Setting {
            place: route.origin.prefix(),
            setting: format!("route {:?}", route.name),
            reason: with_causes(&error),
        })?;
        for (role, side) in route.kind.sides() {
            for endpoint in &side.bind {
                let listener = handle.bind(role, endpoint).await;
                let listener = listener.map_err(|error| bind_failed(&used(route, role, side, endpoint), error))?;
                let url = reached_at(endpoint, &listener);
                if route.name == HUB {
                    listens.add("hub", url, format!("{} connect here", peers(role)));
                } else {
                    listens.add("route", url, format!("{} of {} {:?}", peers(role), route.kind.as_str(), route.name));
                }
                self.listeners.push(listener);
            }
            self.connectors.extend(side.connect.iter().map(|endpoint| handle.connect(role, endpoint)));
        }
        self.routes.push((route.clone(), handle));
        Ok(())
    }

    /// The hub: one topic that publishers and subscribers both connect to.
    pub(super) async fn open_hub(&mut self, context: &RouteContext, config: &Config, listens: &mut Listens) -> Result<(), BuildError> {
        let side = |setting: &str, endpoint: &Endpoint| Side {
            bind: vec![endpoint.clone()],
            connect: Vec::new(),
            origin: Some(config.settings.origin(setting).clone()),
        };
        let hub = Route {
            name: HUB.to_owned(),
            kind: RouteKind::Topic {
                publishers: side("hub.publishers", &config.hub.publishers),
                subscribers: side("hub.subscribers", &config.hub.subscribers),
                overflow: None,
                thinning: crate::config::Thinning::default(),
            },
            security: Overrides::default(),
            origin: config.settings.origin("hub.enabled").clone(),
        };
        self.open(context, config, &hub, listens).await
    }

    /// Requests in the hands of each service's agents, or of who else answers.
    pub(super) fn replies_owed(&self) -> Vec<(String, usize)> {
        let owed = self.routes.iter().filter_map(|(route, handle)| match handle {
            Handle::Service(service) => Some((route.name.clone(), service.replies_owed())),
            Handle::Topic(_) | Handle::Pipeline(_) | Handle::Pair(_) => None,
        });
        owed.collect()
    }

    /// Adds what waits in the queues of routes for peers that are not there or have no room.
    pub(super) fn waiting(&self, sums: &mut Undelivered) {
        for (route, handle) in &self.routes {
            match handle {
                Handle::Service(service) => sums.add(&route.name, service.waiting()),
                Handle::Pipeline(pipeline) => sums.add(&route.name, pipeline.waiting()),
                Handle::Pair(pair) => {
                    for side in [PairSide::A, PairSide::B] {
                        sums.add(&route.name, pair.waiting(side));
                    }
                }
                Handle::Topic(_) => {}
            }
        }
    }

    /// For each service, its waiting until the requests that are dead letters are kept as such.
    pub(super) fn letters_kept(&self) -> Vec<impl Future<Output = ()> + Send + use<>> {
        let services = self.routes.iter().filter_map(|(_, handle)| match handle {
            Handle::Service(service) => Some(service.letters_kept()),
            _ => None,
        });
        services.collect()
    }

    /// The pipelines that are kept in a stream.
    pub(super) fn durable_pipelines(&self) -> Vec<(String, Arc<Pipeline>)> {
        let durable = self.routes.iter().filter_map(|(route, handle)| match handle {
            Handle::Pipeline(pipeline) if pipeline.stream().is_some() => Some((route.name.clone(), Arc::clone(pipeline))),
            _ => None,
        });
        durable.collect()
    }

    /// Agents that routes connect to, as far as their sockets know them.
    pub(super) fn agents(&self) -> Vec<AgentEntry> {
        let services = self.routes.iter().filter_map(|(route, handle)| match (&route.kind, handle) {
            (RouteKind::Service { agents, .. }, Handle::Service(service)) => Some((route, agents, service)),
            _ => None,
        });
        services
            .map(|(route, agents, service)| AgentEntry {
                name: route.name.clone(),
                state: state(service.agents_connected()),
                place: super::agents::here(),
                subject: service.subject().to_string(),
                endpoints: agents.connect.iter().map(ToString::to_string).collect(),
                local_port: None,
                health_port: None,
                source: "route".to_owned(),
                waiting: service.requests_waiting(),
                presence: None,
                document: None,
                traffic: None,
            })
            .collect()
    }
}

/// What is not written is as the bridge has it.
fn kept(keeping: &Keeping) -> DurableConfig {
    let defaults = DurableConfig::default();
    DurableConfig {
        deliveries_max: keeping.deliveries_max.unwrap_or(defaults.deliveries_max),
        ack_wait: keeping.ack_wait.unwrap_or(defaults.ack_wait),
        messages_max: keeping.messages_max.unwrap_or(defaults.messages_max),
        bytes_max: keeping.bytes_max.unwrap_or(defaults.bytes_max),
        age_max: keeping.age_max.or(defaults.age_max),
    }
}

/// The name and token of the hub's topic.
pub(crate) const HUB: &str = "hub";

/// The state of a service with this many connected agents.
pub(super) fn state(connected: usize) -> String {
    if connected > 0 { "connected".to_owned() } else { AWAY.to_owned() }
}

/// The state of a service none of whose agents is connected.
pub(crate) const AWAY: &str = "away";

/// The same context, with what the route asks for and proves itself.
fn secured(context: &RouteContext, config: &Config, route: &Route) -> Result<RouteContext, BuildError> {
    let identity = config.security_of(route).identity;
    let front = FrontConfig { identity, security: super::security::read_for(config, route)?, ..context.front.config().clone() };
    Ok(RouteContext { front: context.front.with_config(front), ..context.clone() })
}

fn used(route: &Route, role: Role, side: &Side, endpoint: &Endpoint) -> Use {
    let setting = if route.name == HUB { format!("hub.{role}") } else { format!("route {:?}.{role}", route.name) };
    Use { setting, origin: side.origin.clone().unwrap_or_else(|| route.origin.clone()), endpoint: endpoint.clone(), route: None }
}

/// A bind error with the setting that asked for it.
pub(super) fn bind_failed(used: &Use, error: BindError) -> BuildError {
    match error {
        BindError::Resolve { source, .. } | BindError::InUse { source, .. } | BindError::Bind { source, .. } => {
            let address: Option<SocketAddr> = crate::config::bind_addr(&used.endpoint);
            BuildError::binding(used, address, &source)
        }
        other => BuildError::Setting { place: used.origin.prefix(), setting: used.setting.clone(), reason: with_causes(&other) },
    }
}

/// What connects to that side, in the words of ZeroMQ.
const fn peers(role: Role) -> &'static str {
    match role {
        Role::Callers => "REQ, DEALER callers",
        Role::Agents => "REP, ROUTER agents",
        Role::Publishers => "PUB agents",
        Role::Subscribers => "SUB agents",
        Role::Producers => "PUSH agents",
        Role::Consumers => "PULL agents",
        Role::A => "the PAIR agent at side a",
        Role::B => "the PAIR agent at side b",
    }
}

/// An error and its causes in one line, without the number of the system's error, which helps nobody.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let texts = chain.map(|error| error.to_string()).map(|text| text.split(" (os error").next().unwrap_or_default().to_owned());
    texts.collect::<Vec<_>>().join(": ")
}
