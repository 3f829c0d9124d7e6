//! Discovery, and the agents that it finds.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use myelin_bridge_zmq::attendance::{Attendance, AttendanceConfig};
use myelin_bridge_zmq::discovery::address::AddressRule;
use myelin_bridge_zmq::discovery::metrics::DiscoveryMetrics;
use myelin_bridge_zmq::discovery::{Discovery, DiscoveryConfig, ElsewhereConfig};
use myelin_bridge_zmq::front::{Endpoint, Listener, SocketType};
use myelin_bridge_zmq::routes::RouteContext;
use myelin_bridge_zmq::routes::fleet::{Fleet, FleetConfig, MemberStatus, Place};
use myelin_bridge_zmq::routes::service::{self, QueueBounds, ServiceConfig};
use myelin_bus::presence::Presence;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::agents::AgentEntry;
use super::error::BuildError;
use super::routes::{HUB, bind_failed, state, with_causes};
use crate::config::Config;

/// What a permission calls the socket where agents register.
const DISCOVERY: &str = "discovery";

/// Where the list of agents has these from.
const SOURCE: &str = "registration";

/// The state of an agent of another machine.
const ELSEWHERE: &str = "elsewhere";

/// Starts discovery, attaches who registered in earlier runs, and binds the socket where agents register.
pub(super) async fn start(
    config: &Config,
    (context, presence): (&RouteContext, &Presence),
    registry: &mut Registry,
    (tracker, token): (&TaskTracker, &CancellationToken),
) -> Result<(Arc<Fleet>, Discovery, Listener), BuildError> {
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
    let allowed = allowed.map_err(|error| BuildError::setting(config, "discovery.allow_hosts", &error))?;
    let discovery_config = DiscoveryConfig {
        advertise: advertised(config).await?,
        addresses: AddressRule::new(allowed),
        reserved_names: reserved_names(config),
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
    let attended = Arc::downgrade(&fleet);
    let connections = move |name: &str| attended.upgrade().map_or_else(Vec::new, |fleet| fleet.connections(name));
    let front = context.front.clone();
    discovery.attend(Attendance::new(presence.clone(), front, AttendanceConfig::default(), connections, (tracker, token)));
    if let Err(error) = discovery.join(&context.bus, ElsewhereConfig::new(config.serve.host.clone())).await {
        tracing::error!(%error, "agents of other machines are not found, and others do not find those of this one");
    }
    let (bus, greeting) = (context.bus.clone(), discovery.clone());
    tracker.spawn(token.clone().run_until_cancelled_owned(async move {
        loop {
            // What the others said meanwhile did not reach us, nor ours them.
            bus.reconnected().await;
            greeting.greet();
        }
    }));
    let endpoint = &config.discovery.listen;
    let front = context.front.for_route(DISCOVERY).at_side("agents");
    let listener = front.listen(endpoint, SocketType::Router, discovery.handler()).await;
    let listener = listener.map_err(|error| bind_failed(&config.own_use("discovery.listen", endpoint.clone()), error))?;
    Ok((fleet, discovery, listener))
}

/// The address to name in answers. A host name is resolved once, here, so that a wrong one stops us and not the agents.
async fn advertised(config: &Config) -> Result<Option<IpAddr>, BuildError> {
    const KEY: &str = "discovery.advertise";
    let Some(host) = &config.discovery.advertise else { return Ok(None) };
    let addresses = tokio::net::lookup_host((host.as_str(), 0)).await.map_err(|error| BuildError::setting(config, KEY, &error))?;
    let addresses: Vec<IpAddr> = addresses.map(|address| address.ip()).collect();
    let first = addresses.iter().find(|address| address.is_ipv4()).or_else(|| addresses.first());
    let none = || BuildError::setting(config, KEY, &std::io::Error::other(format!("{host} has no address")));
    first.copied().map(Some).ok_or_else(none)
}

/// The names that no registration may take: whoever registered one would be given requests, and callers with a permission, that the operator
/// meant for somebody else.
///
/// Without a mechanism nobody has proved anything, and agents of configured routes register under the same names: they may.
fn reserved_names(config: &Config) -> Vec<String> {
    let own = [HUB, DISCOVERY].map(str::to_owned).into_iter().filter(|_| config.security.has_mechanism());
    let routes = config.routes.iter().filter(|route| config.security_of(route).has_mechanism());
    own.chain(routes.map(|route| route.name.clone())).collect()
}

/// Every agent that registered, here or on another machine.
pub(super) fn registered(fleet: &Fleet, discovery: &Discovery) -> Vec<AgentEntry> {
    let members = fleet.members();
    let unasked = |(name, _): &(String, String)| members.binary_search_by(|member| member.name.cmp(name)).is_err();
    let elsewhere: Vec<_> = discovery.elsewhere().into_iter().filter(unasked).collect();
    let mut agents: Vec<_> = members.into_iter().map(of_member).chain(elsewhere.into_iter().map(of_other)).collect();
    agents.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    agents
}

fn of_member(member: MemberStatus) -> AgentEntry {
    AgentEntry {
        subject: subject_of(&member.name),
        state: if matches!(member.place, Place::Elsewhere(_)) { ELSEWHERE.to_owned() } else { state(member.connected) },
        place: member.place.to_string(),
        endpoints: member.endpoints.iter().map(|address| Endpoint::from(*address).to_string()).collect(),
        local_port: Some(member.port),
        health_port: member.health_port,
        source: SOURCE.to_owned(),
        waiting: member.waiting,
        presence: None,
        document: None,
        traffic: None,
        name: member.name,
    }
}

/// One of another machine that nobody here has asked for.
fn of_other((name, host): (String, String)) -> AgentEntry {
    AgentEntry {
        subject: subject_of(&name),
        state: ELSEWHERE.to_owned(),
        place: host,
        endpoints: Vec::new(),
        local_port: None,
        health_port: None,
        source: SOURCE.to_owned(),
        waiting: 0,
        presence: None,
        document: None,
        traffic: None,
        name,
    }
}

fn subject_of(name: &str) -> String {
    service::subject(name).map_or_else(|_| String::new(), |subject| subject.to_string())
}
