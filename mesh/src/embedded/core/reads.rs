//! Reading: each call sees the file as it was at one moment, and the time at which it was asked.

use std::ops::Bound;
use std::time::Duration;

use bytes::Bytes;
use redb::{Database, Error, ReadableDatabase};

use super::read_error;
use super::rows::{Counted, NEVER, Row, WindowRow, decode_log};
use super::tables::{log_name, name, name_from, parse_log_position, parse_name, read_entries, read_log, read_spaces, read_windows};
use crate::store::{Kind, StoreError, Stored, StoredPage};
use crate::window::Range;
use crate::{Key, Namespace, Position, Prefix, SpaceStats, Window, limits};

/// Which keys are listed; as [`Scan`](crate::store::Scan), and owned.
#[derive(Debug, Clone)]
pub(in super::super) struct Listed {
    pub(in super::super) kind: Kind,
    pub(in super::super) prefix: Prefix,
    pub(in super::super) after: Option<Key>,
    pub(in super::super) limit: usize,
}

/// The entries of these keys.
pub(in super::super) fn read(database: &Database, space: &Namespace, keys: &[Key], now_ms: u64) -> Result<Vec<Option<Stored>>, StoreError> {
    let entries = database.begin_read().map_err(Error::from).and_then(|read| read_entries(&read)).map_err(read_error)?;
    let mut left = limits::READ_BYTES_MAX;
    keys.iter()
        .map(|key| {
            let name = name(space, key);
            let Some(row) = entries.get(&name[..]).map_err(|error| read_error(error.into()))? else { return Ok(None) };
            let row = Row::decode(&name, row.value())
                .map_err(|_| StoreError::Damaged(format!("the entry of {key:?} is not as it was written").into()))?;
            if row.expires_ms <= now_ms {
                return Ok(None);
            }
            left = left.checked_sub(row.record.len()).ok_or(StoreError::TooMuch)?;
            let ttl = (row.expires_ms != NEVER).then(|| Duration::from_millis(row.expires_ms.saturating_sub(now_ms)));
            Ok(Some(Stored { revision: row.revision, record: Bytes::copy_from_slice(row.record), ttl }))
        })
        .collect()
}

/// Keys in ascending order.
pub(in super::super) fn scan(database: &Database, space: &Namespace, listed: &Listed, now_ms: u64) -> Result<Vec<Key>, StoreError> {
    list(database, space, listed, now_ms).map_err(read_error)
}

fn list(database: &Database, space: &Namespace, listed: &Listed, now_ms: u64) -> Result<Vec<Key>, Error> {
    let read = database.begin_read()?;
    let table = match listed.kind {
        Kind::Entries => read_entries(&read)?,
        Kind::Windows => read_windows(&read)?,
    };
    let beginning = name_from(space, listed.prefix.as_str());
    let after = listed.after.as_ref().map(|after| name(space, after)).filter(|after| *after >= beginning);
    let from = after.as_ref().map_or(Bound::Included(&beginning[..]), |after| Bound::Excluded(&after[..]));
    let mut keys = Vec::new();
    for row in table.range::<&[u8]>((from, Bound::Unbounded))? {
        let (name, row) = row?;
        if !name.value().starts_with(&beginning) || keys.len() == listed.limit {
            break;
        }
        let expires_ms = match listed.kind {
            Kind::Entries => Row::decode(name.value(), row.value()).map(|row| row.expires_ms),
            Kind::Windows => WindowRow::decode(name.value(), row.value()).map(|row| row.expires_ms),
        };
        // What is damaged is listed: whoever asks for it is told, and can delete it.
        if expires_ms.is_ok_and(|expires_ms| expires_ms <= now_ms) {
            continue;
        }
        keys.extend(parse_name(name.value()).map(|(_, key)| key));
    }
    Ok(keys)
}

/// Entries of a window.
pub(in super::super) fn recent(
    database: &Database,
    space: &Namespace,
    window: &Window,
    range: Range,
    now_ms: u64,
) -> Result<StoredPage, StoreError> {
    let name = name(space, window.key());
    let (read, row) = window_row(database, &name).map_err(read_error)?;
    let Some(row) = row else { return Ok(StoredPage::default()) };
    let row = row.map_err(|_| StoreError::Damaged(format!("the window {:?} is not as it was written", window.key()).into()))?;
    if row.expires_ms <= now_ms {
        return Ok(StoredPage::default());
    }
    let log = read_log(&read).map_err(read_error)?;
    Reader { log, name, window, count: row.count, now_ms }.page(range)
}

