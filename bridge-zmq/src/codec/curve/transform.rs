//! The data phase of CURVE: each frame in a box of its own, counted.
//!
//! Cost per frame, beside the cipher: sealing copies the payload once, into the buffer that the socket is given; opening copies nothing. Neither
//! allocates.

use std::fmt;

use bytes::{BufMut, BytesMut};
use myelin_bus::wire::write_frame_header;
use salsabox::BoxKey;

use super::boxes::{self, MESSAGE_OF_CLIENT, MESSAGE_OF_SERVER, TAG_BYTES};
use crate::codec::CodecError;
use crate::codec::header::Header;

const NAME: &[u8; 8] = b"\x07MESSAGE";
const TAG_AT: usize = NAME.len() + 8;
const BOX_AT: usize = TAG_AT + TAG_BYTES;

/// Bytes of a sealed frame that are not its payload: name, nonce, tag, flags.
pub(in crate::codec) const OVERHEAD: usize = BOX_AT + 1;

const MORE: u8 = 0x01;
const COMMAND: u8 = 0x02;

/// Both directions of one connection.
#[derive(Debug)]
pub struct Transform {
    /// For what we send.
    pub sealer: Sealer,
    /// For what we receive.
    pub opener: Opener,
}

/// Seals what we send.
pub struct Sealer {
    key: BoxKey,
    prefix: &'static [u8; 16],
    count: u64,
}

/// Opens what we receive.
pub struct Opener {
    key: BoxKey,
    prefix: &'static [u8; 16],
    count: u64,
}

/// What the flags in a box say of its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::codec) struct Opened {
    pub(in crate::codec) command: bool,
    pub(in crate::codec) more: bool,
}

impl Transform {
    /// `sent` and `received` are the counts of the last handshake boxes.
    pub(super) fn of_server(out: BoxKey, into: BoxKey, sent: u64, received: u64) -> Self {
        Self {
            sealer: Sealer { key: out, prefix: MESSAGE_OF_SERVER, count: sent },
            opener: Opener { key: into, prefix: MESSAGE_OF_CLIENT, count: received },
        }
    }

    pub(super) fn of_client(out: BoxKey, into: BoxKey, sent: u64, received: u64) -> Self {
        Self {
            sealer: Sealer { key: out, prefix: MESSAGE_OF_CLIENT, count: sent },
            opener: Opener { key: into, prefix: MESSAGE_OF_SERVER, count: received },
        }
    }
}

impl Sealer {
    /// Appends the sealed form of `plain`, which is whole frames as they would go over an open connection.
    ///
    /// # Panics
    /// When `plain` is not whole frames.
    pub fn seal(&mut self, plain: &[u8], out: &mut BytesMut) {
        let mut rest = plain;
        while !rest.is_empty() {
            let header = Header::parse(rest).ok().flatten().expect("what we send is whole frames");
            let end = header.header_len + usize::try_from(header.payload_len).expect("the frame is in memory");
            self.seal_frame(header, &rest[header.header_len..end], out);
            rest = &rest[end..];
        }
    }

    fn seal_frame(&mut self, header: Header, payload: &[u8], out: &mut BytesMut) {
        // Two to the 64th frames take longer than the machine lasts.
        self.count += 1;
        out.reserve(9 + OVERHEAD + payload.len());
        write_frame_header(out, false, OVERHEAD + payload.len());
        let start = out.len();
        out.put_slice(NAME);
        out.put_u64(self.count);
        out.put_bytes(0, TAG_BYTES);
        out.put_u8(if header.command { COMMAND } else { u8::from(header.more) });
        out.put_slice(payload);
        let tag = self.key.encrypt_detached(&boxes::counted(self.prefix, self.count), &mut out[start + BOX_AT..]);
        out[start + TAG_AT..start + BOX_AT].copy_from_slice(&tag);
    }
}

impl Opener {
    /// Opens the payload of a frame in place: what was sent is what follows its first [`OVERHEAD`] bytes.
    pub(in crate::codec) fn open(&mut self, payload: &mut [u8]) -> Result<Opened, CodecError> {
        let refused = |detail| CodecError::Sealed { detail };
        if payload.len() < OVERHEAD || !payload.starts_with(NAME) {
            return Err(refused("frame that is not sealed"));
        }
        let (head, sealed) = payload.split_at_mut(BOX_AT);
        let count = u64::from_be_bytes(head[NAME.len()..TAG_AT].try_into().expect("8 bytes"));
        if count <= self.count {
            return Err(refused("frame sealed with a nonce of the past"));
        }
        let tag = head[TAG_AT..].try_into().expect("16 bytes");
        self.key.decrypt_detached(&boxes::counted(self.prefix, count), sealed, &tag).map_err(|_| refused("frame that does not open"))?;
        self.count = count;
        let flags = sealed[0];
        if flags & !(MORE | COMMAND) != 0 || flags == MORE | COMMAND {
            return Err(CodecError::ReservedFlags { flags });
        }
        Ok(Opened { command: flags & COMMAND != 0, more: flags & MORE != 0 })
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("count", &self.count).finish_non_exhaustive()
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("count", &self.count).finish_non_exhaustive()
    }
}
