//! Windows: appended to and trimmed in one step.

use bytes::Bytes;
use redb::{Error, ReadableTable};

use super::rows::{BadRow, NEVER, WindowRow, encode_log, later};
use super::tables::{Of, log_name, name, parse_log_position};
use super::turn::{Outcome, Turn};
use super::work::Done;
use crate::{Key, Namespace, Position, Window};

/// Bytes of a row of the log besides its record.
const LOG_ROW_BYTES: usize = 4;

impl Turn<'_> {
    pub(super) fn append(&mut self, space: &Namespace, window: &Window, records: &[Bytes]) -> Outcome<Done> {
        let name = name(space, window.key());
        let size = |record: &Bytes| log_name(&name, Position::START).len() + LOG_ROW_BYTES + record.len();
        if let Err(error) = self.has_room(records.iter().map(size).sum()) {
            return Ok(Err(error));
        }
        let mut row = match self.window(&name)? {
            Some(Ok(row)) if row.expires_ms > self.now_ms => row,
            None => self.begin(space, &name)?,
            // Expired and not swept yet, or not as it was written: it begins anew, with nothing in it.
            Some(found) => {
                self.empty(space, &name, usize::MAX)?;
                WindowRow { expires_ms: NEVER, due_ms: found.map_or(NEVER, |row| row.due_ms), count: 0 }
            }
        };
        let positions: Vec<_> = records.iter().map(|record| self.log(space, &name, record)).collect::<Result<_, _>>()?;
        row.count += positions.len() as u64;
        let age_ms = u64::try_from(window.options().age_max.as_millis()).unwrap_or(NEVER);
        let removed = self.trim(space, &name, row.count.saturating_sub(u64::from(window.options().entries_max)), age_ms)?;
        row.count = row.count.saturating_sub(removed);
        row.expires_ms = self.now_ms.saturating_add(age_ms);
        row.due_ms = self.keep_due(Of::Window, &name, row.due_ms, row.expires_ms)?;
        self.tables.windows.insert(&name[..], &row.encode(&name)[..])?;
        Ok(Ok(Done::Appended(positions)))
    }

    pub(super) fn clear(&mut self, space: &Namespace, key: &Key) -> Outcome<Done> {
        let name = name(space, key);
        let Some(found) = self.window(&name)? else { return Ok(Ok(Done::Cleared(false))) };
        self.empty(space, &name, usize::MAX)?;
        self.end(space, &name, found.map_or(NEVER, |row| row.due_ms))?;
        Ok(Ok(Done::Cleared(found.is_ok_and(|row| row.expires_ms > self.now_ms))))
    }

    /// What is known of a window.
    pub(super) fn window(&self, name: &[u8]) -> Result<Option<Result<WindowRow, BadRow>>, Error> {
        let row = self.tables.windows.get(name)?;
        Ok(row.map(|row| WindowRow::decode(name, row.value())))
    }

    fn begin(&mut self, space: &Namespace, name: &[u8]) -> Result<WindowRow, Error> {
        let bytes = (name.len() + WindowRow::BYTES) as u64;
        self.count(space, |counted| {
            counted.windows += 1;
            counted.bytes += bytes;
        })?;
        Ok(WindowRow { expires_ms: NEVER, due_ms: NEVER, count: 0 })
    }

    /// Takes away a window that has nothing in it any more.
    pub(super) fn end(&mut self, space: &Namespace, name: &[u8], due_ms: u64) -> Result<(), Error> {
        let bytes = (name.len() + WindowRow::BYTES) as u64;
        self.tables.windows.remove(name)?;
        self.drop_due(Of::Window, name, due_ms)?;
        self.count(space, |counted| {
            counted.windows = counted.windows.saturating_sub(1);
            counted.bytes = counted.bytes.saturating_sub(bytes);
        })
    }

    fn log(&mut self, space: &Namespace, name: &[u8], record: &[u8]) -> Result<Position, Error> {
        self.last = later(self.last, self.now_ms);
        let name = log_name(name, self.last);
        let row = encode_log(&name, record);
        self.tables.log.insert(&name[..], &row[..])?;
        self.count(space, |counted| counted.bytes += (name.len() + row.len()) as u64)?;
        Ok(self.last)
    }

    /// Removes so many of the oldest, and all that are too old. Returns how many.
    fn trim(&mut self, space: &Namespace, name: &[u8], excess: u64, age_ms: u64) -> Result<u64, Error> {
        let mut removed = 0;
        let now_ms = self.now_ms;
        self.remove_log(space, name, |position| {
            let goes = removed < excess || position.time_ms.saturating_add(age_ms) <= now_ms;
            removed += u64::from(goes);
            goes
        })?;
        Ok(removed)
    }

    /// Removes so many of the oldest. Returns how many there were.
    pub(super) fn empty(&mut self, space: &Namespace, name: &[u8], most: usize) -> Result<usize, Error> {
        let mut removed = 0;
        self.remove_log(space, name, |_| {
            let goes = removed < most;
            removed += usize::from(goes);
            goes
        })?;
        Ok(removed)
    }

    /// Removes from the oldest on, as long as `goes`.
    fn remove_log(&mut self, space: &Namespace, name: &[u8], mut goes: impl FnMut(Position) -> bool) -> Result<(), Error> {
        let (from, to) = (log_name(name, Position::START), log_name(name, Position::END));
        let mut names = Vec::new();
        let mut bytes = 0;
        for row in self.tables.log.range::<&[u8]>(&from[..]..=&to[..])? {
            let (log_name, row) = row?;
            // A name that makes no sense is nobody's, and goes with the first that does.
            if !parse_log_position(log_name.value()).is_none_or(&mut goes) {
                break;
            }
            bytes += log_name.value().len() + row.value().len();
            names.push(log_name.value().to_vec());
        }
        for name in &names {
            self.tables.log.remove(&name[..])?;
        }
        self.count(space, |counted| counted.bytes = counted.bytes.saturating_sub(bytes as u64))
    }
}
