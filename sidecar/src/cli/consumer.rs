//! `myelin consumer`.

use std::time::Duration;

use clap::Subcommand;
use myelin_bus::wire::{Body, Filter, Subject};
use myelin_bus::{Bus, Message, ReplyTo, SubscribeOptions};
use serde_json::{Map, Value as Json, json};

use super::payload::Style;
use super::server;
use super::stream::{Common, document, millis, print, say, show};
use super::{Failure, output, streams};

/// Make consumers of a stream, take messages from them, see how far they are
///
/// A consumer remembers what its workers have settled. What a worker does not settle in time is delivered again, and after too many deliveries
/// it is a dead letter.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  myelin consumer create orders workers --ack-wait 1m --deliveries-max 3
  myelin consumer next orders workers
  myelin consumer next orders workers --count 10 --wait 5s --json
  myelin consumer info orders workers
  myelin consumer list orders
  myelin consumer delete orders workers";

#[derive(Debug, Subcommand)]
enum Verb {
    #[command(after_help = "Examples:\n  myelin consumer create orders workers --ack-wait 1m --deliveries-max 3")]
    Create(Create),
    #[command(after_help = "Examples:\n  myelin consumer info orders workers\n  myelin consumer info orders workers --json | jq .waiting")]
    Info(Named),
    #[command(after_help = "Examples:\n  myelin consumer list orders")]
    List(List),
    #[command(
        after_help = "Examples:\n  myelin consumer next orders workers\n  myelin consumer next orders workers --count 10 --wait 5s --json"
    )]
    Next(Next),
    #[command(after_help = "Examples:\n  myelin consumer delete orders workers")]
    Delete(Named),
}

/// Make a consumer, or give one that exists these settings
#[derive(Debug, clap::Args)]
struct Create {
    /// The stream
    stream: String,

    /// The consumer's name: letters, digits, - and _
    name: String,

    /// Only messages on matching subjects [default: all]
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,

    /// Most messages in the hands of workers [default: 1024]
    #[arg(long, value_name = "N")]
    in_flight_max: Option<u64>,

    /// How long a worker may be silent about a message [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = server::duration)]
    ack_wait: Option<Duration>,

    /// Deliveries of a message before it is a dead letter [default: 5]
    #[arg(long, value_name = "N")]
    deliveries_max: Option<u64>,

    /// Waits between deliveries, separated by commas; the last one repeats [default: none]
    #[arg(long, value_name = "DURATION", value_parser = server::duration, value_delimiter = ',')]
    backoff: Vec<Duration>,

    #[command(flatten)]
    common: Common,
}

/// One consumer by its stream and name
#[derive(Debug, clap::Args)]
struct Named {
    /// The stream
    stream: String,

    /// The consumer
    name: String,

    #[command(flatten)]
    common: Common,
}

/// The consumers of a stream
#[derive(Debug, clap::Args)]
struct List {
    /// The stream
    stream: String,

    #[command(flatten)]
    common: Common,
}

/// Take messages, print them and ack each that was printed
#[derive(Debug, clap::Args)]
struct Next {
    /// The stream
    stream: String,

    /// The consumer
    name: String,

    /// Most messages
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1)]
    count: u64,

    /// How long to wait for the first one, at most a minute
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = server::duration)]
    wait: Duration,

    /// Give the messages back after printing them; each counts as delivered once more
    #[arg(long)]
    no_ack: bool,

    /// Print payloads as they are
    #[arg(long, conflicts_with = "json")]
    raw: bool,

    #[command(flatten)]
    common: Common,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    match args.verb {
        Verb::Create(args) => create(args).await,
        Verb::Info(args) => {
            let bus = args.common.server.connect().await?;
            let info = streams::ask(&bus, &format!("CONSUMER.INFO.{}.{}", args.stream, args.name), &Json::Null).await?;
            show(args.common.json, &info)
        }
        Verb::List(args) => list(args).await,
        Verb::Next(args) => next(args).await,
        Verb::Delete(args) => {
            let bus = args.common.server.connect().await?;
            let deleted = streams::ask(&bus, &format!("CONSUMER.DELETE.{}.{}", args.stream, args.name), &Json::Null).await?;
            if deleted["deleted"] == false {
                return Err(Failure::runtime(format!("stream {} has no consumer {:?}", args.stream, args.name)));
            }
            say(args.common.json, &deleted, &format!("consumer {} of {} is deleted", args.name, args.stream))
        }
    }
}

