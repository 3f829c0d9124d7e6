//! The parser against golden operations, arbitrary cuts and hostile bytes.

use bytes::{Bytes, BytesMut};
use myelin_wire::limits;
use proptest::prelude::*;

use super::parse::CONTROL_LINE_BYTES_MAX;
use super::*;

const MAX: usize = 1024;

fn complete(input: &[u8]) -> (Operation<'_>, usize) {
    match parse(input, MAX) {
        Ok(Parsed::Complete { operation, consumed }) => (operation, consumed),
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(input)),
    }
}

fn publish<'a>(subject: &'a str, reply: Option<&'a str>, headers: Option<&'a [u8]>, payload: &'a [u8]) -> Operation<'a> {
    Operation::Publish(Publish { subject: subject.as_bytes(), reply: reply.map(str::as_bytes), headers, payload })
}

fn subscribe<'a>(filter: &'a str, group: Option<&'a str>, sid: &'a str) -> Operation<'a> {
    Operation::Subscribe(Subscribe { filter: filter.as_bytes(), group: group.map(str::as_bytes), sid: sid.as_bytes() })
}

/// What a conversation contains, and the bytes it is written as.
fn golden() -> Vec<(&'static [u8], Operation<'static>)> {
    vec![
        (b"CONNECT {\"verbose\":false}\r\n", Operation::Connect(b"{\"verbose\":false}")),
        (b"connect\t{}\n", Operation::Connect(b"{}")),
        (b"PUB a.b 5\r\nhello\r\n", publish("a.b", None, None, b"hello")),
        (b"PUB a.b reply.to 0\r\n\r\n", publish("a.b", Some("reply.to"), None, b"")),
        (b"pub \t a  2 \r\n\r\n\r\n", publish("a", None, None, b"\r\n")),
        (b"PUB a 9\r\nPING\r\nPIN\r\n", publish("a", None, None, b"PING\r\nPIN")),
        (b"HPUB a 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n", publish("a", None, Some(b"NATS/1.0\r\nA: b\r\n\r\n"), b"hi")),
        (b"HPUB a r 12 12\r\nNATS/1.0\r\n\r\n\r\n", publish("a", Some("r"), Some(b"NATS/1.0\r\n\r\n"), b"")),
        (b"HPUB a 0 2\r\nhi\r\n", publish("a", None, None, b"hi")),
        (b"SUB a.* 1\r\n", subscribe("a.*", None, "1")),
        (b"SUB a.> workers 90\r\n", subscribe("a.>", Some("workers"), "90")),
        (b"UNSUB 1\r\n", Operation::Unsubscribe(Unsubscribe { sid: b"1", max: 0 })),
        (b"UNSUB 1 5\r\n", Operation::Unsubscribe(Unsubscribe { sid: b"1", max: 5 })),
        (b"PING\r\n", Operation::Ping),
        (b"ping \n", Operation::Ping),
        (b"PONG\r\n", Operation::Pong),
        (b"INFO {}\r\n", Operation::Info),
    ]
}

#[test]
fn every_operation_reads_as_written() {
    for (bytes, expected) in golden() {
        assert_eq!(complete(bytes), (expected, bytes.len()));
    }
}

#[test]
fn an_operation_cut_anywhere_is_incomplete_and_asks_for_no_more_than_it_needs() {
    for (bytes, _) in golden() {
        for cut in 0..bytes.len() {
            match parse(&bytes[..cut], MAX) {
                Ok(Parsed::Incomplete { wanted }) => assert!((cut + 1..=bytes.len()).contains(&wanted), "{bytes:?} at {cut}: {wanted}"),
                other => panic!("{bytes:?} at {cut}: {other:?}"),
            }
        }
    }
}

#[test]
fn what_is_no_operation_is_refused() {
    let cases: &[&[u8]] = &[
        b"\r\n",
        b"FOO\r\n",
        b"GET / HTTP/1.1\r\n",
        b"PINGPING\r\n",
        b"+OK\r\n",
        b"-ERR 'x'\r\n",
        b"MSG a 1 1\r\nx\r\n",
        b"PUB\r\n",
        b"PUB a\r\n",
        b"PUB a x\r\n",
        b"PUB a -1\r\n",
        b"PUB a b c 1\r\nx\r\n",
        b"PUB a 1\r\nxyz",
        b"PUB a 1\r\nx\n\n",
        b"HPUB a 5\r\n",
        b"HPUB a 6 5\r\n",
        b"SUB a\r\n",
        b"SUB a b c d\r\n",
        b"UNSUB\r\n",
        b"UNSUB 1 x\r\n",
        b"UNSUB 1 2 3\r\n",
    ];
    for case in cases {
        assert_eq!(parse(case, MAX), Err(ProtocolError::Unknown), "{:?}", String::from_utf8_lossy(case));
    }
}

#[test]
fn another_protocol_is_refused_before_it_ends_its_line() {
    for start in [&b"G"[..], b"GET /", b"\x16\x03\x01\x02", b"*1", b"\xff\x00\x00"] {
        assert_eq!(parse(start, MAX), Err(ProtocolError::Unknown));
    }
}

