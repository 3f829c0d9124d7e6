//! Reads a log from its beginning and tells what is missing.

use std::io;
use std::sync::Arc;

use super::segment::SegmentHead;
use super::{FORMAT_VERSION, Mark, MarkFile, Place, Segment, SegmentId, SegmentSummary};
use crate::disk::{Disk, is_unreadable};
use crate::record::{Kind, Piece, Reader, Salt, scan};

/// A record, as it is found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step<'a> {
    pub(crate) place: Place,
    pub(crate) kind: Kind,
    pub(crate) body: &'a [u8],
}

/// What is left of a log.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Everything that could be read, oldest first.
    pub(crate) segments: Vec<(Segment, SegmentSummary)>,
    /// The numbers that the next record and the next segment get.
    pub(crate) next_lsn: u64,
    pub(crate) next_segment: SegmentId,
    /// Highest sequence that a message ever had, lost ones included.
    pub(crate) last_sequence: u64,
    pub(crate) mark_file: MarkFile,
    /// What the mark said; `None` if it cannot be read.
    pub(crate) mark: Option<Mark>,
    pub(crate) gaps: Vec<Gap>,
    /// Places that cannot be read and lack no record that anybody knows of.
    pub(crate) unreadable: Vec<(SegmentId, u64)>,
}

/// Record numbers that nothing has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) first_lsn: u64,
    pub(crate) last_lsn: u64,
    /// Sequences of the messages that were among them: at most these. The last is below the first if there were none.
    pub(crate) first_sequence: u64,
    pub(crate) last_sequence: u64,
    /// The segment in or before which they are missing, and where in it.
    pub(crate) segment: SegmentId,
    pub(crate) offset: u64,
    /// The system refuses to read what is there.
    pub(crate) is_unreadable: bool,
}

/// Something is wrong with the files themselves.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Damage {
    #[error("{segment} has format {found}, and this version reads up to {FORMAT_VERSION}")]
    Newer { segment: SegmentId, found: u16 },
    #[error("{segment} cannot be read")]
    Io {
        segment: SegmentId,
        #[source]
        source: io::Error,
    },
}