async fn create(args: Create) -> Result<(), Failure> {
    let bus = args.common.server.connect().await?;
    let mut asked = Map::new();
    let mut add = |name: &str, value: Option<Json>| asked.extend(value.map(|value| (name.to_owned(), value)));
    add("filter", args.filter.map(Json::from));
    add("in_flight_max", args.in_flight_max.map(Json::from));
    add("ack_wait_ms", args.ack_wait.map(millis));
    add("deliveries_max", args.deliveries_max.map(Json::from));
    add("backoff_ms", (!args.backoff.is_empty()).then(|| args.backoff.into_iter().map(millis).collect()));
    let info = streams::ask(&bus, &format!("CONSUMER.CREATE.{}.{}", args.stream, args.name), &Json::Object(asked)).await?;
    say(args.common.json, &info, &format!("consumer {} of {} is ready: {} messages wait", args.name, args.stream, info["waiting"]))
}

async fn list(args: List) -> Result<(), Failure> {
    let bus = args.common.server.connect().await?;
    let all = streams::ask_all(&bus, &format!("CONSUMER.LIST.{}", args.stream), "consumers").await?;
    if args.common.json {
        return Ok(output::json(&all)?);
    }
    let row = |consumer: &Json| {
        let mut row = streams::cells(consumer, &["name", "waiting", "in_flight", "redelivered", "acked"]);
        row.push(consumer["oldest_ms"].as_u64().map_or_else(|| "-".to_owned(), streams::ago));
        row
    };
    let rows: Vec<_> = all["consumers"].as_array().into_iter().flatten().map(row).collect();
    if rows.is_empty() {
        return Ok(output::line(&format!("stream {} has no consumers; 'myelin consumer create' makes one", args.stream))?);
    }
    Ok(output::line(&output::table(&["CONSUMER", "WAITING", "IN FLIGHT", "REDELIVERED", "ACKED", "OLDEST"], &rows))?)
}

async fn next(args: Next) -> Result<(), Failure> {
    let bus = args.common.server.connect().await?;
    let inbox = inbox();
    let filter = Filter::new(inbox.as_str()).map_err(|error| Failure::runtime(error.to_string()))?;
    let subscribed = bus.subscribe(&filter, SubscribeOptions::default()).await;
    let mut subscription = subscribed.map_err(|error| Failure::runtime(error.to_string()))?;
    let asked = json!({ "max": args.count, "wait_ms": millis(args.wait) });
    let mut request =
        Message::new(streams::subject(&format!("CONSUMER.NEXT.{}.{}", args.stream, args.name))?, Body::from(asked.to_string()));
    request.reply = Some(ReplyTo::Subject(inbox));
    bus.publish_message(request).await.map_err(|error| Failure::runtime(error.to_string()))?;
    let style = Style::new(args.raw, args.common.json);
    let mut seen = 0;
    loop {
        let waited = tokio::time::timeout(args.wait + GRACE, subscription.next()).await;
        let Ok(Some(message)) = waited else { return Err(Failure::runtime("the sidecar did not answer")) };
        if streams::header(&message, "Myelin-Status").is_some() {
            streams::json(&message)?;
            break;
        }
        if style == Style::Json {
            let mut shown = document(&message);
            shown["deliveries"] = streams::header(&message, "Myelin-Deliveries").and_then(|text| text.parse::<u64>().ok()).into();
            output::json(&shown)?;
        } else {
            print(style, &message)?;
        }
        settle(&bus, &message, if args.no_ack { "-GONE" } else { "+ACK" }).await?;
        seen += 1;
    }
    if seen == 0 {
        return Err(Failure::runtime("no message came").and("wait longer with --wait; 'myelin consumer info' tells what waits"));
    }
    Ok(())
}

/// Says what becomes of a message, and waits until that is safe.
async fn settle(bus: &Bus, message: &Message, word: &'static str) -> Result<(), Failure> {
    let Some(ReplyTo::Subject(settle)) = &message.reply else { return Ok(()) };
    let reply = streams::request(bus, &Message::new(settle.clone(), word)).await?;
    if streams::bytes(&reply.body) == "+OK" { Ok(()) } else { streams::json(&reply).map(drop) }
}

/// How much longer than asked the answer may take.
const GRACE: Duration = Duration::from_secs(10);

/// An address of our own. The number of the process and the time make it one that nobody else has.
fn inbox() -> Subject {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Subject::new(&format!("_INBOX.myelin-{}-{}", std::process::id(), now.as_nanos())).expect("numbers make legal tokens")
}
