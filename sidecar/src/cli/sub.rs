//! `myelin sub`.

use myelin_bus::SubscribeOptions;
use myelin_bus::wire::QueueGroup;

use super::payload::{self, Style};
use super::server::{self, ServerArgs};
use super::{Failure, output};

/// Print what is published
///
/// Messages from ZeroMQ agents are shown frame by frame. Control characters and binary are escaped, unless --raw.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Subject or filter: * stands for one token, > for the rest
    filter: String,

    /// Stop after this many messages
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<u64>,

    /// Share the messages with the other members of this queue group
    #[arg(long, short, value_name = "GROUP")]
    queue: Option<String>,

    /// Print payloads as they are
    #[arg(long, conflicts_with = "json")]
    raw: bool,

    #[command(flatten)]
    server: ServerArgs,

    /// Print one JSON line per message
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  myelin sub '>'                          everything
  myelin sub 'zmq.topic.*' --count 5
  myelin sub demo.jobs --queue workers --json";

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let filter = server::filter(&args.filter)?;
    let mut options = SubscribeOptions::default();
    if let Some(name) = &args.queue {
        let group = QueueGroup::new(name).map_err(|error| Failure::usage(format!("--queue {name:?}: {error}")))?;
        options.group = Some(group);
    }
    let bus = args.server.connect().await?;
    let subscribed = bus.subscribe(&filter, options).await;
    let mut subscription = subscribed.map_err(|error| Failure::runtime(format!("{filter}: {error}")))?;
    // Only now is it certain that nothing published from here on is missed; scripts wait for this line.
    bus.flush().await;
    let style = Style::new(args.raw, args.json);
    match style {
        Style::Json => output::json(&serde_json::json!({ "subscribed": args.filter }))?,
        Style::Escaped | Style::Raw => output::hint(&format!("listening on {filter}, Ctrl-C ends")),
    }
    let mut seen = 0;
    while args.count.is_none_or(|count| seen < count) {
        let Some(message) = subscription.next().await else {
            return Err(Failure::runtime("the server closed the connection"));
        };
        let reply = server::reply_subject(&message);
        payload::print(style, &format!("[{}] ", message.subject), message.subject.as_str(), reply.as_deref(), &message.body)?;
        seen += 1;
    }
    Ok(())
}
