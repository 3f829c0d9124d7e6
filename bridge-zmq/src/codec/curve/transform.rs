//! The data phase of CURVE: each frame in a box of its own, counted.
//!
//! Cost per frame, beside the cipher: sealing copies the payload once, into the buffer that the socket is given, which grows once per call;
//! opening copies nothing and does not allocate. Both work on as many frames at a time as a batch takes.

use std::fmt;

use bytes::{BufMut, BytesMut};
use myelin_bus::wire::write_frame_header;

use super::boxes::{MESSAGE_OF_CLIENT, MESSAGE_OF_SERVER, TAG_BYTES};
use super::cipher::{Batch, Cipher};
use crate::codec::CodecError;
use crate::codec::header::Header;

const NAME: &[u8; 8] = b"\x07MESSAGE";
const TAG_AT: usize = NAME.len() + 8;
const BOX_AT: usize = TAG_AT + TAG_BYTES;

/// Bytes of a sealed frame that are not its payload: name, nonce, tag, flags.
pub(in crate::codec) const OVERHEAD: usize = BOX_AT + 1;

/// Bytes of the longest frame header.
const HEADER_BYTES_MAX: usize = 9;

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
    cipher: Cipher,
    count: u64,
}

/// Opens what we receive.
pub struct Opener {
    cipher: Cipher,
    count: u64,
}

/// What the flags in a box say of its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::codec) struct Opened {
    pub(in crate::codec) command: bool,
    pub(in crate::codec) more: bool,
}

impl Transform {
    /// `key` is the one that both ends share; `sent` and `received` are the counts of the last handshake boxes.
    pub(super) fn of_server(key: &[u8; 32], sent: u64, received: u64) -> Self {
        Self::new(key, (MESSAGE_OF_SERVER, sent), (MESSAGE_OF_CLIENT, received))
    }

    pub(super) fn of_client(key: &[u8; 32], sent: u64, received: u64) -> Self {
        Self::new(key, (MESSAGE_OF_CLIENT, sent), (MESSAGE_OF_SERVER, received))
    }

    fn new(key: &[u8; 32], (out, sent): (&[u8; 16], u64), (into, received): (&[u8; 16], u64)) -> Self {
        Self {
            sealer: Sealer { cipher: Cipher::new(key, out), count: sent },
            opener: Opener { cipher: Cipher::new(key, into), count: received },
        }
    }
}

impl Sealer {
    /// Appends the sealed form of `plain`, which is whole frames as they would go over an open connection.
    ///
    /// # Panics
    /// When `plain` is not whole frames.
    pub fn seal(&mut self, plain: &[u8], out: &mut BytesMut) {
        out.reserve(frames(plain).map(|(_, payload)| HEADER_BYTES_MAX + OVERHEAD + payload.len()).sum());
        let mut batch = Batch::new();
        for (header, payload) in frames(plain) {
            // Two to the 64th frames take longer than the machine lasts.
            self.count += 1;
            let (end, len) = (out.len(), 1 + payload.len());
            write_frame_header(out, false, OVERHEAD + payload.len());
            let at = out.len() + BOX_AT;
            if !batch.add(self.count, at, len) {
                self.cipher.seal(&mut batch, &mut out[..end]);
            }
            out.put_slice(NAME);
            out.put_u64(self.count);
            out.put_bytes(0, TAG_BYTES);
            out.put_u8(if header.command { COMMAND } else { u8::from(header.more) });
            out.put_slice(payload);
            if batch.is_empty() && !batch.add(self.count, at, len) {
                let tag = self.cipher.seal_long(&mut batch, self.count, &mut out[at..]);
                out[at - TAG_BYTES..at].copy_from_slice(&tag);
                batch.clear();
            }
        }
        self.cipher.seal(&mut batch, out);
    }
}

/// The frames of `plain`, each with its header.
fn frames(plain: &[u8]) -> impl Iterator<Item = (Header, &[u8])> {
    let mut rest = plain;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let header = Header::parse(rest).ok().flatten().expect("what we send is whole frames");
        let end = header.header_len + usize::try_from(header.payload_len).expect("the frame is in memory");
        let (frame, behind) = rest.split_at(end);
        rest = behind;
        Some((header, &frame[header.header_len..]))
    })
}

impl Opener {
    /// Computes what will open the frames at the front of `input`, as many whole ones as fit into the batch. Only looks: nothing is judged, and
    /// what was not computed is when it is opened.
    pub(in crate::codec) fn look_ahead(&self, input: &[u8], batch: &mut Batch) {
        batch.clear();
        let mut rest = input;
        while let Ok(Some(header)) = Header::parse(rest) {
            let payload_len = usize::try_from(header.payload_len).unwrap_or(usize::MAX);
            let Some(payload) = rest[header.header_len..].get(..payload_len) else { break };
            let Some(content_len) = payload_len.checked_sub(BOX_AT) else { break };
            if !batch.add(count_of(payload), 0, content_len) {
                break;
            }
            rest = &rest[header.header_len + payload_len..];
        }
        self.cipher.compute(batch);
    }

    /// Opens the payload of a frame in place: what was sent is what follows its first [`OVERHEAD`] bytes.
    pub(in crate::codec) fn open(&mut self, payload: &mut [u8], batch: &mut Batch) -> Result<Opened, CodecError> {
        let refused = |detail| CodecError::Sealed { detail };
        if payload.len() < OVERHEAD || !payload.starts_with(NAME) {
            return Err(refused("frame that is not sealed"));
        }
        let count = count_of(payload);
        if count <= self.count {
            return Err(refused("frame sealed with a nonce of the past"));
        }
        let (head, content) = payload.split_at_mut(BOX_AT);
        let tag = head[TAG_AT..].try_into().expect("16 bytes");
        if !self.cipher.open(batch, count, content, tag) {
            return Err(refused("frame that does not open"));
        }
        self.count = count;
        let flags = content[0];
        if flags & !(MORE | COMMAND) != 0 || flags == MORE | COMMAND {
            return Err(CodecError::ReservedFlags { flags });
        }
        Ok(Opened { command: flags & COMMAND != 0, more: flags & MORE != 0 })
    }
}

fn count_of(payload: &[u8]) -> u64 {
    u64::from_be_bytes(payload[NAME.len()..TAG_AT].try_into().expect("8 bytes"))
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