#[test]
fn a_declared_length_is_refused_before_its_payload_arrives() {
    let too_large = |declared| Err(ProtocolError::Payload { declared, max: MAX });
    assert_eq!(parse(b"PUB a 1025\r\n", MAX), too_large(1025));
    assert_eq!(parse(b"HPUB a 12 1025\r\n", MAX), too_large(1025));
    assert_eq!(parse(b"PUB a 99999999999999999999999999\r\n", MAX), too_large(u64::MAX));
    let headers = limits::HEADERS_BYTES_MAX * 2;
    let line = format!("HPUB a {headers} {headers}\r\n");
    assert!(matches!(parse(line.as_bytes(), usize::MAX), Err(ProtocolError::Payload { .. })));
    assert_eq!(parse(b"PUB a 1024\r\n", MAX), Ok(Parsed::Incomplete { wanted: 12 + 1024 + 2 }));
}

#[test]
fn a_control_line_has_a_limit_with_and_without_an_end() {
    let line_of = |bytes: usize| [b"SUB ", &vec![b'a'; bytes - 6][..], b" 1"].concat();
    let longest = [&line_of(CONTROL_LINE_BYTES_MAX)[..], b"\r\n"].concat();
    assert_eq!(complete(&longest).1, CONTROL_LINE_BYTES_MAX + 2);
    let longer = [&line_of(CONTROL_LINE_BYTES_MAX + 1)[..], b"\r\n"].concat();
    let refused = Err(ProtocolError::ControlLine { max: CONTROL_LINE_BYTES_MAX });
    assert_eq!(parse(&longer, MAX), refused);
    assert_eq!(parse(&line_of(CONTROL_LINE_BYTES_MAX + 9), MAX), refused);
}

