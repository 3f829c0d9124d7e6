//! What a message carries: one opaque blob, or the frames of a multipart message.

use bytes::Bytes;

use crate::Frames;

/// The opaque content of a message. Cloning counts a reference and copies nothing.
///
/// The two forms are never turned into each other on the way: a multipart message of one frame stays
/// [`Body::Frames`], because its receiver may tell the difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// One blob, from a caller that knows no frames.
    Blob(Bytes),
    /// The frames of a ZeroMQ message, in number, order and content as they were received.
    Frames(Frames),
}

impl Body {
    /// Bytes of payload: the blob, or the sum of the frames without their headers.
    pub fn len(&self) -> usize {
        match self {
            Self::Blob(blob) => blob.len(),
            Self::Frames(frames) => frames.payload_len(),
        }
    }

    /// Whether there is no byte of payload. A message of empty frames is empty, and still a message.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::Blob(Bytes::new())
    }
}

impl From<Bytes> for Body {
    fn from(blob: Bytes) -> Self {
        Self::Blob(blob)
    }
}

impl From<Vec<u8>> for Body {
    fn from(blob: Vec<u8>) -> Self {
        Self::Blob(blob.into())
    }
}

impl From<String> for Body {
    fn from(blob: String) -> Self {
        Self::Blob(blob.into())
    }
}

impl From<&'static [u8]> for Body {
    fn from(blob: &'static [u8]) -> Self {
        Self::Blob(Bytes::from_static(blob))
    }
}

impl From<&'static str> for Body {
    fn from(blob: &'static str) -> Self {
        Self::Blob(Bytes::from_static(blob.as_bytes()))
    }
}

impl From<Frames> for Body {
    fn from(frames: Frames) -> Self {
        Self::Frames(frames)
    }
}
