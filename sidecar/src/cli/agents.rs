//! `myelin agents`.

use std::time::Duration;

use myelin_bus::wire::{Body, Subject};
use myelin_bus::{Bus, RequestError};

use super::server::ServerArgs;
use super::{Failure, output};
use crate::app::{AGENTS_LIST, AgentEntry, AgentsReply};

/// List the agents that are attached to a running sidecar
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    server: ServerArgs,

    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  myelin agents
  myelin agents --json | jq -r '.agents[].subject'";

/// The sidecar answers from memory.
const TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let bus = args.server.connect().await?;
    let agents = fetch(&bus).await.map_err(|error| match error {
        FetchError::Request(RequestError::NoResponders { .. }) => {
            Failure::runtime("the server is a NATS server and not a sidecar: it knows no agents")
        }
        FetchError::Request(error) => Failure::runtime(error.to_string()),
        FetchError::Malformed(error) => Failure::runtime(format!("cannot read the answer of the sidecar: {error}")),
    })?;
    if args.json {
        output::json(&AgentsReply { agents })?;
        return Ok(());
    }
    if agents.is_empty() {
        output::line("no agents are attached; they appear here when they register, or when a route connects to them")?;
        return Ok(());
    }
    let rows: Vec<Vec<String>> = agents.into_iter().map(row).collect();
    output::line(&output::table(&["AGENT", "STATE", "PLACE", "SUBJECT", "ENDPOINT", "LOCAL PORT"], &rows))?;
    Ok(())
}

fn row(agent: AgentEntry) -> Vec<String> {
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let port = agent.local_port.map_or_else(String::new, |port| port.to_string());
    vec![agent.name, agent.state, agent.place, agent.subject, or_dash(agent.endpoints.join(", ")), or_dash(port)]
}

/// Why there is no list.
#[derive(Debug)]
pub(super) enum FetchError {
    Request(RequestError),
    Malformed(serde_json::Error),
}

/// Asks the sidecar which agents are attached.
pub(super) async fn fetch(bus: &Bus) -> Result<Vec<AgentEntry>, FetchError> {
    let subject = Subject::new(AGENTS_LIST).expect("a valid constant");
    let reply = bus.request(&subject, Body::default(), TIMEOUT).await.map_err(FetchError::Request)?;
    let bytes = match reply.body {
        Body::Blob(bytes) => bytes,
        Body::Frames(frames) => frames.first(),
    };
    let reply: AgentsReply = serde_json::from_slice(&bytes).map_err(FetchError::Malformed)?;
    Ok(reply.agents)
}
