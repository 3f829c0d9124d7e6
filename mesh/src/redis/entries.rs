//! Entries: what each verb sends.

use super::address::slot_of;
use super::call::Repeat;
use super::node::Node;
use super::reply;
use super::script::{self, Call, Script};
use super::store::Redis;
use crate::store::{Kind, Scan, StoreError, Stored, Swapped, Write};
use crate::{Expected, Key, Namespace, SpaceStats, limits};
use redis::{Cmd, Value};
use std::time::Duration;

/// The name of an entry in Redis.
pub(super) fn entry_name(space: &Namespace, key: &Key) -> String {
    let mut name = String::with_capacity(space.as_str().len() + key.as_str().len() + 8);
    write_entry_name(space, key, &mut name);
    name
}

/// Piece by piece: it is made for each hit of the near cache, and formatting costs as much as the hit.
pub(super) fn write_entry_name(space: &Namespace, key: &Key, name: &mut String) {
    for part in ["my:{", space.as_str(), "}:e:", key.as_str()] {
        name.push_str(part);
    }
}

/// One of the keys that a namespace has once: `i` index of entries, `x` when they expire, `j` index of windows, `v` who watches, `c` changes.
pub(super) fn part_name(space: &Namespace, part: char) -> String {
    format!("my:{{{space}}}:{part}")
}

/// A script on entries, with the keys and the mark that `head.lua` expects.
pub(super) fn on_entries(script: &'static Script, space: &Namespace) -> Call {
    let parts = ['i', 'x', 'v', 'c'].map(|part| part_name(space, part));
    script.call().keys(parts).argument(fastrand::u64(..).to_be_bytes())
}

pub(super) fn get(space: &Namespace, key: &Key) -> Cmd {
    let mut command = redis::cmd("GET");
    command.arg(entry_name(space, key));
    command
}

/// An entry with what is left of its time. What has a time needs the clock of the node.
pub(super) async fn stored(value: Value, node: &Node) -> Result<Option<Stored>, StoreError> {
    let Some(laid) = reply::laid(value)? else { return Ok(None) };
    let ttl = match laid.expires_ms {
        None => None,
        Some(expires_ms) => {
            let now =
                node.time_ms().await.ok_or_else(|| StoreError::Unavailable(format!("{} does not tell the time", node.address).into()))?;
            // It was there when it was read, however late it is here.
            Some(Duration::from_millis(expires_ms.saturating_sub(now).max(1)))
        }
    };
    Ok(Some(Stored { revision: laid.revision, record: laid.record, ttl }))
}

fn millis(ttl: Option<Duration>) -> u128 {
    ttl.map_or(0, |ttl| ttl.as_millis())
}

impl Redis {
    pub(super) async fn read_entries(&self, space: &Namespace, keys: &[Key]) -> Result<Vec<Option<Stored>>, StoreError> {
        let (values, node) = match keys {
            [key] => {
                let (value, node) = self.caller.command(slot_of(space), &get(space, key), Repeat::Read).await?;
                (vec![value], node)
            }
            keys => {
                let names = keys.iter().map(|key| entry_name(space, key));
                let call = script::READ.call().keys(names).number(limits::READ_BYTES_MAX + keys.len() * reply::LAID_HEAD);
                let (value, node) = self.caller.script_by(slot_of(space), &call, Repeat::Read).await?;
                if let Value::Int(_) = value {
                    return Err(StoreError::TooMuch);
                }
                (reply::list(value)?, node)
            }
        };
        if values.len() != keys.len() {
            return Err(StoreError::Damaged("another number of entries than was asked for".into()));
        }
        let mut entries = Vec::with_capacity(values.len());
        for value in values {
            entries.push(stored(value, &node).await?);
        }
        Ok(entries)
    }

    pub(super) async fn write_entries(&self, space: &Namespace, writes: Vec<Write>) -> Result<(), StoreError> {
        let mut call = on_entries(&script::WRITE, space).keys(writes.iter().map(|write| entry_name(space, &write.key)));
        for write in writes {
            call = call.argument(write.key.as_str()).argument(write.revision.as_bytes()).number(millis(write.ttl)).argument(write.record);
        }
        self.caller.script(slot_of(space), &call, Repeat::Harmless).await.map(drop)
    }

