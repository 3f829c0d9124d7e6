//! What sidecars tell each other of polls, and its bytes: MessagePack, described in `docs/health.md`.
//!
//! A message is an array: tag with the version, kind, who speaks, and what the kind has. Whatever arrives is either read or refused; nothing is allocated
//! from a number in it; of more than [`MESSAGE_BYTES_MAX`] bytes nothing is looked at. What a later release appends is passed over.

mod read;
mod write;

use std::time::Duration;

use bytes::Bytes;
use myelin_bus::wire::Frames;
use thiserror::Error;

use super::config::{DOCUMENT_BYTES_MAX, POLL_BYTES_MAX};
use super::key::Key;

pub(super) use self::read::decode;
pub(super) use self::write::encode;

/// First element of every message; the last character is the version of the format.
const TAG: &str = "mh1";

/// Largest message: a document with its request, its service, and room for what may come to it.
pub(super) const MESSAGE_BYTES_MAX: usize = DOCUMENT_BYTES_MAX + 16 * 1024;

/// Requests that one message may name.
pub(super) const KEYS_MAX: usize = 8;

/// Longest name of a service.
pub(super) const SERVICE_BYTES_MAX: usize = 512;

/// Longest name of a kind of agents.
pub(crate) const KIND_BYTES_MAX: usize = 64;

// So many of the longest requests fit.
const _: () = assert!(KEYS_MAX * (POLL_BYTES_MAX + SERVICE_BYTES_MAX + 16) < MESSAGE_BYTES_MAX);

/// A sidecar, from its start to its end. Random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NodeId(pub(super) u64);

impl std::fmt::Display for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) from: NodeId,
    pub(super) said: Said,
}

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// To everybody: these are polled here, and no answer may be older than `bound`.
    Ask { bound: Duration, keys: Vec<Key> },
    /// To one who told documents: are they still so? The number comes back.
    Renew { number: u32 },
    /// To one who told documents: these are not polled here any more.
    Drop { keys: Vec<Key> },
    /// The answer to `Renew`: up to here everything was told, and what is told and not taken back was so `oldest` ago or later.
    Lease { number: u32, told: u32, oldest: Duration },
    /// What the agent answers to this request from now on, behind the caller's envelope.
    Document { told: u32, key: Key, kind: Box<str>, content: Frames },
    /// What was told of this request counts no more.
    Withdraw { told: u32, key: Key, why: Why },
}

/// Why a document counts no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The agent does not answer. It is asked on, and the next answer is told.
    Silent,
    /// The connection to the agent has ended; nothing more is told.
    Ended,
    /// Several agents serve it there; nothing more is told.
    Several,
    /// Its answers are not of a kind that can be told; nothing more is.
    Unfit,
}

/// Bytes that are no message of this format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a message about polls")]
pub(super) struct Malformed;

/// The numbers of kinds and reasons on the wire.
mod number {
    pub(super) const ASK: u8 = 1;
    pub(super) const RENEW: u8 = 2;
    pub(super) const DROP: u8 = 3;
    pub(super) const LEASE: u8 = 4;
    pub(super) const DOCUMENT: u8 = 5;
    pub(super) const WITHDRAW: u8 = 6;
    pub(super) const SILENT: u8 = 1;
    pub(super) const ENDED: u8 = 2;
    pub(super) const SEVERAL: u8 = 3;
    pub(super) const UNFIT: u8 = 4;
}

/// Feeds arbitrary bytes to what reads messages of other sidecars, and checks what must hold for any of them.
///
/// # Panics
/// When it does not hold.
pub(super) fn fuzz(data: &[u8]) {
    let tagged = [b"\x9f\xa3mh1", data].concat();
    for bytes in [Bytes::copy_from_slice(data), Bytes::from(tagged)] {
        if let Ok(message) = decode(&bytes) {
            let written = encode(&message);
            assert!(written.len() <= MESSAGE_BYTES_MAX, "what was read can be said");
            assert_eq!(decode(&written), Ok(message), "what is written reads the same");
        }
    }
}

#[cfg(test)]
mod tests;
