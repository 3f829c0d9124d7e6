//! Entries: written, compared, deleted, touched.

use std::time::Duration;

use redb::{Error, ReadableTable};

use super::rows::{NEVER, Row};
use super::tables::{Of, name};
use super::turn::{Outcome, Turn};
use super::work::Done;
use crate::store::{StoreError, Swapped, What, Write};
use crate::{Expected, Key, Namespace, Revision};

/// What a write needs to know of what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Entry {
        expires_ms: u64,
        due_ms: u64,
        revision: Revision,
        /// Of the whole row.
        bytes: usize,
    },
    /// Something that is not as it was written.
    Damaged {
        bytes: usize,
    },
}

impl Found {
    fn bytes(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Entry { bytes, .. } | Self::Damaged { bytes } => *bytes,
        }
    }

    /// Where it stands in the index. Of what is damaged nobody knows; the sweep finds it.
    fn due_ms(&self) -> u64 {
        match self {
            Self::Entry { due_ms, .. } => *due_ms,
            Self::Nothing | Self::Damaged { .. } => NEVER,
        }
    }
}

impl Turn<'_> {
    pub(super) fn write(&mut self, space: &Namespace, writes: &[Write]) -> Outcome<Done> {
        let names: Vec<_> = writes.iter().map(|write| name(space, &write.key)).collect();
        let mut more = 0;
        for (write, name) in writes.iter().zip(&names) {
            more += (name.len() + Row::size(write.record.len())).saturating_sub(self.found(name)?.bytes());
        }
        if let Err(error) = self.has_room(more) {
            return Ok(Err(error));
        }
        for (write, name) in writes.iter().zip(&names) {
            self.put(space, name, write)?;
        }
        Ok(Ok(Done::Written))
    }

    pub(super) fn swap(&mut self, space: &Namespace, key: &Key, expected: Expected, new: Option<&Write>) -> Outcome<Done> {
        let name = name(space, key);
        let found = self.found(&name)?;
        let current = match found {
            Found::Entry { expires_ms, revision, .. } if expires_ms > self.now_ms => Some(revision),
            Found::Entry { .. } | Found::Nothing => None,
            Found::Damaged { .. } => return Ok(Err(damaged(key))),
        };
        let is_expected = match expected {
            Expected::Absent => current.is_none(),
            Expected::Revision(revision) => current == Some(revision),
        };
        if !is_expected {
            return Ok(Ok(Done::Swapped(Swapped::Conflict(current))));
        }
        match new {
            Some(write) => {
                let more = (name.len() + Row::size(write.record.len())).saturating_sub(found.bytes());
                if let Err(error) = self.has_room(more) {
                    return Ok(Err(error));
                }
                self.put(space, &name, write)?;
            }
            None => {
                self.take(space, &name, &found)?;
                // Nothing was expected, and nothing is there afterwards: an entry that had expired is told as that.
                self.tell_end(space, key, &found);
            }
        }
        Ok(Ok(Done::Swapped(Swapped::Done)))
    }

    pub(super) fn delete(&mut self, space: &Namespace, keys: &[Key]) -> Outcome<Done> {
        let mut count = 0;
        for key in keys {
            let name = name(space, key);
            let found = self.found(&name)?;
            self.take(space, &name, &found)?;
            count += u64::from(self.tell_end(space, key, &found));
        }
        Ok(Ok(Done::Deleted(count)))
    }

    pub(super) fn touch(&mut self, space: &Namespace, key: &Key, ttl: Option<Duration>) -> Outcome<Done> {
        let name = name(space, key);
        let expires_ms = self.expires_ms(ttl);
        let Some(row) = self.tables.entries.get(&name[..])?.map(|row| row.value().to_vec()) else { return Ok(Ok(Done::Touched(false))) };
        let Ok(row) = Row::decode(&name, &row) else { return Ok(Err(damaged(key))) };
        if row.expires_ms <= self.now_ms {
            return Ok(Ok(Done::Touched(false)));
        }
        let due_ms = self.keep_due(Of::Entry, &name, row.due_ms, expires_ms)?;
        self.tables.entries.insert(&name[..], &Row { expires_ms, due_ms, ..row }.encode(&name)[..])?;
        Ok(Ok(Done::Touched(true)))
    }

    pub(super) fn found(&self, name: &[u8]) -> Result<Found, Error> {
        let Some(row) = self.tables.entries.get(name)? else { return Ok(Found::Nothing) };
        let bytes = name.len() + row.value().len();
        Ok(match Row::decode(name, row.value()) {
            Ok(Row { expires_ms, due_ms, revision, .. }) => Found::Entry { expires_ms, due_ms, revision, bytes },
            Err(_) => Found::Damaged { bytes },
        })
    }

    fn put(&mut self, space: &Namespace, name: &[u8], write: &Write) -> Result<(), Error> {
        let found = self.found(name)?;
        let expires_ms = self.expires_ms(write.ttl);
        let due_ms = self.keep_due(Of::Entry, name, found.due_ms(), expires_ms)?;
        let row = Row { expires_ms, due_ms, revision: write.revision, record: &write.record }.encode(name);
        self.tables.entries.insert(name, &row[..])?;
        self.count(space, |counted| {
            counted.entries += u64::from(found == Found::Nothing);
            counted.bytes = (counted.bytes + (name.len() + row.len()) as u64).saturating_sub(found.bytes() as u64);
        })?;
        self.tell(space, &write.key, What::Put(write.revision));
        Ok(())
    }

    /// Takes a row away, and whatever stands for it elsewhere.
    pub(super) fn take(&mut self, space: &Namespace, name: &[u8], found: &Found) -> Result<(), Error> {
        if *found == Found::Nothing {
            return Ok(());
        }
        self.tables.entries.remove(name)?;
        self.drop_due(Of::Entry, name, found.due_ms())?;
        self.count(space, |counted| {
            counted.entries = counted.entries.saturating_sub(1);
            counted.bytes = counted.bytes.saturating_sub(found.bytes() as u64);
        })
    }

    /// Tells what became of an entry that was taken away; true: it had not expired.
    pub(super) fn tell_end(&mut self, space: &Namespace, key: &Key, found: &Found) -> bool {
        let was_there = match found {
            Found::Nothing => return false,
            Found::Entry { expires_ms, .. } => *expires_ms > self.now_ms,
            Found::Damaged { .. } => true,
        };
        self.tell(space, key, if was_there { What::Deleted } else { What::Expired });
        was_there
    }

    fn expires_ms(&self, ttl: Option<Duration>) -> u64 {
        ttl.map_or(NEVER, |ttl| self.now_ms.saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(NEVER)))
    }
}

fn damaged(key: &Key) -> StoreError {
    StoreError::Damaged(format!("the entry of {key:?} is not as it was written").into())
}