    pub(super) async fn swap_entry(
        &self,
        space: &Namespace,
        key: &Key,
        expected: Expected,
        new: Option<Write>,
    ) -> Result<Swapped, StoreError> {
        let expected = match &expected {
            Expected::Absent => &[][..],
            Expected::Revision(revision) => revision.as_bytes(),
        };
        let call = on_entries(&script::SWAP, space).key(entry_name(space, key)).argument(key.as_str()).argument(expected);
        let call = match new {
            Some(write) => call.argument("put").argument(write.revision.as_bytes()).number(millis(write.ttl)).argument(write.record),
            None => call.argument("take"),
        };
        match self.caller.script(slot_of(space), &call, Repeat::Never).await? {
            Value::Int(1) => Ok(Swapped::Done),
            Value::BulkString(found) if found.is_empty() => Ok(Swapped::Conflict(None)),
            Value::BulkString(found) => reply::revision(&found).map(|found| Swapped::Conflict(Some(found))),
            other => Err(reply::damaged("a revision", &other)),
        }
    }

    pub(super) async fn delete_entries(&self, space: &Namespace, keys: &[Key]) -> Result<u64, StoreError> {
        let mut call = on_entries(&script::DELETE, space).keys(keys.iter().map(|key| entry_name(space, key)));
        for key in keys {
            call = call.argument(key.as_str());
        }
        // Deleting twice is harmless, and counting twice is not.
        reply::count(&self.caller.script(slot_of(space), &call, Repeat::Never).await?)
    }

    pub(super) async fn touch_entry(&self, space: &Namespace, key: &Key, ttl: Option<Duration>) -> Result<bool, StoreError> {
        let call = on_entries(&script::TOUCH, space).key(entry_name(space, key)).argument(key.as_str()).number(millis(ttl));
        Ok(reply::number(&self.caller.script(slot_of(space), &call, Repeat::Harmless).await?)? == 1)
    }

    pub(super) async fn scan_names(&self, space: &Namespace, scan: Scan<'_>) -> Result<Vec<Key>, StoreError> {
        let (index, kind) = match scan.kind {
            Kind::Entries => ('i', "e"),
            Kind::Windows => ('j', "w"),
        };
        let prefix = scan.prefix.as_str().as_bytes();
        let mut after = scan.after.map(|key| key.as_str().to_owned());
        let mut keys = Vec::new();
        while keys.len() < scan.limit {
            let from = match &after {
                Some(after) if after.as_bytes() >= prefix => bound(b'(', after.as_bytes(), b""),
                Some(_) | None => bound(b'[', prefix, b""),
            };
            // No name has a byte 255 in it, so this is behind every name that begins so.
            let to = bound(b'(', prefix, b"\xff");
            let limit = scan.limit - keys.len();
            let call = script::SCAN.call().key(part_name(space, index)).argument(kind).argument(from).argument(to).number(limit);
            let (living, next) = reply::pair(self.caller.script(slot_of(space), &call, Repeat::Read).await?)?;
            for name in reply::list(living)? {
                keys.push(reply::key(name)?);
            }
            match next {
                Value::Nil | Value::Boolean(false) => break,
                next => after = Some(reply::text(next)?),
            }
        }
        Ok(keys)
    }

    pub(super) async fn count_all(&self, space: &Namespace) -> Result<SpaceStats, StoreError> {
        let call = on_entries(&script::STATS, space).key(part_name(space, 'j'));
        let (entries, windows) = reply::pair(self.caller.script(slot_of(space), &call, Repeat::Read).await?)?;
        Ok(SpaceStats { entries: reply::count(&entries)?, windows: reply::count(&windows)?, bytes: None })
    }
}

fn bound(kind: u8, name: &[u8], end: &[u8]) -> Vec<u8> {
    [&[kind], name, end].concat()
}
