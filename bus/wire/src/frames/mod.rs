//! A multipart message as one contiguous run of ZMTP 3 data frames.
//!
//! Invariants of [`Frames`]:
//! - *whole*: `packed` is exactly `count` data frames, nothing before, between or after them;
//! - *terminated*: every frame but the last has the MORE flag, the last has not;
//! - *counted*: `1 <= count <= FRAMES_MAX`.
//!
//! The packed form is what a ZMTP 3 peer sends and expects, so a message crosses the process without being re-encoded.
//! A frame that uses the long header for a short payload is legal and kept as it came.

mod codec;

use std::fmt;

use bytes::{Bytes, BytesMut};
use thiserror::Error;

pub use codec::write_frame_header;
pub(crate) use codec::{Packer, header_len};
use codec::{Span, Spans, validate};

#[cfg(doc)]
use crate::limits::FRAMES_MAX;

/// A multipart message: at least one frame, each an opaque run of bytes.
///
/// Cloning, iterating and splitting count references and copy nothing. A `Frames` made from a slice of a larger buffer
/// keeps that whole buffer alive.
#[derive(Clone)]
pub struct Frames {
    packed: Bytes,
    count: u32,
}

/// Why bytes are not a multipart message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FramesError {
    /// There is no frame at all.
    #[error("multipart message without a frame")]
    Empty,
    /// More frames than [`FRAMES_MAX`].
    #[error("multipart message of more than {max} frames")]
    TooMany {
        /// The limit.
        max: u32,
    },
    /// The flags byte at this offset is that of a command, or has reserved bits set.
    #[error("frame flags {flags:#04x} at byte {offset} are not those of a data frame")]
    Flags {
        /// The byte found.
        flags: u8,
        /// Where it was found.
        offset: usize,
    },
    /// The bytes end before the frame that starts at this offset does, or before a frame that MORE announces.
    #[error("multipart message truncated in the frame at byte {offset}")]
    Truncated {
        /// Where the frame starts or should start.
        offset: usize,
    },
    /// Bytes follow the last frame.
    #[error("{extra} bytes after the last frame")]
    Trailing {
        /// How many.
        extra: usize,
    },
}

impl Frames {
    /// A message of one frame. Copies the payload.
    pub fn single(payload: &[u8]) -> Self {
        let mut packed = BytesMut::with_capacity(header_len(payload.len()) + payload.len());
        write_frame_header(&mut packed, false, payload.len());
        packed.extend_from_slice(payload);
        Self::from_parsed(packed.freeze(), 1)
    }

    /// A message of these frames. Copies every part.
    ///
    /// `None` when there is no part, or more than [`FRAMES_MAX`].
    pub fn from_parts<I, P>(parts: I) -> Option<Self>
    where
        I: IntoIterator<Item = P>,
        P: AsRef<[u8]>,
    {
        let mut packer = Packer::default();
        for part in parts {
            packer.push(part.as_ref())?;
        }
        packer.finish()
    }

    /// Takes bytes in packed form after checking all of them. Copies nothing.
    ///
    /// # Errors
    /// The first violation found, see [`FramesError`].
    pub fn from_packed(packed: Bytes) -> Result<Self, FramesError> {
        let count = validate(&packed)?;
        Ok(Self { packed, count })
    }

    /// Takes bytes that the caller's parser has just found to be exactly `count` data frames, the last without MORE.
    ///
    /// Debug builds check it. Wrong bytes never break memory safety, but make the other methods panic or lie.
    pub fn from_parsed(packed: Bytes, count: u32) -> Self {
        debug_assert_eq!(validate(&packed), Ok(count), "not the packed form of {count} frames");
        Self { packed, count }
    }

    /// Number of frames, at least 1.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The message in ZMTP 3 data-frame encoding, ready to be written to a peer.
    pub fn packed(&self) -> &Bytes {
        &self.packed
    }

    /// The payloads of the frames, each a slice of [`Frames::packed`] that shares ownership of it.
    pub fn iter(&self) -> FrameIter<'_> {
        FrameIter { packed: &self.packed, spans: self.spans() }
    }

    /// The payloads of the frames, borrowed: without even counting a reference.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.spans().map(|span| &self.packed[span.start..span.end])
    }

    /// The payload of the first frame.
    pub fn first(&self) -> Bytes {
        let span = Span::read(&self.packed, 0);
        self.packed.slice(span.start..span.end)
    }

    /// The payload of the first frame, and the message of the others if there are any.
    pub fn split_first(&self) -> (Bytes, Option<Self>) {
        let span = Span::read(&self.packed, 0);
        let first = self.packed.slice(span.start..span.end);
        let rest = (self.count > 1).then(|| Self { packed: self.packed.slice(span.end..), count: self.count - 1 });
        (first, rest)
    }

    /// Bytes of all payloads together, without frame headers.
    pub fn payload_len(&self) -> usize {
        self.spans().map(|span| span.end - span.start).sum()
    }

    fn spans(&self) -> Spans<'_> {
        Spans { packed: &self.packed, at: 0, left: self.count }
    }
}

/// Equal when the payloads are: how a frame's length was written does not matter.
impl PartialEq for Frames {
    fn eq(&self, other: &Self) -> bool {
        self.packed == other.packed || (self.count == other.count && self.slices().eq(other.slices()))
    }
}

impl Eq for Frames {}

impl fmt::Debug for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> IntoIterator for &'a Frames {
    type Item = Bytes;
    type IntoIter = FrameIter<'a>;

    fn into_iter(self) -> FrameIter<'a> {
        self.iter()
    }
}

/// Iterator over the payloads of a [`Frames`], made by [`Frames::iter`].
#[derive(Clone, Debug)]
pub struct FrameIter<'a> {
    packed: &'a Bytes,
    spans: Spans<'a>,
}

impl Iterator for FrameIter<'_> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.spans.next().map(|span| self.packed.slice(span.start..span.end))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.spans.left as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for FrameIter<'_> {}
