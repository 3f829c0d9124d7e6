//! Reading and writing the data frames of ZMTP 3.

use bytes::{BufMut, BytesMut};

use super::{Frames, FramesError};
use crate::limits::FRAMES_MAX;

const MORE: u8 = 0b001;
const LONG: u8 = 0b010;

/// Appends the header of a ZMTP 3 data frame whose payload has `len` bytes; the payload is the caller's to append.
///
/// 2 bytes up to a payload of 255, else 9.
pub fn write_frame_header(out: &mut BytesMut, more: bool, len: usize) {
    let more = if more { MORE } else { 0 };
    match u8::try_from(len) {
        Ok(short) => out.put_slice(&[more, short]),
        Err(_) => {
            out.put_u8(more | LONG);
            out.put_u64(len as u64);
        }
    }
}

pub(crate) fn header_len(payload_len: usize) -> usize {
    if payload_len > usize::from(u8::MAX) { 9 } else { 2 }
}

/// Packs parts one after another.
#[derive(Debug, Default)]
pub(crate) struct Packer {
    packed: BytesMut,
    last_flags: usize,
    count: u32,
}

impl Packer {
    /// A packer that will not have to grow for `bytes` of headers and payloads.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { packed: BytesMut::with_capacity(bytes), ..Self::default() }
    }

    /// Appends a copy of `part`; `None`, and no change, when there are [`FRAMES_MAX`] already.
    pub(crate) fn push(&mut self, part: &[u8]) -> Option<()> {
        if self.count == FRAMES_MAX {
            return None;
        }
        self.packed.reserve(header_len(part.len()) + part.len());
        self.last_flags = self.packed.len();
        write_frame_header(&mut self.packed, true, part.len());
        self.packed.extend_from_slice(part);
        self.count += 1;
        Some(())
    }

    /// The message; `None` without a part.
    pub(crate) fn finish(mut self) -> Option<Frames> {
        // Only now is it known which frame was the last.
        *self.packed.get_mut(self.last_flags)? &= !MORE;
        Some(Frames::from_parsed(self.packed.freeze(), self.count))
    }
}

/// Where the payload of one frame lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Span {
    /// Reads the header at `at` of bytes that are known to be whole.
    pub(super) fn read(packed: &[u8], at: usize) -> Self {
        if packed[at] & LONG == 0 {
            let start = at + 2;
            Self { start, end: start + usize::from(packed[at + 1]) }
        } else {
            let start = at + 9;
            let len = packed[at + 1..start].iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
            Self { start, end: start + len }
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Spans<'a> {
    pub(super) packed: &'a [u8],
    pub(super) at: usize,
    pub(super) left: u32,
}

impl Iterator for Spans<'_> {
    type Item = Span;

    fn next(&mut self) -> Option<Span> {
        self.left = self.left.checked_sub(1)?;
        let span = Span::read(self.packed, self.at);
        self.at = span.end;
        Some(span)
    }
}

/// Checks every invariant and returns the number of frames.
pub(super) fn validate(packed: &[u8]) -> Result<u32, FramesError> {
    if packed.is_empty() {
        return Err(FramesError::Empty);
    }
    let mut offset = 0;
    let mut count = 0;
    loop {
        let (flags, end) = validate_frame(packed, offset)?;
        if count == FRAMES_MAX {
            return Err(FramesError::TooMany { max: FRAMES_MAX });
        }
        count += 1;
        offset = end;
        if flags & MORE == 0 {
            break;
        }
    }
    match packed.len() - offset {
        0 => Ok(count),
        extra => Err(FramesError::Trailing { extra }),
    }
}

/// The flags and the end of the frame at `offset`, which lies within `packed`.
fn validate_frame(packed: &[u8], offset: usize) -> Result<(u8, usize), FramesError> {
    let truncated = FramesError::Truncated { offset };
    let (flags, rest) = packed[offset..].split_first().ok_or(truncated)?;
    // Bit 2 marks a command, the others are reserved.
    if flags & !(MORE | LONG) != 0 {
        return Err(FramesError::Flags { flags: *flags, offset });
    }
    let (len, rest) = if flags & LONG == 0 {
        rest.split_first().map(|(len, rest)| (u64::from(*len), rest)).ok_or(truncated)?
    } else {
        rest.split_first_chunk::<8>().map(|(len, rest)| (u64::from_be_bytes(*len), rest)).ok_or(truncated)?
    };
    let len = usize::try_from(len).ok().filter(|len| *len <= rest.len()).ok_or(truncated)?;
    Ok((*flags, packed.len() - rest.len() + len))
}
