//! Header blocks: `NATS/1.0[ status[ description]]`, then `Name: value` lines, then an empty line.

use bytes::{Bytes, BytesMut};
use myelin_wire::limits;

use super::ProtocolError;

const VERSION: &[u8] = b"NATS/1.0";

/// Longest header block: the limit for names and values, with room for the separators of [`limits::HEADERS_MAX`] lines and the first line.
pub(in crate::listener) const HEADER_BLOCK_BYTES_MAX: usize = limits::HEADERS_BYTES_MAX + 4 * limits::HEADERS_MAX + 256;

/// Names and values in order; a name may stand several times.
pub(in crate::listener) type Headers = Vec<(Box<str>, Bytes)>;

/// Reads a block. A status and its description, which only servers write, become headers of these names, as Go's client has it.
///
/// # Errors
/// [`ProtocolError::Headers`] if it is not well formed or exceeds [`limits::HEADERS_MAX`] or [`limits::HEADER_NAME_BYTES_MAX`].
pub(in crate::listener) fn read_block(block: &Bytes) -> Result<Headers, ProtocolError> {
    read(block).ok_or(ProtocolError::Headers)
}

fn read(block: &Bytes) -> Option<Headers> {
    let mut rest = block.strip_prefix(VERSION)?;
    let mut headers = Headers::new();
    let first;
    (first, rest) = split_line(rest)?;
    read_status(block, first, &mut headers)?;
    loop {
        let line;
        (line, rest) = split_line(rest)?;
        if line.is_empty() {
            return rest.is_empty().then_some(headers);
        }
        if headers.len() == limits::HEADERS_MAX {
            return None;
        }
        let colon = line.iter().position(|&byte| byte == b':')?;
        let name = header_name(&line[..colon])?;
        let value = line[colon + 1..].trim_ascii();
        if has_line_end(value) {
            return None;
        }
        headers.push((name.into(), block.slice_ref(value)));
    }
}

fn split_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.windows(2).position(|pair| pair == b"\r\n")?;
    Some((&text[..end], &text[end + 2..]))
}

fn read_status(block: &Bytes, first: &[u8], headers: &mut Headers) -> Option<()> {
    if !first.first().is_none_or(|&byte| byte == b' ' || byte == b'\t') {
        return None;
    }
    let text = first.trim_ascii();
    if text.is_empty() {
        return Some(());
    }
    let end = text.iter().position(|&byte| byte == b' ').unwrap_or(text.len());
    headers.push(("Status".into(), block.slice_ref(&text[..end])));
    let description = text[end..].trim_ascii();
    if !description.is_empty() {
        headers.push(("Description".into(), block.slice_ref(description)));
    }
    Some(())
}

/// The name, if it may stand before a colon: printable ASCII without blanks and colons.
fn header_name(name: &[u8]) -> Option<&str> {
    let is_name =
        (1..=limits::HEADER_NAME_BYTES_MAX).contains(&name.len()) && name.iter().all(|&byte| byte.is_ascii_graphic() && byte != b':');
    is_name.then(|| std::str::from_utf8(name).ok()).flatten()
}

fn has_line_end(value: &[u8]) -> bool {
    value.iter().any(|byte| matches!(byte, b'\r' | b'\n'))
}

/// Appends a block with this status, if it is not empty, and these headers to `out`. Entries that cannot be written on a line (a name that is no header name, a value with a line
/// end) are left out: passing them on would let one header forge another.
pub(in crate::listener) fn write_block<'a>(out: &mut BytesMut, status: &[u8], headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) {
    out.extend_from_slice(VERSION);
    if !status.is_empty() {
        out.extend_from_slice(b" ");
        out.extend_from_slice(status);
    }
    out.extend_from_slice(b"\r\n");
    for (name, value) in headers {
        if header_name(name.as_bytes()).is_none() || has_line_end(value) {
            continue;
        }
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
    out.extend_from_slice(b"\r\n");
}
