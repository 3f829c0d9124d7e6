//! `myelin stream`.

use std::time::Duration;

use bytes::Bytes;
use clap::Subcommand;
use myelin_bus::{Message, Meta};
use serde_json::{Map, Value as Json, json};

use super::payload::{self, BodyArgs, Style};
use super::server::{self, ServerArgs};
use super::{Failure, output, streams};

/// Make durable streams, publish into them and look at what is there
///
/// A stream keeps every message on its subjects until a limit is reached, or, as a work queue, until a consumer is done with it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  myelin stream create orders --subject 'orders.>' --retention work_queue
  myelin stream pub orders.new '{\"id\": 1}' --id order-1
  myelin stream info orders
  myelin stream list --json | jq -r '.streams[] | \"\\(.name) \\(.messages)\"'
  myelin stream get orders 1
  myelin stream purge orders --filter orders.test
  myelin stream delete orders";

#[derive(Debug, Subcommand)]
enum Verb {
    Create(Create),
    #[command(after_help = "Examples:\n  myelin stream info orders\n  myelin stream info orders --json | jq .messages")]
    Info(Named),
    #[command(after_help = "Examples:\n  myelin stream list\n  myelin stream list --json | jq -r '.streams[].name'")]
    List(List),
    Pub(Publish),
    #[command(after_help = "Examples:\n  myelin stream get orders 1\n  myelin stream get orders 1 --json")]
    Get(Get),
    #[command(after_help = "Examples:\n  myelin stream purge orders\n  myelin stream purge orders --filter orders.test")]
    Purge(Purge),
    #[command(after_help = "Examples:\n  myelin stream delete orders")]
    Delete(Named),
}

/// Make a stream, or change the settings that are given of one that exists
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  myelin stream create orders --subject 'orders.>' --retention work_queue\n  myelin stream create audit --subject 'audit.>' --age-max 720h --bytes-max 10GiB"
)]
struct Create {
    /// Its name: letters, digits, - and _
    name: String,

    /// What it stores: a subject or filter, to be repeated
    #[arg(long = "subject", value_name = "FILTER")]
    subjects: Vec<String>,

    /// When messages go: by its limits alone, when its one consumer is done, or when all consumers are [default: limits]
    #[arg(long, value_parser = ["limits", "work_queue", "interest"])]
    retention: Option<String>,

    /// Most messages [default: 1048576]
    #[arg(long, value_name = "N")]
    messages_max: Option<u64>,

    /// Most bytes [default: 1GiB]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    bytes_max: Option<u64>,

    /// Most bytes of one message's payload; a larger one is refused, or a dead letter if nobody waits to be told [default: as the bus carries]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    message_bytes_max: Option<u64>,

    /// How long messages stay [default: any time]
    #[arg(long, value_name = "DURATION", value_parser = server::duration)]
    age_max: Option<Duration>,

    /// What happens to a message beyond these limits [default: reject]
    #[arg(long, value_parser = ["reject", "drop_oldest"])]
    on_full: Option<String>,

    /// How long message ids are remembered [default: 2m]
    #[arg(long, value_name = "DURATION", value_parser = server::duration)]
    dedup_window: Option<Duration>,

    /// Make dead letters of messages that expire unread [default: they are counted and gone]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    dead_letter_expired: Option<bool>,

    /// Make dead letters of messages that have to go unread for newer ones, with `--on-full drop_oldest` [default: they are counted and gone]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    dead_letter_evicted: Option<bool>,

    /// What an acknowledged message survives: a power cut, the end of the process, or nothing [default: synced]
    #[arg(long, value_parser = ["synced", "os_buffered", "memory"])]
    durability: Option<String>,

    #[command(flatten)]
    common: Common,
}

/// One stream by its name
#[derive(Debug, clap::Args)]
struct Named {
    /// The stream
    name: String,

    #[command(flatten)]
    common: Common,
}

/// All streams
#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    common: Common,
}

/// Publish into the stream that stores the subject, and wait until the message is safe
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  myelin stream pub orders.new '{\"id\": 1}'\n  myelin stream pub orders.new - --id order-1 --delay 5m < order.json"
)]
struct Publish {
    /// Where to publish
    subject: String,

    #[command(flatten)]
    body: BodyArgs,

    /// A message with the same id is stored once
    #[arg(long, value_name = "ID")]
    id: Option<String>,

    /// It expires after this long
    #[arg(long, value_name = "DURATION", value_parser = server::duration)]
    ttl: Option<Duration>,

