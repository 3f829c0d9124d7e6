//! `myelin mem get`, `set`, `del`, `touch`, `cas` and `scan`.

use serde_json::json;

use super::super::payload;
use super::super::stream::{Common, say};
use super::super::{Failure, output};
use super::ask::{ask, document};
use super::{Life, ValueArgs};
use crate::memory::wire;

/// Print entries
///
/// The exit code is 1 when one of them is not there.
#[derive(Debug, clap::Args)]
pub(super) struct Get {
    /// Whose memory
    space: String,

    /// Which entries
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,

    /// Print values as they are
    #[arg(long, conflicts_with = "json")]
    raw: bool,

    #[command(flatten)]
    common: Common,
}

/// Write an entry
#[derive(Debug, clap::Args)]
pub(super) struct Set {
    /// Whose memory
    space: String,

    /// Which entry
    key: String,

    #[command(flatten)]
    value: ValueArgs,

    #[command(flatten)]
    life: Life,

    #[command(flatten)]
    common: Common,
}

/// Delete entries
#[derive(Debug, clap::Args)]
pub(super) struct Del {
    /// Whose memory
    space: String,

    /// Which entries
    #[arg(required = true, value_name = "KEY")]
    keys: Vec<String>,

    /// Only if the one entry is of this write
    #[arg(long, value_name = "REVISION")]
    revision: Option<String>,

    #[command(flatten)]
    common: Common,
}

/// Give an entry a new time to live, counted from now
#[derive(Debug, clap::Args)]
pub(super) struct Touch {
    /// Whose memory
    space: String,

    /// Which entry
    key: String,

    #[command(flatten)]
    life: Life,

    #[command(flatten)]
    common: Common,
}

/// Write an entry if what is there is what you expect: of several at once, one succeeds
#[derive(Debug, clap::Args)]
pub(super) struct Cas {
    /// Whose memory
    space: String,

    /// Which entry
    key: String,

    #[command(flatten)]
    value: ValueArgs,

    /// The entry is of this write
    #[arg(long, value_name = "REVISION", required_unless_present = "absent")]
    revision: Option<String>,

    /// There is no entry
    #[arg(long, conflicts_with = "revision")]
    absent: bool,

    #[command(flatten)]
    life: Life,

    #[command(flatten)]
    common: Common,
}

/// List keys
#[derive(Debug, clap::Args)]
pub(super) struct Scan {
    /// Whose memory
    space: String,

    /// Keys that begin so
    #[arg(long, default_value = "")]
    prefix: String,

    /// Of windows, not of entries
    #[arg(long)]
    windows: bool,

    /// Stop after this many
    #[arg(long, value_name = "N")]
    limit: Option<u64>,

    #[command(flatten)]
    common: Common,
}

pub(super) async fn get(args: Get) -> Result<(), Failure> {
    let bus = args.common.server.connect().await?;
    let entries = match &args.keys[..] {
        [key] => {
            let got: wire::Got = ask(&bus, "GET", &wire::Get { space: args.space.clone(), key: key.clone() }).await?;
            vec![got.entry]
        }
        keys => {
            let got: wire::GotMany = ask(&bus, "GET_MANY", &wire::GetMany { space: args.space.clone(), keys: keys.to_vec() }).await?;
            got.entries
        }
    };
    let is_one = args.keys.len() == 1;
    let mut missing = Vec::new();
    for (key, entry) in args.keys.iter().zip(entries) {
        match entry {
            None => missing.push(format!("{:?}", key)),
            Some(entry) if args.common.json => output::json(&document(key, &entry))?,
            Some(entry) if args.raw => output::raw(&entry.value)?,
            Some(entry) if is_one => output::line(&payload::escape(&entry.value))?,
            Some(entry) => output::line(&format!("{}  {}", payload::escape(key.as_bytes()), payload::escape(&entry.value)))?,
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(Failure::runtime(format!("{} has no entry {}", args.space, missing.join(", ")))) }
}

pub(super) async fn set(args: Set) -> Result<(), Failure> {
    let bus = args.common.server.connect().await?;
    let (value, content_type) = args.value.read()?;
    let asked = wire::Set { space: args.space, key: args.key, value, content_type, ttl_ms: args.life.ttl_ms(), forever: args.life.forever };
    let written: wire::Written = ask(&bus, "SET", &asked).await?;
    say(args.common.json, &json!(written), &written.revision)
}

pub(super) async fn del(args: Del) -> Result<(), Failure> {
    let bus = args.common.server.connect().await?;
    let deleted: wire::Deleted = ask(&bus, "DELETE", &wire::Delete { space: args.space, keys: args.keys, revision: args.revision }).await?;
    say(args.common.json, &json!(deleted), &format!("{} entries deleted", deleted.deleted))
}

pub(super) async fn touch(args: Touch) -> Result<(), Failure> {
    let bus = args.common.server.connect().await?;
    let asked = wire::Touch { space: args.space, key: args.key, ttl_ms: args.life.ttl_ms(), forever: args.life.forever };
    let touched: wire::Touched = ask(&bus, "TOUCH", &asked).await?;
    if !touched.touched {
        return Err(Failure::runtime(format!("{} has no entry {:?}", asked.space, asked.key)));
    }
    say(args.common.json, &json!(touched), "it lives on")
}

pub(super) async fn cas(args: Cas) -> Result<(), Failure> {
    let bus = args.common.server.connect().await?;
    let (value, content_type) = args.value.read()?;
    let asked = wire::Cas {
        space: args.space,
        key: args.key,
        expected: args.revision,
        value,
        content_type,
        ttl_ms: args.life.ttl_ms(),
        forever: args.life.forever,
    };
    let written: wire::Written = ask(&bus, "CAS", &asked).await?;
    say(args.common.json, &json!(written), &written.revision)
}

pub(super) async fn scan(args: Scan) -> Result<(), Failure> {
    let bus = args.common.server.connect().await?;
    let (mut after, mut left) = (None, args.limit.unwrap_or(u64::MAX));
    while left > 0 {
        let limit = Some(left.min(1024));
        let asked = wire::Scan { space: args.space.clone(), prefix: args.prefix.clone(), after, limit, windows: args.windows };
        let page: wire::Scanned = ask(&bus, "SCAN", &asked).await?;
        for key in &page.keys {
            if args.common.json {
                output::json(&json!({ "key": key }))?;
            } else {
                output::line(&payload::escape(key.as_bytes()))?;
            }
        }
        left = left.saturating_sub(page.keys.len() as u64);
        if page.next.is_none() {
            return Ok(());
        }
        after = page.next;
    }
    Ok(())
}
