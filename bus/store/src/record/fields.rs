//! Fields of the bodies of records, little endian.

/// A body that no version of this format wrote. Its checksum fits, so this is a mistake of ours and not damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed body of a record")]
pub(crate) struct Malformed;

/// Takes little-endian fields off the front of a body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// A text behind its length in one byte.
    pub(crate) fn text(&mut self) -> Result<&'a str, Malformed> {
        let bytes = self.u8()?;
        str::from_utf8(self.bytes(usize::from(bytes))?).map_err(|_| Malformed)
    }

    /// A text behind its length in two bytes.
    pub(crate) fn long_text(&mut self) -> Result<&'a str, Malformed> {
        let bytes = self.u16()?;
        str::from_utf8(self.bytes(usize::from(bytes))?).map_err(|_| Malformed)
    }

    pub(crate) fn end(self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed) }
    }
}

/// Puts little-endian fields at the end of a body.
#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub(crate) fn u16(&mut self, value: u16) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// A text of at most 255 bytes; what is longer is cut at a character.
    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        let text = cut(text, usize::from(u8::MAX));
        self.u8(text.len() as u8);
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// A text of at most 65,535 bytes; what is longer is cut at a character.
    pub(crate) fn long_text(&mut self, text: &str) -> &mut Self {
        let text = cut(text, usize::from(u16::MAX));
        self.u16(text.len() as u16);
        self.0.extend_from_slice(text.as_bytes());
        self
    }
}

/// The beginning of a text, at most this many bytes and whole characters.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn a_text_too_long_is_cut_at_a_character() {
        assert_eq!(cut("aµb", 2), "a");
        assert_eq!(cut("aµb", 3), "aµ");
    }
}
