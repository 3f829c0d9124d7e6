//! A Python string, held as Python prints it.

use std::fmt::{self, Write as _};

/// A string that may hold lone surrogates, in the exact ASCII form that `json.dumps` gives it, without the quotes.
///
/// Rust's own strings cannot hold lone surrogates, which Python reads and prints back. The printed form can, is unique
/// for each string, and most of what arrives here is only ever printed again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Box<str>);

impl Text {
    /// Takes a Rust string.
    pub fn new(text: &str) -> Self {
        let mut escaped = String::with_capacity(text.len());
        push_str(&mut escaped, text);
        Self(escaped.into())
    }

    /// Takes a string in printed form from a writer that used [`push_str`] and [`push_unit`] only.
    pub(super) fn from_escaped(escaped: String) -> Self {
        Self(escaped.into())
    }

    /// The form between the quotes in `json.dumps` output.
    pub fn escaped(&self) -> &str {
        &self.0
    }

    /// This text after `before`.
    pub fn prefixed(&self, before: &str) -> Self {
        let mut escaped = String::with_capacity(before.len() + self.0.len());
        push_str(&mut escaped, before);
        escaped.push_str(&self.0);
        Self(escaped.into())
    }

    /// This text before `after`.
    pub fn suffixed(&self, after: &str) -> Self {
        let mut escaped = self.0.to_string();
        push_str(&mut escaped, after);
        Self(escaped.into())
    }

    /// The string itself. `None` when it holds a lone surrogate.
    pub fn decode(&self) -> Option<String> {
        if !self.0.contains('\\') {
            return Some(self.0.to_string());
        }
        let mut units = Vec::with_capacity(self.0.len());
        let mut rest = self.0.bytes();
        while let Some(byte) = rest.next() {
            units.push(if byte == b'\\' { decode_escape(&mut rest)? } else { u16::from(byte) });
        }
        String::from_utf16(&units).ok()
    }
}

/// The printed form.
impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads what follows a backslash of the printed form, which knows fewer escapes than JSON does.
fn decode_escape(rest: &mut std::str::Bytes<'_>) -> Option<u16> {
    Some(match rest.next()? {
        b'n' => 0x0a,
        b'r' => 0x0d,
        b't' => 0x09,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'u' => {
            let mut unit = 0;
            for _ in 0..4 {
                unit = unit << 4 | u16::try_from(char::from(rest.next()?).to_digit(16)?).ok()?;
            }
            unit
        }
        quoted => u16::from(quoted),
    })
}

/// Appends a Rust string in printed form.
pub(super) fn push_str(out: &mut String, text: &str) {
    for char in text.chars() {
        match char {
            ' '..='~' if char != '"' && char != '\\' => out.push(char),
            _ => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    push_unit(out, *unit);
                }
            }
        }
    }
}

/// Appends one UTF-16 code unit in printed form. Two that make up a pair come out as Python prints the character.
pub(super) fn push_unit(out: &mut String, unit: u16) {
    match unit {
        0x22 => out.push_str("\\\""),
        0x5c => out.push_str("\\\\"),
        0x0a => out.push_str("\\n"),
        0x0d => out.push_str("\\r"),
        0x09 => out.push_str("\\t"),
        0x08 => out.push_str("\\b"),
        0x0c => out.push_str("\\f"),
        0x20..=0x7e => out.push(char::from(unit as u8)),
        _ => write!(out, "\\u{unit:04x}").expect("writing to a string cannot fail"),
    }
}
