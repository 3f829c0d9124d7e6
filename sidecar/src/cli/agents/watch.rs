//! `myelin agents --watch`: takes part in presence without an agent of its own, and prints what changes.

use myelin_bus::Bus;
use myelin_bus::presence::{Agent, PresenceEvent, State};
use serde_json::json;

use super::super::{Failure, output};
use crate::app::PresenceEntry;

pub(super) async fn run(bus: &Bus, is_json: bool) -> Result<(), Failure> {
    let presence = bus.presence().map_err(|error| Failure::runtime(error.to_string()))?;
    let mut watch = presence.watch();
    output::hint("waiting for changes, ctrl-c to stop");
    while let Some(event) = watch.next().await {
        match event {
            PresenceEvent::Resync(agents) => agents.iter().try_for_each(|agent| print("there", agent, None, is_json))?,
            PresenceEvent::Changed { agent, before } => print("changed", &agent, before, is_json)?,
            PresenceEvent::Forgotten { agent } => print("forgotten", &agent, None, is_json)?,
            // Of a later release.
            _ => {}
        }
    }
    Err(Failure::runtime("the connection to the sidecar has ended"))
}

fn print(event: &str, agent: &Agent, before: Option<State>, is_json: bool) -> Result<(), Failure> {
    let entry = PresenceEntry::new(agent);
    if is_json {
        let before = before.map(State::as_str);
        output::json(&json!({ "event": event, "name": agent.id().as_str(), "before": before, "presence": entry }))?;
        return Ok(());
    }
    let before = before.filter(|before| *before != agent.state).map_or_else(String::new, |before| format!("{before} -> "));
    let axes = format!(
        "{}{}, {} % busy{}",
        if entry.reachable { "reachable" } else { "unreachable" },
        if entry.ready { ", ready" } else { "" },
        entry.busy,
        entry.healthy.map_or("", |healthy| if healthy { ", healthy" } else { ", not healthy" }),
    );
    let machine = if entry.machine.is_empty() { &entry.node } else { &entry.machine };
    output::line(&format!("{event:<9}  {}  {before}{}: {}  ({axes}, on {machine})", agent.id(), entry.state, entry.reason))?;
    Ok(())
}
