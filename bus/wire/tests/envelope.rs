//! The envelope decodes to what was encoded, costs little, copies no blob, and survives any input.

use std::time::SystemTime;

use bytes::Bytes;
use myelin_wire::{
    Body, DecodeError, EncodeError, Field, Frames, Kind, Meta, decode_envelope, encode_envelope, envelope_len,
    limits::{ENVELOPE_OVERHEAD_BYTES_MINIMAL_MAX, FRAMES_MAX, HEADERS_MAX, PAYLOAD_BYTES_CEILING},
};
use proptest::{collection::vec, option, prelude::*, sample::Index};
use rmpv::Value;

mod support;

/// Array of nine, the tag.
const HEAD: &[u8] = b"\x99\xa3my1";

fn decode(parts: &[&[u8]]) -> Result<(Option<Box<Meta>>, Body), DecodeError> {
    decode_envelope(&Bytes::from(parts.concat()))
}

proptest! {
    #[test]
    fn a_message_comes_back_as_it_went_in(meta in option::of(support::meta()), body in support::body()) {
        let wire = encode_envelope(meta.as_ref(), &body).unwrap();
        prop_assert_eq!(wire.len(), envelope_len(meta.as_ref(), &body));
        let (meta_back, body_back) = decode_envelope(&wire).unwrap();
        prop_assert_eq!(meta_back.as_deref(), meta.as_ref());
        if let (Body::Frames(frames), Body::Frames(back)) = (&body, &body_back) {
            prop_assert_eq!(frames.packed(), back.packed());
        }
        prop_assert_eq!(body_back, body);
    }

    #[test]
    fn another_decoder_reads_it_whole(meta in option::of(support::meta()), body in support::body()) {
        let wire = encode_envelope(meta.as_ref(), &body).unwrap();
        let mut rest = &wire[..];
        let value = rmpv::decode::read_value(&mut rest).unwrap();
        prop_assert!(rest.is_empty());
        let elements = value.as_array().unwrap();
        prop_assert_eq!(elements.len(), 9);
        prop_assert_eq!(&elements[0], &Value::from("my1"));
        match &body {
            Body::Blob(blob) => prop_assert_eq!(&elements[8], &Value::Binary(blob.to_vec())),
            Body::Frames(frames) => {
                let frames = frames.slices().map(|frame| Value::Binary(frame.to_vec())).collect();
                prop_assert_eq!(&elements[8], &Value::Array(frames));
            }
        }
    }

    #[test]
    fn every_truncation_is_refused(meta in option::of(support::meta()), body in support::body(), cut in any::<Index>()) {
        let wire = encode_envelope(meta.as_ref(), &body).unwrap();
        let cut = cut.index(wire.len());
        prop_assert!(decode_envelope(&wire.slice(..cut)).is_err());
    }

    #[test]
    fn flipped_bits_are_refused_or_give_a_message_that_encodes(
        meta in option::of(support::meta()),
        body in support::body(),
        flips in vec((any::<Index>(), 0..8_u8), 1..4),
    ) {
        let mut wire = encode_envelope(meta.as_ref(), &body).unwrap().to_vec();
        for (at, bit) in flips {
            let at = at.index(wire.len());
            wire[at] ^= 1 << bit;
        }
        if let Ok((meta, body)) = decode_envelope(&wire.into()) {
            let again = encode_envelope(meta.as_deref(), &body).unwrap();
            prop_assert_eq!(decode_envelope(&again), Ok((meta, body)));
        }
    }

    #[test]
    fn arbitrary_bytes_behind_the_tag_never_panic(
        elements in 0x90..=0x9f_u8,
        tail in vec(prop_oneof![2 => Just(0xc0), 3 => 0xc0..=0xdf_u8, 3 => any::<u8>()], 0..200),
    ) {
        let wire = [&[elements], &HEAD[1..], &tail].concat();
        let decoded = decode_envelope(&wire.into());
        if let Ok((meta, body)) = decoded {
            prop_assert!(encode_envelope(meta.as_deref(), &body).is_ok());
        }
    }
}

#[test]
fn a_minimal_message_costs_at_most_48_bytes() {
    let mut meta = Meta::new(Kind::EVENT, SystemTime::now());
    meta.kind = Kind::from_u8(u8::MAX);
    for len in [0, 1, 255, 256, 65_535, 65_536, 1 << 20] {
        let body = Body::from(vec![0; len]);
        let overhead = encode_envelope(Some(&meta), &body).unwrap().len() - len;
        assert!(overhead <= ENVELOPE_OVERHEAD_BYTES_MINIMAL_MAX, "{overhead} bytes around {len}");
    }
}

#[test]
fn a_blob_of_1_kib_is_not_copied() {
    let meta = Meta::new(Kind::EVENT, SystemTime::now());
    let wire = encode_envelope(Some(&meta), &Body::from(vec![7; 1024])).unwrap();
    let (_, body) = decode_envelope(&wire).unwrap();
    let Body::Blob(blob) = body else { panic!("a blob went in") };
    let (input, slice) = (wire.as_ptr_range(), blob.as_ptr_range());
    assert!(input.start < slice.start && slice.end == input.end);
    assert_eq!(blob, vec![7; 1024]);
}

#[test]
fn a_body_over_the_ceiling_has_no_envelope() {
    let body = Body::from(vec![0; PAYLOAD_BYTES_CEILING + 1]);
    let error = EncodeError::TooLarge { len: PAYLOAD_BYTES_CEILING + 1, max: PAYLOAD_BYTES_CEILING };
    assert_eq!(encode_envelope(None, &body), Err(error));
}

