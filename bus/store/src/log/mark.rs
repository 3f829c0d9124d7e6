//! How far the log has been durable, written outside of it.
//!
//! A record that is missing below the mark was acknowledged and is lost; one above it may be a write that the power cut tore, which nobody was
//! promised. Two slots are written in turn, so that one is whole whatever happens to the other.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::disk::{Disk, File, is_unreadable};
use crate::record::{Reader, Salt, Writer};

const NAME: &str = "mark";

/// Slots lie in sectors of their own.
const SLOT_BYTES: usize = 4096;

const FIELDS_BYTES: usize = 24;

/// The highest record and the highest message that are durable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) lsn: u64,
    pub(crate) sequence: u64,
}

/// Written and synced by one thread, which holds nothing meanwhile that others may want.
#[derive(Debug)]
pub(crate) struct MarkFile {
    file: File,
    salt: Salt,
    round: AtomicU64,
}

impl MarkFile {
    /// Makes the mark of a new log, which says that nothing is durable: a mark without anything in it was damaged.
    pub(crate) fn create(disk: &Disk, directory: &str, salt: Salt) -> io::Result<Self> {
        let file = disk.create(&format!("{directory}/{NAME}"), 2 * SLOT_BYTES as u64)?;
        let made = Self { file, salt, round: AtomicU64::new(0) };
        made.write(Mark::default())?;
        made.sync()?;
        Ok(made)
    }

    /// Opens the mark of a log, or makes one; and what it said, or `None` if it was not there or is damaged.
    pub(crate) fn open(disk: &Disk, directory: &str, salt: Salt) -> io::Result<(Self, Option<Mark>)> {
        let name = format!("{directory}/{NAME}");
        let file = match disk.open(&name) {
            Ok(file) if file.len()? == 2 * SLOT_BYTES as u64 => Some(file),
            Ok(_) => None,
            Err(error) if error.kind() == io::ErrorKind::NotFound || is_unreadable(&error) => None,
            Err(error) => return Err(error),
        };
        let (file, latest) = match file.map(|file| read(&file, salt).map(|latest| (file, latest))).transpose() {
            Ok(Some(found)) => found,
            // A file whose sectors are bad would be one to write to as well.
            Err(error) if !is_unreadable(&error) => return Err(error),
            Ok(None) | Err(_) => {
                disk.remove(&name)?;
                (disk.create(&name, 2 * SLOT_BYTES as u64)?, None)
            }
        };
        let round = latest.map_or(0, |(round, _)| round);
        Ok((Self { file, salt, round: AtomicU64::new(round) }, latest.map(|(_, mark)| mark)))
    }

    /// Writes the mark; durable with the next [`sync`](Self::sync).
    pub(crate) fn write(&self, mark: Mark) -> io::Result<()> {
        let round = self.round.fetch_add(1, Ordering::Relaxed) + 1;
        let mut slot = Writer::default();
        slot.u64(round).u64(mark.lsn).u64(mark.sequence);
        let check = check(&slot.0, self.salt);
        slot.u32(check);
        self.file.write_at(round % 2 * SLOT_BYTES as u64, &slot.0)
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

/// The newest whole slot, if one is.
fn read(file: &File, salt: Salt) -> io::Result<Option<(u64, Mark)>> {
    let mut latest: Option<(u64, Mark)> = None;
    for slot in 0..2 {
        let mut bytes = [0; FIELDS_BYTES + 4];
        file.read_exact_at(slot * SLOT_BYTES as u64, &mut bytes)?;
        if let Some(found) = parse(&bytes, salt)
            && latest.is_none_or(|(round, _)| found.0 > round)
        {
            latest = Some(found);
        }
    }
    Ok(latest)
}

fn check(fields: &[u8], salt: Salt) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.0.to_le_bytes());
    hasher.update(fields);
    hasher.finalize()
}

fn parse(bytes: &[u8], salt: Salt) -> Option<(u64, Mark)> {
    let mut reader = Reader(bytes);
    let found = (reader.u64().ok()?, Mark { lsn: reader.u64().ok()?, sequence: reader.u64().ok()? });
    (reader.u32().ok()? == check(&bytes[..FIELDS_BYTES], salt)).then_some(found)
}
