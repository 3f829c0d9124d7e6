//! `myelin agents`: who is there, in which state, since when and why.

mod show;
mod table;
mod watch;

use std::time::Duration;

use myelin_bus::wire::{Body, Subject};
use myelin_bus::{Bus, RequestError};

use super::server::ServerArgs;
use super::{Failure, output};
use crate::app::{AGENTS_LIST, AgentEntry, AgentsReply};

/// List agents: those attached to the sidecar, and all that are present on its bus
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    what: Option<What>,

    #[command(flatten)]
    server: ServerArgs,

    /// Print one JSON document; with --watch, one per line
    #[arg(long)]
    json: bool,

    /// Print what changes, line by line, until interrupted
    #[arg(long, short)]
    watch: bool,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Show(show::Args),
}

const EXAMPLES: &str = "\
Examples:
  myelin agents
  myelin agents --watch
  myelin agents show TTSAgent
  myelin agents --json | jq -r '.agents[].subject'";

/// The sidecar answers from memory.
const TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    if let Some(What::Show(args)) = args.what {
        return show::run(args).await;
    }
    let bus = args.server.connect().await?;
    if args.watch {
        return watch::run(&bus, args.json).await;
    }
    let agents = ask(&bus).await?;
    if args.json {
        output::json(&AgentsReply { agents })?;
        return Ok(());
    }
    if agents.is_empty() {
        output::line("no agents are attached; they appear here when they register, or when a route connects to them")?;
        return Ok(());
    }
    output::line(&table::table(&agents))?;
    Ok(())
}

/// Why there is no list.
#[derive(Debug)]
pub(super) enum FetchError {
    Request(RequestError),
    Malformed(serde_json::Error),
}

/// Asks the sidecar which agents there are.
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

/// As [`fetch`], with words for what went wrong.
async fn ask(bus: &Bus) -> Result<Vec<AgentEntry>, Failure> {
    fetch(bus).await.map_err(|error| match error {
        FetchError::Request(RequestError::NoResponders { .. }) => {
            Failure::runtime("the server is a NATS server and not a sidecar: it knows no agents")
        }
        FetchError::Request(error) => Failure::runtime(error.to_string()),
        FetchError::Malformed(error) => Failure::runtime(format!("cannot read the answer of the sidecar: {error}")),
    })
}
