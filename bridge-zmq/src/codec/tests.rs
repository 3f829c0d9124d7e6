//! Golden bytes, hostile bytes, and random bytes against a naive model.

use bytes::{BufMut, Bytes, BytesMut};
use myelin_bus::wire::{Body, Frames};
use proptest::prelude::*;

use super::*;

const LIMITS: CodecLimits = CodecLimits { message: limit(1000), frames: frames_limit(8) };

const fn limit(bytes: usize) -> MessageLimit {
    match MessageLimit::new(bytes) {
        Ok(limit) => limit,
        Err(_) => panic!("a valid limit"),
    }
}

const fn frames_limit(frames: u32) -> FramesLimit {
    match FramesLimit::new(frames) {
        Ok(limit) => limit,
        Err(_) => panic!("a valid limit"),
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// What a codec made of some bytes.
#[derive(Debug, Default, PartialEq)]
struct Decoded {
    messages: Vec<Vec<Vec<u8>>>,
    commands: Vec<Command>,
    error: Option<CodecError>,
    left: usize,
}

/// Feeds the pieces one after the other.
fn decode<'a>(limits: CodecLimits, upstream: Upstream, pieces: impl IntoIterator<Item = &'a [u8]>) -> Decoded {
    let mut codec = Codec::new(limits, upstream);
    let mut input = BytesMut::new();
    let (mut messages, mut decoded) = (Vec::new(), Decoded::default());
    for piece in pieces {
        input.extend_from_slice(piece);
        let outcome = codec.handle(&mut input, &mut messages, &mut decoded.commands);
        if let Err(error) = outcome {
            decoded.error = Some(error);
            break;
        }
        assert!(codec.missing() > 0);
    }
    decoded.left = input.len();
    decoded.messages = messages.iter().map(parts).collect();
    decoded
}

fn parts(body: &Body) -> Vec<Vec<u8>> {
    let Body::Frames(frames) = body else { panic!("a codec makes frames") };
    assert_eq!(
        Frames::from_packed(frames.packed().clone()).map(|checked| checked.count()),
        Ok(frames.count()),
        "what is passed on is valid"
    );
    frames.slices().map(<[u8]>::to_vec).collect()
}

fn whole(upstream: Upstream, bytes: &[u8]) -> Decoded {
    decode(CodecLimits { message: MessageLimit::default(), frames: FramesLimit::default() }, upstream, [bytes])
}

fn error_of(bytes: &[u8]) -> Option<CodecError> {
    decode(LIMITS, Upstream::Messages, [bytes]).error
}

fn long_header(flags: u8, len: u64) -> Vec<u8> {
    let mut header = vec![flags | 2];
    header.put_u64(len);
    header
}

#[test]
fn z14_one_frame_and_two_frames_stay_one_and_two() {
    let one = whole(Upstream::Messages, &hex("000d 4552524f523a7b2261223a317d"));
    assert_eq!(one.messages, [vec![b"ERROR:{\"a\":1}".to_vec()]]);
    let two = whole(Upstream::Messages, &hex("0106 4552524f523a 0007 7b2261223a317d"));
    assert_eq!(two.messages, [vec![b"ERROR:".to_vec(), b"{\"a\":1}".to_vec()]]);
}

#[test]
fn z10_a_long_frame_behind_a_delimiter() {
    let body = vec![b'h'; 599];
    let mut bytes = hex("0100 02 0000000000000257");
    bytes.extend(&body);
    assert_eq!(whole(Upstream::Messages, &bytes).messages, [vec![vec![], body]]);
}

#[test]
fn z22_ping_carries_ttl_and_context_and_is_answered_with_the_context() {
    let decoded = whole(Upstream::Messages, &hex("0407 04 50494e47 0032"));
    let ping =
        |context: &'static [u8]| Command::Ping { ttl: Some(std::time::Duration::from_secs(5)), context: Bytes::from_static(context) };
    assert_eq!(decoded.commands, [ping(b"")]);
    assert_eq!(encode_pong(b""), hex("0405 04 504f4e47"));
    let decoded = whole(Upstream::Messages, &hex("040a 04 50494e47 0032 616263"));
    assert_eq!(decoded.commands, [ping(b"abc")]);
    assert_eq!(encode_pong(b"abc"), hex("0408 04 504f4e47 616263"));
    // libzmq cuts a context off after 16 bytes rather than refusing it.
    let decoded = whole(Upstream::Messages, &hex("0418 04 50494e47 0000 3031323334353637383961626364656667"));
    assert_eq!(decoded.commands, [Command::Ping { ttl: None, context: Bytes::from_static(b"0123456789abcdef") }]);
}

#[test]
fn z13_every_form_of_a_subscription_is_the_same_change() {
    let subscribe = |prefix: &'static [u8]| Command::Subscribe(Bytes::from_static(prefix));
    let cancel = |prefix: &'static [u8]| Command::Cancel(Bytes::from_static(prefix));
    for (bytes, change) in [
        ("040a 09 535542534352494245", subscribe(b"")),
        ("0001 01", subscribe(b"")),
        ("0410 09 535542534352494245 4552524f523a", subscribe(b"ERROR:")),
        ("0007 01 4552524f523a", subscribe(b"ERROR:")),
        ("0407 06 43414e43454c", cancel(b"")),
        ("0001 00", cancel(b"")),
    ] {
        let decoded = whole(Upstream::Subscriptions, &hex(bytes));
        assert_eq!((decoded.commands, decoded.messages), (vec![change], vec![]), "{bytes}");
    }
}

#[test]
fn our_subscriptions_speak_the_dialect_of_the_peer() {
    assert_eq!(encode_subscribe(1, b""), hex("040a 09 535542534352494245"));
    assert_eq!(encode_subscribe(0, b""), hex("0001 01"));
    assert_eq!(encode_subscribe(1, b"ERROR:"), hex("0410 09 535542534352494245 4552524f523a"));
    assert_eq!(encode_subscribe(0, b"ERROR:"), hex("0007 01 4552524f523a"));
    assert_eq!(encode_cancel(1, b""), hex("0407 06 43414e43454c"));
    assert_eq!(encode_cancel(0, b"x"), hex("0002 00 78"));
    let long = vec![b'p'; 300];
    for minor in [0, 1] {
        let decoded = whole(Upstream::Subscriptions, &encode_subscribe(minor, &long));
        assert_eq!(decoded.commands, [Command::Subscribe(Bytes::from(long.clone()))]);
    }
}

#[test]
fn an_xsub_may_send_messages_that_are_no_subscriptions() {
    let decoded = whole(Upstream::Subscriptions, &hex("0002 6869 0000 0102 0161 0003 016263"));
    assert_eq!(decoded.messages, [vec![b"hi".to_vec()], vec![vec![]]]);
    assert_eq!(decoded.commands, [Command::Subscribe(Bytes::from_static(b"a")), Command::Subscribe(Bytes::from_static(b"bc"))]);
    // To every other socket these bytes are a message.
    assert_eq!(whole(Upstream::Messages, &hex("0001 01")).messages, [vec![vec![1]]]);
}

#[test]
fn commands_between_the_frames_of_a_message_do_not_tear_it() {
    let bytes = hex("0101 61 0407 04 50494e47 0000 0101 62 0405 04 504f4e47 0001 63 0001 64");
    let expected = [vec![b"a".to_vec(), b"b".to_vec(), b"c".to_vec()], vec![b"d".to_vec()]];
    for split in 0..=bytes.len() {
        let decoded = decode(LIMITS, Upstream::Messages, [&bytes[..split], &bytes[split..]]);
        assert_eq!(decoded.messages, expected, "split at {split}");
        assert_eq!(decoded.commands.len(), 2);
        assert_eq!((decoded.error, decoded.left), (None, 0));
    }
}

#[test]
fn unknown_commands_are_skipped_and_errors_are_made_printable() {
    let decoded = whole(Upstream::Messages, &hex("0405 04 4a4f494e 0001 61"));
    assert_eq!((decoded.commands, decoded.messages.len()), (vec![], 1));
    let decoded = whole(Upstream::Messages, &hex("040a 05 4552524f52 03 6e6f0a"));
    assert_eq!(decoded.commands, [Command::Error { reason: "no\\n".into() }]);
}

#[test]
fn a_declared_length_is_judged_before_its_payload() {
    assert_eq!(error_of(&long_header(0, 1001)), Some(CodecError::MessageTooLarge { declared: 1001, limit: 1000 }));
    assert_eq!(error_of(&long_header(0, u64::MAX)), Some(CodecError::MessageTooLarge { declared: u64::MAX, limit: 1000 }));
    assert_eq!(error_of(&long_header(0, 1000)), None);
    // The frames of a message add up, also when the sum would overflow.
    let mut two = long_header(1, 600);
    two.extend([0; 600]);
    two.extend(long_header(0, 401));
    assert_eq!(error_of(&two), Some(CodecError::MessageTooLarge { declared: 1001, limit: 1000 }));
    let at = two.len() - 8;
    two[at..].copy_from_slice(&u64::MAX.to_be_bytes());
    assert_eq!(error_of(&two), Some(CodecError::MessageTooLarge { declared: u64::MAX, limit: 1000 }));
    let too_large = CodecError::CommandTooLarge { declared: 1 << 40, limit: COMMAND_BYTES_MAX };
    assert_eq!(error_of(&long_header(4, 1 << 40)), Some(too_large));
}

#[test]
fn a_message_may_have_as_many_frames_as_allowed_and_not_one_more() {
    let mut bytes = hex("0100").repeat(7);
    bytes.extend(hex("0000"));
    assert_eq!(decode(LIMITS, Upstream::Messages, [&bytes[..]]).messages, [vec![Vec::<u8>::new(); 8]]);
    assert_eq!(error_of(&hex("0100").repeat(8)), Some(CodecError::TooManyFrames { limit: 8 }));
}

#[test]
fn flags_are_judged_by_their_byte_alone() {
    for flags in [0x08, 0x10, 0x80, 0xff, b'G'] {
        assert_eq!(error_of(&[flags]), Some(CodecError::ReservedFlags { flags }));
    }
    assert_eq!(error_of(&[5]), Some(CodecError::CommandMore));
    assert_eq!(error_of(&[7]), Some(CodecError::CommandMore));
}

#[test]
fn malformed_commands_are_named() {
    let malformed = |name| Some(CodecError::MalformedCommand { name });
    assert_eq!(error_of(&hex("0400")), malformed("unnamed"));
    assert_eq!(error_of(&hex("0401 00")), malformed("unnamed"));
    assert_eq!(error_of(&hex("0403 04 5049")), malformed("unnamed"));
    assert_eq!(error_of(&hex("0406 04 50494e47 00")), malformed("PING"));
    assert_eq!(error_of(&hex("0406 05 4552524f52")), malformed("ERROR"));
    assert_eq!(error_of(&hex("0407 05 4552524f52 05")), malformed("ERROR"));
}

#[test]
fn what_came_before_a_violation_is_delivered() {
    let decoded = decode(LIMITS, Upstream::Messages, [&hex("0001 61 0001 62 ff")[..]]);
    assert_eq!(decoded.messages.len(), 2);
    assert!(decoded.error.is_some());
}

#[test]
fn large_messages_are_slices_of_the_read_buffer_and_small_reads_are_not_pinned() {
    let mut codec = Codec::new(CodecLimits { message: MessageLimit::default(), frames: FramesLimit::default() }, Upstream::Messages);
    let (mut messages, mut commands) = (Vec::new(), Vec::new());
    let mut input = BytesMut::with_capacity(1 << 16);
    input.extend(long_header(0, 40_000));
    input.extend(std::iter::repeat_n(7u8, 40_000));
    let range = input.as_ptr_range();
    codec.handle(&mut input, &mut messages, &mut commands).unwrap();
    let Body::Frames(large) = &messages[0] else { panic!() };
    assert!(range.contains(&large.packed().as_ptr()));
    let mut input = BytesMut::with_capacity(1 << 16);
    input.extend_from_slice(&hex("0001 61"));
    let range = input.as_ptr_range();
    codec.handle(&mut input, &mut messages, &mut commands).unwrap();
    let Body::Frames(small) = &messages[1] else { panic!() };
    assert!(!range.contains(&small.packed().as_ptr()));
}

#[test]
fn limits_outside_their_range_are_refused() {
    assert!(MessageLimit::new(0).is_err());
    assert!(MessageLimit::new(MessageLimit::CEILING).is_ok());
    assert!(MessageLimit::new(MessageLimit::CEILING + 1).is_err());
    assert!(FramesLimit::new(0).is_err());
    assert!(FramesLimit::new(1024).is_ok());
    assert!(FramesLimit::new(1025).is_err());
}

fn libzmq_greeting() -> Vec<u8> {
    let mut greeting = hex("ff 0000000000000001 7f 03 01 4e554c4c");
    greeting.resize(64, 0);
    greeting
}

fn req_ready() -> Vec<u8> {
    hex("0426 05 5245414459 0b 536f636b65742d54797065 00000003 524551 08 4964656e74697479 00000000")
}

/// Feeds the pieces to a handshake and what it leaves to a codec.
fn converse(pieces: &[&[u8]]) -> (Option<Session>, Vec<u8>, BytesMut) {
    let mut handshake = Handshake::new(Role::Accepted, SocketType::Router, Bytes::new());
    let (mut input, mut output, mut session) = (BytesMut::new(), Vec::new(), None);
    for piece in pieces {
        input.extend_from_slice(piece);
        if session.is_none() {
            session = handshake.advance(&mut input).unwrap();
            output.extend_from_slice(&handshake.output());
        }
    }
    (session, output, input)
}

#[test]
fn z01_z02_a_handshake_may_be_cut_anywhere_and_leaves_what_is_not_its_own() {
    let mut bytes = libzmq_greeting();
    bytes.extend(req_ready());
    bytes.extend(hex("0100 0004 70696e67"));
    let answer = {
        let mut answer = hex("ff 0000000000000001 7f 03 01 4e554c4c");
        answer.resize(64, 0);
        answer.extend(hex("041c 05 5245414459 0b 536f636b65742d54797065 00000006 524f55544552"));
        answer
    };
    for cut in 0..=bytes.len() {
        let (session, output, left) = converse(&[&bytes[..cut], &bytes[cut..]]);
        let session = session.unwrap();
        assert_eq!((session.minor, session.peer_type, &session.identity[..]), (1, SocketType::Req, &b""[..]));
        assert_eq!(output, answer, "cut at {cut}");
        assert_eq!(left, hex("0100 0004 70696e67"));
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(converse(&single).1, answer);
}

fn handshake_error(ours: SocketType, bytes: &[u8]) -> Option<HandshakeError> {
    Handshake::new(Role::Accepted, ours, Bytes::new()).advance(&mut BytesMut::from(bytes)).err()
}

#[test]
fn whoever_is_not_a_zmtp_3_peer_is_told_apart_by_its_first_bytes() {
    let error = |bytes: &[u8]| handshake_error(SocketType::Router, bytes);
    assert_eq!(error(b"GET /health HTTP/1.1\r\n"), Some(HandshakeError::Http));
    assert_eq!(error(b"GE"), None, "may still become a request");
    assert_eq!(error(b"GEX"), Some(HandshakeError::NotZmtp { first: b'G' }));
    assert_eq!(error(&hex("160301")), Some(HandshakeError::Tls));
    // The first byte of a ClientHello alone tells nothing yet.
    assert_eq!(error(&[0x16]), None);
    assert_eq!(error(&hex("1604")), Some(HandshakeError::NotZmtp { first: 0x16 }));
    assert_eq!(error(b"PATCH /agents"), Some(HandshakeError::Http));
    assert_eq!(error(&[0x01]), Some(HandshakeError::NotZmtp { first: 1 }));
    assert_eq!(error(&hex("ff 0000000000000001 00")), Some(HandshakeError::NotZmtp { first: 0 }));
    assert_eq!(error(&hex("ff 0000000000000001 7f 01")), Some(HandshakeError::Version { major: 1 }));
    assert_eq!(error(&hex("ff 0000000000000001 7f 03")), None);
}

#[test]
fn handshake_frames_are_judged_before_they_are_buffered() {
    let error = |frame: &[u8]| handshake_error(SocketType::Router, &[libzmq_greeting(), frame.to_vec()].concat());
    let limit = 64 * 1024;
    assert_eq!(error(&long_header(4, 1 << 62)), Some(HandshakeError::TooLarge { declared: 1 << 62, limit }));
    assert_eq!(error(&long_header(4, 65_537)), Some(HandshakeError::TooLarge { declared: 65_537, limit }));
    assert_eq!(error(&long_header(4, 65_536)), None);
    assert_eq!(error(&hex("0001 61")), Some(HandshakeError::UnexpectedFrame { flags: 0 }));
    assert_eq!(error(&hex("88")), Some(HandshakeError::UnexpectedFrame { flags: 0x88 }));
    assert!(matches!(error(&hex("0405 04 50494e47")), Some(HandshakeError::Violation { .. })));
    let refused = HandshakeError::Refused { reason: "no".into() };
    assert_eq!(error(&hex("0409 05 4552524f52 02 6e6f")), Some(refused));
}

#[test]
fn z25_incompatible_types_are_named_and_told_so() {
    let mut handshake = Handshake::new(Role::Accepted, SocketType::XPub, Bytes::new());
    let mut input = BytesMut::from(&[libzmq_greeting(), req_ready()].concat()[..]);
    let error = handshake.advance(&mut input).unwrap_err();
    assert_eq!(error, HandshakeError::Incompatible { ours: SocketType::XPub, theirs: "REQ".into() });
    let output = handshake.output();
    assert!(output.windows(6).any(|window| window == b"\x05ERROR"), "{output:?}");
}

#[test]
fn other_mechanisms_are_refused() {
    let mut greeting = libzmq_greeting();
    greeting[12..17].copy_from_slice(b"CURVE");
    let refused = HandshakeError::Mechanism { ours: Mechanism::Null, theirs: "CURVE".into() };
    assert_eq!(handshake_error(SocketType::Router, &greeting), Some(refused));
    greeting[12..17].copy_from_slice(b"NULL\x01");
    assert!(matches!(handshake_error(SocketType::Router, &greeting), Some(HandshakeError::Mechanism { .. })));
}

/// The framer as one would write it without a thought for speed: a whole input, one element at a time.
fn model(limits: CodecLimits, upstream: Upstream, mut bytes: &[u8]) -> Decoded {
    let mut decoded = Decoded::default();
    let mut open: Vec<Vec<u8>> = Vec::new();
    let mut held = 0;
    loop {
        let start = bytes;
        decoded.left = held + bytes.len();
        let Some((&flags, rest)) = bytes.split_first() else { return decoded };
        let fail = |mut decoded: Decoded, error| {
            decoded.error = Some(error);
            decoded
        };
        if flags > 7 {
            return fail(decoded, CodecError::ReservedFlags { flags });
        }
        let (long, more, command) = (flags & 2 != 0, flags & 1 != 0, flags & 4 != 0);
        if command && more {
            return fail(decoded, CodecError::CommandMore);
        }
        let len_bytes = if long { 8 } else { 1 };
        if rest.len() < len_bytes {
            return decoded;
        }
        let declared = rest[..len_bytes].iter().fold(0u64, |len, &byte| len << 8 | u64::from(byte));
        let payload = &rest[len_bytes..];
        if command {
            if declared > COMMAND_BYTES_MAX as u64 {
                return fail(decoded, CodecError::CommandTooLarge { declared, limit: COMMAND_BYTES_MAX });
            }
        } else {
            let sum = open.iter().map(|part| part.len() as u64).sum::<u64>().saturating_add(declared);
            if sum > limits.message.get() as u64 {
                return fail(decoded, CodecError::MessageTooLarge { declared: sum, limit: limits.message.get() });
            }
            if open.len() + 1 + usize::from(more) > limits.frames.get() as usize {
                return fail(decoded, CodecError::TooManyFrames { limit: limits.frames.get() });
            }
        }
        let declared = usize::try_from(declared).unwrap();
        if payload.len() < declared {
            return decoded;
        }
        let (payload, rest) = payload.split_at(declared);
        bytes = rest;
        if command {
            // Frames before a command leave the input with it.
            held = 0;
            match Command::parse(Bytes::copy_from_slice(payload)) {
                Ok(command) => decoded.commands.extend(command),
                Err(error) => {
                    decoded.left = bytes.len();
                    return fail(decoded, error);
                }
            }
            continue;
        }
        held += start.len() - bytes.len();
        open.push(payload.to_vec());
        if more {
            continue;
        }
        held = 0;
        let message = std::mem::take(&mut open);
        if upstream == Upstream::Subscriptions && message[0].first().is_some_and(|first| *first <= 1) {
            decoded.commands.extend(message.iter().filter_map(|part| match part.split_first()? {
                (0, prefix) => Some(Command::Cancel(prefix.to_vec().into())),
                (1, prefix) => Some(Command::Subscribe(prefix.to_vec().into())),
                _ => None,
            }));
        } else {
            decoded.messages.push(message);
        }
    }
}

fn cut<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

/// Bytes that are mostly frames, some of them damaged.
fn frames_and_noise() -> impl Strategy<Value = Vec<u8>> {
    let short = (0u8..8, prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(flags, payload)| {
        let mut frame =
            if flags & 2 == 0 { vec![flags, u8::try_from(payload.len()).unwrap()] } else { long_header(flags, payload.len() as u64) };
        frame.extend(payload);
        frame
    });
    let data = (any::<bool>(), prop::collection::vec(0u8..3, 0..300)).prop_map(|(more, payload)| {
        let mut frame = BytesMut::new();
        myelin_bus::wire::write_frame_header(&mut frame, more, payload.len());
        frame.extend(payload);
        frame.to_vec()
    });
    let command = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|context| encode_ping(std::time::Duration::from_secs(1), &context).to_vec()),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|prefix| encode_subscribe(1, &prefix).to_vec()),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|prefix| encode_cancel(0, &prefix).to_vec()),
    ];
    let noise = prop::collection::vec(any::<u8>(), 0..12);
    let piece = prop_oneof![2 => short, 8 => data, 3 => command, 1 => noise];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_are_what_the_naive_model_says(
        bytes in prop_oneof![frames_and_noise(), prop::collection::vec(any::<u8>(), 0..200)],
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        publishes in any::<bool>(),
    ) {
        let upstream = if publishes { Upstream::Subscriptions } else { Upstream::Messages };
        let expected = model(LIMITS, upstream, &bytes);
        let mut actual = decode(LIMITS, upstream, cut(&bytes, &cuts));
        if expected.error.is_some() {
            // How much of the rest was fed when the error showed depends on the cuts.
            actual.left = expected.left;
        }
        prop_assert_eq!(actual, expected);
    }

    #[test]
    fn messages_survive_a_round_trip_in_any_pieces(
        messages in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 1..6), 0..20),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let bytes: Vec<u8> = messages.iter().flat_map(|parts| Frames::from_parts(parts).unwrap().packed().to_vec()).collect();
        let limits = CodecLimits { message: MessageLimit::default(), frames: FramesLimit::default() };
        let decoded = decode(limits, Upstream::Messages, cut(&bytes, &cuts));
        prop_assert_eq!((decoded.messages, decoded.error, decoded.left), (messages, None, 0));
    }

    #[test]
    fn any_bytes_in_a_handshake_end_in_an_error_or_wait_for_more(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        greeted in any::<bool>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let mut handshake = Handshake::new(Role::Accepted, SocketType::Router, Bytes::new());
        let mut input = BytesMut::new();
        if greeted {
            input.extend_from_slice(&handshake.output());
        }
        for piece in cut(&bytes, &cuts) {
            input.extend_from_slice(piece);
            if let Ok(Some(_)) | Err(_) = handshake.advance(&mut input) {
                break;
            }
        }
    }
}
