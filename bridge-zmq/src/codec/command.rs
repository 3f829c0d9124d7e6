//! The commands of the data phase.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use super::CodecError;

/// Longest context of a PING; libzmq cuts longer ones off, and so do we.
const PING_CONTEXT_BYTES_MAX: usize = 16;

const SHORT: u8 = 0x04;
const LONG: u8 = 0x06;

/// A command of the data phase that means something to us. Others are skipped: ZMTP lets a peer send what we do not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// The peer asks for a PONG with the same context.
    Ping {
        /// How long the peer's silence may last from here before it counts as gone; `None` when it makes no promise.
        ttl: Option<Duration>,
        /// To be echoed, at most 16 bytes.
        context: Bytes,
    },
    /// The answer to a PING of ours.
    Pong {
        /// What our PING carried.
        context: Bytes,
    },
    /// The peer wants messages that start with these bytes, from a SUBSCRIBE command or a message that starts with 0x01.
    Subscribe(Bytes),
    /// The peer takes one such wish back, from a CANCEL command or a message that starts with 0x00.
    Cancel(Bytes),
    /// The peer is about to close, and says why.
    Error {
        /// The peer's words, made printable.
        reason: Box<str>,
    },
}

impl Command {
    /// Reads the payload of a command frame; `None` for a command to ignore.
    pub(super) fn parse(payload: Bytes) -> Result<Option<Self>, CodecError> {
        let malformed = |name| CodecError::MalformedCommand { name };
        let name_len = usize::from(*payload.first().ok_or_else(|| malformed("unnamed"))?);
        if name_len == 0 || payload.len() < 1 + name_len {
            return Err(malformed("unnamed"));
        }
        let body = payload.slice(1 + name_len..);
        Ok(Some(match &payload[1..=name_len] {
            b"PING" => {
                let ttl = body.first_chunk::<2>().ok_or_else(|| malformed("PING"))?;
                let deciseconds = u64::from(u16::from_be_bytes(*ttl));
                let context = body.slice(2..body.len().min(2 + PING_CONTEXT_BYTES_MAX));
                Self::Ping { ttl: (deciseconds > 0).then(|| Duration::from_millis(deciseconds * 100)), context }
            }
            b"PONG" => Self::Pong { context: body },
            b"SUBSCRIBE" => Self::Subscribe(body),
            b"CANCEL" => Self::Cancel(body),
            b"ERROR" => {
                let len = usize::from(*body.first().ok_or_else(|| malformed("ERROR"))?);
                let reason = body.get(1..1 + len).ok_or_else(|| malformed("ERROR"))?;
                Self::Error { reason: printable(reason) }
            }
            _ => return Ok(None),
        }))
    }
}

/// Text from a peer, fit for a log line.
pub(super) fn printable(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes).escape_debug().collect::<String>().into()
}

/// The wire bytes of a PING. `ttl` is rounded down to tenths of a second; zero makes no promise.
#[must_use]
pub fn encode_ping(ttl: Duration, context: &[u8]) -> Bytes {
    let deciseconds = u16::try_from(ttl.as_millis() / 100).unwrap_or(u16::MAX);
    let context = &context[..context.len().min(PING_CONTEXT_BYTES_MAX)];
    encode(b"PING", &[&deciseconds.to_be_bytes(), context])
}

/// The wire bytes of the PONG that answers a PING with this context.
#[must_use]
pub fn encode_pong(context: &[u8]) -> Bytes {
    encode(b"PONG", &[context])
}

/// The wire bytes that tell a publisher which prefix we want: a command to a 3.1 peer, a message to a 3.0 peer.
#[must_use]
pub fn encode_subscribe(peer_minor: u8, prefix: &[u8]) -> Bytes {
    if peer_minor == 0 { encode_prefixed(0x01, prefix) } else { encode(b"SUBSCRIBE", &[prefix]) }
}

/// The wire bytes that take a subscription back, in the dialect of the peer.
#[must_use]
pub fn encode_cancel(peer_minor: u8, prefix: &[u8]) -> Bytes {
    if peer_minor == 0 { encode_prefixed(0x00, prefix) } else { encode(b"CANCEL", &[prefix]) }
}

fn encode_prefixed(first: u8, prefix: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(10 + prefix.len());
    myelin_bus::wire::write_frame_header(&mut out, false, 1 + prefix.len());
    out.put_u8(first);
    out.put_slice(prefix);
    out.freeze()
}

pub(super) fn encode(name: &[u8], parts: &[&[u8]]) -> Bytes {
    let len = 1 + name.len() + parts.iter().map(|part| part.len()).sum::<usize>();
    let mut out = BytesMut::with_capacity(9 + len);
    match u8::try_from(len) {
        Ok(len) => out.put_slice(&[SHORT, len]),
        Err(_) => {
            out.put_u8(LONG);
            out.put_u64(len as u64);
        }
    }
    out.put_u8(u8::try_from(name.len()).expect("names of commands are short"));
    out.put_slice(name);
    for part in parts {
        out.put_slice(part);
    }
    out.freeze()
}
