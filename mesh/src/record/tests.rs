//! What is encoded is decoded again, hostile records are refused, and old ones are read for ever.

use proptest::prelude::*;

use super::*;

const ALWAYS: Encoder = Encoder { compress_from_bytes: 0 };
const NEVER: Encoder = Encoder { compress_from_bytes: usize::MAX };

fn health() -> Value {
    Value::json(
        r#"{"status": "ok", "ready": true, "initialized": true, "message": "STTService is healthy and running", "timestamp": 1763748000.1234, "uptime": 8321.25, "active_threads": 9, "health_checks": {"zmq": true, "redis": true, "threads_alive": true, "initialization": true}, "health_details": {"cpu_percent": 12.5, "memory_mb": 311.07, "requests_processed": 4411, "errors": 0, "last_error": null}, "health_status": "HEALTHY"}"#,
    )
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(bytes in prop::collection::vec(any::<u8>(), 0..2000), kind in 0..5, from in 0..3usize) {
        let content_type = TYPES.get(kind as usize).cloned().unwrap_or_else(|| ContentType::new("audio/x-pickle").unwrap());
        let value = Value { bytes: bytes.into(), content_type };
        let encoder = Encoder { compress_from_bytes: [0, 500, usize::MAX][from] };
        prop_assert_eq!(decode(encoder.encode(&value)), Ok(value));
    }

    #[test]
    fn text_is_decoded_whatever_its_length(length in 0..40_000usize, seed in any::<u64>()) {
        let mut random = fastrand::Rng::with_seed(seed);
        let words = std::iter::repeat_with(|| *random.choice(&["status", "the ", "agent", "{\"", "1", "xyz"]).unwrap());
        let mut text = words.take(length / 3).collect::<String>();
        text.truncate(length);
        let value = Value::text(text);
        prop_assert_eq!(decode(ALWAYS.encode(&value)), Ok(value));
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), head in any::<u8>()) {
        let record: Bytes = std::iter::once(head).chain(bytes).collect();
        drop(decode(record.clone()));
        prop_assert!(compressed_bytes(&record).is_none_or(|bytes| bytes <= limits::VALUE_BYTES_CEILING));
    }

    #[test]
    fn a_compressed_record_that_changed_is_refused_or_another_body(at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let mut record = ALWAYS.encode(&health()).to_vec();
        let at = at.index(record.len());
        record[at] ^= 1 << bit;
        if let Ok(value) = decode(record.into()) {
            prop_assert!(value.bytes.len() <= limits::VALUE_BYTES_CEILING);
        }
    }
}

#[test]
fn a_body_of_an_agent_is_less_than_half() {
    let value = health();
    let (plain, compressed) = (NEVER.encode(&value), ALWAYS.encode(&value));
    assert_eq!(plain.len(), value.bytes.len() + 1);
    assert!(compressed.len() * 2 < plain.len(), "{} of {}", compressed.len(), plain.len());
    assert_eq!(compressed_bytes(&compressed), Some(value.bytes.len()));
}

#[test]
fn what_does_not_pay_is_stored_as_it_is() {
    for length in [0, 1, 30, 500, 5000, 100_000] {
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(length).collect();
        assert_eq!(ALWAYS.encode(&Value::bytes(noise)).len(), length + 1);
    }
}

#[test]
fn a_plain_body_shares_the_bytes_of_its_record() {
    let record = NEVER.encode(&health());
    let body = decode(record.clone()).unwrap().bytes;
    assert_eq!(body.as_ptr(), record[1..].as_ptr());
}

#[test]
fn a_declared_length_is_no_reason_to_allocate() {
    // 16 MiB declared, four bytes there.
    assert!(decode(Bytes::from_static(&[0x10, 0x80, 0x80, 0x80, 0x08, 1, 2, 3, 4])).is_err());
    assert_eq!(decode(Bytes::from_static(&[0x10, 0xff, 0xff, 0xff, 0x7f, 1])), Err(RecordError("a body that is too large")));
    assert_eq!(decode(Bytes::from_static(&[0x10, 0x80, 0x80, 0x80, 0x80, 1])), Err(RecordError("a length that is too long")));
}

#[test]
fn a_body_of_another_length_than_declared_is_refused() {
    let record = ALWAYS.encode(&Value::text("the the the the the the the the the the the the the the the the"));
    assert_eq!(record[..2], [0x13, 63]);
    for declared in [62, 64, 0] {
        let mut record = record.to_vec();
        record[1] = declared;
        assert!(decode(record.into()).is_err(), "{declared}");
    }
    let mut longer = record.to_vec();
    longer.push(0);
    assert!(decode(longer.into()).is_err());
}

#[test]
fn the_vocabulary_is_part_of_the_format() {
    assert_eq!((deflate::VOCABULARY.len(), crc32fast::hash(deflate::VOCABULARY)), (3012, 442_962_896));
}

#[test]
fn records_of_the_first_version_are_read() {
    let golden: [(&[u8], Value); 3] = [
        (
            b"\x11\x2f\x23\x18\xd5\xa0\x6c\x10\x6d\xa8\xa3\x60\xa4\xa3\x60\x1c\x5b\x0b\x00",
            Value::json(r#"{"status": "ok", "ready": true, "n": [1, 2, 3]}"#),
        ),
        (b"\x03curious", "curious".into()),
        (b"\x0f\x09audio/pcm\x01\x02", Value { bytes: vec![1, 2].into(), content_type: ContentType::new("audio/pcm").unwrap() }),
    ];
    for (record, value) in golden {
        assert_eq!(decode(Bytes::from_static(record)), Ok(value));
    }
}