    /// It is delivered after this long
    #[arg(long, value_name = "DURATION", value_parser = server::duration)]
    delay: Option<Duration>,

    /// Store it only if this is the last sequence on its subject, 0 for none
    #[arg(long, value_name = "SEQUENCE")]
    expect_last: Option<u64>,

    /// Publish this many times
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1)]
    count: u64,

    #[command(flatten)]
    common: Common,
}

/// Print one message
#[derive(Debug, clap::Args)]
struct Get {
    /// The stream
    name: String,

    /// Its place in the stream
    sequence: u64,

    /// Print the payload as it is
    #[arg(long, conflicts_with = "json")]
    raw: bool,

    #[command(flatten)]
    common: Common,
}

/// Delete the messages of a stream
#[derive(Debug, clap::Args)]
struct Purge {
    /// The stream
    name: String,

    /// Only those on matching subjects
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,

    #[command(flatten)]
    common: Common,
}

/// What every one of these verbs takes.
#[derive(Debug, clap::Args)]
pub(super) struct Common {
    #[command(flatten)]
    pub(super) server: ServerArgs,

    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    match args.verb {
        Verb::Create(args) => create(args).await,
        Verb::Info(args) => {
            let bus = args.common.server.connect().await?;
            let info = streams::ask(&bus, &format!("STREAM.INFO.{}", args.name), &Json::Null).await?;
            show(args.common.json, &info)
        }
        Verb::List(args) => list(args).await,
        Verb::Pub(args) => publish(args).await,
        Verb::Get(args) => get(args).await,
        Verb::Purge(args) => {
            let bus = args.common.server.connect().await?;
            let purged = streams::ask(&bus, &format!("STREAM.PURGE.{}", args.name), &json!({ "filter": args.filter })).await?;
            say(args.common.json, &purged, &format!("{} messages deleted from {}", purged["purged"], args.name))
        }
        Verb::Delete(args) => {
            let bus = args.common.server.connect().await?;
            let deleted = streams::ask(&bus, &format!("STREAM.DELETE.{}", args.name), &Json::Null).await?;
            if deleted["deleted"] == false {
                return Err(Failure::runtime(format!("there is no stream {:?}", args.name)));
            }
            say(args.common.json, &deleted, &format!("stream {} is deleted", args.name))
        }
    }
}

async fn create(args: Create) -> Result<(), Failure> {
    let bus = args.common.server.connect().await?;
    let mut asked = Map::new();
    let mut add = |name: &str, value: Option<Json>| asked.extend(value.map(|value| (name.to_owned(), value)));
    add("subjects", (!args.subjects.is_empty()).then(|| json!(args.subjects)));
    add("retention", args.retention.map(Json::from));
    add("messages_max", args.messages_max.map(Json::from));
    add("bytes_max", args.bytes_max.map(Json::from));
    add("message_bytes_max", args.message_bytes_max.map(Json::from));
    add("dead_letter_expired", args.dead_letter_expired.map(Json::from));
    add("dead_letter_evicted", args.dead_letter_evicted.map(Json::from));
    add("age_max_ms", args.age_max.map(millis));
    add("on_full", args.on_full.map(Json::from));
    add("dedup_window_ms", args.dedup_window.map(millis));
    add("durability", args.durability.map(Json::from));
    let page = streams::ask(&bus, "STREAM.LIST", &json!({ "from": args.name, "max": 1 })).await?;
    let exists = page["streams"][0]["name"] == args.name.as_str();
    if !exists && args.subjects.is_empty() {
        return Err(Failure::usage(format!("a new stream needs subjects: --subject '{}.>'", args.name)));
    }
    let verb = if exists { "UPDATE" } else { "CREATE" };
    let info = streams::ask(&bus, &format!("STREAM.{verb}.{}", args.name), &Json::Object(asked)).await?;
    let subjects: Vec<String> = info["config"]["subjects"].as_array().into_iter().flatten().map(streams::cell).collect();
    let done = if exists { "changed" } else { "ready" };
    say(args.common.json, &info, &format!("stream {} is {done}: it stores {}", args.name, subjects.join(" ")))
}

