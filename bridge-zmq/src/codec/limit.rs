//! The bounds without which no codec can be built.

use std::num::{NonZeroU32, NonZeroUsize};

use myelin_bus::wire::limits;

/// The most payload bytes one multipart message may carry, over all its frames: at least 1, at most [`MessageLimit::CEILING`].
///
/// There is no way to say "unlimited": a peer declares lengths freely, and what it declares would be our memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessageLimit(NonZeroUsize);

impl MessageLimit {
    /// 64 MiB: above it a message belongs into a file, with its name on the bus.
    pub const CEILING: usize = limits::PAYLOAD_BYTES_CEILING;

    /// A limit in bytes.
    ///
    /// # Errors
    /// When `bytes` is zero or above the ceiling.
    pub const fn new(bytes: usize) -> Result<Self, LimitError> {
        match NonZeroUsize::new(bytes) {
            Some(bytes) if bytes.get() <= Self::CEILING => Ok(Self(bytes)),
            _ => Err(LimitError::MessageBytes { bytes }),
        }
    }

    /// The limit in bytes.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0.get()
    }
}

impl Default for MessageLimit {
    fn default() -> Self {
        Self(NonZeroUsize::new(limits::PAYLOAD_BYTES_DEFAULT).expect("the default payload limit is not zero"))
    }
}

/// The most frames one multipart message may have: at least 1, at most 1,024. Empty frames cost nothing in bytes, so bytes alone do not bound them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FramesLimit(NonZeroU32);

impl FramesLimit {
    /// A limit in frames.
    ///
    /// # Errors
    /// When `frames` is zero or above 1,024.
    pub const fn new(frames: u32) -> Result<Self, LimitError> {
        match NonZeroU32::new(frames) {
            Some(frames) if frames.get() <= limits::FRAMES_MAX => Ok(Self(frames)),
            _ => Err(LimitError::Frames { frames }),
        }
    }

    /// The limit in frames.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl Default for FramesLimit {
    fn default() -> Self {
        Self(NonZeroU32::new(limits::FRAMES_MAX).expect("the default frame limit is not zero"))
    }
}

/// A limit outside its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError {
    /// `message_bytes_max` is zero or above the ceiling.
    #[error("message_bytes_max {bytes} is not between 1 and {ceiling}", ceiling = MessageLimit::CEILING)]
    MessageBytes {
        /// The refused value.
        bytes: usize,
    },
    /// `frames_max` is zero or above what a message can carry on the bus.
    #[error("frames_max {frames} is not between 1 and {ceiling}", ceiling = limits::FRAMES_MAX)]
    Frames {
        /// The refused value.
        frames: u32,
    },
}