/// Reads every record of the log in `directory`, oldest first.
///
/// # Errors
/// When the system fails for another reason than that the medium does, or a later version wrote a file. Damage is no error.
pub(crate) fn open(disk: &Disk, directory: &str, salt: Salt, mut visit: impl FnMut(Step<'_>)) -> Result<Opened, Damage> {
    let failed = |segment| move |source| Damage::Io { segment, source };
    let none = SegmentId(0);
    let ids: Vec<_> = disk.list(directory).map_err(failed(none))?.iter().filter_map(|name| SegmentId::of_file_name(name)).collect();
    let (mark_file, mark) = MarkFile::open(disk, directory, salt).map_err(failed(none))?;
    let mut reading =
        Reading { last_lsn: 0, last_sequence: 0, gaps: Vec::new(), segments: Vec::new(), refused: None, unreadable: Vec::new() };
    for (index, id) in ids.iter().copied().enumerate() {
        let is_last = index + 1 == ids.len();
        reading.segment(disk, directory, id, is_last, salt, &mut visit)?;
    }
    let known = mark.unwrap_or_default();
    let at_end = reading.segments.last().map_or((none, 0), |(segment, _)| (segment.id, segment.capacity));
    reading.gap_before(known.lsn + 1, at_end);
    // A message whose record is below the mark has a sequence up to the mark's.
    let last_sequence = reading.last_sequence.max(known.sequence);
    reading.close_gaps(last_sequence + 1);
    Ok(Opened {
        next_lsn: reading.last_lsn.max(known.lsn) + 1,
        next_segment: ids.last().copied().unwrap_or(none).next(),
        last_sequence,
        segments: reading.segments,
        mark_file,
        mark,
        gaps: reading.gaps,
        unreadable: reading.unreadable,
    })
}

struct Reading {
    last_lsn: u64,
    last_sequence: u64,
    gaps: Vec<Gap>,
    segments: Vec<(Segment, SegmentSummary)>,
    /// The first place behind the last record that the system refuses to read.
    refused: Option<(SegmentId, u64)>,
    unreadable: Vec<(SegmentId, u64)>,
}

impl Reading {
    fn segment(
        &mut self,
        disk: &Disk,
        directory: &str,
        id: SegmentId,
        is_last: bool,
        salt: Salt,
        visit: &mut impl FnMut(Step<'_>),
    ) -> Result<(), Damage> {
        let failed = |source| Damage::Io { segment: id, source };
        let name = format!("{directory}/{id}");
        let file = match disk.open(&name) {
            Err(error) if is_unreadable(&error) => {
                self.refused.get_or_insert((id, 0));
                return Ok(());
            }
            opened => opened.map_err(failed)?,
        };
        let mut found: Option<SegmentSummary> = None;
        let (mut end, mut newer, mut is_blank) = (0, None, true);
        scan(&file, 0, salt, |piece| {
            let (offset, header, body) = match piece {
                Piece::Record { offset, header, body } => (offset, header, body),
                Piece::Hole { blank, .. } => {
                    is_blank &= blank;
                    return;
                }
                Piece::Unreadable { offset } => {
                    is_blank = false;
                    self.refused.get_or_insert((id, offset));
                    return;
                }
            };
            if header.kind == Kind::Segment
                && let Ok(head) = SegmentHead::parse(body)
            {
                if head.version > FORMAT_VERSION {
                    newer = Some(head.version);
                }
                // A file of another log, or under another name, has no records of this one.
                if head.id != id || head.salt != salt {
                    return;
                }
            }
            // Numbers only rise. What does not is an image of an old record, not one.
            if newer.is_some() || header.lsn <= self.last_lsn {
                return;
            }
            self.gap_before(header.lsn, (id, end));
            self.last_lsn = header.lsn;
            end = offset + header.record_bytes() as u64;
            let summary = found.get_or_insert(SegmentSummary {
                id,
                first_lsn: header.lsn,
                last_lsn: header.lsn,
                first_sequence: 1,
                last_sequence: 0,
            });
            summary.last_lsn = header.lsn;
            if let Some(sequence) = sequence_of(header.kind, body) {
                self.close_gaps(sequence);
                if summary.last_sequence == 0 {
                    summary.first_sequence = sequence;
                }
                summary.last_sequence = sequence;
                self.last_sequence = self.last_sequence.max(sequence);
            }
            let place = Place { segment: id, offset, bytes: header.record_bytes(), lsn: header.lsn };
            visit(Step { place, kind: header.kind, body });
        })
        .map_err(failed)?;
        if let Some(found) = newer {
            return Err(Damage::Newer { segment: id, found });
        }
        let Some(summary) = found else {
            // Made ahead of its use and never used. One that is full of something is left for whoever wants to look at it.
            if is_blank {
                drop(file);
                disk.remove(&name).map_err(failed)?;
            }
            return Ok(());
        };
        if is_last && is_blank {
            // What was allocated and not written is given back.
            file.set_len(end).map_err(failed)?;
        }
        // A process that was killed may have left what is read here in the system's memory only. From now on it counts as stored.
        file.sync().map_err(failed)?;
        let capacity = file.len().map_err(failed)?;
        self.segments.push((Segment { id, file: Arc::new(file), capacity, is_reserve: false }, summary));
        Ok(())
    }

    /// Notes that everything between the last record and this one is missing, if anything is.
    fn gap_before(&mut self, lsn: u64, place: (SegmentId, u64)) {
        let refused = self.refused.take();
        if lsn <= self.last_lsn + 1 {
            self.unreadable.extend(refused);
            return;
        }
        let (segment, offset) = refused.unwrap_or(place);
        self.gaps.push(Gap {
            first_lsn: self.last_lsn + 1,
            last_lsn: lsn - 1,
            first_sequence: self.last_sequence + 1,
            last_sequence: u64::MAX,
            segment,
            offset,
            is_unreadable: refused.is_some(),
        });
    }

    /// The next message after the open gaps has this sequence.
    fn close_gaps(&mut self, sequence: u64) {
        for gap in self.gaps.iter_mut().rev().take_while(|gap| gap.last_sequence == u64::MAX) {
            gap.last_sequence = sequence - 1;
        }
    }
}

/// A message begins with its sequence.
fn sequence_of(kind: Kind, body: &[u8]) -> Option<u64> {
    if kind == Kind::Message { Reader(body).u64().ok() } else { None }
}
