//! The ZMTP 3 codec: bytes in, messages and commands out. No sockets, no clocks, no tasks.
//!
//! Two stages share one read buffer. [`Handshake`] takes exactly the greeting and the handshake commands from its front (security is the
//! business of the crate `omq-proto` behind it); what follows belongs to the [`Codec`], which frames the data phase itself.
//!
//! Invariants:
//! - **No codec without a limit.** [`CodecLimits`] has no unlimited value.
//! - **Declared is not trusted.** A length is compared with the limits when its header is complete, before a byte of its payload is awaited.
//! - **Opaque.** The frames of a message are a slice of what the peer sent: number, order and content as they came.
//! - **Bounded.** What is held for an incomplete message is at most its limit plus 9 bytes per frame.

mod command;
pub mod curve;
mod error;
mod greeting;
mod handshake;
mod header;
mod limit;
mod plain;
mod sealed;
mod secret;
mod security;
mod session;
mod socket;

use bytes::{Buf, Bytes, BytesMut};
use myelin_bus::wire::{Body, Frames};

use self::curve::Opener;
use self::header::Header;

pub use self::command::{Command, encode_cancel, encode_ping, encode_pong, encode_subscribe};
pub use self::error::{CodecError, HandshakeError};
pub use self::handshake::Handshake;
pub use self::limit::{FramesLimit, LimitError, MessageLimit};
pub use self::plain::{Login, Users};
pub use self::secret::SecretError;
use self::secret::secrets;
pub use self::security::{ClientSecurity, Mechanism, ServerSecurity};
pub use self::session::{Role, Session};
pub use self::socket::SocketType;

/// Longest command: subscriptions are the only long ones, and a prefix of 64 KiB selects nothing that a shorter one would not.
pub const COMMAND_BYTES_MAX: usize = 64 * 1024;

/// Reads of up to this size are copied out message by message. A slice would keep the whole read buffer alive for as long as its message waits
/// somewhere: many small messages from slow peers would hold 8 KiB each.
const COPY_BYTES_MAX: usize = 2048;

/// The bounds of one codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodecLimits {
    /// Payload bytes of a message.
    pub message: MessageLimit,
    /// Frames of a message.
    pub frames: FramesLimit,
}

/// What messages that start with 0x00 or 0x01 mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upstream {
    /// Messages like any other.
    Messages,
    /// Subscription changes: we publish, and the peer is a SUB of ZMTP 3.0 or an XSUB of any version. Its other messages are messages.
    Subscriptions,
}

/// The framer of one connection's data phase.
#[derive(Debug)]
pub struct Codec {
    limits: CodecLimits,
    upstream: Upstream,
    partial: Partial,
    missing: usize,
    /// Opens the frames of a CURVE session.
    opener: Option<Opener>,
}

/// The message whose last frame has not come yet.
#[derive(Debug, Default)]
struct Partial {
    /// Bytes at the front of the input that are whole frames of this message.
    scanned: usize,
    /// Frames of this message so far, in `spilled` and in the input.
    frames: u32,
    /// Payload bytes of those frames.
    payload: u64,
    /// Frames moved out of the input because a command came between them and the next.
    spilled: BytesMut,
}

impl Codec {
    /// A codec for a session that has just finished its handshake.
    #[must_use]
    pub fn new(limits: CodecLimits, upstream: Upstream) -> Self {
        Self { limits, upstream, partial: Partial::default(), missing: 2, opener: None }
    }

    /// The same for a session whose frames are sealed.
    #[must_use]
    pub fn sealed(limits: CodecLimits, upstream: Upstream, opener: Opener) -> Self {
        Self { opener: Some(opener), ..Self::new(limits, upstream) }
    }

