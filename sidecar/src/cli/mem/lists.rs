//! `myelin mem import --redis`: a fleet's history, kept in lists that nothing ever trims, becomes windows.
//!
//! Of each list the newest entries are read that its window will keep, and no others; the list stays as it is. What the lists take is what
//! Redis says (`MEMORY USAGE`, every entry looked at); what the windows take is what the store counts as encoded.

use myelin_bus::Bus;
use redis::aio::MultiplexedConnection;
use serde_json::json;

use super::super::stream::say;
use super::super::{Failure, output, payload};
use super::ask::ask;
use super::import::{Import, VALUES_AT_ONCE, append};
use crate::memory::wire;

/// How many keys Redis looks at for one answer of a scan.
const SCAN_COUNT: usize = 512;

/// As a window has it that names no bound.
const ENTRIES_MAX_DEFAULT: u32 = 100;

/// What was found and done.
#[derive(Debug, Default)]
struct Tally {
    lists: u64,
    skipped: u64,
    entries: u64,
    kept: u64,
    list_bytes: u64,
    kept_bytes: u64,
}

/// Where the parts of a list's name lead.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    space: String,
    window: String,
}

pub(super) async fn run(args: &Import, url: &str) -> Result<(), Failure> {
    let client = redis::Client::open(url).map_err(|_| Failure::usage("--redis: expected a URL such as redis://127.0.0.1:6379"))?;
    let mut lists = client.get_multiplexed_async_connection().await.map_err(|error| failed(&error))?;
    let bus = args.common.server.connect().await?;
    let stored_before = stored(&bus).await?;
    let keys: u64 = redis::cmd("DBSIZE").query_async(&mut lists).await.map_err(|error| failed(&error))?;
    let (mut cursor, mut looked, mut tally) = (0_u64, 0_u64, Tally::default());
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(&args.pattern).arg("COUNT").arg(SCAN_COUNT).arg("TYPE").arg("list");
        let (next, names): (u64, Vec<Vec<u8>>) = scan.query_async(&mut lists).await.map_err(|error| failed(&error))?;
        for name in names {
            import_list(args, &bus, &mut lists, &name, &mut tally).await?;
            output::progress(&format!("{} lists, {} of {} entries kept", tally.lists, tally.kept, tally.entries));
        }
        looked += SCAN_COUNT as u64;
        output::progress(&super::carry::bar("keys looked at", looked.min(keys), keys));
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    output::progress("");
    let stored_bytes = stored(&bus).await?.saturating_sub(stored_before);
    report(args, &tally, stored_bytes)
}

fn report(args: &Import, tally: &Tally, stored_bytes: u64) -> Result<(), Failure> {
    let saved =
        if args.dry_run || tally.list_bytes == 0 { None } else { Some(100.0 * (1.0 - stored_bytes as f64 / tally.list_bytes as f64)) };
    let document = json!({
        "dry_run": args.dry_run,
        "lists": tally.lists,
        "skipped_lists": tally.skipped,
        "entries": tally.entries,
        "kept_entries": tally.kept,
        "list_bytes": tally.list_bytes,
        "kept_bytes": tally.kept_bytes,
        "stored_bytes": if args.dry_run { None } else { Some(stored_bytes) },
        "saved_percent": saved.map(|saved| (saved * 10.0).round() / 10.0),
    });
    let mut text = format!("{} lists with {} entries, {} bytes of memory\n", tally.lists, tally.entries, tally.list_bytes);
    match saved {
        None => text += &format!("{} entries would be kept, {} bytes before encoding", tally.kept, tally.kept_bytes),
        Some(saved) => {
            text += &format!("{} entries kept: {} bytes, {stored_bytes} bytes as stored, {saved:.1} % less", tally.kept, tally.kept_bytes);
        }
    }
    if tally.skipped > 0 {
        text += &format!("\n{} lists skipped, see above", tally.skipped);
    }
    say(args.common.json, &document, &text)?;
    if tally.skipped > 0 {
        Err(Failure::runtime(format!("{} lists have names that make no space or window", tally.skipped)))
    } else {
        Ok(())
    }
}

