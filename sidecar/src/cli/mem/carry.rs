//! A memory as lines of JSON, for `export` and `import`: one entry, or one entry of a window, on each.

use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::{Value as Json, json};

use super::super::payload;
use crate::memory::wire;

/// What one line carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Carried {
    Entry {
        space: String,
        key: String,
        ttl_ms: Option<u64>,
        value: Bytes,
        content_type: String,
    },
    /// When it was appended is told to people; an import appends anew.
    Recall {
        space: String,
        window: String,
        value: Bytes,
        content_type: String,
    },
}

pub(super) fn entry(space: &str, key: &str, entry: &wire::Entry) -> Json {
    let mut line = json!({ "space": space, "key": key, "ttl_ms": entry.ttl_ms, "content_type": entry.content_type });
    payload::put(&mut line, &entry.value.clone().into());
    line
}

pub(super) fn recall(space: &str, window: &str, entry: &wire::Recall) -> Json {
    let mut line = json!({ "space": space, "window": window, "time_ms": entry.time_ms, "content_type": entry.content_type });
    payload::put(&mut line, &entry.value.clone().into());
    line
}

/// Reads a line again.
pub(super) fn read(line: &str) -> Result<Carried, String> {
    let line: Json = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let text = |field: &str| line[field].as_str().map(str::to_owned).ok_or_else(|| format!("has no text in {field}"));
    let (space, value) = (text("space")?, body(&line["body"])?);
    let content_type = line["content_type"].as_str().unwrap_or("application/octet-stream").to_owned();
    match line["window"].as_str() {
        Some(window) => Ok(Carried::Recall { space, window: window.to_owned(), value, content_type }),
        None => Ok(Carried::Entry { space, key: text("key")?, ttl_ms: line["ttl_ms"].as_u64(), value, content_type }),
    }
}

fn body(body: &Json) -> Result<Bytes, String> {
    if let Some(text) = body["text"].as_str() {
        return Ok(text.to_owned().into());
    }
    let digits = body["hex"].as_str().ok_or("has no text and no hex in body")?.as_bytes();
    let pairs = digits.chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok().filter(|pair| pair.len() == 2 && !pair.starts_with('+'));
        pair.and_then(|pair| u8::from_str_radix(pair, 16).ok())
    });
    Ok(pairs.collect::<Option<Vec<u8>>>().ok_or("hex in body is no hexadecimal")?.into())
}

/// How far long work is, as a bar.
pub(super) fn bar(what: &str, done: u64, of: u64) -> String {
    const WIDTH: u64 = 30;
    let filled = (done.min(of) * WIDTH).checked_div(of).unwrap_or(WIDTH);
    let mut text = String::from("[");
    for place in 0..WIDTH {
        text.push(if place < filled { '#' } else { '-' });
    }
    write!(text, "] {done} of {of} {what}").expect("a String takes everything");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_exported_is_read_again_whatever_its_bytes() {
        for bytes in [&b"caf\xc3\xa9 \"quoted\"\n"[..], b"\xff\x00\x7f", b""] {
            let value = Bytes::from_static(bytes);
            let there = wire::Entry { value: value.clone(), content_type: "a/b".to_owned(), revision: String::new(), ttl_ms: Some(7) };
            let read = read(&entry("s", "k", &there).to_string()).expect("read");
            let (space, key, content_type) = ("s".to_owned(), "k".to_owned(), "a/b".to_owned());
            assert_eq!(read, Carried::Entry { space, key, ttl_ms: Some(7), value, content_type });
        }
    }

    #[test]
    fn a_line_that_is_none_says_why() {
        for line in [
            "",
            "[]",
            r#"{"space":"s"}"#,
            r#"{"space":"s","key":"k","body":{"hex":"0g"}}"#,
            r#"{"space":"s","key":"k","body":{"hex":"0"}}"#,
        ] {
            assert!(read(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn a_bar_is_full_when_all_is_done() {
        assert_eq!(bar("entries", 1, 2), format!("[{}{}] 1 of 2 entries", "#".repeat(15), "-".repeat(15)));
        assert_eq!(bar("entries", 3, 2), format!("[{}] 3 of 2 entries", "#".repeat(30)));
    }
}