async fn list(args: List) -> Result<(), Failure> {
    let bus = args.common.server.connect().await?;
    let all = streams::ask_all(&bus, "STREAM.LIST", "streams").await?;
    if args.common.json {
        return Ok(output::json(&all)?);
    }
    let row = |stream: &Json| {
        let mut row = streams::cells(stream, &["name", "messages", "bytes", "first_sequence", "last_sequence"]);
        let more = if stream["more_consumers"] == true { "+" } else { "" };
        row.push(format!("{}{more}", stream["consumers"].as_array().map_or(0, Vec::len)));
        row.push(stream["config"]["subjects"].as_array().into_iter().flatten().map(streams::cell).collect::<Vec<_>>().join(" "));
        row
    };
    let rows: Vec<_> = all["streams"].as_array().into_iter().flatten().map(row).collect();
    if rows.is_empty() {
        return Ok(output::line("there are no streams; 'myelin stream create' makes one")?);
    }
    Ok(output::line(&output::table(&["STREAM", "MESSAGES", "BYTES", "FIRST", "LAST", "CONSUMERS", "SUBJECTS"], &rows))?)
}

async fn publish(args: Publish) -> Result<(), Failure> {
    let mut message = Message::new(streams::subject(&format!("STREAM.PUB.{}", server::subject(&args.subject)?))?, args.body.read()?);
    let mut headers: Vec<(Box<str>, Bytes)> = Vec::new();
    let mut add = |name: &str, value: Option<String>| headers.extend(value.map(|value| (name.into(), Bytes::from(value))));
    let text = |duration: Duration| format!("{}ms", duration.as_millis());
    add("Myelin-Msg-Id", args.id);
    add("Myelin-TTL", args.ttl.map(text));
    add("Myelin-Delay", args.delay.map(text));
    add("Myelin-Expected-Last-Subject-Sequence", args.expect_last.map(|sequence| sequence.to_string()));
    message.meta = Some(Box::new(Meta { headers, envelope: None }));
    let bus = args.common.server.connect().await?;
    for done in 0..args.count {
        let receipt = streams::json(&streams::request(&bus, &message).await?)?;
        let twice = if receipt["duplicate"] == true { ", it was there already" } else { "" };
        let text = format!("stored in {} as {}{twice}", streams::cell(&receipt["stream"]), receipt["sequence"]);
        if args.count == 1 || args.common.json {
            say(args.common.json, &receipt, &text)?;
        } else {
            output::progress(&format!("{} of {}", done + 1, args.count));
            if done + 1 == args.count {
                output::progress("");
                output::line(&format!("{} messages, the last one {text}", args.count))?;
            }
        }
    }
    Ok(())
}

async fn get(args: Get) -> Result<(), Failure> {
    let bus = args.common.server.connect().await?;
    let asked = json!({ "sequence": args.sequence, "raw": true });
    let message = streams::ask_raw(&bus, &format!("STREAM.GET.{}", args.name), &asked).await?;
    print(Style::new(args.raw, args.common.json), &message)
}

/// A stored message, with what its stream knows of it.
pub(super) fn print(style: Style, message: &Message) -> Result<(), Failure> {
    let subject = streams::header(message, "Myelin-Subject").unwrap_or_default();
    match style {
        Style::Json => Ok(output::json(&document(message))?),
        Style::Raw => payload::print(style, "", &subject, None, &message.body),
        Style::Escaped => {
            for (name, value) in message.meta.iter().flat_map(|meta| &meta.headers) {
                output::line(&format!("{}: {}", payload::escape(name.as_bytes()), payload::escape(value)))?;
            }
            output::line("")?;
            payload::print(style, "", &subject, None, &message.body)
        }
    }
}

/// A stored message as JSON.
pub(super) fn document(message: &Message) -> Json {
    let number = |name| streams::header(message, name).and_then(|text| text.parse::<u64>().ok());
    let mut document = json!({
        "subject": streams::header(message, "Myelin-Subject"),
        "sequence": number("Myelin-Sequence"),
        "stored_ms": number("Myelin-Stored"),
    });
    let told = ["Myelin-Subject", "Myelin-Sequence", "Myelin-Stored"];
    let headers = message.meta.iter().flat_map(|meta| &meta.headers).filter(|(name, _)| !told.contains(&&**name));
    document["headers"] = headers.map(|(name, value)| json!([name, String::from_utf8_lossy(value)])).collect();
    payload::put(&mut document, &message.body);
    document
}

pub(super) fn show(is_json: bool, value: &Json) -> Result<(), Failure> {
    say(is_json, value, &streams::fields(value))
}

pub(super) fn say(is_json: bool, value: &Json, text: &str) -> Result<(), Failure> {
    if is_json {
        output::json(value)?;
    } else {
        output::line(text)?;
    }
    Ok(())
}

pub(super) fn millis(duration: Duration) -> Json {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).into()
}

fn size(text: &str) -> Result<u64, String> {
    crate::config::parse_size(text).ok_or_else(|| "expected a size such as 64MiB or 10GiB".to_owned())
}
