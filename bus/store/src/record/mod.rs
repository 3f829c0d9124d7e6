//! How one record lies in a segment, and how records are found again among damage.
//!
//! ```text
//! offset  bytes  what (little endian)
//!      0      4  "MyR1"
//!      4      4  CRC-32 of the log's salt and bytes 8..32
//!      8      4  length of the body
//!     12      1  kind
//!     13      3  zero
//!     16      8  number of the record, dense over the log
//!     24      4  CRC-32 of the log's salt, the number and the body
//!     28      4  zero
//!     32      n  body, then zeros up to a multiple of 8
//! ```
//!
//! The salt is random per log and no message knows it. Without it, a payload that contains the image of a record would be taken for one where
//! damage made the reader search.

mod body;
mod config;
mod fields;
mod scan;

pub(crate) use self::body::{AckRecord, AttemptRecord, DeliveredRecord, MessageRecord};
pub(crate) use self::config::{read_consumer, read_stream, write_consumer, write_stream};
pub(crate) use self::fields::{Malformed, Reader, Writer, cut};
pub(crate) use self::scan::{Piece, scan};

/// Bytes before the body.
pub(crate) const HEADER_BYTES: usize = 32;

/// Records begin at multiples of this, so that a search need not look at every byte.
pub(crate) const ALIGNMENT: usize = 8;

/// Longest body: the largest payload, its headers and the record's own fields fit with room to spare.
pub(crate) const BODY_BYTES_MAX: usize = 80 << 20;

const MAGIC: [u8; 4] = *b"MyR1";

/// What a record tells. The numbers are the format: they are never given another meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// First record of a segment; readable without knowing the salt.
    Segment = 1,
    /// Everything that is not in a message record: consumers, and which segments there are. Second record of a segment.
    Snapshot = 2,
    Message = 3,
    /// A message is gone before its time.
    Delete = 4,
    Purge = 5,
    ConsumerPut = 6,
    ConsumerDelete = 7,
    Delivered = 8,
    Ack = 9,
    Attempt = 10,
    /// A segment is about to be removed.
    SegmentRemoved = 11,
    /// The stream has another configuration.
    Config = 12,
    /// Messages whose time was over.
    Expired = 13,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Segment,
            2 => Self::Snapshot,
            3 => Self::Message,
            4 => Self::Delete,
            5 => Self::Purge,
            6 => Self::ConsumerPut,
            7 => Self::ConsumerDelete,
            8 => Self::Delivered,
            9 => Self::Ack,
            10 => Self::Attempt,
            11 => Self::SegmentRemoved,
            12 => Self::Config,
            13 => Self::Expired,
            _ => return None,
        })
    }
}

/// Makes records of one log distinguishable from anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Salt(pub(crate) u64);

impl Salt {
    /// What the first record of a segment is checked with, since it tells the salt.
    pub(crate) const NONE: Self = Self(0);

    fn for_kind(self, kind: Kind) -> Self {
        if kind == Kind::Segment { Self::NONE } else { self }
    }

    fn check(self, parts: &[&[u8]]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&self.0.to_le_bytes());
        for part in parts {
            hasher.update(part);
        }
        hasher.finalize()
    }
}

/// The header of a record, as far as it is more than checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) lsn: u64,
    pub(crate) body_bytes: usize,
    body_check: u32,
}

impl Header {
    /// Reads a header; `None` if these bytes are none of this log.
    pub(crate) fn parse(bytes: &[u8; HEADER_BYTES], salt: Salt) -> Option<Self> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if bytes[..4] != MAGIC {
            return None;
        }
        let kind = Kind::from_byte(bytes[12])?;
        let body_bytes = word(8) as usize;
        if word(4) != salt.for_kind(kind).check(&[&bytes[8..]]) || body_bytes > BODY_BYTES_MAX {
            return None;
        }
        let lsn = u64::from(word(16)) | u64::from(word(20)) << 32;
        Some(Self { kind, lsn, body_bytes, body_check: word(24) })
    }

    /// Whether this is the body that the header was written with.
    pub(crate) fn fits(&self, body: &[u8], salt: Salt) -> bool {
        body.len() == self.body_bytes && self.body_check == body_check(salt, self.kind, self.lsn, &[body])
    }

    /// Bytes of the whole record in the segment.
    pub(crate) fn record_bytes(&self) -> usize {
        record_bytes(self.body_bytes)
    }
}

