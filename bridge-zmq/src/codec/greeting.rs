//! The 64 bytes with which each end begins: signature, version, mechanism.

use super::command::printable;
use super::{HandshakeError, Mechanism};

pub(super) const GREETING_BYTES: usize = 64;
pub(super) const SIGNATURE_LENGTH_AT: usize = 8;
pub(super) const MINOR_AT: usize = 11;

const SIGNATURE_BYTES: usize = 10;
const MECHANISM_AT: std::ops::Range<usize> = 12..32;

/// The beginnings of requests that end up on a ZMTP port by mistake.
const HTTP_STARTS: [&[u8]; 10] =
    [b"GET ", b"HEAD ", b"POST ", b"PUT ", b"PATCH ", b"OPTIONS ", b"TRACE ", b"DELETE ", b"CONNECT ", b"PRI "];

/// A handshake record of any version.
const TLS_START: &[u8] = &[0x16, 0x03];

/// Judges what is there of a greeting: a mistaken peer is told apart by its first bytes, not by a deadline.
pub(super) fn check_greeting(input: &[u8]) -> Result<(), HandshakeError> {
    let Some(&first) = input.first() else { return Ok(()) };
    if first == 0xff {
        return match input.get(SIGNATURE_BYTES - 1) {
            Some(&last) if last != 0x7f => Err(HandshakeError::NotZmtp { first: last }),
            _ => match input.get(SIGNATURE_BYTES) {
                Some(&major) if major < 3 => Err(HandshakeError::Version { major }),
                _ => Ok(()),
            },
        };
    }
    if HTTP_STARTS.iter().any(|start| input.starts_with(start)) {
        return Err(HandshakeError::Http);
    }
    if input.starts_with(TLS_START) {
        return Err(HandshakeError::Tls);
    }
    if TLS_START.starts_with(input) || HTTP_STARTS.iter().any(|start| start.starts_with(input)) {
        return Ok(());
    }
    Err(HandshakeError::NotZmtp { first })
}

/// Whether a whole greeting names the mechanism that we speak.
pub(super) fn check_mechanism(ours: Mechanism, greeting: &[u8]) -> Result<(), HandshakeError> {
    let name = greeting[MECHANISM_AT].split(|byte| *byte == 0).next().unwrap_or_default();
    if name == ours.as_str().as_bytes() {
        return Ok(());
    }
    Err(HandshakeError::Mechanism { ours, theirs: printable(name) })
}