async fn import_list(args: &Import, bus: &Bus, lists: &mut MultiplexedConnection, name: &[u8], tally: &mut Tally) -> Result<(), Failure> {
    tally.lists += 1;
    let Some(place) = place(name, args.space.as_deref()) else {
        tally.skipped += 1;
        tracing::warn!(list = payload::escape(name), "skipped: no window can be called so");
        return Ok(());
    };
    let length: u64 = redis::cmd("LLEN").arg(name).query_async(lists).await.map_err(|error| failed(&error))?;
    let usage: Option<u64> =
        redis::cmd("MEMORY").arg("USAGE").arg(name).arg("SAMPLES").arg(0).query_async(lists).await.map_err(|error| failed(&error))?;
    tally.entries += length;
    tally.list_bytes += usage.unwrap_or(0);
    // Read from the oldest of those that are kept to the newest, so that the window has them in their order.
    let mut left = length.min(args.bounds.entries_max.unwrap_or(ENTRIES_MAX_DEFAULT).into());
    while left > 0 {
        let count = left.min(VALUES_AT_ONCE as u64);
        let (first, last) = range(length, left, count, args.newest_first);
        let read = redis::cmd("LRANGE").arg(name).arg(first).arg(last).query_async(lists).await;
        let mut values: Vec<Vec<u8>> = read.map_err(|error| failed(&error))?;
        if args.newest_first {
            values.reverse();
        }
        tally.kept += values.len() as u64;
        tally.kept_bytes += values.iter().map(|value| value.len() as u64).sum::<u64>();
        if !args.dry_run {
            for some in halves(values) {
                append(bus, &args.bounds, (place.space.clone(), place.window.clone()), some).await?;
            }
        }
        left -= count;
    }
    Ok(())
}

/// The places in a list of `length` of the oldest `count` of its newest `left` entries, both included.
fn range(length: u64, left: u64, count: u64, newest_first: bool) -> (u64, u64) {
    if newest_first { (left - count, left - 1) } else { (length - left, length - left + count - 1) }
}

/// Values in their order, in parts of at most a quarter of a megabyte; one value is always a part.
fn halves(values: Vec<Vec<u8>>) -> Vec<Vec<wire::Unnamed>> {
    const BYTES: usize = 256 << 10;
    let (mut parts, mut bytes): (Vec<Vec<wire::Unnamed>>, usize) = (Vec::new(), 0);
    for value in values {
        let is_full = bytes + value.len() > BYTES;
        bytes = if is_full || parts.is_empty() { value.len() } else { bytes + value.len() };
        if is_full || parts.is_empty() {
            parts.push(Vec::new());
        }
        let content_type =
            if serde_json::from_slice::<&serde_json::value::RawValue>(&value).is_ok() { Some("application/json".to_owned()) } else { None };
        if let Some(part) = parts.last_mut() {
            part.push(wire::Unnamed { value: value.into(), content_type });
        }
    }
    parts
}

/// `messages:agent-7` is the window `messages` of the space `agent-7`.
fn place(name: &[u8], prefix: Option<&str>) -> Option<Place> {
    let (window, id) = std::str::from_utf8(name).ok()?.split_once(':')?;
    let space = prefix.map_or_else(|| id.to_owned(), |prefix| format!("{prefix}.{id}"));
    let is_fine = myelin_mesh::Namespace::new(&space).is_ok() && myelin_mesh::Key::new(window).is_ok();
    is_fine.then(|| Place { space, window: window.to_owned() })
}

/// Bytes that the sidecar has stored since it began.
async fn stored(bus: &Bus) -> Result<u64, Failure> {
    let told: wire::Told = ask(bus, "STATS", &wire::Stats::default()).await?;
    Ok(told.counts.bytes_stored)
}

fn failed(error: &redis::RedisError) -> Failure {
    Failure::runtime(format!("--redis: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_read_oldest_first_from_either_end() {
        // Ten entries, of which the newest four are kept, three at once.
        assert_eq!([range(10, 4, 3, false), range(10, 1, 1, false)], [(6, 8), (9, 9)]);
        assert_eq!([range(10, 4, 3, true), range(10, 1, 1, true)], [(1, 3), (0, 0)]);
    }

    #[test]
    fn a_name_is_taken_as_it_is_or_not_at_all() {
        let there = Some(Place { space: "fleet.agent-7".to_owned(), window: "messages".to_owned() });
        assert_eq!(place(b"messages:agent-7", Some("fleet")), there);
        for name in [&b"messages"[..], b"messages:", b"messages:a b", b":a", b"messages:\xff"] {
            assert_eq!(place(name, None), None, "{name:?}");
        }
    }

    #[test]
    fn parts_are_bounded_and_lose_nothing() {
        let values = vec![vec![b'1'; 200 << 10], vec![b'2'; 100 << 10], vec![b'x'; 600 << 10], b"{}".to_vec()];
        let parts = halves(values);
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1, 1]);
        assert_eq!(parts[3][0].content_type.as_deref(), Some("application/json"));
    }
}
