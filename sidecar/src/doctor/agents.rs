//! The agents a route connects to: are they there, and are they of the type the route needs?

use super::addresses::leads_to;
use super::finding::{Finding, Severity};
use super::probe::{Found, probe};
use crate::config::{Config, Role, Use, resolve};

/// Agents probed at the same time; each takes at most two seconds.
const PARALLEL: usize = 32;

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    let own = config.binds();
    // Those are loops, which have a finding of their own.
    let foreign = |connect: &Use| !own.iter().any(|bind| leads_to(&connect.endpoint, &bind.endpoint));
    let connects: Vec<Use> = config.connects().into_iter().filter(foreign).collect();
    let mut findings = Vec::new();
    for batch in connects.chunks(PARALLEL) {
        std::thread::scope(|scope| {
            let probes: Vec<_> = batch.iter().map(|connect| scope.spawn(|| examine_one(connect))).collect();
            findings.extend(probes.into_iter().filter_map(|probe| probe.join().ok().flatten()));
        });
    }
    findings
}

/// `agent-silent`, `agent-wrong-type`
fn examine_one(connect: &Use) -> Option<Finding> {
    let (_, role) = connect.route.as_ref()?;
    let addresses = resolve(&connect.endpoint);
    let Some(address) = addresses.first() else {
        return Some(silent(connect, "its host name does not resolve"));
    };
    match probe(*address, counterpart(*role)) {
        Found::Socket(found) if role.peer_sockets().contains(&found.as_str()) => None,
        Found::Socket(found) => Some(wrong(connect, *role, &format!("a {found} socket"))),
        Found::Stranger => Some(wrong(connect, *role, "something that does not speak ZMTP 3")),
        Found::Silent => Some(silent(connect, "it accepts connections and never greets")),
        Found::Refused(reason) => Some(silent(connect, &reason)),
    }
}

/// The socket type with which we would connect to that side.
const fn counterpart(role: Role) -> &'static str {
    match role {
        Role::Callers => "ROUTER",
        Role::Agents => "DEALER",
        Role::Publishers => "SUB",
        Role::Subscribers => "XPUB",
        Role::Producers => "PULL",
        Role::Consumers => "PUSH",
        Role::A | Role::B => "PAIR",
    }
}

fn silent(connect: &Use, reason: &str) -> Finding {
    Finding {
        id: "agent-silent",
        severity: Severity::Warning,
        place: connect.origin.to_string(),
        what: format!("{} connects to {}, where no agent answers: {reason}", connect.setting, connect.endpoint),
        why: "the sidecar keeps trying, and until the agent is there its messages wait or are lost".to_owned(),
        fix: "start the agent, or correct the endpoint: many agents run on another port than the configured one".to_owned(),
    }
}

fn wrong(connect: &Use, role: Role, found: &str) -> Finding {
    let wanted = role.peer_sockets().join(" or ");
    Finding {
        id: "agent-wrong-type",
        severity: Severity::Error,
        place: connect.origin.to_string(),
        what: format!("{} connects to {}, where {found} answers", connect.setting, connect.endpoint),
        why: format!("this side talks to {wanted} only, so no message would ever arrive"),
        fix: format!("name the endpoint of a {wanted} socket, or change the kind of the route"),
    }
}
