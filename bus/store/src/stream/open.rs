//! A stream's directory: made, or read and gone on with.
//!
//! ```text
//! streams/<name>/stream                    what it is and the salt of its log
//! streams/<name>/0000000000000001.seg …    the log
//! streams/<name>/mark                      how far the log was durable
//! streams/<name>/deleted                   there only while a stream is removed
//! ```

use std::io;

use super::damage::reconcile;
use super::segments::Segments;
use super::{Core, Damage, Replay, State};
use crate::config::{Name, StreamConfig};
use crate::disk::{Disk, is_unreadable};
use crate::log::{self, MarkFile, SEGMENT_BYTES_MIN, Segment, SegmentHead, SegmentId, Tail};
use crate::record::{HEADER_BYTES, Header, Kind, Piece, Reader, Salt, Writer, read_stream, record_bytes, scan, write_stream};
use crate::reserve::{Reserve, is_full};

/// Largest description of a stream: 255 subjects of 255 bytes and the rest of it.
const DESCRIPTION_BYTES_MAX: usize = 128 << 10;

const DESCRIPTION: &str = "stream";

/// Says that a stream is being removed.
const DELETED: &str = "deleted";

/// Version of the description.
const VERSION: u16 = 1;

/// Why a stream cannot be opened at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The system said so.
    #[error("cannot read or write {what}")]
    Io {
        /// File or directory.
        what: Box<str>,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// A later version of this program wrote it.
    #[error("{what} was written by a later version: format {found}")]
    Newer {
        /// File.
        what: Box<str>,
        /// Version of its format.
        found: u16,
    },
    /// Neither the description nor any segment can be read.
    #[error("nothing in {what} can be read")]
    Unreadable {
        /// Directory.
        what: Box<str>,
    },
}

pub(crate) fn directory(name: &Name) -> String {
    format!("streams/{name}")
}

/// Makes a stream.
pub(crate) fn create(disk: &Disk, config: StreamConfig, salt: Salt) -> Result<State, OpenError> {
    let directory = directory(&config.name);
    let failed = |source| OpenError::Io { what: directory.clone().into(), source };
    disk.create_directory(&directory).map_err(failed)?;
    // The description comes last: a directory without one, in which nothing was written, is no stream and is made anew.
    for name in disk.list(&directory).map_err(failed)? {
        disk.remove(&format!("{directory}/{name}")).map_err(failed)?;
    }
    let segment = Segment::create(disk, &directory, SegmentId(1), SEGMENT_BYTES_MIN).map_err(failed)?;
    let mark = MarkFile::create(disk, &directory, salt).map_err(failed)?;
    describe(disk, &config, salt).map_err(failed)?;
    let segments = Segments::new(Vec::new(), SegmentId(1), 1);
    Ok(State::new(Core::new(config), Tail::new(salt, 1, segment), segments, mark))
}

/// Removes a stream with everything in it. What the end of the process leaves of it is removed at the next start.
pub(crate) fn remove(disk: &Disk, name: &Name) -> Result<(), OpenError> {
    let directory = directory(name);
    let failed = |source| OpenError::Io { what: directory.clone().into(), source };
    // Segments tell what stream they were, and would be taken for one whose description is damaged: so this is said first and removed last.
    disk.replace(&format!("{directory}/{DELETED}"), b"deleted").map_err(failed)?;
    for file in disk.list(&directory).map_err(failed)?.iter().filter(|file| *file != DELETED) {
        disk.remove(&format!("{directory}/{file}")).map_err(failed)?;
    }
    disk.remove_directory(&directory).map_err(failed)
}

