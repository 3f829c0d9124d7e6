//! Values: bytes that say what they are.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::limits;

/// What is remembered: bytes that the mesh never looks into, and what they are. Cloning shares the bytes.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Value {
    /// The bytes, as they were given.
    pub bytes: Bytes,
    /// What they are; by default nothing is known of them.
    pub content_type: ContentType,
}

/// What the bytes of a value are, as a media type. The mesh keeps it and draws no conclusions.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct ContentType(Known);

#[derive(Clone, PartialEq, Eq, Hash, Default)]
enum Known {
    #[default]
    Bytes,
    Json,
    MessagePack,
    Text,
    Other(Arc<str>),
}

/// A text is no content type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a content type is 1 to {} printable ASCII characters", limits::CONTENT_TYPE_BYTES_MAX)]
pub struct ContentTypeError;

impl ContentType {
    /// `application/octet-stream`: nothing is known. The default.
    pub const BYTES: Self = Self(Known::Bytes);
    /// `application/json`.
    pub const JSON: Self = Self(Known::Json);
    /// `application/msgpack`: what the typed helpers write.
    pub const MESSAGE_PACK: Self = Self(Known::MessagePack);
    /// `text/plain`: UTF-8.
    pub const TEXT: Self = Self(Known::Text);

    /// Takes a media type.
    ///
    /// # Errors
    /// When it is empty, longer than 127 bytes, or has another character than printable ASCII.
    pub fn new(text: &str) -> Result<Self, ContentTypeError> {
        let known = [Self::BYTES, Self::JSON, Self::MESSAGE_PACK, Self::TEXT];
        if let Some(known) = known.into_iter().find(|known| known.as_str() == text) {
            return Ok(known);
        }
        let is_fine = (1..=limits::CONTENT_TYPE_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if is_fine { Ok(Self(Known::Other(text.into()))) } else { Err(ContentTypeError) }
    }

    /// The media type.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Known::Bytes => "application/octet-stream",
            Known::Json => "application/json",
            Known::MessagePack => "application/msgpack",
            Known::Text => "text/plain",
            Known::Other(text) => text,
        }
    }
}

impl Value {
    /// Bytes of which nothing is known.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), content_type: ContentType::BYTES }
    }

    /// A JSON document, which is not checked to be one.
    pub fn json(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), content_type: ContentType::JSON }
    }

    /// UTF-8 text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { bytes: Bytes::from(text.into()), content_type: ContentType::TEXT }
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self { bytes: Bytes::from_static(text.as_bytes()), content_type: ContentType::TEXT }
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<Bytes> for Value {
    fn from(bytes: Bytes) -> Self {
        Self::bytes(bytes)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::bytes(bytes)
    }
}

/// Never the content: it may be long, and may be nobody's business.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} bytes of {})", self.bytes.len(), self.content_type)
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_type_is_the_same_however_it_is_spelled_out() {
        assert_eq!(ContentType::new("application/json"), Ok(ContentType::JSON));
        assert_eq!(ContentType::new("audio/x-pickle").unwrap().as_str(), "audio/x-pickle");
        for text in ["", "a\n", "ü", &"x".repeat(128)] {
            assert_eq!(ContentType::new(text), Err(ContentTypeError), "{text:?}");
        }
    }

    #[test]
    fn the_content_of_a_value_is_not_printed() {
        assert_eq!(format!("{:?}", Value::text("secret")), "Value(6 bytes of text/plain)");
    }
}
