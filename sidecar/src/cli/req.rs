//! `myelin req`.

use std::time::Duration;

use myelin_bus::wire::Subject;
use myelin_bus::{Bus, RequestError};

use super::Failure;
use super::agents;
use super::payload::{self, BodyArgs, Style};
use super::server::{self, ServerArgs};
use crate::app::AWAY;

/// Send a request and print the reply
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Where to send it, such as zmq.service.MyAgent
    subject: String,

    #[command(flatten)]
    body: BodyArgs,

    /// How long to wait for the reply
    #[arg(long, short, value_name = "DURATION", default_value = "5s", value_parser = server::duration)]
    timeout: Duration,

    /// Print the reply as it is
    #[arg(long, conflicts_with = "json")]
    raw: bool,

    #[command(flatten)]
    server: ServerArgs,

    /// Print the reply as a JSON line
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  myelin req demo.time
  myelin req zmq.service.TTSAgent '{\"action\": \"ping\"}' --timeout 1s
  myelin req zmq.service.TTSAgent - < request.json";

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let subject = server::subject(&args.subject)?;
    let body = args.body.read()?;
    let bus = args.server.connect().await?;
    let style = Style::new(args.raw, args.json);
    match bus.request(&subject, body, args.timeout).await {
        Ok(reply) => payload::print(style, "", reply.subject.as_str(), None, &reply.body),
        Err(RequestError::NoResponders { .. }) => Err(nobody(&bus, &subject).await),
        Err(RequestError::Timeout { after, .. }) => {
            let after = crate::config::show_duration(after);
            Err(Failure::runtime(format!("no reply from {subject} within {after}")).and(unanswered(&bus, &subject).await))
        }
        Err(error) => Err(Failure::runtime(format!("{subject}: {error}"))),
    }
}

/// Somebody is subscribed, and nobody answered: what is known of whoever should have.
async fn unanswered(bus: &Bus, subject: &Subject) -> String {
    let agents = agents::fetch(bus).await.unwrap_or_default();
    match agents.iter().find(|agent| agent.subject == subject.as_str()) {
        Some(agent) if agent.state == AWAY => {
            format!(
                "{} is away: what it has not received waits for it in the sidecar; 'myelin doctor' tells why it cannot be reached",
                agent.name
            )
        }
        Some(agent) if agent.waiting > 0 => {
            format!("{} is busy, and {} requests wait for it; wait longer with --timeout", agent.name, agent.waiting)
        }
        Some(agent) => format!("{} is connected; wait longer with --timeout, or look at that agent's own log", agent.name),
        None => "somebody is subscribed; wait longer with --timeout, or look at the log of who should answer".to_owned(),
    }
}

/// Nobody listens there: tells which agents do, and which of them was probably meant.
async fn nobody(bus: &Bus, subject: &Subject) -> Failure {
    let failure = Failure::runtime(format!("no responders: nobody is subscribed to {subject}"));
    let Ok(agents) = agents::fetch(bus).await else {
        return failure.and("is the responder running, and on this server?");
    };
    let subjects: Vec<&str> = agents.iter().map(|agent| agent.subject.as_str()).collect();
    if let Some(near) = crate::config::nearest(subject.as_str(), subjects.iter().copied()) {
        return failure.and(format!("did you mean {near}?"));
    }
    match subjects.as_slice() {
        [] => failure.and("no agent is attached: is it running, and did it register? 'myelin doctor' checks the setup"),
        [only] => failure.and(format!("the only attached agent is {only}")),
        [first, ..] => failure.and(format!("{} agents are attached, such as {first}; 'myelin agents' lists them", subjects.len())),
    }
}
