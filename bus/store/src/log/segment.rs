//! One file of a log.

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::disk::{Disk, File};
use crate::record::{HEADER_BYTES, Header, Malformed, Reader, Salt, Writer};

/// The number of a segment; later segments have higher ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SegmentId(pub(crate) u64);

impl SegmentId {
    pub(crate) fn file_name(self) -> String {
        format!("{:016x}.seg", self.0)
    }

    pub(crate) fn of_file_name(name: &str) -> Option<Self> {
        let digits = name.strip_suffix(".seg")?;
        let id = Self(u64::from_str_radix(digits, 16).ok()?);
        // Only what this program would have written: a sign or capitals are somebody else's.
        (id.file_name() == name).then_some(id)
    }

    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file_name())
    }
}

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: SegmentId,
    pub(crate) offset: u64,
    /// Of the whole record.
    pub(crate) bytes: usize,
    pub(crate) lsn: u64,
}

/// A segment that can be read and, while it is the last, written.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) id: SegmentId,
    pub(crate) file: Arc<File>,
    pub(crate) capacity: u64,
    /// From the reserve: for records that free space, not for messages.
    pub(crate) is_reserve: bool,
}

impl Segment {
    pub(crate) fn create(disk: &Disk, directory: &str, id: SegmentId, capacity: u64) -> io::Result<Self> {
        let file = disk.create(&format!("{directory}/{id}"), capacity)?;
        Ok(Self { id, file: Arc::new(file), capacity, is_reserve: false })
    }

    /// Reads one record and checks it again, since a bit may flip after the start as well. `None`: it is damaged.
    pub(crate) fn read(&self, place: Place, salt: Salt) -> io::Result<Option<Bytes>> {
        let mut bytes = vec![0; place.bytes];
        self.file.read_exact_at(place.offset, &mut bytes)?;
        Ok(body_of(&Bytes::from(bytes), place, salt))
    }
}

/// The body of the record in `bytes`, if it is the record that was put at `place`.
pub(crate) fn body_of(bytes: &Bytes, place: Place, salt: Salt) -> Option<Bytes> {
    let header = Header::parse(bytes.first_chunk::<HEADER_BYTES>()?, salt)?;
    let body = bytes.get(HEADER_BYTES..HEADER_BYTES + header.body_bytes)?;
    (header.lsn == place.lsn && header.fits(body, salt)).then(|| bytes.slice_ref(body))
}

/// What the first record of a segment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHead {
    pub(crate) version: u16,
    pub(crate) id: SegmentId,
    pub(crate) salt: Salt,
}

impl SegmentHead {
    pub(crate) const BODY_BYTES: usize = 18;

    pub(crate) fn body(self) -> Vec<u8> {
        let mut body = Writer::default();
        body.u16(self.version).u64(self.id.0).u64(self.salt.0);
        body.0
    }

    pub(crate) fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader(body);
        Ok(Self { version: reader.u16()?, id: SegmentId(reader.u64()?), salt: Salt(reader.u64()?) })
    }
}

/// What is in a segment that is no longer written: kept in later ones, so that its loss is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentSummary {
    pub(crate) id: SegmentId,
    pub(crate) first_lsn: u64,
    pub(crate) last_lsn: u64,
    /// First and last sequence of the messages in it; the last is below the first if there are none.
    pub(crate) first_sequence: u64,
    pub(crate) last_sequence: u64,
}

impl SegmentSummary {
    pub(crate) fn write(&self, body: &mut Writer) {
        body.u64(self.id.0).u64(self.first_lsn).u64(self.last_lsn).u64(self.first_sequence).u64(self.last_sequence);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: SegmentId(reader.u64()?),
            first_lsn: reader.u64()?,
            last_lsn: reader.u64()?,
            first_sequence: reader.u64()?,
            last_sequence: reader.u64()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_segments_sort_like_their_numbers_and_nothing_else_is_one() {
        assert_eq!(SegmentId(255).file_name(), "00000000000000ff.seg");
        assert_eq!(SegmentId::of_file_name("00000000000000ff.seg"), Some(SegmentId(255)));
        for other in ["mark", "ff.seg", "00000000000000ff.seg.new", "zzzzzzzzzzzzzzzz.seg", "+0000000000000ff.seg", "00000000000000FF.seg"]
        {
            assert_eq!(SegmentId::of_file_name(other), None, "{other}");
        }
    }
}
