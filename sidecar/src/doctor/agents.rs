//! The agents a route connects to: are they there, and are they of the type the route needs?

use super::addresses::leads_to;
use super::finding::{Finding, Severity};
use super::probe::{Found, probe, probe_local};
use crate::config::{Config, Role, Use, local_name, resolve};

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
            let probes: Vec<_> = batch.iter().map(|connect| scope.spawn(|| examine_one(config, connect))).collect();
            findings.extend(probes.into_iter().filter_map(|probe| probe.join().ok().flatten()));
        });
    }
    findings
}

/// `agent-silent`, `agent-wrong-type`, `agent-other-mechanism`
fn examine_one(config: &Config, connect: &Use) -> Option<Finding> {
    let (route, role) = connect.route.as_ref()?;
    let ours = config.security_at(Some(route)).connect_mechanism.as_str();
    match look(connect, *role) {
        Ok(Found::Socket(_)) if ours != "null" => Some(other_mechanism(connect, "null", ours)),
        Ok(Found::Socket(found)) if role.peer_sockets().contains(&found.as_str()) => None,
        Ok(Found::Socket(found)) => Some(wrong(connect, *role, &format!("a {found} socket"))),
        // Its type is told only to those who prove something, which a look is no reason to do.
        Ok(Found::Secured(theirs)) if theirs == ours => None,
        Ok(Found::Secured(theirs)) => Some(other_mechanism(connect, &theirs, ours)),
        Ok(Found::Stranger) => Some(wrong(connect, *role, "something that does not speak ZMTP 3")),
        Ok(Found::Silent) => Some(silent(connect, "it accepts connections and never greets")),
        Ok(Found::Refused(reason)) => Some(silent(connect, &reason)),
        Err(reason) => Some(silent(connect, reason)),
    }
}

fn look(connect: &Use, role: Role) -> Result<Found, &'static str> {
    if let Some(name) = local_name(&connect.endpoint) {
        return Ok(probe_local(name, counterpart(role)));
    }
    let address = *resolve(&connect.endpoint).first().ok_or("its host name does not resolve")?;
    Ok(probe(address, counterpart(role)))
}

fn other_mechanism(connect: &Use, theirs: &str, ours: &str) -> Finding {
    Finding {
        id: "agent-other-mechanism",
        severity: Severity::Error,
        place: connect.origin.to_string(),
        what: format!(
            "{} connects to {} with mechanism {ours:?}, and the agent there asks for {theirs:?}",
            connect.setting, connect.endpoint
        ),
        why: "no handshake can succeed, so no message would ever arrive".to_owned(),
        fix: format!("set connect_mechanism = {theirs:?} in [security] or in security = {{ .. }} of the route, with the files it needs"),
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