    /// Takes every complete message and command from the front of `input` and appends them to `messages` and `commands`, each in order.
    ///
    /// What is left in `input` is incomplete; call again with more bytes behind it. A session ends with its first error.
    ///
    /// # Errors
    /// When the bytes are not ZMTP 3 or exceed a limit. What was complete before the violation has been appended.
    pub fn handle(&mut self, input: &mut BytesMut, messages: &mut Vec<Body>, commands: &mut Vec<Command>) -> Result<(), CodecError> {
        let copies = input.len() <= COPY_BYTES_MAX;
        if self.opener.is_some() {
            return self.handle_sealed(input, copies, messages, commands);
        }
        loop {
            let at = self.partial.scanned;
            let Some(header) = Header::parse(&input[at..])? else {
                self.missing = 2;
                return Ok(());
            };
            let payload_len = if header.command { self.check_command(header)? } else { self.check_frame(header)? };
            let end = at + header.header_len + payload_len;
            if input.len() < end {
                self.missing = end - input.len();
                return Ok(());
            }
            if header.command {
                // Copied, for a subscription outlives the read buffer it came in.
                let payload = Bytes::copy_from_slice(&input[at + header.header_len..end]);
                self.spill(input);
                input.advance(end - at);
                commands.extend(Command::parse(payload)?);
                continue;
            }
            self.partial.scanned = end;
            self.partial.frames += 1;
            self.partial.payload += header.payload_len;
            if !header.more {
                self.finish(input, copies, messages, commands);
            }
        }
    }

    /// Bytes that the frame at the front of the input still lacks, by what it declared: at least 1. A hint for the size of a read, never a reason
    /// to allocate.
    #[must_use]
    pub fn missing(&self) -> usize {
        self.missing
    }

    /// Bytes of an incomplete message that were moved out of the input.
    #[must_use]
    pub fn held(&self) -> usize {
        self.partial.spilled.len()
    }

    fn check_command(&self, header: Header) -> Result<usize, CodecError> {
        match usize::try_from(header.payload_len) {
            Ok(len) if len <= COMMAND_BYTES_MAX => Ok(len),
            _ => Err(CodecError::CommandTooLarge { declared: header.payload_len, limit: COMMAND_BYTES_MAX }),
        }
    }

    /// Checks the frame together with the frames of its message before it.
    fn check_frame(&self, header: Header) -> Result<usize, CodecError> {
        let limit = self.limits.message.get();
        let declared = self.partial.payload.saturating_add(header.payload_len);
        if declared > limit as u64 {
            return Err(CodecError::MessageTooLarge { declared, limit });
        }
        // A last frame may be the one that reaches the limit; a frame with MORE may not, for another one must follow.
        let frames_max = self.limits.frames.get();
        if self.partial.frames + 1 + u32::from(header.more) > frames_max {
            return Err(CodecError::TooManyFrames { limit: frames_max });
        }
        Ok(usize::try_from(header.payload_len).expect("a length within the message limit fits"))
    }

    /// Moves the frames of an incomplete message out of the way of a command that follows them.
    fn spill(&mut self, input: &mut BytesMut) {
        if self.partial.scanned > 0 {
            self.partial.spilled.extend_from_slice(&input[..self.partial.scanned]);
            input.advance(self.partial.scanned);
            self.partial.scanned = 0;
        }
    }

    fn finish(&mut self, input: &mut BytesMut, copies: bool, messages: &mut Vec<Body>, commands: &mut Vec<Command>) {
        let scanned = self.partial.scanned;
        let packed = if !self.partial.spilled.is_empty() {
            self.spill(input);
            std::mem::take(&mut self.partial.spilled).freeze()
        } else if copies {
            let packed = Bytes::copy_from_slice(&input[..scanned]);
            input.advance(scanned);
            packed
        } else {
            input.split_to(scanned).freeze()
        };
        self.emit(packed, messages, commands);
    }

    fn emit(&mut self, packed: Bytes, messages: &mut Vec<Body>, commands: &mut Vec<Command>) {
        let frames = Frames::from_parsed(packed, self.partial.frames);
        self.partial.scanned = 0;
        self.partial.frames = 0;
        self.partial.payload = 0;
        if self.upstream == Upstream::Subscriptions && is_subscription(&frames) {
            commands.extend(frames.slices().filter_map(subscription_change));
        } else {
            messages.push(Body::Frames(frames));
        }
    }
}

/// Whether the first frame makes this message a list of subscription changes.
fn is_subscription(frames: &Frames) -> bool {
    frames.slices().next().and_then(<[u8]>::first).is_some_and(|&first| first <= 1)
}

fn subscription_change(frame: &[u8]) -> Option<Command> {
    let (first, prefix) = frame.split_first()?;
    match first {
        0 => Some(Command::Cancel(Bytes::copy_from_slice(prefix))),
        1 => Some(Command::Subscribe(Bytes::copy_from_slice(prefix))),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
