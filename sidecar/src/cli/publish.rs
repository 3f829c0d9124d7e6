//! `myelin pub`.

use serde_json::json;

use super::payload::BodyArgs;
use super::server::{self, ServerArgs};
use super::{Failure, output};

/// Publish a message
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Where to publish, such as demo.hello
    subject: String,

    #[command(flatten)]
    body: BodyArgs,

    /// Publish this many times
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1)]
    count: u64,

    #[command(flatten)]
    server: ServerArgs,

    /// Print the result as a JSON line
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  myelin pub demo.hello 'hello world'
  myelin pub zmq.topic.status --frame ERROR: --frame '{\"a\": 1}'
  cat picture.png | myelin pub demo.picture -";

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let subject = server::subject(&args.subject)?;
    let body = args.body.read()?;
    let bus = args.server.connect().await?;
    for _ in 0..args.count {
        let published = bus.publish(&subject, body.clone()).await;
        published.map_err(|error| Failure::runtime(format!("{subject}: {error}")))?;
    }
    server::close(bus).await;
    if args.json {
        output::json(&json!({ "subject": args.subject, "bytes": body.len(), "count": args.count }))?;
    }
    Ok(())
}
