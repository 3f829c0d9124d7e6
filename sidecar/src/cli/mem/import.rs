//! `myelin mem import`: lines that `export` wrote; or, with `--redis`, see `lists`.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use bytes::Bytes;
use myelin_bus::Bus;
use serde_json::json;

use super::super::stream::{Common, say};
use super::super::{Failure, output};
use super::ask::ask;
use super::carry::{self, Carried};
use super::{Bounds, lists};
use crate::memory::wire;

/// Read lines that `myelin mem export` wrote, or the endless lists of a Redis
///
/// With --redis, every list that matches --pattern becomes a window: the list `messages:agent-7` the window `messages` of the space `agent-7`,
/// with its newest entries. The lists are read and left as they are. Ages begin anew with an import.
#[derive(Debug, clap::Args)]
pub(super) struct Import {
    /// The file with the lines; `-` reads stdin
    #[arg(long, value_name = "FILE", required_unless_present = "redis", conflicts_with = "redis")]
    file: Option<PathBuf>,

    /// A Redis with lists, such as redis://127.0.0.1:6379
    // The value may hold a password.
    #[arg(long, value_name = "URL", env = "MYELIN_IMPORT_REDIS", hide_env_values = true)]
    pub(super) redis: Option<String>,

    /// Which lists
    #[arg(long, value_name = "PATTERN", default_value = "messages:*")]
    pub(super) pattern: String,

    /// Spaces are called so, a dot, and what follows the first colon of the list's name [default: only the latter]
    #[arg(long, value_name = "SPACE")]
    pub(super) space: Option<String>,

    /// The lists have their newest entry first, as LPUSH leaves them
    #[arg(long)]
    pub(super) newest_first: bool,

    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(super) dry_run: bool,

    #[command(flatten)]
    pub(super) bounds: Bounds,

    #[command(flatten)]
    pub(super) common: Common,
}

/// Values in one `APPEND`, by count and by bytes: less than a message carries.
pub(super) const VALUES_AT_ONCE: usize = 100;
const BYTES_AT_ONCE: usize = 256 << 10;

/// Entries of one window that wait to be appended together.
#[derive(Debug, Default)]
struct Waiting {
    place: Option<(String, String)>,
    values: Vec<wire::Unnamed>,
    bytes: usize,
}

pub(super) async fn run(args: Import) -> Result<(), Failure> {
    match args.redis.clone() {
        Some(url) => lists::run(&args, &url).await,
        None => lines(&args).await,
    }
}

async fn lines(args: &Import) -> Result<(), Failure> {
    let path = args.file.clone().unwrap_or_else(|| "-".into());
    let (reader, size): (Box<dyn BufRead>, u64) = if path.as_os_str() == "-" {
        (Box::new(BufReader::new(std::io::stdin())), 0)
    } else {
        let failed = |error| Failure::usage(format!("--file {}: {}", path.display(), crate::config::reason(&error)));
        let file = std::fs::File::open(&path).map_err(failed)?;
        let size = file.metadata().map_or(0, |found| found.len());
        (Box::new(BufReader::new(file)), size)
    };
    let bus = args.common.server.connect().await?;
    let (mut entries, mut recalls, mut read) = (0_u64, 0_u64, 0_u64);
    let mut waiting = Waiting::default();
    for (number, line) in reader.lines().enumerate() {
        let line = line.map_err(|error| Failure::runtime(format!("line {}: {error}", number + 1)))?;
        read += line.len() as u64 + 1;
        if line.trim().is_empty() {
            continue;
        }
        let carried = carry::read(&line).map_err(|error| Failure::usage(format!("line {}: {error}", number + 1)))?;
        match carried {
            Carried::Entry { space, key, ttl_ms, value, content_type } => {
                entries += 1;
                let (content_type, forever) = (Some(content_type), ttl_ms.is_none());
                if !args.dry_run {
                    let _: wire::Written = ask(&bus, "SET", &wire::Set { space, key, value, content_type, ttl_ms, forever }).await?;
                }
            }
            Carried::Recall { space, window, value, content_type } => {
                recalls += 1;
                waiting.add(&bus, args, (space, window), value, content_type).await?;
            }
        }
        output::progress(&carry::bar("bytes", read, size.max(read)));
    }
    waiting.append(&bus, args).await?;
    output::progress("");
    let done = json!({ "entries": entries, "window_entries": recalls, "dry_run": args.dry_run });
    let would = if args.dry_run { "would be " } else { "" };
    say(args.common.json, &done, &format!("{entries} entries and {recalls} entries of windows {would}imported"))
}

impl Waiting {
    async fn add(&mut self, bus: &Bus, args: &Import, place: (String, String), value: Bytes, content_type: String) -> Result<(), Failure> {
        let is_other = self.place.as_ref().is_some_and(|known| *known != place);
        if is_other || self.values.len() >= VALUES_AT_ONCE || self.bytes + value.len() > BYTES_AT_ONCE {
            self.append(bus, args).await?;
        }
        self.place = Some(place);
        self.bytes += value.len();
        self.values.push(wire::Unnamed { value, content_type: Some(content_type) });
        Ok(())
    }

    async fn append(&mut self, bus: &Bus, args: &Import) -> Result<(), Failure> {
        let Self { place, values, .. } = std::mem::take(self);
        let Some((space, window)) = place.filter(|_| !values.is_empty() && !args.dry_run) else { return Ok(()) };
        append(bus, &args.bounds, (space, window), values).await
    }
}

/// Appends to a window with the bounds that were asked for.
pub(super) async fn append(
    bus: &Bus,
    bounds: &Bounds,
    (space, window): (String, String),
    values: Vec<wire::Unnamed>,
) -> Result<(), Failure> {
    let asked = wire::Append { space, window, values, entries_max: bounds.entries_max, age_max_ms: bounds.age_max_ms() };
    let _: wire::Appended = ask(bus, "APPEND", &asked).await?;
    Ok(())
}
