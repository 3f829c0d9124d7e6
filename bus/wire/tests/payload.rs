//! Payloads: foreign bytes pass untouched, ours come back as they were, and nobody's bytes are taken for an envelope.

use std::time::SystemTime;

use bytes::Bytes;
use myelin_wire::{Body, Frames, Kind, Meta, decode_payload, encode_envelope, encode_payload, payload_len};
use proptest::{collection::vec, option, prelude::*};

mod support;

proptest! {
    #[test]
    fn every_message_survives(meta in option::of(support::meta()), body in support::body()) {
        let payload = encode_payload(meta.as_ref(), &body).unwrap();
        prop_assert_eq!(payload.len(), payload_len(meta.as_ref(), &body));
        prop_assert_eq!(decode_payload(payload), (meta.map(Box::new), body));
    }

    #[test]
    fn any_payload_is_a_message(payload in vec(any::<u8>(), 0..100)) {
        let payload = Bytes::from(payload);
        prop_assert_eq!(decode_payload(payload.clone()), (None, Body::Blob(payload)));
    }

    #[test]
    fn a_blob_that_starts_with_a_tag_survives(
        elements in 0x90..=0x9f_u8,
        version in any::<u8>(),
        tail in vec(prop_oneof![Just(0xc0), any::<u8>()], 0..40),
    ) {
        let body = Body::from([&[elements, 0xa3, b'm', b'y', version], &tail[..]].concat());
        let payload = encode_payload(None, &body).unwrap();
        prop_assert_eq!(payload.len(), payload_len(None, &body));
        prop_assert_eq!(decode_payload(payload), (None, body));
    }
}

#[test]
fn a_plain_blob_is_the_payload_itself() {
    let blob = Bytes::from_static(b"{\"a\": 1.0, \"b\": NaN, \"a\": 2}");
    let payload = encode_payload(None, &Body::Blob(blob.clone())).unwrap();
    assert_eq!(payload.as_ptr(), blob.as_ptr());
    let (_, Body::Blob(back)) = decode_payload(payload) else { panic!("a blob went in") };
    assert_eq!((back.as_ptr(), back.len()), (blob.as_ptr(), blob.len()));
    assert_eq!(payload_len(None, &Body::from("")), 0);
}

#[test]
fn an_envelope_inside_an_envelope_stays_a_blob() {
    let meta = Meta::new(Kind::EVENT, SystemTime::now());
    let inner = encode_envelope(Some(&meta), &Body::from("inner")).unwrap();
    let payload = encode_payload(None, &Body::Blob(inner.clone())).unwrap();
    assert_eq!(decode_payload(payload), (None, Body::Blob(inner)));
}

#[test]
fn broken_and_later_envelopes_are_foreign_payloads() {
    let wire = encode_envelope(None, &Body::from(Frames::single(b"x"))).unwrap();
    let broken = wire.slice(..wire.len() - 1);
    assert_eq!(decode_payload(broken.clone()), (None, Body::Blob(broken)));
    let mut later = wire.to_vec();
    later[4] = b'2';
    let later = Bytes::from(later);
    assert_eq!(decode_payload(later.clone()), (None, Body::Blob(later)));
}
