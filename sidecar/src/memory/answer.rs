//! A verb to its answer, by the mesh.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use myelin_mesh::{
    ContentType, Entry, Expected, Key, Mesh, Namespace, Position, Prefix, Recent, Revision, Space, Ttl, Value, Window, WindowEntry, limits,
};
use serde::Serialize;

use super::refusal::Refusal;
use super::request::Request;
use super::{pack, wire};

/// What the answer of one window entry takes beside its value: names of fields, a place and a content type, rounded up.
const RECALL_OVERHEAD_BYTES: usize = 256;

type Answer = Result<Vec<u8>, Refusal>;

/// Does what is asked for. Watches and statistics know more than the mesh and are answered by the server.
///
/// # Cancel safety
/// A write may or may not happen.
pub(super) async fn answer(mesh: &Mesh, request: Request, bytes_max: usize) -> Answer {
    match request {
        Request::Get(asked) => {
            let entry = space(mesh, &asked.space)?.get(&key(&asked.key)?).await?;
            done(&wire::Got { entry: entry.map(Into::into) })
        }
        Request::GetMany(asked) => {
            let entries = space(mesh, &asked.space)?.get_many(&keys(&asked.keys)?).await?;
            done(&wire::GotMany { entries: entries.into_iter().map(|entry| entry.map(Into::into)).collect() })
        }
        Request::Set(asked) => {
            let (value, ttl) = (value(asked.value, asked.content_type)?, ttl(asked.ttl_ms, asked.forever)?);
            let revision = space(mesh, &asked.space)?.set(&key(&asked.key)?, value, ttl).await?;
            done(&wire::Written { revision: revision.to_string() })
        }
        Request::SetMany(asked) => {
            let entry = |entry: wire::Named| Ok((key(&entry.key)?, value(entry.value, entry.content_type)?));
            let entries = asked.entries.into_iter().map(entry).collect::<Result<_, Refusal>>()?;
            let revisions = space(mesh, &asked.space)?.set_many(entries, ttl(asked.ttl_ms, asked.forever)?).await?;
            done(&wire::WrittenMany { revisions: revisions.iter().map(ToString::to_string).collect() })
        }
        Request::Delete(asked) => delete(&space(mesh, &asked.space)?, asked).await,
        Request::Touch(asked) => {
            let ttl = ttl(asked.ttl_ms, asked.forever)?;
            done(&wire::Touched { touched: space(mesh, &asked.space)?.touch(&key(&asked.key)?, ttl).await? })
        }
        Request::Cas(asked) => {
            let expected = asked.expected.as_deref().map(|text| revision("expected", text)).transpose()?;
            let expected = expected.map_or(Expected::Absent, Expected::Revision);
            let (value, ttl) = (value(asked.value, asked.content_type)?, ttl(asked.ttl_ms, asked.forever)?);
            let revision = space(mesh, &asked.space)?.compare_and_set(&key(&asked.key)?, expected, value, ttl).await?;
            done(&wire::Written { revision: revision.to_string() })
        }
        Request::Scan(asked) => scan(&space(mesh, &asked.space)?, &asked).await,
        Request::Append(asked) => {
            let window = window(&asked.window, asked.entries_max, asked.age_max_ms)?;
            let values = asked.values.into_iter().map(|given| value(given.value, given.content_type)).collect::<Result<Vec<_>, _>>()?;
            let positions = space(mesh, &asked.space)?.append_many(&window, &values).await?;
            done(&wire::Appended { positions: positions.iter().map(ToString::to_string).collect() })
        }
        Request::Recent(asked) => recent(&space(mesh, &asked.space)?, &asked, bytes_max).await,
        Request::Clear(asked) => done(&wire::Cleared { cleared: space(mesh, &asked.space)?.clear(&key(&asked.window)?).await? }),
        Request::Watch(_) | Request::Stats(_) => unreachable!("answered by the server"),
    }
}

async fn delete(space: &Space, asked: wire::Delete) -> Answer {
    let keys = keys(&asked.keys)?;
    let deleted = match (&asked.revision, &keys[..]) {
        (None, _) => space.delete_many(&keys).await?,
        (Some(text), [key]) => space.compare_and_delete(key, revision("revision", text)?).await.map(|()| 1)?,
        (Some(_), _) => return Err(Refusal::invalid("revision", "goes with one key")),
    };
    done(&wire::Deleted { deleted })
}

async fn scan(space: &Space, asked: &wire::Scan) -> Answer {
    let after = asked.after.as_deref().map(|text| Key::new(text).map_err(|error| Refusal::invalid("after", error))).transpose()?;
    let (prefix, limit) = (prefix(&asked.prefix)?, asked.limit.map_or(limits::SCAN_PAGE_MAX, number));
    let page = match asked.windows {
        false => space.scan(&prefix, after.as_ref(), limit).await?,
        true => space.scan_windows(&prefix, after.as_ref(), limit).await?,
    };
    let text = |key: &Key| key.as_str().to_owned();
    done(&wire::Scanned { keys: page.keys.iter().map(text).collect(), next: page.next.as_ref().map(text) })
}