#[test]
fn declared_lengths_are_believed_only_as_far_as_there_are_bytes() {
    let nils = [0xc0; 7];
    let truncated = |decoded| matches!(decoded, Err(DecodeError::Truncated { .. }));
    // A blob, a frame, an id, a source, a correlation, a header value, each of 4 GiB less one.
    let huge = b"\xff\xff\xff\xff";
    assert!(truncated(decode(&[HEAD, &nils, b"\xc6", huge])));
    assert!(truncated(decode(&[HEAD, &nils, b"\x91\xc6", huge])));
    assert!(truncated(decode(&[HEAD, b"\xc6", huge])));
    let id = b"\xc4\x10................";
    assert!(truncated(decode(&[HEAD, id, b"\xdb", huge])));
    assert!(truncated(decode(&[HEAD, id, b"\xc0\x00\x00\xc6", huge])));
    assert!(truncated(decode(&[HEAD, id, b"\xc0\x00\x00\xc0\xc0\x91\x92\xa1k\xc6", huge])));
    // As many frames as are allowed, none of them there.
    assert!(truncated(decode(&[HEAD, &nils, b"\xdc\x04\x00"])));
    // Nested values in an element of a later version: arrays and maps of 4 G entries inside each other.
    let nested = [b"\xdd".as_slice(), huge, b"\xdf", huge].concat().repeat(50);
    assert!(truncated(decode(&[b"\x9a\xa3my1", &nils, b"\xc4\x00", &nested])));
    // So deep that recursion would end the process.
    assert!(truncated(decode(&[b"\x9a\xa3my1", &nils, b"\xc4\x00", &vec![0x91; 1 << 20]])));
}

#[test]
fn counts_over_their_limits_are_refused() {
    let nils = [0xc0; 7];
    let over = |field, count, max| Err(DecodeError::OverLimit { field, count, max });
    assert_eq!(decode(&[HEAD, &nils, b"\xdc\x04\x01"]), over(Field::Body, FRAMES_MAX + 1, FRAMES_MAX));
    assert_eq!(decode(&[HEAD, &nils, b"\xdd\xff\xff\xff\xff"]), over(Field::Body, u32::MAX, FRAMES_MAX));
    let before_headers = b"\xc4\x10................\xc0\x00\x00\xc0\xc0";
    let max = u32::try_from(HEADERS_MAX).unwrap();
    assert_eq!(decode(&[HEAD, before_headers, b"\xdc\x00\x41"]), over(Field::Headers, max + 1, max));
    assert_eq!(decode(&[HEAD, before_headers, b"\x91\x93"]), over(Field::Headers, 3, 2));
    let max = Frames::from_parts(vec![b"x"; FRAMES_MAX as usize]).unwrap().into();
    assert_eq!(decode_envelope(&encode_envelope(None, &max).unwrap()), Ok((None, max)));
}

#[test]
fn each_wrong_element_is_named() {
    let nils = [0xc0; 7];
    let id = b"\xc4\x10................".as_slice();
    let invalid = |field| Err(DecodeError::Invalid { field });
    assert_eq!(decode(&[b""]), Err(DecodeError::NotEnvelope));
    assert_eq!(decode(&[b"hello, world"]), Err(DecodeError::NotEnvelope));
    assert_eq!(decode(&[b"\x98\xa3my1", &[0xc0; 6], b"\xc4\x00"]), Err(DecodeError::NotEnvelope));
    assert_eq!(decode(&[b"\x99\xa3my2"]), Err(DecodeError::UnknownVersion { version: b'2' }));
    assert_eq!(decode(&[HEAD, b"\xc4\x0f..............."]), invalid(Field::Id));
    assert_eq!(decode(&[HEAD, &nils[..6], b"\x00\xc4\x00"]), invalid(Field::Id));
    assert_eq!(decode(&[HEAD, id, b"\xa0"]), invalid(Field::Source));
    assert_eq!(decode(&[HEAD, id, b"\xa1\xff"]), invalid(Field::Source));
    assert_eq!(decode(&[HEAD, id, b"\xc0\xcd\x01\x00"]), invalid(Field::Kind));
    assert_eq!(decode(&[HEAD, id, b"\xc0\xc0"]), Err(DecodeError::WrongType { field: Field::Kind, found: 0xc0 }));
    assert_eq!(decode(&[HEAD, id, b"\xc0\x00\xff"]), invalid(Field::Time));
    assert_eq!(decode(&[HEAD, id, b"\xc0\x00\x00\xc4\x00"]), invalid(Field::Correlation));
    assert_eq!(decode(&[HEAD, id, b"\xc0\x00\x00\xc0\xc4\x01\x00"]), invalid(Field::Trace));
    assert_eq!(decode(&[HEAD, id, b"\xc0\x00\x00\xc0\xc4\x19", &[0; 25]]), invalid(Field::Trace));
    assert_eq!(decode(&[HEAD, id, b"\xc0\x00\x00\xc0\xc0\x91\x91\xa1k"]), invalid(Field::Headers));
    assert_eq!(decode(&[HEAD, id, b"\xc0\x00\x00\xc0\xc0\x91\x92\xa1k\xa1\n"]), invalid(Field::Headers));
    assert_eq!(decode(&[HEAD, &nils, b"\xa2hi"]), Err(DecodeError::WrongType { field: Field::Body, found: 0xa2 }));
    assert_eq!(decode(&[HEAD, &nils, b"\x90"]), invalid(Field::Body));
    assert_eq!(decode(&[HEAD, &nils, b"\xc4\x00\x00"]), Err(DecodeError::Trailing { extra: 1 }));
    let reserved = Err(DecodeError::WrongType { field: Field::Extension, found: 0xc1 });
    assert_eq!(decode(&[b"\x9a\xa3my1", &nils, b"\xc4\x00\xc1"]), reserved);
}