#[test]
fn connect_options_start_from_the_servers_defaults() {
    let options = ConnectOptions::default().with_json(b"{}").expect("an object");
    assert_eq!(options, ConnectOptions { verbose: true, pedantic: true, echo: true, headers: false, no_responders: false });
    let options = options.with_json(br#"{"verbose":false,"pedantic":false,"echo":false,"headers":true,"no_responders":true,"lang":"x"}"#);
    let expected = ConnectOptions { verbose: false, pedantic: false, echo: false, headers: true, no_responders: true };
    assert_eq!(options, Ok(expected));
    for (json, error) in [
        (&b"{"[..], ProtocolError::Unknown),
        (b"[]", ProtocolError::Unknown),
        (b"", ProtocolError::Unknown),
        (br#"{"protocol":9}"#, ProtocolError::ClientProtocol),
        (br#"{"no_responders":true}"#, ProtocolError::NoRespondersWithoutHeaders),
    ] {
        assert_eq!(ConnectOptions::default().with_json(json), Err(error));
    }
}

fn headers_of(block: &'static str) -> Result<Vec<(String, Vec<u8>)>, ProtocolError> {
    let headers = read_block(&Bytes::from_static(block.as_bytes()))?;
    Ok(headers.into_iter().map(|(name, value)| (name.into(), value.to_vec())).collect())
}

#[test]
fn header_blocks_read_as_written() {
    let own = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    assert_eq!(headers_of("NATS/1.0\r\n\r\n"), Ok(vec![]));
    assert_eq!(headers_of("NATS/1.0\r\nA: b\r\nA:c:d \r\nempty:\r\n\r\n"), Ok(vec![own("A", "b"), own("A", "c:d"), own("empty", "")]));
    assert_eq!(headers_of("NATS/1.0 503\r\n\r\n"), Ok(vec![own("Status", "503")]));
    let timeout = vec![own("Status", "408"), own("Description", "Request Timeout")];
    assert_eq!(headers_of("NATS/1.0 408 Request Timeout\r\n\r\n"), Ok(timeout));
    for bad in [
        "",
        "HTTP/1.1\r\n\r\n",
        "NATS/1.0",
        "NATS/1.0\r\n",
        "NATS/1.05\r\n\r\n",
        "NATS/1.0\r\nA b\r\n\r\n",
        "NATS/1.0\r\n: b\r\n\r\n",
        "NATS/1.0\r\nA b: c\r\n\r\n",
        "NATS/1.0\r\n\r\nA: b\r\n\r\n",
        "NATS/1.0\r\nA: b\n\r\n",
        "NATS/1.0\r\nA: b\nC: d\r\n\r\n",
    ] {
        assert_eq!(headers_of(bad), Err(ProtocolError::Headers), "{bad:?}");
    }
}

#[test]
fn one_header_too_many_is_refused() {
    let block = |count: usize| Bytes::from(format!("NATS/1.0\r\n{}\r\n", "A: b\r\n".repeat(count)));
    assert_eq!(read_block(&block(limits::HEADERS_MAX)).map(|headers| headers.len()), Ok(limits::HEADERS_MAX));
    assert_eq!(read_block(&block(limits::HEADERS_MAX + 1)), Err(ProtocolError::Headers));
}

#[test]
fn a_header_cannot_forge_another() {
    let mut out = BytesMut::new();
    let headers: [(&str, &[u8]); 4] = [("A", b"1"), ("B\r\nX", b"2"), ("C", b"3\r\nX: 4"), ("D", b"")];
    write_block(&mut out, b"", headers);
    assert_eq!(&out[..], b"NATS/1.0\r\nA: 1\r\nD: \r\n\r\n");
}

#[test]
fn heads_of_messages() {
    let mut head = MessageHead::default();
    head.start(b"MSG", "a.b", b"7", None);
    assert_eq!(head.plain(0), b"MSG a.b 7 0\r\n");
    assert_eq!(head.plain(1_048_576), b"MSG a.b 7 1048576\r\n");
    head.start(b"HMSG", "a", b"7", Some("r.1"));
    assert_eq!(head.with_headers(NO_RESPONDERS_BLOCK, 3), b"HMSG a 7 r.1 16 19\r\nNATS/1.0 503\r\n\r\n");
}

fn any_operation() -> impl Strategy<Value = Vec<u8>> {
    let name = "[a-z]{1,8}(\\.[a-z*>]{1,8}){0,3}";
    let payload = prop::collection::vec(any::<u8>(), 0..200);
    prop_oneof![
        (name, payload.clone())
            .prop_map(|(subject, payload)| { [format!("PUB {subject} {}\r\n", payload.len()).as_bytes(), &payload, b"\r\n"].concat() }),
        (name, name, payload).prop_map(|(subject, reply, payload)| {
            let total = payload.len() + 12;
            [format!("HPUB {subject} {reply} 12 {total}\r\nNATS/1.0\r\n\r\n").as_bytes(), &payload, b"\r\n"].concat()
        }),
        (name, 0..1000_u32).prop_map(|(filter, sid)| format!("SUB {filter} {sid}\r\n").into_bytes()),
        (0..1000_u32, 0..9_u32).prop_map(|(sid, max)| format!("UNSUB {sid} {max}\r\n").into_bytes()),
        Just(b"PING\r\n".to_vec()),
        Just(b"CONNECT {\"echo\":false}\r\n".to_vec()),
    ]
}

/// Reads everything complete off the front of `buffer`, as a session does, and prints it.
fn drain(buffer: &mut Vec<u8>, wanted: &mut usize, out: &mut Vec<String>) {
    while buffer.len() >= *wanted {
        match parse(buffer, MAX) {
            Ok(Parsed::Complete { operation, consumed }) => {
                out.push(format!("{operation:?}"));
                buffer.drain(..consumed);
                *wanted = 1;
            }
            Ok(Parsed::Incomplete { wanted: more }) => *wanted = more,
            Err(error) => panic!("{error}"),
        }
    }
}

proptest! {
    #[test]
    fn reads_may_cut_a_conversation_anywhere(operations in prop::collection::vec(any_operation(), 1..20), cuts in prop::collection::vec(1..40_usize, 1..60)) {
        let bytes = operations.concat();
        let mut whole = Vec::new();
        drain(&mut bytes.clone(), &mut 1, &mut whole);
        prop_assert_eq!(whole.len(), operations.len());

        let (mut pieces, mut buffer, mut wanted, mut rest) = (Vec::new(), Vec::new(), 1, &bytes[..]);
        for cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            buffer.extend_from_slice(piece);
            drain(&mut buffer, &mut wanted, &mut pieces);
            rest = after;
            if rest.is_empty() { break }
        }
        prop_assert_eq!(pieces, whole);
        prop_assert!(buffer.is_empty());
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(Parsed::Complete { consumed, .. }) = parse(&bytes, MAX) {
            prop_assert!(consumed <= bytes.len());
        }
        if let Ok(headers) = read_block(&Bytes::from(bytes)) {
            prop_assert!(headers.len() <= limits::HEADERS_MAX);
        }
    }

    #[test]
    fn mutated_operations_never_panic_and_never_over_read(mut bytes in any_operation(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let at = at.index(bytes.len());
        bytes[at] = byte;
        match parse(&bytes, MAX) {
            Ok(Parsed::Complete { consumed, .. }) => prop_assert!(consumed <= bytes.len()),
            Ok(Parsed::Incomplete { wanted }) => prop_assert!(wanted > bytes.len() && wanted <= CONTROL_LINE_BYTES_MAX + MAX + 4),
            Err(_) => {}
        }
    }

    #[test]
    fn headers_survive_a_round_trip(headers in prop::collection::vec(("[!-9;-~]{1,20}", "([!-~]([ -~]{0,18}[!-~])?)?"), 0..20)) {
        let mut out = BytesMut::new();
        write_block(&mut out, b"", headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
        let read = read_block(&out.freeze()).expect("what we write can be read");
        let read: Vec<_> = read.iter().map(|(name, value)| (name.to_string(), String::from_utf8(value.to_vec()).expect("ASCII"))).collect();
        prop_assert_eq!(read, headers);
    }
}
