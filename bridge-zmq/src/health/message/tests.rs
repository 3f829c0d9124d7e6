use proptest::prelude::*;

use super::*;

fn key() -> Key {
    Key::new("TTS.health", b"{\"action\": \"ping\"}")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// These bytes stand in docs/health.md: sidecars of different releases talk to each other.
#[test]
fn golden() {
    const KEY: &str = "aa5454532e6865616c7468c4127b22616374696f6e223a202270696e67227d";
    let from = NodeId(0xab);
    let content = Frames::single(b"pong");
    let cases = [
        (Said::Ask { bound: Duration::from_secs(5), keys: vec![key()] }, format!("95a36d683101ccabcd138892{KEY}")),
        (Said::Renew { number: 7 }, "94a36d683102ccab07".to_owned()),
        (Said::Drop { keys: vec![key()] }, format!("94a36d683103ccab92{KEY}")),
        (Said::Lease { number: 7, told: 300, oldest: Duration::from_micros(1_400_001) }, "96a36d683104ccab07cd012ccd0579".to_owned()),
        (Said::Document { told: 1, key: key(), kind: "tts".into(), content }, format!("98a36d683105ccab01{KEY}a3747473c4060004706f6e67")),
        (Said::Withdraw { told: 2, key: key(), why: Why::Silent }, format!("97a36d683106ccab02{KEY}01")),
    ];
    for (said, expected) in cases {
        let message = Message { from, said };
        let bytes = encode(&message);
        assert_eq!(hex(&bytes), expected, "{message:?}");
        let read = decode(&bytes).unwrap();
        match (&read.said, &message.said) {
            // In whole milliseconds, rounded up: an age is never told as less.
            (Said::Lease { oldest, .. }, Said::Lease { .. }) => assert_eq!(*oldest, Duration::from_millis(1_401)),
            _ => assert_eq!(read, message),
        }
        // An independent reader agrees that it is one value.
        let mut rest = &bytes[..];
        assert!(rmpv::decode::read_value(&mut rest).unwrap().is_array());
        assert!(rest.is_empty());
    }
}

#[test]
fn what_a_later_release_appends_is_passed_over_and_another_version_is_not_read() {
    let message = Message { from: NodeId(1), said: Said::Renew { number: 7 } };
    let mut bytes = encode(&message).to_vec();
    bytes[0] += 1;
    bytes.push(0xc0);
    assert_eq!(decode(&bytes.clone().into()), Ok(message));
    bytes[4] = b'2';
    assert_eq!(decode(&bytes.into()), Err(Malformed));
}

#[test]
fn limits_hold_before_anything_is_taken() {
    let long = Key::new(&"s".repeat(SERVICE_BYTES_MAX), &[b'x'; POLL_BYTES_MAX]);
    let fitting = Message { from: NodeId(u64::MAX), said: Said::Ask { bound: Duration::ZERO, keys: vec![long.clone(); KEYS_MAX] } };
    assert_eq!(decode(&encode(&fitting)), Ok(fitting));
    let longer = Key::new("s", &[b'x'; POLL_BYTES_MAX + 1]);
    for keys in [vec![longer], vec![long; KEYS_MAX + 1]] {
        let message = Message { from: NodeId(1), said: Said::Drop { keys } };
        assert_eq!(decode(&encode(&message)), Err(Malformed));
    }
    let content = Frames::single(&vec![b'x'; DOCUMENT_BYTES_MAX]);
    let message = Message { from: NodeId(1), said: Said::Document { told: 0, key: key(), kind: "".into(), content } };
    assert_eq!(decode(&encode(&message)), Err(Malformed), "with its header it is too long");
    // Four gigabytes are declared, and nothing is there.
    assert_eq!(decode(&Bytes::from_static(b"\x98\xa3mh1\x05\x01\x01\xdb\xff\xff\xff\xff")), Err(Malformed));
}

proptest! {
    #[test]
    fn no_bytes_do_harm(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz(&data);
    }

    #[test]
    fn a_message_that_is_cut_or_damaged_is_read_or_refused(at in 0_usize..60, to in any::<u8>(), cut in 0_usize..60) {
        let message = Message { from: NodeId(0xab), said: Said::Document { told: 1, key: key(), kind: "tts".into(), content: Frames::single(b"pong") } };
        let mut bytes = encode(&message).to_vec();
        let (at, cut) = (at % bytes.len(), cut % bytes.len());
        prop_assert_eq!(decode(&Bytes::copy_from_slice(&bytes[..cut])), Err(Malformed));
        bytes[at] = to;
        fuzz(&bytes);
    }
}
