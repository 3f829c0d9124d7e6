//! Everything that speaks ZMTP: discovery, the hub, the routes.

use std::sync::Arc;
use std::time::Duration;

use myelin_bridge_zmq::codec::MessageLimit;
use myelin_bridge_zmq::discovery::Discovery;
use myelin_bridge_zmq::front::{Front, FrontConfig, Listener};
use myelin_bridge_zmq::health::{Health, HealthMetrics};
use myelin_bridge_zmq::meter::Meter;
use myelin_bridge_zmq::routes::fleet::Fleet;
use myelin_bridge_zmq::routes::{RouteContext, RouteMetrics};
use myelin_bus::Bus;
use myelin_bus::outlet::{Budget, OutletConfig, Queued};
use myelin_bus::presence::Presence;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::agents::AgentsSource;
use super::error::BuildError;
use super::fleet;
use super::listens::{Listens, reached_at};
use super::pipelines::PipelinesSource;
use super::routes::Routes;
use super::undelivered::Undelivered;
use crate::config::{Config, Engine};

/// All of it. Dropping it closes every socket.
#[derive(Debug)]
pub(super) struct Bridge {
    pub(super) front: Front,
    /// Counts what did not have to be sent.
    pub(super) meter: Meter,
    /// Shared with the list of agents.
    pub(super) routes: Arc<Mutex<Routes>>,
    fleet: Option<Arc<Fleet>>,
    discovery: Option<(Discovery, Listener)>,
}

impl Bridge {
    /// Opens every socket of `config`.
    pub(super) async fn build(
        config: &Config,
        (bus, budget, presence): (&Bus, &Budget, &Presence),
        registry: &mut Registry,
        listens: &mut Listens,
        tasks: (&TaskTracker, &CancellationToken),
    ) -> Result<Self, BuildError> {
        let meter = Meter::default();
        meter.register(registry);
        let mut context = route_context(config, bus, budget, registry)?;
        context.health = health(config, bus, &meter, registry, tasks)?;
        let mut routes = Routes::new(meter.clone());
        let (fleet, discovery) = if config.discovery.enabled {
            let (fleet, discovery, listener) = fleet::start(config, (&context, presence), registry, tasks).await?;
            if let Some(health) = &context.health {
                let registered = discovery.clone();
                health.set_kinds(move |name| registered.kind_of(name));
            }
            listens.add("discovery", reached_at(&config.discovery.listen, &listener), "agents register here");
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
        Ok(Self { front: context.front, meter, routes, fleet, discovery })
    }

    /// Says goodbye to the sidecars of other machines.
    pub(super) async fn leave(&self) {
        if let Some((discovery, _)) = &self.discovery {
            discovery.leave().await;
        }
    }

    /// Requests in the hands of agents and other responders, by route or name, where there are any.
    pub(super) fn replies_owed(&self) -> Vec<(String, usize)> {
        let mut owed = self.routes.lock().replies_owed();
        owed.extend(self.fleet.iter().flat_map(|fleet| fleet.replies_owed()));
        owed.retain(|(_, requests)| *requests > 0);
        owed
    }

    /// Stores what pipelines have read, and reads nothing more for them. Returns whether all of it is stored.
    pub(super) async fn finish_pipelines(&self, deadline: Duration) -> bool {
        let end = tokio::time::Instant::now() + deadline;
        let pipelines = self.routes.lock().durable_pipelines();
        let mut ending = tokio::task::JoinSet::new();
        for (route, pipeline) in pipelines {
            ending.spawn(async move {
                let is_stored = pipeline.finish(end.saturating_duration_since(tokio::time::Instant::now())).await;
                if !is_stored {
                    let left = pipeline.waiting();
                    tracing::warn!(
                        route,
                        messages = left.messages,
                        bytes = left.bytes,
                        "read from producers and not stored before the stop"
                    );
                }
                is_stored
            });
        }
        ending.join_all().await.into_iter().all(|is_stored| is_stored)
    }

    /// Keeps the requests that are dead letters by now. Returns whether all of them are kept.
    pub(super) async fn finish_letters(&self, deadline: Duration) -> bool {
        let keeping = self.routes.lock().letters_kept();
        let all = async {
            for kept in keeping {
                kept.await;
            }
        };
        let is_done = tokio::time::timeout(deadline, all).await.is_ok();
        if !is_done {
            tracing::warn!("serve.drain_timeout passed before all requests without a reply were kept as dead letters");
        }
        is_done
    }

    /// The pipelines that are kept in a stream.
    pub(super) fn pipelines_source(&self) -> PipelinesSource {
        let routes = Arc::clone(&self.routes);
        Arc::new(move || routes.lock().durable_pipelines())
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

    /// Agents that registered, then agents of routes, then those that presence alone knows.
    pub(super) fn agents_source(&self, presence: Presence) -> AgentsSource {
        let registry = self.fleet.clone().zip(self.discovery.as_ref().map(|(discovery, _)| discovery.clone()));
        let routes = Arc::clone(&self.routes);
        Arc::new(move || {
            let mut agents = registry.as_ref().map_or_else(Vec::new, |(fleet, discovery)| fleet::registered(fleet, discovery));
            agents.extend(routes.lock().agents());
            super::presence::join(&mut agents, &presence);
            super::agents::complete(&mut agents);
            agents
        })
    }
}

/// What answers polls of agents of other machines, where there can be some.
fn health(
    config: &Config,
    bus: &Bus,
    meter: &Meter,
    registry: &mut Registry,
    (tracker, token): (&TaskTracker, &CancellationToken),
) -> Result<Option<Health>, BuildError> {
    if !config.health.enabled || config.bus.engine == Engine::Embedded {
        return Ok(None);
    }
    let metrics = HealthMetrics::default();
    metrics.register(registry);
    let health = Health::start(bus, config.health.config.clone(), (meter.clone(), metrics), tracker, token.clone());
    health.map(Some).map_err(|error| BuildError::setting(config, "health.enabled", &error))
}

fn route_context(config: &Config, bus: &Bus, budget: &Budget, registry: &mut Registry) -> Result<RouteContext, BuildError> {
    let limit = MessageLimit::new(config.bus.payload_max).map_err(|error| BuildError::setting(config, "bus.payload_max", &error))?;
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
    Ok(RouteContext { bus: bus.clone(), front: Front::new(front_config, front_metrics), metrics, health: None })
}
