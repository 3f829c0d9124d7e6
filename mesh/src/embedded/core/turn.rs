//! One turn: the tables, the time, and what is written once at its end.

use std::collections::HashMap;

use redb::{Error, ReadableTable};

use super::rows::{Counted, NEVER};
use super::tables::{Of, Tables, due_name, parse_due_name};
use super::work::{Done, Turned, Work};
use crate::store::{StoreError, StoredChange, What};
use crate::{Key, Namespace, Position};

/// See the head of this module.
pub(super) struct Turn<'t> {
    pub(super) tables: Tables<'t>,
    pub(super) now_ms: u64,
    pub(super) last: Position,
    bytes: u64,
    bytes_max: u64,
    spaces: HashMap<Namespace, Counted>,
    changes: Vec<(Namespace, StoredChange)>,
}

/// What a piece of work came to; the error outside means that the file failed, and the whole turn with it.
pub(super) type Outcome<T> = Result<Result<T, StoreError>, Error>;

impl<'t> Turn<'t> {
    pub(super) fn new(tables: Tables<'t>, now_ms: u64, last: Position, bytes: u64, bytes_max: u64) -> Self {
        Self { tables, now_ms, last, bytes, bytes_max, spaces: HashMap::new(), changes: Vec::new() }
    }

    pub(super) fn work(&mut self, space: &Namespace, work: &Work) -> Outcome<Done> {
        match work {
            Work::Write(writes) => self.write(space, writes),
            Work::Swap { key, expected, new } => self.swap(space, key, *expected, new.as_ref()),
            Work::Delete(keys) => self.delete(space, keys),
            Work::Touch { key, ttl } => self.touch(space, key, *ttl),
            Work::Append { window, records } => self.append(space, window, records),
            Work::Clear(key) => self.clear(space, key),
        }
    }

    /// Writes the sums, and tells what there is to tell.
    pub(super) fn finish(mut self, outcomes: Vec<Result<Done, StoreError>>) -> Result<(Turned, Position, u64), Error> {
        for (space, counted) in &self.spaces {
            let space = space.as_str().as_bytes();
            if counted.entries + counted.windows == 0 {
                self.tables.spaces.remove(space)?;
            } else {
                self.tables.spaces.insert(space, &counted.encode(space)[..])?;
            }
        }
        let due_ms = self.tables.due.first()?.and_then(|(due, _)| Some(parse_due_name(due.value())?.0));
        let last = self.last.max(Position { time_ms: self.now_ms, sequence: 0 });
        Ok((Turned { outcomes, changes: self.changes, due_ms }, last, self.bytes))
    }

    /// Whether there is room for so many bytes more.
    pub(super) fn has_room(&self, bytes: usize) -> Result<(), StoreError> {
        if self.bytes.saturating_add(bytes as u64) <= self.bytes_max {
            return Ok(());
        }
        Err(StoreError::Full(format!("{} of {} bytes are in use", self.bytes, self.bytes_max).into()))
    }

    /// Changes the sums of a namespace.
    pub(super) fn count(&mut self, space: &Namespace, change: impl FnOnce(&mut Counted)) -> Result<(), Error> {
        if !self.spaces.contains_key(space) {
            let name = space.as_str().as_bytes();
            let row = self.tables.spaces.get(name)?;
            let counted = row.map(|row| Counted::decode(name, row.value()).unwrap_or_default());
            self.spaces.insert(space.clone(), counted.unwrap_or_default());
        }
        let counted = self.spaces.get_mut(space).expect("it was just inserted");
        let before = counted.bytes;
        change(counted);
        self.bytes = self.bytes.saturating_add(counted.bytes).saturating_sub(before);
        Ok(())
    }

    pub(super) fn tell(&mut self, space: &Namespace, key: &Key, what: What) {
        self.changes.push((space.clone(), StoredChange { key: key.clone(), what }));
    }

    /// Sees to it that what expires at `expires_ms` stands in the index, where it stands at `due_ms` so far. Returns where it stands then.
    pub(super) fn keep_due(&mut self, of: Of, name: &[u8], due_ms: u64, expires_ms: u64) -> Result<u64, Error> {
        if expires_ms == NEVER || due_ms <= expires_ms {
            return Ok(due_ms);
        }
        self.drop_due(of, name, due_ms)?;
        self.tables.due.insert(&due_name(expires_ms, of, name)[..], &[][..])?;
        Ok(expires_ms)
    }

    pub(super) fn drop_due(&mut self, of: Of, name: &[u8], due_ms: u64) -> Result<(), Error> {
        if due_ms != NEVER {
            self.tables.due.remove(&due_name(due_ms, of, name)[..])?;
        }
        Ok(())
    }
}
