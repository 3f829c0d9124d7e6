//! A stream's directory: made, or read and gone on with.
//!
//! ```text
//! streams/<name>/stream                    what it is and the salt of its log
//! streams/<name>/0000000000000001.seg …    the log
//! streams/<name>/mark                      how far the log was durable
//! ```

use std::collections::BTreeMap;
use std::io;
use std::ops::RangeInclusive;

use super::{Core, Replay, State};
use crate::config::{Name, StreamConfig};
use crate::disk::Disk;
use crate::log::{self, DamageKind, Gap, MarkFile, SEGMENT_BYTES_MIN, Segment, SegmentHead, SegmentId, Tail};
use crate::record::{HEADER_BYTES, Header, Kind, Reader, Salt, Writer, read_stream, record_bytes, write_stream};
use crate::reserve::Reserve;

/// Largest description of a stream: 255 subjects of 255 bytes and the rest of it.
const DESCRIPTION_BYTES_MAX: usize = 128 << 10;

const DESCRIPTION: &str = "stream";

/// Version of the description.
const VERSION: u16 = 1;

/// Most torn places that are remembered. More have not been seen on one log, and those forgotten would be reported, not lost.
const TORN_MAX: usize = 1024;

/// What is missing of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// Which stream.
    pub stream: Name,
    /// File in which, or before which, something is missing, and from where in it.
    pub file: Box<str>,
    /// Offset in bytes.
    pub offset: u64,
    /// Numbers of the records that are missing.
    pub records: RangeInclusive<u64>,
    /// Sequences of the messages that are missing: at most these. `None`: no message is.
    pub messages: Option<RangeInclusive<u64>>,
}

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
    // The segment first: a directory without a description is no stream, and is made anew.
    for name in disk.list(&directory).map_err(failed)? {
        disk.remove(&format!("{directory}/{name}")).map_err(failed)?;
    }
    let segment = Segment::create(disk, &directory, SegmentId(1), SEGMENT_BYTES_MIN).map_err(failed)?;
    let (mark, _) = MarkFile::open(disk, &directory, salt).map_err(failed)?;
    describe(disk, &config, salt).map_err(failed)?;
    Ok(State::new(Core::new(config), Tail::new(salt, 1, segment), BTreeMap::new(), Vec::new(), mark))
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
    let (salt, config) = match description(disk, name)? {
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
    let (lost, torn) = reconcile(&opened.gaps, &replay);
    let damage = lost.into_iter().map(|gap| report(name, &gap)).collect();
    let mut core = replay.core;
    core.resume(opened.last_sequence, now_ms);
    let fresh = match Segment::create(disk, &directory, opened.next_segment, SEGMENT_BYTES_MIN) {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            reserve.take(&directory, opened.next_segment).map_err(failed)?.ok_or(error).map_err(failed)?
        }
        made => made.map_err(failed)?,
    };
    let sealed = opened.segments.into_iter().map(|(segment, summary)| (segment.id, (segment, summary))).collect();
    let tail = Tail::new(salt, opened.next_lsn, fresh);
    Ok((State::new(core, tail, sealed, torn, opened.mark), damage))
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
        let file = disk.open(&format!("{directory}/{name}"))?;
        let mut bytes = vec![0; record_bytes(SegmentHead::BODY_BYTES)];
        if file.len()? < bytes.len() as u64 {
            continue;
        }
        file.read_exact_at(0, &mut bytes)?;
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

/// Tells what is lost from what went in order, and from what a power cut tore.
fn reconcile(gaps: &[Gap], replay: &Replay) -> (Vec<Gap>, Vec<(u64, u64)>) {
    let went = |gap: &Gap| {
        let said_so = replay.removed.iter().any(|summary| summary.first_lsn <= gap.first_lsn && gap.last_lsn <= summary.last_lsn);
        // What the newest snapshot does not list any more went before it was written. The record before it is its segment's first.
        let before_snapshot = replay.living.as_ref().is_some_and(|living| {
            let alive = |summary: &&log::SegmentSummary| !replay.removed.iter().any(|removed| removed.id == summary.id);
            gap.last_lsn + 1 < replay.snapshot_lsn && !living.iter().filter(alive).any(|summary| gap.meets(summary))
        });
        said_so || before_snapshot
    };
    let mut torn = replay.torn.clone();
    let mut lost = Vec::new();
    for gap in gaps {
        if went(gap) || torn.iter().any(|(first, last)| *first <= gap.first_lsn && gap.last_lsn <= *last) {
            continue;
        }
        match gap.kind {
            DamageKind::Lost => lost.push(*gap),
            DamageKind::Torn => torn.push((gap.first_lsn, gap.last_lsn)),
        }
    }
    let surplus = torn.len().saturating_sub(TORN_MAX);
    torn.drain(..surplus);
    (lost, torn)
}

fn report(stream: &Name, gap: &Gap) -> Damage {
    let messages = gap.first_sequence..=gap.last_sequence;
    Damage {
        stream: stream.clone(),
        file: gap.segment.file_name().into(),
        offset: gap.offset,
        records: gap.first_lsn..=gap.last_lsn,
        messages: (!messages.is_empty()).then_some(messages),
    }
}
