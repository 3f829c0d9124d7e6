//! What stands in the tables, with a checksum over each row and its name: the library below checks none when it reads.

use crate::{Position, Revision};

/// No time: what lives for ever, and what is not in the index of times.
pub(super) const NEVER: u64 = u64::MAX;

/// A row that is not as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadRow;

/// An entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row<'a> {
    /// From when on it is not there any more, in milliseconds since 1970.
    pub(super) expires_ms: u64,
    /// At which time it stands in the index of times: never later than `expires_ms`, so that an entry that is written again and again is moved
    /// in the index once per time to live, and not each time.
    pub(super) due_ms: u64,
    pub(super) revision: Revision,
    pub(super) record: &'a [u8],
}

/// A window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WindowRow {
    /// As for an entry: nobody appended for as long as its entries live.
    pub(super) expires_ms: u64,
    pub(super) due_ms: u64,
    /// Entries in the log.
    pub(super) count: u64,
}

impl<'a> Row<'a> {
    const HEAD: usize = 4 + 8 + 8 + Revision::BYTES;

    /// Bytes of a row with a record of this size.
    pub(super) fn size(record: usize) -> usize {
        Self::HEAD + record
    }

    pub(super) fn encode(&self, name: &[u8]) -> Vec<u8> {
        let mut row = Vec::with_capacity(Self::HEAD + self.record.len());
        row.extend_from_slice(&[0; 4]);
        row.extend_from_slice(&self.expires_ms.to_be_bytes());
        row.extend_from_slice(&self.due_ms.to_be_bytes());
        row.extend_from_slice(self.revision.as_bytes());
        row.extend_from_slice(self.record);
        seal(name, &mut row);
        row
    }

    pub(super) fn decode(name: &[u8], row: &'a [u8]) -> Result<Self, BadRow> {
        let mut rest = unseal(name, row)?;
        let expires_ms = u64::from_be_bytes(take(&mut rest)?);
        let due_ms = u64::from_be_bytes(take(&mut rest)?);
        let revision = Revision::from_bytes(take(&mut rest)?);
        Ok(Self { expires_ms, due_ms, revision, record: rest })
    }
}

impl WindowRow {
    pub(super) const BYTES: usize = 4 + 3 * 8;

    pub(super) fn encode(&self, name: &[u8]) -> Vec<u8> {
        let mut row = vec![0; 4];
        for number in [self.expires_ms, self.due_ms, self.count] {
            row.extend_from_slice(&number.to_be_bytes());
        }
        seal(name, &mut row);
        row
    }

    pub(super) fn decode(name: &[u8], row: &[u8]) -> Result<Self, BadRow> {
        let mut rest = unseal(name, row)?;
        let mut number = || Ok(u64::from_be_bytes(take(&mut rest)?));
        Ok(Self { expires_ms: number()?, due_ms: number()?, count: number()? })
    }
}

/// An entry of a window: a checksum and its record.
pub(super) fn encode_log(log_name: &[u8], record: &[u8]) -> Vec<u8> {
    let mut row = [&[0; 4], record].concat();
    seal(log_name, &mut row);
    row
}

pub(super) fn decode_log<'a>(log_name: &[u8], row: &'a [u8]) -> Result<&'a [u8], BadRow> {
    unseal(log_name, row)
}

/// What a namespace has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in super::super) struct Counted {
    pub(in super::super) entries: u64,
    pub(in super::super) windows: u64,
    /// Of names and rows.
    pub(in super::super) bytes: u64,
}

impl Counted {
    pub(super) fn encode(&self, space: &[u8]) -> Vec<u8> {
        let mut row = vec![0; 4];
        for number in [self.entries, self.windows, self.bytes] {
            row.extend_from_slice(&number.to_be_bytes());
        }
        seal(space, &mut row);
        row
    }

    pub(super) fn decode(space: &[u8], row: &[u8]) -> Result<Self, BadRow> {
        let mut rest = unseal(space, row)?;
        let mut number = || Ok(u64::from_be_bytes(take(&mut rest)?));
        Ok(Self { entries: number()?, windows: number()?, bytes: number()? })
    }
}

/// The greatest position that was ever given out, next to no row but in the clock.
pub(super) fn later(last: Position, now_ms: u64) -> Position {
    if now_ms > last.time_ms { Position { time_ms: now_ms, sequence: 0 } } else { Position { sequence: last.sequence + 1, ..last } }
}

fn seal(name: &[u8], row: &mut [u8]) {
    let sum = checksum(name, &row[4..]);
    row[..4].copy_from_slice(&sum);
}

fn unseal<'a>(name: &[u8], row: &'a [u8]) -> Result<&'a [u8], BadRow> {
    let (sum, rest) = row.split_first_chunk::<4>().ok_or(BadRow)?;
    if *sum == checksum(name, rest) { Ok(rest) } else { Err(BadRow) }
}

fn checksum(name: &[u8], row: &[u8]) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(name);
    hasher.update(row);
    hasher.finalize().to_be_bytes()
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], BadRow> {
    let (taken, left) = rest.split_first_chunk::<N>().ok_or(BadRow)?;
    *rest = left;
    Ok(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_again_under_its_own_name_only() {
        let row = Row { expires_ms: 7, due_ms: 5, revision: Revision::from_bytes([3; 16]), record: b"record" };
        let bytes = row.encode(b"a\0b");
        assert_eq!(Row::decode(b"a\0b", &bytes), Ok(row));
        assert_eq!(Row::decode(b"a\0c", &bytes), Err(BadRow));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(Row::decode(b"a\0b", &changed), Err(BadRow), "byte {at}");
            assert_eq!(Row::decode(b"a\0b", &bytes[..at]), Err(BadRow), "{at} bytes");
        }
        let window = WindowRow { expires_ms: 1, due_ms: NEVER, count: 3 };
        assert_eq!(WindowRow::decode(b"w", &window.encode(b"w")), Ok(window));
    }

    #[test]
    fn positions_only_rise() {
        let first = later(Position::START, 1000);
        let second = later(first, 1000);
        let third = later(second, 999);
        assert_eq!([first.to_string(), second.to_string(), third.to_string()], ["1000-0", "1000-1", "1000-2"]);
        assert!(first < second && second < third && third < later(third, 1001));
    }
}
