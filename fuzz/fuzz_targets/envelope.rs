//! Any payload decodes to a message that survives being encoded and decoded again.
//!
//! Run with `-malloc_limit_mb=16`: an allocation that a declared length asks for ends the run.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use myelin_wire::{Body, decode_envelope, decode_payload, encode_envelope, encode_payload, envelope_len, payload_len};

fuzz_target!(|payload: &[u8]| {
    let payload = Bytes::copy_from_slice(payload);

    let (meta, body) = decode_payload(payload.clone());
    let written = encode_payload(meta.as_deref(), &body).expect("an input is smaller than the ceiling");
    assert_eq!(written.len(), payload_len(meta.as_deref(), &body));
    assert_eq!(decode_payload(written), (meta, body));

    // Most inputs lack the tag; given one, they reach what is behind it.
    let tagged = Bytes::from([b"\x99\xa3my1", &payload[..]].concat());
    if let Ok((meta, body)) = decode_envelope(&tagged) {
        if let Body::Blob(blob) = &body {
            assert!(blob.is_empty() || tagged.as_ptr_range().contains(&blob.as_ptr()), "copied");
        }
        let written = encode_envelope(meta.as_deref(), &body).expect("an input is smaller than the ceiling");
        assert_eq!(written.len(), envelope_len(meta.as_deref(), &body));
        assert!(written.len() <= tagged.len(), "the canonical form is the shortest");
        assert_eq!(decode_envelope(&written), Ok((meta, body)));
    }
});
