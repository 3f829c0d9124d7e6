//! What a peer can get wrong, before and after the handshake.

use super::{Mechanism, SocketType};

/// A violation of the data phase. The connection is beyond repair: framing is lost or a bound was declared to be exceeded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// Flag bits that ZMTP 3 reserves are set; usually a peer that lost count of its own bytes.
    #[error("reserved flag bits in {flags:#04x}")]
    ReservedFlags {
        /// The flags byte.
        flags: u8,
    },
    /// A command frame that announces more frames.
    #[error("command frame with the MORE flag")]
    CommandMore,
    /// A message whose frames, by their declared lengths, exceed the limit. Nothing of the offending frame was buffered for it.
    #[error("message of at least {declared} bytes exceeds message_bytes_max {limit}")]
    MessageTooLarge {
        /// Payload bytes declared so far.
        declared: u64,
        /// The limit in force.
        limit: usize,
    },
    /// A message with more frames than allowed.
    #[error("message of more than frames_max {limit} frames")]
    TooManyFrames {
        /// The limit in force.
        limit: u32,
    },
    /// A command longer than any command needs to be.
    #[error("command of {declared} bytes exceeds {limit}")]
    CommandTooLarge {
        /// The declared length.
        declared: u64,
        /// The limit in force.
        limit: usize,
    },
    /// A command whose inner lengths do not add up.
    #[error("malformed {name} command")]
    MalformedCommand {
        /// The command's name, or `unnamed`.
        name: &'static str,
    },
    /// A frame of a CURVE session that was not sealed for it, or not now.
    #[error("{detail}")]
    Sealed {
        /// What is wrong with it.
        detail: &'static str,
    },
}

/// Why a connection did not become a session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The first bytes are an HTTP request: a health check or a browser on the wrong port.
    #[error("peer speaks HTTP")]
    Http,
    /// The first bytes are a TLS hello.
    #[error("peer speaks TLS")]
    Tls,
    /// The first bytes are not a ZMTP 3 signature.
    #[error("not a ZMTP greeting: first byte {first:#04x}")]
    NotZmtp {
        /// The byte where 0xff belongs, or the last signature byte where 0x7f belongs.
        first: u8,
    },
    /// A ZMTP older than 3.0.
    #[error("unsupported ZMTP version {major}")]
    Version {
        /// The peer's major version.
        major: u8,
    },
    /// A handshake frame above the cap.
    #[error("handshake frame of {declared} bytes exceeds {limit}")]
    TooLarge {
        /// The declared length.
        declared: u64,
        /// The cap.
        limit: usize,
    },
    /// Data where a handshake command belongs.
    #[error("flags {flags:#04x} where a handshake command belongs")]
    UnexpectedFrame {
        /// The flags byte.
        flags: u8,
    },
    /// The two socket types never talk to each other.
    #[error("socket type {theirs} does not talk to {ours}")]
    Incompatible {
        /// Ours.
        ours: SocketType,
        /// The peer's, by its wire name.
        theirs: Box<str>,
    },
    /// The peer refused us with an ERROR command.
    #[error("peer refused: {reason}")]
    Refused {
        /// The peer's words.
        reason: Box<str>,
    },
    /// The two ends speak different mechanisms.
    #[error("mechanism {theirs} where {ours} is asked for")]
    Mechanism {
        /// Ours.
        ours: Mechanism,
        /// The peer's, as it wrote it.
        theirs: Box<str>,
    },
    /// The peer proved nothing, or nobody whom we serve here.
    #[error("{mechanism} credentials refused")]
    Denied {
        /// The mechanism.
        mechanism: Mechanism,
    },
    /// Any other violation: a malformed READY, a command out of turn.
    #[error("{detail}")]
    Violation {
        /// What the security layer said.
        detail: Box<str>,
    },
}
