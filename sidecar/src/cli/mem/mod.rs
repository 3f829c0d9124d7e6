//! `myelin mem`.

mod ask;
mod carry;
mod entries;
mod export;
mod import;
mod lists;
mod watch;
mod windows;

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::Subcommand;
use serde_json::json;

use super::Failure;
use super::server;
use super::stream::{Common, say};
use crate::memory::wire;

/// Look at what agents remember, and change it
///
/// A space is the memory of a fleet or of an agent, such as fleet.planner. It has entries with a time to live, and windows of the latest
/// entries of a list.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  myelin mem set fleet.planner mood curious --ttl 1h
  myelin mem get fleet.planner mood
  myelin mem scan fleet.planner --prefix job/
  myelin mem append fleet.planner messages '{\"role\": \"user\"}' --entries-max 50
  myelin mem recent fleet.planner messages --last 10 --json | jq -r .body.text
  myelin mem watch fleet.planner --prefix job/
  myelin mem export fleet.planner --output planner.jsonl
  myelin mem import --redis redis://127.0.0.1:6379 --dry-run";

#[derive(Debug, Subcommand)]
enum Verb {
    #[command(after_help = "Examples:\n  myelin mem get fleet.planner mood\n  myelin mem get fleet.planner mood plan --json")]
    Get(entries::Get),
    #[command(
        after_help = "Examples:\n  myelin mem set fleet.planner mood curious --ttl 1h\n  myelin mem set fleet.planner map - < map.bin"
    )]
    Set(entries::Set),
    #[command(after_help = "Examples:\n  myelin mem del fleet.planner mood plan")]
    Del(entries::Del),
    #[command(after_help = "Examples:\n  myelin mem touch fleet.planner mood --ttl 1h")]
    Touch(entries::Touch),
    #[command(
        after_help = "Examples:\n  myelin mem cas fleet.planner lock mine --absent --ttl 30s\n  myelin mem cas fleet.planner plan v2 --revision 0123456789abcdef0123456789abcdef"
    )]
    Cas(entries::Cas),
    #[command(after_help = "Examples:\n  myelin mem scan fleet.planner --prefix job/\n  myelin mem scan fleet.planner --windows --json")]
    Scan(entries::Scan),
    #[command(after_help = "Examples:\n  myelin mem append fleet.planner messages hello --entries-max 50 --age-max 1h")]
    Append(windows::Append),
    #[command(
        after_help = "Examples:\n  myelin mem recent fleet.planner messages --last 10\n  myelin mem recent fleet.planner messages --since 5m --json"
    )]
    Recent(windows::Recent),
    #[command(after_help = "Examples:\n  myelin mem clear fleet.planner messages")]
    Clear(windows::Clear),
    #[command(
        after_help = "Examples:\n  myelin mem watch fleet.planner --prefix job/\n  myelin mem watch fleet.planner --json | jq -r .key"
    )]
    Watch(watch::Watch),
    #[command(after_help = "Examples:\n  myelin mem stats\n  myelin mem stats fleet.planner --json | jq .space.entries")]
    Stats(Stats),
    #[command(
        after_help = "Examples:\n  myelin mem export fleet.planner --output planner.jsonl\n  myelin mem export fleet.planner > planner.jsonl"
    )]
    Export(export::Export),
    #[command(
        after_help = "Examples:\n  myelin mem import --file planner.jsonl\n  myelin mem import --redis redis://127.0.0.1:6379 --dry-run\n  myelin mem import --redis redis://127.0.0.1:6379 --pattern 'messages:*' --entries-max 100 --age-max 1h"
    )]
    Import(import::Import),
}

/// What is there, and what was done since the sidecar began
#[derive(Debug, clap::Args)]
struct Stats {
    /// Of this space too
    space: Option<String>,

    #[command(flatten)]
    common: Common,
}

/// What is written
#[derive(Debug, clap::Args)]
struct ValueArgs {
    /// The value; `-` reads it from stdin
    #[arg(value_name = "VALUE", required_unless_present = "file")]
    value: Option<String>,

