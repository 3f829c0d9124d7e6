//! The bytes in `vectors/` mean today what they meant when they were written.
//!
//! `v1-*` are canonical: they decode to the message given here, which encodes to the same bytes. `lenient-*` are what other
//! writers may send: they decode to the same message as a canonical vector. An independent MessagePack library reads
//! and writes all of them alike. No file is ever changed or removed; a new version adds its own.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use std::{collections::BTreeSet, fs, path::Path};

use bytes::Bytes;
use myelin_wire::{
    AgentId, Body, CorrelationId, Frames, Kind, MessageId, Meta, Timestamp, TraceContext, decode_envelope, decode_payload, encode_envelope,
};
use rmpv::Value;

type Message = (Option<Box<Meta>>, Body);

fn vector(name: &str) -> Bytes {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(format!("{name}.hex"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let digits: String = text.lines().filter(|line| !line.starts_with('#')).collect();
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn meta(change: impl FnOnce(&mut Meta)) -> Option<Box<Meta>> {
    let id: MessageId = "019003f1-a000-7abc-8def-0123456789ab".parse().unwrap();
    let mut meta = Meta::with_id(id, Kind::EVENT, Timestamp::from_unix_micros(1_718_000_000_000_000));
    change(&mut meta);
    Some(Box::new(meta))
}

fn frames<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> Body {
    Frames::from_parts(parts).unwrap().into()
}

fn canonical() -> Vec<(&'static str, Message)> {
    let plain = || meta(|_| {});
    vec![
        ("v1-minimal", (plain(), "hi".into())),
        ("v1-empty-blob", (meta(|meta| meta.kind = Kind::REPLY), "".into())),
        ("v1-full", (full(), "{\"a\": 1.0, \"b\": NaN, \"a\": 2}".into())),
        ("v1-headers", (headers(), "x".into())),
        ("v1-unknown-kind", (meta(|meta| meta.kind = Kind::from_u8(200)), "x".into())),
        ("v1-no-meta-frames", (None, frames(["", "{\"action\": \"ping\"}"]))),
        ("v1-one-frame", (one_frame(), frames(["ping"]))),
        ("v1-frame-lengths", (None, frames(["".into(), "a".repeat(255), "b".repeat(256), "c".into()]))),
        ("v1-many-frames", (None, frames((0..17).map(|number| [number])))),
        ("v1-long-blob", (plain(), (0..300_u32).map(|at| (at % 251) as u8).collect::<Vec<_>>().into())),
        ("v1-escaped-blob", (None, Body::Blob(vector("v1-minimal")))),
    ]
}

fn lenient() -> Vec<(&'static str, Message)> {
    let wide = meta(|meta| {
        meta.source = Some(AgentId::new("hub").unwrap());
        meta.kind = Kind::REQUEST;
        meta.correlation = Some(CorrelationId::new("z").unwrap());
        meta.headers.append("k", "v").unwrap();
    });
    let with_header = meta(|meta| meta.headers.append("k", "v").unwrap());
    vec![
        ("lenient-wide", (wide, "hi".into())),
        ("lenient-signed", (meta(|meta| meta.kind = Kind::REQUEST), "hi".into())),
        ("lenient-later-fields", (meta(|_| {}), "hi".into())),
        ("lenient-bin-header", (with_header, "hi".into())),
        ("lenient-empty-headers", (meta(|_| {}), "hi".into())),
    ]
}

fn full() -> Option<Box<Meta>> {
    meta(|meta| {
        meta.source = Some(AgentId::new("planner-7").unwrap());
        meta.kind = Kind::REQUEST;
        meta.correlation = Some(CorrelationId::new(&b"\0\0\0\0\xde\xad\xbe\xef"[..]).unwrap());
        let trace: TraceContext = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap();
        meta.trace = Some(trace);
        meta.headers.append("content-type", "application/json").unwrap();
    })
}

fn headers() -> Option<Box<Meta>> {
    meta(|meta| {
        for (name, value) in [("b", &b"2"[..]), ("a", b"1"), ("b", b"3"), ("empty", b""), ("latin", b"caf\xe9")] {
            meta.headers.append(name, value).unwrap();
        }
    })
}

fn one_frame() -> Option<Box<Meta>> {
    meta(|meta| {
        meta.source = Some(AgentId::new("hub").unwrap());
        meta.kind = Kind::REQUEST;
        meta.correlation = Some(meta.id.into());
    })
}

#[test]
fn canonical_vectors_decode_and_encode_identically() {
    for (name, message) in canonical() {
        let wire = vector(name);
        assert_eq!(decode_envelope(&wire).as_ref(), Ok(&message), "{name}");
        assert_eq!(decode_payload(wire.clone()), message, "{name}");
        assert_eq!(encode_envelope(message.0.as_deref(), &message.1).unwrap(), wire, "{name}");
    }
}

#[test]
fn lenient_vectors_decode_and_are_rewritten() {
    for (name, message) in lenient() {
        let wire = vector(name);
        assert_eq!(decode_envelope(&wire).as_ref(), Ok(&message), "{name}");
        let canonical = encode_envelope(message.0.as_deref(), &message.1).unwrap();
        assert_ne!(canonical, wire, "{name} is canonical");
        assert_eq!(decode_envelope(&canonical), Ok(message), "{name}");
    }
}

#[test]
fn an_independent_library_reads_what_we_meant_and_writes_what_we_write() {
    for (name, message) in canonical() {
        let wire = vector(name);
        let mut rest = &wire[..];
        let value = rmpv::decode::read_value(&mut rest).unwrap();
        assert!(rest.is_empty(), "{name}");
        assert_eq!(value, as_value(&message), "{name}");
        let mut written = Vec::new();
        rmpv::encode::write_value(&mut written, &value).unwrap();
        assert_eq!(written, wire, "{name}");
    }
    for (name, _) in lenient() {
        let wire = vector(name);
        let mut rest = &wire[..];
        assert!(rmpv::decode::read_value(&mut rest).unwrap().is_array(), "{name}");
        assert!(rest.is_empty(), "{name}");
    }
}

#[test]
fn every_file_is_tested() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let files: BTreeSet<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let tested = canonical().into_iter().chain(lenient()).map(|(name, _)| name.to_owned()).collect();
    assert_eq!(files, tested);
}

#[test]
fn the_examples_of_the_documentation_are_vectors() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/wire.md");
    let page = fs::read_to_string(page).unwrap();
    // Two digits, a space, and so on; what follows two spaces explains them.
    let hex = |line: &str| {
        let digits = line.trim_start().split("  ").next().unwrap_or_default();
        let pairs: Vec<_> = digits.split(' ').map(|pair| u8::from_str_radix(pair, 16).ok()).collect();
        pairs.into_iter().collect::<Option<Vec<_>>>().unwrap_or_default()
    };
    let examples: Vec<_> = page.split("```").skip(1).step_by(2).map(|block| block.lines().flat_map(hex).collect::<Bytes>()).collect();
    assert_eq!(examples[..2], [vector("v1-minimal"), vector("v1-no-meta-frames")]);
}

/// The specification of `docs/wire.md`, said a second time.
fn as_value((meta, body): &Message) -> Value {
    let bin = |bytes: &[u8]| Value::Binary(bytes.to_vec());
    let text_or_bin = |bytes: &[u8]| str::from_utf8(bytes).map_or_else(|_| bin(bytes), Value::from);
    let mut elements = vec![Value::from("my1")];
    if let Some(meta) = meta {
        let headers = |(name, value): (&str, &Bytes)| Value::Array(vec![name.into(), text_or_bin(value)]);
        let trace = |trace: &TraceContext| bin(&[&trace.trace_id()[..], trace.span_id(), &[trace.flags()]].concat());
        elements.extend([
            bin(meta.id.as_bytes()),
            meta.source.as_ref().map_or(Value::Nil, |source| source.as_str().into()),
            meta.kind.as_u8().into(),
            meta.time.unix_micros().into(),
            meta.correlation.as_ref().map_or(Value::Nil, |id| bin(id.as_bytes())),
            meta.trace.as_ref().map_or(Value::Nil, trace),
            if meta.headers.is_empty() { Value::Nil } else { Value::Array(meta.headers.iter().map(headers).collect()) },
        ]);
    } else {
        elements.resize(8, Value::Nil);
    }
    elements.push(match body {
        Body::Blob(blob) => bin(blob),
        Body::Frames(frames) => Value::Array(frames.slices().map(bin).collect()),
    });
    Value::Array(elements)
}