/// Bytes that a record with a body of this length takes in a segment.
pub(crate) fn record_bytes(body_bytes: usize) -> usize {
    (HEADER_BYTES + body_bytes).next_multiple_of(ALIGNMENT)
}

/// Appends a whole record. The body is given in parts so that a payload is copied once.
pub(crate) fn write(into: &mut Vec<u8>, salt: Salt, kind: Kind, lsn: u64, body: &[&[u8]]) {
    let body_bytes: usize = body.iter().map(|part| part.len()).sum();
    debug_assert!(body_bytes <= BODY_BYTES_MAX, "bodies are bounded before they get here");
    let start = into.len();
    into.reserve(record_bytes(body_bytes));
    into.extend_from_slice(&MAGIC);
    into.extend_from_slice(&[0; 4]);
    into.extend_from_slice(&(body_bytes as u32).to_le_bytes());
    into.extend_from_slice(&[kind as u8, 0, 0, 0]);
    into.extend_from_slice(&lsn.to_le_bytes());
    into.extend_from_slice(&body_check(salt, kind, lsn, body).to_le_bytes());
    into.extend_from_slice(&[0; 4]);
    let check = salt.for_kind(kind).check(&[&into[start + 8..start + HEADER_BYTES]]);
    into[start + 4..start + 8].copy_from_slice(&check.to_le_bytes());
    for part in body {
        into.extend_from_slice(part);
    }
    into.resize(start + record_bytes(body_bytes), 0);
}

fn body_check(salt: Salt, kind: Kind, lsn: u64, body: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.for_kind(kind).0.to_le_bytes());
    hasher.update(&lsn.to_le_bytes());
    for part in body {
        hasher.update(part);
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SALT: Salt = Salt(0x5eed);

    fn one(kind: Kind, lsn: u64, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, SALT, kind, lsn, &[body]);
        bytes
    }

    fn header(bytes: &[u8]) -> [u8; HEADER_BYTES] {
        bytes[..HEADER_BYTES].try_into().unwrap()
    }

    #[test]
    fn the_format_is_what_it_was() {
        // Golden, computed by another implementation as well: a change here means that old data no longer opens.
        let bytes = one(Kind::Message, 7, b"abc");
        assert_eq!(bytes.len(), 40);
        assert_eq!(&bytes[..4], b"MyR1");
        assert_eq!(&bytes[8..24], &[3, 0, 0, 0, 3, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&bytes[32..], b"abc\0\0\0\0\0");
        assert_eq!(crc32fast::hash(&bytes), 0x47c9_ec3f, "golden");
    }

    #[test]
    fn another_log_reads_nothing_of_it_but_the_first_record() {
        assert!(Header::parse(&header(&one(Kind::Message, 7, b"abc")), Salt(1)).is_none());
        assert!(Header::parse(&header(&one(Kind::Segment, 7, b"abc")), Salt(1)).is_some());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(lsn: u64, body in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..200) {
            let cut = cut.min(body.len());
            let mut bytes = Vec::new();
            write(&mut bytes, SALT, Kind::Ack, lsn, &[&body[..cut], &body[cut..]]);
            let header = Header::parse(&header(&bytes), SALT).unwrap();
            prop_assert_eq!((header.kind, header.lsn, header.record_bytes()), (Kind::Ack, lsn, bytes.len()));
            prop_assert!(header.fits(&bytes[HEADER_BYTES..HEADER_BYTES + body.len()], SALT));
        }

        #[test]
        fn a_flipped_bit_is_seen(body in prop::collection::vec(any::<u8>(), 0..64), bit in 0usize..(32 + 64) * 8) {
            let mut bytes = one(Kind::Message, 7, &body);
            let bit = bit % ((HEADER_BYTES + body.len()) * 8);
            // The four zero bytes at the end of the header are covered as well.
            bytes[bit / 8] ^= 1 << (bit % 8);
            let whole = Header::parse(&header(&bytes), SALT)
                .is_some_and(|header| bytes.len() >= HEADER_BYTES + header.body_bytes && header.fits(&bytes[HEADER_BYTES..HEADER_BYTES + header.body_bytes], SALT));
            prop_assert!(!whole);
        }
    }
}