    /// Read the value from a file
    #[arg(long, value_name = "FILE", conflicts_with = "value")]
    file: Option<PathBuf>,

    /// What the bytes are [default: text/plain for VALUE, else application/octet-stream]
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
}

/// How long an entry lives
#[derive(Debug, clap::Args)]
struct Life {
    /// Its time to live [default: memory.ttl of the sidecar]
    #[arg(long, value_name = "DURATION", value_parser = server::duration)]
    ttl: Option<Duration>,

    /// Until somebody deletes it
    #[arg(long, conflicts_with = "ttl")]
    forever: bool,
}

/// How far back a window goes
#[derive(Debug, Clone, clap::Args)]
struct Bounds {
    /// Most entries, 1 to 10000 [default: 100]
    #[arg(long, value_name = "N")]
    entries_max: Option<u32>,

    /// Oldest age of an entry [default: 1h]
    #[arg(long, value_name = "DURATION", value_parser = server::duration)]
    age_max: Option<Duration>,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    match args.verb {
        Verb::Get(args) => entries::get(args).await,
        Verb::Set(args) => entries::set(args).await,
        Verb::Del(args) => entries::del(args).await,
        Verb::Touch(args) => entries::touch(args).await,
        Verb::Cas(args) => entries::cas(args).await,
        Verb::Scan(args) => entries::scan(args).await,
        Verb::Append(args) => windows::append(args).await,
        Verb::Recent(args) => windows::recent(args).await,
        Verb::Clear(args) => windows::clear(args).await,
        Verb::Watch(args) => watch::run(args).await,
        Verb::Stats(args) => stats(args).await,
        Verb::Export(args) => export::run(args).await,
        Verb::Import(args) => import::run(args).await,
    }
}

async fn stats(args: Stats) -> Result<(), Failure> {
    let bus = args.common.server.connect().await?;
    let told: wire::Told = ask::ask(&bus, "STATS", &wire::Stats { space: args.space }).await?;
    let mut lines = vec![
        format!("engine        {}", told.engine),
        format!("reads         {}, of which {} found an entry", told.counts.reads, told.counts.found),
        format!("writes        {}, conflicts {}, of unknown fate {}", told.counts.writes, told.counts.conflicts, told.counts.unknown),
        format!("appends       {}", told.counts.appends),
        format!("bytes         {} given, {} stored", told.counts.bytes_given, told.counts.bytes_stored),
        format!("watches       {}", told.watches),
    ];
    if let Some(near) = &told.near {
        let (hits, misses) = (told.counts.near_hits, told.counts.near_misses);
        lines.push(format!("near cache    {} entries, {} bytes, {hits} hits, {misses} misses", near.entries, near.bytes));
    }
    if let Some(space) = &told.space {
        let bytes = space.bytes.map_or_else(String::new, |bytes| format!(", {bytes} bytes"));
        lines.push(format!("this space    {} entries, {} windows{bytes}", space.entries, space.windows));
    }
    say(args.common.json, &json!(told), &lines.join("\n"))
}

impl ValueArgs {
    fn read(self) -> Result<(Bytes, Option<String>), Failure> {
        let (bytes, content_type) = match (self.file, self.value) {
            (Some(path), _) => {
                let failed = |error| Failure::usage(format!("--file {}: {}", path.display(), crate::config::reason(&error)));
                (std::fs::read(&path).map_err(failed)?, None)
            }
            (None, Some(text)) if text != "-" => (text.into_bytes(), Some("text/plain".to_owned())),
            (None, _) => {
                let mut bytes = Vec::new();
                let read = std::io::stdin().lock().read_to_end(&mut bytes);
                read.map_err(|error| Failure::runtime(format!("cannot read stdin: {error}")))?;
                (bytes, None)
            }
        };
        Ok((bytes.into(), self.content_type.or(content_type)))
    }
}

impl Life {
    fn ttl_ms(&self) -> Option<u64> {
        self.ttl.map(millis)
    }
}

impl Bounds {
    fn age_max_ms(&self) -> Option<u64> {
        self.age_max.map(millis)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
