//! Bodies on their way in (arguments, files, stdin) and out (text, escapes, JSON).

use std::fmt::Write as _;
use std::io::Read;
use std::path::PathBuf;

use bytes::Bytes;
use myelin_bus::wire::{Body, Frames};
use serde_json::{Value as Json, json};

use super::{Failure, output};

/// The body of a message to send.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct BodyArgs {
    /// The payload; `-` reads it from stdin, none sends an empty one
    #[arg(value_name = "BODY", conflicts_with_all = ["frame", "file"])]
    body: Option<String>,

    /// Send a multipart message: one frame, to be repeated in order
    #[arg(long, value_name = "TEXT", conflicts_with = "file")]
    frame: Vec<String>,

    /// Read the payload from a file
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

impl BodyArgs {
    /// Reads the body from wherever it was said to be. Stdin is read only when asked for: a script may have one that never ends.
    pub(super) fn read(&self) -> Result<Body, Failure> {
        if let Some(frames) = Frames::from_parts(&self.frame) {
            return Ok(frames.into());
        }
        if let Some(path) = &self.file {
            let bytes = std::fs::read(path)
                .map_err(|error| Failure::usage(format!("--file {}: {}", path.display(), crate::config::reason(&error))))?;
            return Ok(bytes.into());
        }
        match self.body.as_deref() {
            Some("-") => stdin(),
            Some(text) => Ok(text.to_owned().into()),
            None => Ok(Body::default()),
        }
    }
}

fn stdin() -> Result<Body, Failure> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut bytes);
    read.map_err(|error| Failure::runtime(format!("cannot read stdin: {error}")))?;
    Ok(bytes.into())
}

/// How received bodies are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// For a terminal: nothing in a payload can change colours, titles or lines.
    Escaped,
    /// The bytes as they are, each frame followed by a line feed.
    Raw,
    /// One JSON document per message.
    Json,
}

impl Style {
    pub(super) const fn new(raw: bool, json: bool) -> Self {
        match (raw, json) {
            (_, true) => Self::Json,
            (true, false) => Self::Raw,
            (false, false) => Self::Escaped,
        }
    }
}

/// Prints one message; `label` stands before it on a terminal.
pub(super) fn print(style: Style, label: &str, subject: &str, reply: Option<&str>, body: &Body) -> Result<(), Failure> {
    match style {
        Style::Raw => {
            for frame in frames(body) {
                output::raw(&frame)?;
            }
        }
        Style::Json => {
            let mut document = json!({ "subject": subject });
            if let Some(reply) = reply {
                document["reply"] = reply.into();
            }
            put(&mut document, body);
            output::json(&document)?;
        }
        Style::Escaped => {
            let frames = frames(body);
            match frames.as_slice() {
                [only] => output::line(&format!("{label}{}", escape(only)))?,
                several => {
                    output::line(&format!("{label}({} frames)", several.len()))?;
                    for (index, frame) in several.iter().enumerate() {
                        output::line(&format!("  {}: {}", index + 1, escape(frame)))?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// Adds a body to a JSON document, as `body` or as `frames`.
pub(super) fn put(document: &mut Json, body: &Body) {
    match body {
        Body::Blob(bytes) => document["body"] = encode(bytes),
        Body::Frames(all) => document["frames"] = all.iter().map(|frame| encode(&frame)).collect(),
    }
}

fn frames(body: &Body) -> Vec<Bytes> {
    match body {
        Body::Blob(bytes) => vec![bytes.clone()],
        Body::Frames(frames) => frames.iter().collect(),
    }
}

/// Text as text, anything else in hexadecimal: `{"text": ".."}` or `{"hex": ".."}`.
fn encode(bytes: &[u8]) -> Json {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!({ "text": text }),
        Err(_) => {
            let hex = bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
                write!(hex, "{byte:02x}").expect("a String takes everything");
                hex
            });
            json!({ "hex": hex })
        }
    }
}

/// Printable text as it is; control characters and bytes that are no UTF-8 as escapes.
pub(super) fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                '\\' => text.push_str("\\\\"),
                hidden if is_hidden(hidden) => write!(text, "{}", hidden.escape_unicode()).expect("a String takes everything"),
                plain => text.push(plain),
            }
        }
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").expect("a String takes everything");
        }
    }
    text
}

/// Characters that a terminal obeys instead of showing: controls, and the marks that reorder text.
fn is_hidden(character: char) -> bool {
    character.is_control() || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_payload_reaches_the_terminal_as_a_command() {
        assert_eq!(escape("caf\u{e9} {\"a\":1}".as_bytes()), "caf\u{e9} {\"a\":1}");
        assert_eq!(escape(b"a\nb\x1b[31m\\"), "a\\nb\\u{1b}[31m\\\\");
        assert_eq!(escape(b"\x80\x04ok\xff"), "\\x80\\u{4}ok\\xff");
        assert_eq!(escape("\u{202e}evil".as_bytes()), "\\u{202e}evil");
        assert_eq!(escape(b""), "");
    }

    #[test]
    fn json_keeps_every_byte() {
        assert_eq!(encode(b"a\"b"), json!({ "text": "a\"b" }));
        assert_eq!(encode(b"\xff\x00"), json!({ "hex": "ff00" }));
    }
}