/// Whether a directory is what is left of a stream that was being removed, or never came to be.
pub(crate) fn is_leftover(disk: &Disk, name: &Name) -> io::Result<bool> {
    let directory = directory(name);
    let files = disk.list(&directory)?;
    if files.iter().any(|file| file == DELETED) {
        return Ok(true);
    }
    if files.iter().any(|file| file == DESCRIPTION) {
        return Ok(false);
    }
    for file in files.iter().filter(|file| SegmentId::of_file_name(file).is_some()) {
        let mut is_blank = true;
        let segment = match disk.open(&format!("{directory}/{file}")) {
            Err(error) if is_unreadable(&error) => return Ok(false),
            opened => opened?,
        };
        scan(&segment, 0, Salt::NONE, |piece| {
            is_blank &= matches!(piece, Piece::Hole { blank: true, .. });
        })?;
        if !is_blank {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Writes what a stream is beside its log.
pub(crate) fn describe(disk: &Disk, config: &StreamConfig, salt: Salt) -> io::Result<()> {
    let mut body = Writer::default();
    body.u16(VERSION).u64(salt.0);
    write_stream(&mut body, config);
    let check = crc32fast::hash(&body.0);
    body.u32(check);
    disk.replace(&format!("{}/{DESCRIPTION}", directory(&config.name)), &body.0)
}

/// Reads a stream and goes on with it in a fresh segment.
pub(crate) fn open(disk: &Disk, reserve: &Reserve, name: &Name, now_ms: u64) -> Result<(State, Vec<Damage>), OpenError> {
    let directory = directory(name);
    let failed = |source| OpenError::Io { what: directory.clone().into(), source };
    let unreadable = || OpenError::Unreadable { what: directory.clone().into() };
    let described = description(disk, name)?;
    let (salt, config) = match described.clone() {
        Some((salt, config)) => (salt, config),
        // The newest snapshot in the log has the configuration as well.
        None => (salt_of_segments(disk, &directory).map_err(failed)?.ok_or_else(unreadable)?, StreamConfig::new(name.clone(), Vec::new())),
    };
    let mut replay = Replay::new(Core::new(config));
    let opened = log::open(disk, &directory, salt, |step| replay.step(step)).map_err(|damage| match damage {
        log::Damage::Newer { segment, found } => OpenError::Newer { what: format!("{directory}/{segment}").into(), found },
        log::Damage::Io { segment, source } => OpenError::Io { what: format!("{directory}/{segment}").into(), source },
    })?;
    if replay.core.config.subjects.is_empty() {
        return Err(unreadable());
    }
    replay.core.config.name = name.clone();
    let (lost, torn) = reconcile(&opened.gaps, opened.mark, &replay);
    let mut damage: Vec<_> = lost.iter().map(|missing| Damage::of(name, missing)).collect();
    if opened.mark.is_none() {
        damage.push(Damage::of_file(name, "mark", 0));
    }
    if described.is_none() {
        damage.push(Damage::of_file(name, DESCRIPTION, 0));
        // It was found in the log, and is written anew.
        describe(disk, &replay.core.config, salt).map_err(failed)?;
    }
    damage.extend(opened.unreadable.iter().map(|(segment, offset)| Damage::of_file(name, &segment.file_name(), *offset)));
    let mut core = replay.core;
    core.resume(opened.last_sequence, !lost.is_empty(), now_ms);
    let mut segments = Segments::new(opened.segments, opened.next_segment, opened.next_lsn);
    (segments.lost, segments.torn) = (lost, torn);
    // The first snapshot should fit, since it alone knows what was torn.
    let mut snapshot = Writer::default();
    segments.write_log_part(&mut snapshot);
    core.write_snapshot(&mut snapshot);
    let bytes = SEGMENT_BYTES_MIN.max((2 * record_bytes(snapshot.0.len()) as u64).next_multiple_of(4096));
    let fresh = match Segment::create(disk, &directory, opened.next_segment, bytes) {
        Err(error) if is_full(&error) => reserve.take(&directory, opened.next_segment).map_err(failed)?.ok_or(error).map_err(failed)?,
        made => made.map_err(failed)?,
    };
    let tail = Tail::new(salt, opened.next_lsn, fresh);
    Ok((State::new(core, tail, segments, opened.mark_file), damage))
}

fn description(disk: &Disk, name: &Name) -> Result<Option<(Salt, StreamConfig)>, OpenError> {
    let file = format!("{}/{DESCRIPTION}", directory(name));
    let read = disk.read(&file, DESCRIPTION_BYTES_MAX).map_err(|source| OpenError::Io { what: file.clone().into(), source })?;
    let Some((body, check)) = read.as_deref().and_then(<[u8]>::split_last_chunk) else { return Ok(None) };
    if crc32fast::hash(body) != u32::from_le_bytes(*check) {
        return Ok(None);
    }
    let mut reader = Reader(body);
    match reader.u16() {
        Ok(VERSION) => {}
        Ok(found) => return Err(OpenError::Newer { what: file.into(), found }),
        Err(_) => return Ok(None),
    }
    let salt = reader.u64().map(Salt);
    Ok(salt.and_then(|salt| Ok((salt, read_stream(&mut reader)?))).ok())
}

/// The salt as the first readable segment tells it.
fn salt_of_segments(disk: &Disk, directory: &str) -> io::Result<Option<Salt>> {
    for name in disk.list(directory)? {
        if SegmentId::of_file_name(&name).is_none() {
            continue;
        }
        let mut bytes = vec![0; record_bytes(SegmentHead::BODY_BYTES)];
        let read = disk.open(&format!("{directory}/{name}")).and_then(|file| file.read_exact_at(0, &mut bytes));
        match read {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof || is_unreadable(&error) => continue,
            read => read?,
        }
        let header = bytes.first_chunk::<HEADER_BYTES>().and_then(|header| Header::parse(header, Salt::NONE));
        let body = &bytes[HEADER_BYTES..HEADER_BYTES + SegmentHead::BODY_BYTES];
        if let Some(header) = header
            && header.kind == Kind::Segment
            && header.fits(body, Salt::NONE)
            && let Ok(head) = SegmentHead::parse(body)
        {
            return Ok(Some(head.salt));
        }
    }
    Ok(None)
}
