//! The tables of the file, and the names in them.
//!
//! | table | key | value |
//! |---|---|---|
//! | `entries` | namespace 0 key | a [`Row`](super::rows::Row) |
//! | `windows` | namespace 0 key | a [`WindowRow`](super::rows::WindowRow) |
//! | `log` | namespace 0 key 0 position | a checksum and a record |
//! | `due` | time, kind, namespace 0 key | nothing |
//! | `spaces` | namespace | what it has |
//! | `meta` | a word | a number |
//!
//! Neither namespaces nor keys have a zero byte in them, so no name is the beginning of another. Numbers are big-endian: their order is that of
//! their bytes.

use redb::{Database, Error, ReadOnlyTable, ReadTransaction, Table, TableDefinition, WriteTransaction};

use crate::{Key, Namespace, Position};

pub(in super::super) type Bytes2 = TableDefinition<'static, &'static [u8], &'static [u8]>;

const ENTRIES: Bytes2 = TableDefinition::new("entries");
const WINDOWS: Bytes2 = TableDefinition::new("windows");
const LOG: Bytes2 = TableDefinition::new("log");
const DUE: Bytes2 = TableDefinition::new("due");
const SPACES: Bytes2 = TableDefinition::new("spaces");
const META: TableDefinition<'static, &'static str, u64> = TableDefinition::new("meta");

/// The version of all this. A file with another one is not opened.
pub(in super::super) const FORMAT: u64 = 1;
/// Words of `meta`.
pub(super) const META_FORMAT: &str = "format";
/// No time before this one was ever used, so that time does not go back when the clock of the system does.
pub(super) const META_CLOCK: &str = "clock_ms";
/// Counts commits: it tells whether one happened that failed.
pub(super) const META_TURN: &str = "turn";

pub(super) type Rows<'t> = Table<'t, &'static [u8], &'static [u8]>;
pub(super) type ReadRows = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// All tables of a write.
pub(super) struct Tables<'t> {
    pub(super) entries: Rows<'t>,
    pub(super) windows: Rows<'t>,
    pub(super) log: Rows<'t>,
    pub(super) due: Rows<'t>,
    pub(super) spaces: Rows<'t>,
    pub(super) meta: Table<'t, &'static str, u64>,
}

impl<'t> Tables<'t> {
    pub(super) fn open(write: &'t WriteTransaction) -> Result<Self, Error> {
        Ok(Self {
            entries: write.open_table(ENTRIES)?,
            windows: write.open_table(WINDOWS)?,
            log: write.open_table(LOG)?,
            due: write.open_table(DUE)?,
            spaces: write.open_table(SPACES)?,
            meta: write.open_table(META)?,
        })
    }
}

pub(super) fn read_entries(read: &ReadTransaction) -> Result<ReadRows, Error> {
    Ok(read.open_table(ENTRIES)?)
}

pub(super) fn read_windows(read: &ReadTransaction) -> Result<ReadRows, Error> {
    Ok(read.open_table(WINDOWS)?)
}

pub(super) fn read_log(read: &ReadTransaction) -> Result<ReadRows, Error> {
    Ok(read.open_table(LOG)?)
}

pub(super) fn read_spaces(read: &ReadTransaction) -> Result<ReadRows, Error> {
    Ok(read.open_table(SPACES)?)
}

/// A number of `meta`; 0 if there is none.
pub(super) fn meta(database: &Database, word: &str) -> Result<u64, Error> {
    use redb::ReadableDatabase;
    let table = database.begin_read()?.open_table(META)?;
    Ok(table.get(word)?.map_or(0, |number| number.value()))
}

/// Of what something is the name, where that has to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Entry = 0,
    Window = 1,
}

/// Namespace and key as one name.
pub(super) fn name(space: &Namespace, key: &Key) -> Vec<u8> {
    [space.as_str().as_bytes(), &[0], key.as_str().as_bytes()].concat()
}

/// The beginning of all names of a namespace with a prefix.
pub(super) fn name_from(space: &Namespace, prefix: &str) -> Vec<u8> {
    [space.as_str().as_bytes(), &[0], prefix.as_bytes()].concat()
}

/// What a name was made of; `None`: it is none.
pub(super) fn parse_name(name: &[u8]) -> Option<(Namespace, Key)> {
    let (space, key) = str::from_utf8(name).ok()?.split_once('\0')?;
    Some((Namespace::new(space).ok()?, Key::new(key).ok()?))
}

/// The place of an entry of a window. The name is followed by a zero byte and 16 bytes.
pub(super) fn log_name(window: &[u8], position: Position) -> Vec<u8> {
    [window, &[0], &position.time_ms.to_be_bytes(), &position.sequence.to_be_bytes()].concat()
}

pub(super) fn parse_log_position(log_name: &[u8]) -> Option<Position> {
    let (_, position) = log_name.split_last_chunk::<16>()?;
    let (time_ms, sequence) = (position.first_chunk::<8>()?, position.last_chunk::<8>()?);
    Some(Position { time_ms: u64::from_be_bytes(*time_ms), sequence: u64::from_be_bytes(*sequence) })
}

/// A time at which something has to be looked at.
pub(super) fn due_name(time_ms: u64, of: Of, name: &[u8]) -> Vec<u8> {
    [&time_ms.to_be_bytes()[..], &[of as u8], name].concat()
}

pub(super) fn parse_due_name(due_name: &[u8]) -> Option<(u64, Of, &[u8])> {
    let (time_ms, rest) = due_name.split_first_chunk::<8>()?;
    let (of, name) = rest.split_first()?;
    let of = match of {
        0 => Of::Entry,
        1 => Of::Window,
        _ => return None,
    };
    Some((u64::from_be_bytes(*time_ms), of, name))
}
