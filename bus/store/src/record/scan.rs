//! Reads a segment from its beginning to its end, whatever is in it.

use std::io;

use super::{ALIGNMENT, HEADER_BYTES, Header, Kind, MAGIC, Salt};
use crate::disk::File;

/// How much is read at a time.
const WINDOW_BYTES: usize = 1 << 20;

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
}

/// Calls `visit` for everything from `offset` to the end, in order and without gaps.
///
/// # Errors
/// When the file cannot be read, which is not damage that a checksum found.
pub(crate) fn scan(file: &File, offset: u64, salt: Salt, mut visit: impl FnMut(Piece<'_>)) -> io::Result<()> {
    let mut window = Window { file, file_bytes: file.len()?, start: offset, bytes: Vec::new() };
    let mut at = offset;
    let mut hole: Option<bool> = None;
    while at < window.file_bytes {
        if let Some((header, body)) = window.record_at(at, salt)? {
            if let Some(blank) = hole.take() {
                visit(Piece::Hole { blank });
            }
            visit(Piece::Record { offset: at, header, body });
            at += header.record_bytes() as u64;
            continue;
        }
        let step = window.unit_at(at)?;
        let blank = step.iter().all(|byte| *byte == 0);
        let step_bytes = step.len() as u64;
        hole = Some(hole.is_none_or(|was| was) && blank);
        at += step_bytes;
    }
    if let Some(blank) = hole {
        visit(Piece::Hole { blank });
    }
    Ok(())
}

/// The part of the file that is in memory.
struct Window<'a> {
    file: &'a File,
    file_bytes: u64,
    start: u64,
    bytes: Vec<u8>,
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

    /// The bytes up to the next place where a record may begin.
    fn unit_at(&mut self, at: u64) -> io::Result<&[u8]> {
        let rest = usize::try_from(self.file_bytes - at).unwrap_or(usize::MAX).min(ALIGNMENT);
        Ok(self.at(at, rest)?.unwrap_or_default())
    }

    /// `None` where the file is too short for it. Nothing larger than the file is ever allocated.
    fn at(&mut self, at: u64, bytes: usize) -> io::Result<Option<&[u8]>> {
        if at + bytes as u64 > self.file_bytes {
            return Ok(None);
        }
        let end = self.start + self.bytes.len() as u64;
        if at < self.start || at + bytes as u64 > end {
            let rest = usize::try_from(self.file_bytes - at).unwrap_or(usize::MAX);
            self.bytes.resize(WINDOW_BYTES.max(bytes).min(rest), 0);
            self.start = at;
            self.file.read_exact_at(at, &mut self.bytes)?;
        }
        let from = (at - self.start) as usize;
        Ok(Some(&self.bytes[from..from + bytes]))
    }
}
