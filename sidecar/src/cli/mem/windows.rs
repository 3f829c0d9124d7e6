//! `myelin mem append`, `recent` and `clear`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::super::stream::{Common, say};
use super::super::{Failure, output, payload, server};
use super::ask::ask;
use super::{Bounds, ValueArgs, millis};
use crate::memory::wire;

/// Append to a window, which lets go of its oldest entries by itself
#[derive(Debug, clap::Args)]
pub(super) struct Append {
    /// Whose memory
    space: String,

    /// Which window
    window: String,

    #[command(flatten)]
    value: ValueArgs,

    #[command(flatten)]
    bounds: Bounds,

    #[command(flatten)]
    common: Common,
}

/// Print entries of a window, oldest first
#[derive(Debug, clap::Args)]
pub(super) struct Recent {
    /// Whose memory
    space: String,

    /// Which window
    window: String,

    /// The newest ones [default: all that are within the bounds]
    #[arg(long, value_name = "N", conflicts_with_all = ["since", "after"])]
    last: Option<u64>,

    /// Not older than this
    #[arg(long, value_name = "DURATION", value_parser = server::duration, conflicts_with = "after")]
    since: Option<Duration>,

    /// Behind this position, which an earlier answer told
    #[arg(long, value_name = "POSITION")]
    after: Option<String>,

    /// Print values as they are
    #[arg(long, conflicts_with = "json")]
    raw: bool,

    #[command(flatten)]
    bounds: Bounds,

    #[command(flatten)]
    common: Common,
}

/// Take a window away with all that is in it
#[derive(Debug, clap::Args)]
pub(super) struct Clear {
    /// Whose memory
    space: String,

    /// Which window
    window: String,

    #[command(flatten)]
    common: Common,
}

pub(super) async fn append(args: Append) -> Result<(), Failure> {
    let bus = args.common.server.connect().await?;
    let (value, content_type) = args.value.read()?;
    let asked = wire::Append {
        space: args.space,
        window: args.window,
        values: vec![wire::Unnamed { value, content_type }],
        entries_max: args.bounds.entries_max,
        age_max_ms: args.bounds.age_max_ms(),
    };
    let appended: wire::Appended = ask(&bus, "APPEND", &asked).await?;
    say(args.common.json, &json!(appended), &appended.positions.join("\n"))
}

pub(super) async fn recent(args: Recent) -> Result<(), Failure> {
    let bus = args.common.server.connect().await?;
    let mut asked = wire::Recent {
        space: args.space,
        window: args.window,
        entries_max: args.bounds.entries_max,
        age_max_ms: args.bounds.age_max_ms(),
        last: args.last,
        since_ms: args.since.map(|since| millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(since))),
        after: args.after,
        limit: None,
    };
    if asked.last.is_none() && asked.since_ms.is_none() && asked.after.is_none() {
        asked.since_ms = Some(0);
    }
    loop {
        let page: wire::Recalled = ask(&bus, "RECENT", &asked).await?;
        for entry in &page.entries {
            if args.common.json {
                output::json(&document(entry))?;
            } else if args.raw {
                output::raw(&entry.value)?;
            } else {
                output::line(&payload::escape(&entry.value))?;
            }
        }
        // Of the newest, what did not fit is older and stays out.
        match page.entries.last() {
            Some(last) if page.more && asked.last.is_none() => (asked.since_ms, asked.after) = (None, Some(last.position.clone())),
            Some(_) | None => return Ok(()),
        }
    }
}

/// An entry of a window as JSON.
pub(super) fn document(entry: &wire::Recall) -> serde_json::Value {
    let mut document = json!({ "position": entry.position, "time_ms": entry.time_ms, "content_type": entry.content_type });
    payload::put(&mut document, &entry.value.clone().into());
    document
}

pub(super) async fn clear(args: Clear) -> Result<(), Failure> {
    let bus = args.common.server.connect().await?;
    let cleared: wire::Cleared = ask(&bus, "CLEAR", &wire::Clear { space: args.space, window: args.window.clone() }).await?;
    let text = if cleared.cleared { format!("window {} is gone", args.window) } else { format!("there was no window {}", args.window) };
    say(args.common.json, &json!(cleared), &text)
}
