//! Reads a segment from its beginning to its end, whatever is in it.

use std::io;
use std::ops::Range;

use super::{ALIGNMENT, HEADER_BYTES, Header, Kind, MAGIC, Salt};
use crate::disk::{File, is_unreadable};

/// How much is read at a time.
const WINDOW_BYTES: usize = 1 << 20;

/// How much is given up where the system refuses to read. A disk takes its time over each.
const PAGE_BYTES: usize = 4096;

/// What lies at some place of a segment.
#[derive(Debug)]
pub(crate) enum Piece<'a> {
    Record {
        offset: u64,
        header: Header,
        body: &'a [u8],
    },
    /// No record. `blank` means zeros only: never written, or a write that did not survive.
    Hole {
        blank: bool,
    },
    /// Nobody knows what is here: the system refuses to read it.
    Unreadable {
        offset: u64,
    },
}

/// Calls `visit` for everything from `offset` to the end, in order and without gaps.
///
/// # Errors
/// When the system fails for another reason than that the medium does.
pub(crate) fn scan(file: &File, offset: u64, salt: Salt, mut visit: impl FnMut(Piece<'_>)) -> io::Result<()> {
    let mut window = Window { file, file_bytes: file.len()?, start: offset, bytes: Vec::new(), unreadable: Vec::new() };
    let mut at = offset;
    let mut hole: Option<Hole> = None;
    while at < window.file_bytes {
        if let Some((header, body)) = window.record_at(at, salt)? {
            hole.take().into_iter().for_each(|hole| visit(hole.into()));
            visit(Piece::Record { offset: at, header, body });
            at += header.record_bytes() as u64;
            continue;
        }
        let unit_bytes = (window.file_bytes - at).min(ALIGNMENT as u64);
        let next = match window.at(at, unit_bytes as usize)? {
            None => Hole::Unreadable { offset: at },
            Some(unit) => Hole::Readable { blank: unit.iter().all(|byte| *byte == 0) },
        };
        hole = Some(match (hole, next) {
            (Some(Hole::Readable { blank: was }), Hole::Readable { blank }) => Hole::Readable { blank: was && blank },
            (Some(same @ Hole::Unreadable { .. }), Hole::Unreadable { .. }) => same,
            (before, next) => {
                before.into_iter().for_each(|hole| visit(hole.into()));
                next
            }
        });
        at += unit_bytes;
    }
    hole.into_iter().for_each(|hole| visit(hole.into()));
    Ok(())
}

/// What is between records.
#[derive(Debug, Clone, Copy)]
enum Hole {
    Readable { blank: bool },
    Unreadable { offset: u64 },
}

impl From<Hole> for Piece<'_> {
    fn from(hole: Hole) -> Self {
        match hole {
            Hole::Readable { blank } => Self::Hole { blank },
            Hole::Unreadable { offset } => Self::Unreadable { offset },
        }
    }
}

/// The part of the file that is in memory.
struct Window<'a> {
    file: &'a File,
    file_bytes: u64,
    start: u64,
    bytes: Vec<u8>,
    /// Places in it that could not be read, which have zeros.
    unreadable: Vec<Range<u64>>,
}

impl Window<'_> {
    /// The record at `at`, if there is a whole one.
    fn record_at(&mut self, at: u64, salt: Salt) -> io::Result<Option<(Header, &[u8])>> {
        let Some(bytes) = self.at(at, HEADER_BYTES)? else { return Ok(None) };
        // Most of a search ends here, on four bytes.
        if bytes[..4] != MAGIC {
            return Ok(None);
        }
        let mut header = [0; HEADER_BYTES];
        header.copy_from_slice(bytes);
        let Some(header) = Header::parse(&header, salt) else { return Ok(None) };
        // The one kind that can be made without the salt counts in its one place only: elsewhere it is part of a payload.
        if header.kind == Kind::Segment && at != 0 {
            return Ok(None);
        }
        let Some(bytes) = self.at(at, HEADER_BYTES + header.body_bytes)? else { return Ok(None) };
        let body = &bytes[HEADER_BYTES..];
        Ok(header.fits(body, salt).then_some((header, body)))
    }

    /// `None` where the file is too short for it, or cannot be read. Nothing larger than the file is ever allocated.
    fn at(&mut self, at: u64, bytes: usize) -> io::Result<Option<&[u8]>> {
        if at + bytes as u64 > self.file_bytes {
            return Ok(None);
        }
        let end = self.start + self.bytes.len() as u64;
        if at < self.start || at + bytes as u64 > end {
            let rest = usize::try_from(self.file_bytes - at).unwrap_or(usize::MAX);
            self.bytes.resize(WINDOW_BYTES.max(bytes).min(rest), 0);
            self.start = at;
            self.unreadable.clear();
            match self.file.read_exact_at(at, &mut self.bytes) {
                Err(error) if is_unreadable(&error) => self.read_pages()?,
                read => read?,
            }
        }
        if self.unreadable.iter().any(|bad| bad.start < at + bytes as u64 && at < bad.end) {
            return Ok(None);
        }
        let from = (at - self.start) as usize;
        Ok(Some(&self.bytes[from..from + bytes]))
    }

    /// Reads what can be read, page by page of the file.
    fn read_pages(&mut self) -> io::Result<()> {
        let end = self.start + self.bytes.len() as u64;
        let mut at = self.start;
        while at < end {
            let next = (at + 1).next_multiple_of(PAGE_BYTES as u64).min(end);
            let page = &mut self.bytes[(at - self.start) as usize..(next - self.start) as usize];
            match self.file.read_exact_at(at, page) {
                Err(error) if is_unreadable(&error) => {
                    page.fill(0);
                    self.unreadable.push(at..next);
                }
                read => read?,
            }
            at = next;
        }
        Ok(())
    }
}
