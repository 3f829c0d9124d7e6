//! Addresses that collide, loop, or belong to somebody else by custom.

use std::net::{IpAddr, SocketAddr};

use super::finding::{Finding, Severity};
use crate::config::{Config, Endpoint, Origin, Use, bind_addr, is_same_local, known_address, local_name};
use crate::system;

/// The port of the fleet's error bus. Some publishers bind it themselves, so nobody else may.
const ERROR_BUS_PORT: u16 = 7150;

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let binds = config.binds();
    let mut findings = bound_twice(&binds);
    findings.extend(loops(&binds, &config.connects()));
    findings.extend(binds.iter().filter_map(error_bus));
    findings.extend(advertised(config));
    findings
}

/// `bind-twice`
fn bound_twice(binds: &[Use]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, second) in binds.iter().enumerate() {
        let Some(first) = binds[..index].iter().find(|first| collide(&first.endpoint, &second.endpoint)) else {
            continue;
        };
        findings.push(Finding {
            id: "bind-twice",
            severity: Severity::Error,
            // Nobody can edit a default: the other one is the mistake.
            place: if second.origin == Origin::Default { &first.origin } else { &second.origin }.to_string(),
            what: format!("{} and {} both bind {}", first.setting, second.setting, second.shown()),
            why: "only one listener can own it".to_owned(),
            fix: format!("give {} another {}", second.setting, if local_name(&second.endpoint).is_some() { "name" } else { "port" }),
        });
    }
    findings
}

fn collide(a: &Endpoint, b: &Endpoint) -> bool {
    match (bind_addr(a), bind_addr(b)) {
        (Some(a), Some(b)) => system::overlap(a, b),
        _ => is_same_local(a, b),
    }
}

/// `route-loop`
fn loops(binds: &[Use], connects: &[Use]) -> Vec<Finding> {
    let own = |connect: &Use| binds.iter().find(|bind| leads_to(&connect.endpoint, &bind.endpoint));
    let looped = connects.iter().filter_map(|connect| Some((connect, own(connect)?)));
    looped
        .map(|(connect, bind)| {
            let route_of = |used: &Use| used.route.as_ref().map(|(name, _)| name.clone());
            let same_route = route_of(connect) == route_of(bind);
            Finding {
                id: "route-loop",
                severity: if same_route { Severity::Error } else { Severity::Warning },
                place: connect.origin.to_string(),
                what: format!("{} connects to {}, which is our own {}", connect.setting, connect.endpoint, bind.setting),
                why: "messages would go round in the sidecar and never reach an agent".to_owned(),
                fix: "connect to what the agent itself binds, or remove this endpoint".to_owned(),
            }
        })
        .collect()
}

/// Whether who connects there reaches what is bound here.
pub(crate) fn leads_to(connect: &Endpoint, bind: &Endpoint) -> bool {
    if is_same_local(connect, bind) {
        return true;
    }
    let (Some(ip), Some(bound)) = (known_address(connect.host()), bind_addr(bind)) else {
        return false;
    };
    let port = connect.port();
    // A wildcard bind also owns our other addresses, but those cannot be told from a neighbour's without asking the system.
    let reaches_wildcard = bound.ip().is_unspecified() && ip.is_loopback();
    port == bound.port() && port != 0 && (ip == bound.ip() || reaches_wildcard)
}

/// `error-bus-bound`
fn error_bus(bind: &Use) -> Option<Finding> {
    (bind.endpoint.port() == ERROR_BUS_PORT).then(|| Finding {
        id: "error-bus-bound",
        severity: Severity::Warning,
        place: bind.origin.to_string(),
        what: format!("{} binds port {ERROR_BUS_PORT}, the error bus of the agents", bind.setting),
        why: "some agents bind that port themselves and fail to start when it is taken".to_owned(),
        fix: format!("connect instead: a topic route with publishers = {{ connect = [\"tcp://127.0.0.1:{ERROR_BUS_PORT}\"] }}"),
    })
}

/// `advertise-localhost`
fn advertised(config: &Config) -> Option<Finding> {
    let host = config.discovery.advertise.as_deref().filter(|_| config.discovery.enabled)?;
    let open = |address: SocketAddr| !address.ip().is_loopback();
    let to_others = bind_addr(&config.discovery.listen).is_some_and(open);
    let why = match host.parse::<IpAddr>() {
        Err(_) if host.eq_ignore_ascii_case("localhost") => "agents in containers and on other machines would look for us on themselves",
        Ok(ip) if ip.is_loopback() && to_others => "agents on other machines would connect to themselves",
        _ => return None,
    };
    Some(Finding {
        id: "advertise-localhost",
        severity: Severity::Warning,
        place: config.settings.origin("discovery.advertise").to_string(),
        what: format!("discovery.advertise is {host:?}"),
        why: why.to_owned(),
        fix: "leave it empty (answers then name the address the agent reached us on), or write the address of this machine".to_owned(),
    })
}
