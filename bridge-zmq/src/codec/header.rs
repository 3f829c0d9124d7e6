//! One ZMTP 3 frame header.

use super::CodecError;

const MORE: u8 = 0b001;
const LONG: u8 = 0b010;
const COMMAND: u8 = 0b100;

/// Flags and length of a frame, as declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) command: bool,
    pub(super) more: bool,
    /// Bytes of the header itself: 2 or 9.
    pub(super) header_len: usize,
    /// Bytes of the payload, as declared and not yet trusted.
    pub(super) payload_len: u64,
}

impl Header {
    /// Reads the header at the front of `bytes`; `None` while it is incomplete. Flags are judged as soon as their byte is there.
    #[inline]
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, CodecError> {
        let Some(&flags) = bytes.first() else { return Ok(None) };
        if flags & !(MORE | LONG | COMMAND) != 0 {
            return Err(CodecError::ReservedFlags { flags });
        }
        let command = flags & COMMAND != 0;
        let more = flags & MORE != 0;
        if command && more {
            return Err(CodecError::CommandMore);
        }
        let (header_len, payload_len) = if flags & LONG == 0 {
            let Some(&len) = bytes.get(1) else { return Ok(None) };
            (2, u64::from(len))
        } else {
            let Some(len) = bytes.get(1..).and_then(|rest| rest.first_chunk::<8>()) else { return Ok(None) };
            (9, u64::from_be_bytes(*len))
        };
        Ok(Some(Self { command, more, header_len, payload_len }))
    }
}
