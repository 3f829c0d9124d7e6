//! Random messages for property tests.

#![allow(dead_code, reason = "each test file uses its own part")]

use bytes::Bytes;
use myelin_wire::{AgentId, Body, CorrelationId, Frames, Headers, Kind, MessageId, Meta, Timestamp, TraceContext};
use proptest::{collection::vec, option, prelude::*};

pub(crate) fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        // Around the places where MessagePack and ZMTP change the form of a length.
        vec(any::<u8>(), 0..300).prop_map(Body::from),
        parts().prop_map(|parts| Body::Frames(Frames::from_parts(parts).expect("at least one part"))),
    ]
}

pub(crate) fn parts() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(prop_oneof![4 => vec(any::<u8>(), 0..20), 1 => vec(any::<u8>(), 250..260)], 1..20)
}

pub(crate) fn meta() -> impl Strategy<Value = Meta> {
    (
        any::<[u8; 16]>(),
        option::of("[^\\p{Cc}]{1,60}"),
        any::<u8>(),
        any::<u64>(),
        option::of(vec(any::<u8>(), 1..40)),
        option::of((any::<[u8; 16]>(), any::<[u8; 8]>(), any::<u8>())),
        headers(),
    )
        .prop_map(|(id, source, kind, time, correlation, trace, headers)| {
            let mut meta = Meta::with_id(MessageId::from_bytes(id), Kind::from_u8(kind), Timestamp::from_unix_micros(time));
            meta.source = source.map(|source| AgentId::new(&source).expect("within the rules"));
            meta.correlation = correlation.map(|id| CorrelationId::new(id).expect("within the rules"));
            meta.trace = trace.and_then(|(trace, span, flags)| TraceContext::new(trace, span, flags).ok());
            meta.headers = headers;
            meta
        })
}

fn headers() -> impl Strategy<Value = Headers> {
    let value = prop_oneof![
        "[^\r\n]{0,40}".prop_map(|text| Bytes::from(text.into_bytes())),
        vec(any::<u8>().prop_filter("no line break", |byte| !matches!(byte, b'\r' | b'\n')), 0..40).prop_map(Bytes::from),
    ];
    vec(("[!-9;-~]{1,20}", value), 0..10).prop_map(|entries| {
        let mut headers = Headers::new();
        for (name, value) in entries {
            headers.append(&name, value).expect("within the rules");
        }
        headers
    })
}