async fn recent(space: &Space, asked: &wire::Recent, bytes_max: usize) -> Answer {
    let window = window(&asked.window, asked.entries_max, asked.age_max_ms)?;
    let (which, is_newest) = which(asked)?;
    let mut page = space.recent(&window, which).await?;
    page.more |= cut(&mut page.entries, is_newest, bytes_max);
    let recall = |entry: WindowEntry| wire::Recall {
        position: entry.position.to_string(),
        time_ms: entry.time().duration_since(UNIX_EPOCH).map_or(0, millis),
        value: entry.value.bytes,
        content_type: entry.value.content_type.as_str().to_owned(),
    };
    done(&wire::Recalled { entries: page.entries.into_iter().map(recall).collect(), more: page.more })
}

/// Which entries are asked for, and whether those are the newest ones.
fn which(asked: &wire::Recent) -> Result<(Recent, bool), Refusal> {
    let (which, is_newest) = match (asked.last, asked.since_ms, &asked.after) {
        (last, None, None) => (Recent::last(last.map_or(limits::RECENT_ENTRIES_MAX, number)), true),
        (None, Some(since), None) => {
            let since = UNIX_EPOCH.checked_add(Duration::from_millis(since)).ok_or_else(|| Refusal::invalid("since_ms", "is no time"))?;
            (Recent::since(since), false)
        }
        (None, None, Some(after)) => {
            let position: Position = after.parse().map_err(|error| Refusal::invalid("after", error))?;
            (Recent::after(position), false)
        }
        _ => return Err(Refusal::invalid("request", "one of last, since_ms and after says which entries")),
    };
    Ok((asked.limit.map_or(which, |limit| which.limit(number(limit))), is_newest))
}

/// Leaves out what one message cannot carry, and one entry at least. Whether something was left out.
fn cut(entries: &mut Vec<WindowEntry>, is_newest: bool, bytes_max: usize) -> bool {
    let mut left = bytes_max.saturating_sub(RECALL_OVERHEAD_BYTES);
    let mut fits = |entry: &WindowEntry| {
        let bytes = entry.value.bytes.len() + RECALL_OVERHEAD_BYTES;
        let fits = bytes <= left;
        left = left.saturating_sub(bytes);
        fits
    };
    let count = entries.len();
    if is_newest {
        let kept = entries.iter().rev().take_while(|entry| fits(entry)).count().max(1).min(count);
        entries.drain(..count - kept);
    } else {
        let kept = entries.iter().take_while(|entry| fits(entry)).count().max(1);
        entries.truncate(kept);
    }
    entries.len() < count
}

pub(super) fn done(answer: &impl Serialize) -> Answer {
    Ok(pack(answer))
}

pub(super) fn space(mesh: &Mesh, text: &str) -> Result<Space, Refusal> {
    Ok(mesh.space(Namespace::new(text).map_err(|error| Refusal::invalid("space", error))?))
}

pub(super) fn prefix(text: &str) -> Result<Prefix, Refusal> {
    Prefix::new(text).map_err(|error| Refusal::invalid("prefix", error))
}

fn key(text: &str) -> Result<Key, Refusal> {
    Key::new(text).map_err(|error| Refusal::invalid("key", error))
}

fn keys(texts: &[String]) -> Result<Vec<Key>, Refusal> {
    texts.iter().map(|text| key(text)).collect()
}

fn value(bytes: Bytes, content_type: Option<String>) -> Result<Value, Refusal> {
    let content_type = match content_type {
        None => ContentType::BYTES,
        Some(text) => ContentType::new(&text).map_err(|error| Refusal::invalid("content_type", error))?,
    };
    Ok(Value { bytes, content_type })
}

fn ttl(ttl_ms: Option<u64>, forever: bool) -> Result<Ttl, Refusal> {
    match (ttl_ms, forever) {
        (None, false) => Ok(Ttl::DEFAULT),
        (None, true) => Ok(Ttl::FOREVER),
        // Elsewhere 0 means "for ever", or "delete it": whoever writes it does not get the other one.
        (Some(0), _) => Err(Refusal::invalid("ttl_ms", "is at least 1; an entry that lives for ever has forever: true")),
        (Some(ttl_ms), false) => Ok(Ttl::after(Duration::from_millis(ttl_ms))),
        (Some(_), true) => Err(Refusal::invalid("forever", "is true, and ttl_ms is given")),
    }
}

fn revision(field: &str, text: &str) -> Result<Revision, Refusal> {
    text.parse().map_err(|error| Refusal::invalid(field, error))
}

fn window(text: &str, entries_max: Option<u32>, age_max_ms: Option<u64>) -> Result<Window, Refusal> {
    let mut window = Window::new(Key::new(text).map_err(|error| Refusal::invalid("window", error))?);
    if let Some(entries_max) = entries_max {
        window = window.entries_max(entries_max);
    }
    if let Some(age_max_ms) = age_max_ms {
        window = window.age_max(Duration::from_millis(age_max_ms));
    }
    Ok(window)
}

fn number(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl From<Entry> for wire::Entry {
    fn from(entry: Entry) -> Self {
        Self {
            content_type: entry.value.content_type.as_str().to_owned(),
            value: entry.value.bytes,
            revision: entry.revision.to_string(),
            ttl_ms: entry.ttl.map(millis),
        }
    }
}
