//! Routes that contradict themselves or each other.

use std::collections::HashMap;

use super::finding::{Finding, Severity};
use crate::app::HUB;
use crate::config::{Config, Role, Route, RouteKind, Side};

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = twice(config);
    findings.extend(config.routes.iter().filter_map(side_missing));
    findings.extend(config.routes.iter().flat_map(crowded));
    findings
}

/// `route-name-twice`
fn twice(config: &Config) -> Vec<Finding> {
    let routes = &config.routes;
    let mut first_of: HashMap<&str, &Route> = HashMap::new();
    let mut findings = Vec::new();
    if let Some(route) = routes.iter().find(|route| route.name == HUB && config.hub.enabled) {
        findings.push(Finding {
            id: "route-name-twice",
            severity: Severity::Error,
            place: route.origin.to_string(),
            what: format!("route {HUB:?} has the name of the built-in hub"),
            why: "the subject is made of the name, so the two would receive each other's messages".to_owned(),
            fix: "give the route another name, or set hub.enabled = false".to_owned(),
        });
    }
    for route in routes {
        let Some(first) = first_of.get(route.name.as_str()) else {
            first_of.insert(&route.name, route);
            continue;
        };
        findings.push(Finding {
            id: "route-name-twice",
            severity: Severity::Error,
            place: route.origin.to_string(),
            what: format!("route {:?} is already defined at {}", route.name, first.origin),
            why: "the subject is made of the name, so the two would receive each other's messages".to_owned(),
            fix: "give one of them another name, or write both endpoints into one route".to_owned(),
        });
    }
    findings
}

/// `pair-side-crowded`
fn crowded(route: &Route) -> Vec<Finding> {
    let RouteKind::Pair { .. } = route.kind else { return Vec::new() };
    let crowded = route.kind.sides().into_iter().filter(|(_, side)| side.connect.len() > 1);
    let finding = |(role, side): (Role, &Side)| Finding {
        id: "pair-side-crowded",
        severity: Severity::Warning,
        place: side.origin.as_ref().unwrap_or(&route.origin).to_string(),
        what: format!("side {role} of pair {:?} connects to {} agents", route.name, side.connect.len()),
        why: "a side has exactly one peer: whoever answers first has the place, the others are closed and tried for ever".to_owned(),
        fix: "name one agent, or make a route for each".to_owned(),
    };
    crowded.map(finding).collect()
}

/// `route-side-missing`
fn side_missing(route: &Route) -> Option<Finding> {
    let sides = route.kind.sides();
    let missing: Vec<_> = sides.iter().filter(|(_, side)| side.is_empty()).map(|(role, _)| role.as_str()).collect();
    let (severity, why) = match missing.len() {
        0 => return None,
        1 => (Severity::Warning, "no ZeroMQ agent can use that side; only clients of the bus can"),
        _ => (Severity::Error, "it connects nothing to nothing"),
    };
    Some(Finding {
        id: "route-side-missing",
        severity,
        place: route.origin.to_string(),
        what: format!("route {:?} has no endpoint for its {}", route.name, missing.join(" and its ")),
        why: why.to_owned(),
        fix: format!("add {} = {{ bind = [\"tcp://127.0.0.1:PORT\"] }} or {{ connect = [..] }}", missing.join(" and ")),
    })
}
