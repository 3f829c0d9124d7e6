//! What the core has to do, in the simplest form: maps, and everything computed anew.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::super::work::{Done, Work};
use crate::store::{Stored, StoredPage, Swapped, Write};
use crate::window::Range;
use crate::{Expected, Key, Namespace, Position, Revision, Window};

type Name = (Namespace, Key);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Model {
    pub(super) entries: BTreeMap<Name, Held>,
    pub(super) windows: BTreeMap<Name, Log>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) revision: Revision,
    record: Bytes,
    expires_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Log {
    entries: Vec<(Position, Bytes)>,
    expires_ms: u64,
}

impl Model {
    /// Lets go of what is past its time.
    pub(super) fn pass(&mut self, now_ms: u64) {
        self.entries.retain(|_, held| held.expires_ms.is_none_or(|expires_ms| expires_ms > now_ms));
        self.windows.retain(|_, log| log.expires_ms > now_ms);
    }

    /// Does the work, and holds that the answer is the right one. Positions are taken from it.
    pub(super) fn work(&mut self, space: &Namespace, work: &Work, done: &Done, now_ms: u64) {
        self.pass(now_ms);
        let name = |key: &Key| (space.clone(), key.clone());
        let until = |ttl: Option<Duration>| ttl.map(|ttl| now_ms + ttl.as_millis() as u64);
        let held = |write: &Write| Held { revision: write.revision, record: write.record.clone(), expires_ms: until(write.ttl) };
        match work {
            Work::Write(writes) => {
                assert_eq!(*done, Done::Written);
                self.entries.extend(writes.iter().map(|write| (name(&write.key), held(write))));
            }
            Work::Swap { key, expected, new } => {
                let current = self.entries.get(&name(key)).map(|held| held.revision);
                let is_expected = match expected {
                    Expected::Absent => current.is_none(),
                    Expected::Revision(revision) => current == Some(*revision),
                };
                assert_eq!(*done, Done::Swapped(if is_expected { Swapped::Done } else { Swapped::Conflict(current) }));
                if is_expected {
                    self.entries.remove(&name(key));
                    self.entries.extend(new.iter().map(|write| (name(key), held(write))));
                }
            }
            Work::Delete(keys) => {
                let count = keys.iter().filter(|key| self.entries.remove(&name(key)).is_some()).count();
                assert_eq!(*done, Done::Deleted(count as u64));
            }
            Work::Touch { key, ttl } => {
                let found = self.entries.get_mut(&name(key));
                assert_eq!(*done, Done::Touched(found.is_some()));
                if let Some(held) = found {
                    held.expires_ms = until(*ttl);
                }
            }
            Work::Append { window, records } => {
                let Done::Appended(positions) = done else { panic!("{done:?}") };
                assert_eq!(positions.len(), records.len());
                let log = self.windows.entry(name(window.key())).or_insert(Log { entries: Vec::new(), expires_ms: 0 });
                log.entries.extend(positions.iter().copied().zip(records.iter().cloned()));
                log.entries = within(&log.entries, window, now_ms);
                log.expires_ms = now_ms + window.options().age_max.as_millis() as u64;
            }
            Work::Clear(key) => assert_eq!(*done, Done::Cleared(self.windows.remove(&name(key)).is_some())),
        }
    }

    pub(super) fn read(&self, space: &Namespace, key: &Key, now_ms: u64) -> Option<Stored> {
        let held = self.entries.get(&(space.clone(), key.clone()))?;
        let ttl = held.expires_ms.map(|expires_ms| Duration::from_millis(expires_ms.saturating_sub(now_ms)));
        let is_there = held.expires_ms.is_none_or(|expires_ms| expires_ms > now_ms);
        is_there.then(|| Stored { revision: held.revision, record: held.record.clone(), ttl })
    }

    pub(super) fn recent(&self, space: &Namespace, window: &Window, range: Range, now_ms: u64) -> StoredPage {
        let Some(log) = self.windows.get(&(space.clone(), window.key().clone())) else { return StoredPage::default() };
        if log.expires_ms <= now_ms {
            return StoredPage::default();
        }
        let all = within(&log.entries, window, now_ms);
        let (mut entries, limit): (Vec<_>, _) = match range {
            Range::Last { limit } => return StoredPage { entries: all[all.len().saturating_sub(limit)..].to_vec(), more: false },
            Range::Since { time_ms, limit } => (all.into_iter().filter(|(position, _)| position.time_ms >= time_ms).collect(), limit),
            Range::After { position: after, limit } => (all.into_iter().filter(|(position, _)| *position > after).collect(), limit),
        };
        let more = entries.len() > limit;
        entries.truncate(limit);
        StoredPage { entries, more }
    }
}

/// The newest that are young enough.
fn within(entries: &[(Position, Bytes)], window: &Window, now_ms: u64) -> Vec<(Position, Bytes)> {
    let options = window.options();
    let newest = &entries[entries.len().saturating_sub(options.entries_max as usize)..];
    let is_young = |position: &Position| position.time_ms + options.age_max.as_millis() as u64 > now_ms;
    newest.iter().filter(|(position, _)| is_young(position)).cloned().collect()
}