type Windowed = (redb::ReadTransaction, Option<Result<WindowRow, super::rows::BadRow>>);

fn window_row(database: &Database, name: &[u8]) -> Result<Windowed, Error> {
    let read = database.begin_read()?;
    let row = read_windows(&read)?.get(name)?.map(|row| WindowRow::decode(name, row.value()));
    Ok((read, row))
}

struct Reader<'a> {
    log: super::tables::ReadRows,
    name: Vec<u8>,
    window: &'a Window,
    /// Entries in the log.
    count: u64,
    now_ms: u64,
}

impl Reader<'_> {
    fn page(&self, range: Range) -> Result<StoredPage, StoreError> {
        let mut page = StoredPage::default();
        let mut bytes = 0;
        let mut take = |position: Position, record: &[u8], limit: usize| {
            bytes += record.len();
            let fits = page.entries.len() < limit && (bytes <= limits::RECENT_BYTES_MAX || page.entries.is_empty());
            if fits {
                page.entries.push((position, Bytes::copy_from_slice(record)));
            }
            page.more |= !fits;
            fits
        };
        let entries_max = self.window.options().entries_max as usize;
        match range {
            Range::Last { limit } => {
                let limit = limit.min(entries_max);
                self.each(self.by_age(), true, |position, record| take(position, record, limit))?;
                // The newest were asked for: so many, and no more.
                page.more &= page.entries.len() < limit;
                page.entries.reverse();
            }
            Range::Since { time_ms, limit } => {
                let from = self.first(entries_max).map_err(read_error)?.max(Position { time_ms, sequence: 0 });
                self.each(from, false, |position, record| take(position, record, limit))?;
            }
            Range::After { position, limit } => {
                let from = self.first(entries_max).map_err(read_error)?.max(position.next());
                self.each(from, false, |position, record| take(position, record, limit))?;
            }
        }
        Ok(page)
    }

    /// The first place that is young enough for who reads.
    fn by_age(&self) -> Position {
        let age_ms = u64::try_from(self.window.options().age_max.as_millis()).unwrap_or(NEVER);
        match self.now_ms.checked_sub(age_ms) {
            Some(time_ms) => Position { time_ms: time_ms + 1, sequence: 0 },
            None => Position::START,
        }
    }

    /// The first place that is within both bounds of who reads. Only who wants to see less than is kept has to look for it.
    fn first(&self, entries_max: usize) -> Result<Position, Error> {
        let by_age = self.by_age();
        let mut first = by_age;
        if self.count > entries_max as u64 {
            for row in self.range(by_age)?.rev().take(entries_max) {
                first = parse_log_position(row?.0.value()).unwrap_or(first);
            }
        }
        Ok(first)
    }

    fn range(&self, from: Position) -> Result<redb::Range<'_, &'static [u8], &'static [u8]>, Error> {
        let (from, to) = (log_name(&self.name, from), log_name(&self.name, Position::END));
        Ok(self.log.range::<&[u8]>(&from[..]..=&to[..])?)
    }

    /// As long as `more` says so, from the oldest or from the newest on.
    fn each(&self, from: Position, newest_first: bool, mut more: impl FnMut(Position, &[u8]) -> bool) -> Result<(), StoreError> {
        let mut rows = self.range(from).map_err(read_error)?;
        while let Some(row) = if newest_first { rows.next_back() } else { rows.next() } {
            let (name, row) = row.map_err(|error| read_error(error.into()))?;
            let Some(position) = parse_log_position(name.value()) else { continue };
            let record = decode_log(name.value(), row.value()).map_err(|_| {
                StoreError::Damaged(format!("entry {position} of the window {:?} is not as it was written", self.window.key()).into())
            })?;
            if !more(position, record) {
                break;
            }
        }
        Ok(())
    }
}

/// What a namespace has.
pub(in super::super) fn stats(database: &Database, space: &Namespace) -> Result<SpaceStats, StoreError> {
    let space = space.as_str().as_bytes();
    let counted = counted(database, space).map_err(read_error)?;
    Ok(SpaceStats { entries: counted.entries, windows: counted.windows, bytes: Some(counted.bytes) })
}

fn counted(database: &Database, space: &[u8]) -> Result<Counted, Error> {
    let row = read_spaces(&database.begin_read()?)?.get(space)?;
    Ok(row.map(|row| Counted::decode(space, row.value()).unwrap_or_default()).unwrap_or_default())
}
