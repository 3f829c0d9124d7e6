//! `myelin reply`.

use std::io::Write;
use std::process::{Command, Stdio};

use myelin_bus::wire::{Body, QueueGroup};
use myelin_bus::{Message, SubscribeOptions};

use super::payload::{self, Style};
use super::server::{self, ServerArgs};
use super::{Failure, output};

/// Answer requests
///
/// With a fixed BODY, with the output of a command that gets the request on stdin, or with the request itself. Requests are answered
/// one after the other; start several with the same --queue to answer in parallel.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("answer").required(true).args(["body", "command", "echo"]))]
pub(super) struct Args {
    /// Subject or filter to answer on
    filter: String,

    /// The reply
    body: Option<String>,

    /// Run this with `sh -c` per request: the request on stdin, the subject in MYELIN_SUBJECT, the reply on stdout
    #[arg(long, value_name = "CMD")]
    command: Option<String>,

    /// Send each request back as its reply
    #[arg(long)]
    echo: bool,

    /// Share the requests with the other members of this queue group
    #[arg(long, short, value_name = "GROUP")]
    queue: Option<String>,

    /// Stop after this many requests
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<u64>,

    #[command(flatten)]
    server: ServerArgs,

    /// Print each request as a JSON line
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  myelin reply demo.hello 'hi there'
  myelin reply demo.time --command date
  myelin reply 'demo.echo.>' --echo --queue workers";

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
    bus.flush().await;
    if args.json {
        output::json(&serde_json::json!({ "subscribed": args.filter }))?;
    } else {
        output::hint(&format!("answering on {filter}, Ctrl-C ends"));
    }
    let mut answered = 0;
    while args.count.is_none_or(|count| answered < count) {
        let Some(message) = subscription.next().await else {
            return Err(Failure::runtime("the server closed the connection"));
        };
        let style = if args.json { Style::Json } else { Style::Escaped };
        let reply = server::reply_subject(&message);
        payload::print(style, &format!("[{}] ", message.subject), message.subject.as_str(), reply.as_deref(), &message.body)?;
        if message.reply.is_none() {
            continue;
        }
        if let Some(body) = answer(&args, &message).await {
            message.respond(&bus, body);
        }
        answered += 1;
    }
    server::close(bus).await;
    Ok(())
}

/// The reply to one request; `None` when the command failed, so that the requester times out instead of getting half an answer.
async fn answer(args: &Args, message: &Message) -> Option<Body> {
    if let Some(body) = &args.body {
        return Some(body.clone().into());
    }
    let Some(command) = args.command.clone() else {
        return Some(message.body.clone());
    };
    let subject = message.subject.to_string();
    let request = match &message.body {
        Body::Blob(bytes) => bytes.to_vec(),
        Body::Frames(frames) => frames.slices().flatten().copied().collect(),
    };
    let ran = tokio::task::spawn_blocking(move || run_command(&command, &subject, &request)).await;
    match ran {
        Ok(Ok(output)) => Some(output.into()),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the command gave no reply");
            None
        }
        Err(error) => {
            tracing::warn!(%error, "the command was given up");
            None
        }
    }
}

fn run_command(command: &str, subject: &str, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("MYELIN_SUBJECT", subject).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = shell.spawn()?;
    let mut stdin = child.stdin.take().expect("stdin was asked for");
    std::thread::scope(|scope| {
        // A command that writes before it has read everything must not wait for us, nor we for it.
        scope.spawn(move || stdin.write_all(request));
        let output = child.wait_with_output()?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(std::io::Error::other(format!("the command ended with {}", output.status)))
        }
    })
}
