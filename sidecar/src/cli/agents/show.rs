//! `myelin agents show`: everything that is known of one agent.

use std::time::SystemTime;

use super::super::server::ServerArgs;
use super::super::{Failure, output};
use super::table;
use crate::app::{AgentEntry, PresenceEntry, unix_ms};

/// Show everything that is known of one agent
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Its name
    name: String,

    #[command(flatten)]
    server: ServerArgs,

    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  myelin agents show TTSAgent
  myelin agents show TTSAgent --json | jq '.agents[].presence'";

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let bus = args.server.connect().await?;
    let mut agents = super::ask(&bus).await?;
    agents.retain(|agent| agent.name == args.name);
    if agents.is_empty() {
        return Err(Failure::runtime(format!("no agent {:?} is known; 'myelin agents' lists those that are", args.name)));
    }
    if args.json {
        output::json(&crate::app::AgentsReply { agents })?;
        return Ok(());
    }
    let now = unix_ms(SystemTime::now());
    let texts: Vec<_> = agents.iter().map(|agent| text(agent, now)).collect();
    output::line(&texts.join("\n\n"))?;
    Ok(())
}

fn text(agent: &AgentEntry, now_ms: u64) -> String {
    let mut lines = vec![("agent", agent.name.clone())];
    match &agent.presence {
        Some(presence) => lines.extend(of_presence(presence, now_ms)),
        None => lines.push(("state", format!("{} (not seen alive yet)", agent.state))),
    }
    lines.extend([("place", agent.place.clone()), ("subject", agent.subject.clone()), ("endpoints", agent.endpoints.join(", "))]);
    let port = |port: Option<u16>| port.map_or_else(String::new, |port| port.to_string());
    lines.extend([("local port", port(agent.local_port)), ("health port", port(agent.health_port))]);
    lines.extend([("source", agent.source.clone()), ("waiting", agent.waiting.to_string())]);
    lines.push(("traffic", agent.traffic.map_or_else(String::new, table::traffic)));
    lines.push(("document", agent.document.clone().unwrap_or_default()));
    let shown = lines.into_iter().filter(|(_, value)| !value.is_empty());
    shown.map(|(name, value)| format!("{name:<13} {value}")).collect::<Vec<_>>().join("\n")
}

fn of_presence(presence: &PresenceEntry, now_ms: u64) -> Vec<(&'static str, String)> {
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let mut lines = vec![
        ("state", format!("{}, since {}: {}", presence.state, table::ago(presence.since_ms, now_ms), presence.reason)),
        ("reachable", yes(presence.reachable)),
        ("ready", yes(presence.ready)),
        ("busy", format!("{} %", presence.busy)),
        ("healthy", presence.healthy.map_or_else(|| "not known".to_owned(), yes)),
        ("kind", presence.kind.clone()),
        ("capabilities", presence.capabilities.join(" ")),
        ("machine", presence.machine.clone()),
        ("incarnation", presence.incarnation.to_string()),
    ];
    lines.extend(presence.metadata.iter().map(|(name, value)| ("metadata", format!("{name}: {value}"))));
    lines
}
