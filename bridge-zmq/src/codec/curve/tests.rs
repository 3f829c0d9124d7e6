use bytes::{Bytes, BytesMut};
use std::sync::Arc;

use super::*;
use crate::codec::{
    ClientSecurity, Codec, CodecError, CodecLimits, Command, FramesLimit, Handshake, HandshakeError, MessageLimit, ServerSecurity, Session,
    SocketType, Upstream,
};

const LIMITS: fn(usize, u32) -> CodecLimits =
    |bytes, frames| CodecLimits { message: MessageLimit::new(bytes).unwrap(), frames: FramesLimit::new(frames).unwrap() };

fn ends(routes: &str) -> (Handshake, Handshake) {
    let (server, client) = (KeyPair::generate(), KeyPair::generate());
    let clients = Clients::parse(&format!("{} agent {routes}", client.public())).unwrap();
    let client = ClientSecurity::Curve(Arc::new(CurveClient { keys: client, server: server.public() }));
    let server = ServerSecurity::Curve(Arc::new(CurveServer { keys: server, clients }));
    let accepted = Handshake::accepted(SocketType::Router, &server, &"route".into());
    (accepted, Handshake::connected(SocketType::Dealer, Bytes::from_static(b"me"), &client))
}

/// Plays both ends against each other; `spoil` may change what one of them says.
fn converse(
    (mut server, mut client): (Handshake, Handshake),
    mut spoil: impl FnMut(usize, &mut BytesMut),
) -> Result<[(Session, Transform); 2], HandshakeError> {
    let (mut to_server, mut to_client) = (BytesMut::new(), BytesMut::new());
    let (mut served, mut connected) = (None, None);
    for round in 0..4 {
        let mut said = BytesMut::from(&client.output()[..]);
        spoil(2 * round, &mut said);
        to_server.extend_from_slice(&said);
        if served.is_none() {
            served = server.advance(&mut to_server)?;
        }
        let mut said = BytesMut::from(&server.output()[..]);
        spoil(2 * round + 1, &mut said);
        to_client.extend_from_slice(&said);
        if connected.is_none() {
            connected = client.advance(&mut to_client)?;
        }
    }
    let of = |session: Option<Session>, handshake: &mut Handshake| match (session, handshake.transform()) {
        (Some(session), Some(transform)) => Ok((session, transform)),
        _ => Err(HandshakeError::Violation { detail: "never ends".into() }),
    };
    Ok([of(served, &mut server)?, of(connected, &mut client)?])
}

fn transforms() -> [Transform; 2] {
    converse(ends("*"), |_, _| {}).expect("valid").map(|(_, transform)| transform)
}

#[test]
fn both_ends_learn_who_the_other_is() {
    let [(served, _), (connected, _)] = converse(ends("route"), |_, _| {}).expect("valid");
    assert_eq!((served.user.as_deref(), &served.identity[..], served.peer_type), (Some("agent"), &b"me"[..], SocketType::Dealer));
    assert_eq!((connected.user, connected.peer_type, connected.minor), (None, SocketType::Router, 1));
    let denied = converse(ends("other"), |_, _| {}).expect_err("not this route");
    assert_eq!(denied, HandshakeError::Denied { mechanism: crate::codec::Mechanism::Curve });
}

#[test]
fn a_handshake_with_any_byte_changed_fails() {
    // HELLO, WELCOME, INITIATE, READY; the 72 bytes of padding in HELLO mean nothing.
    for turn in 2..6 {
        for at in (8..140).step_by(3).chain([150, 198]) {
            let mut changed = false;
            let outcome = converse(ends("*"), |now, said| {
                if now == turn && at < said.len() && !(turn == 2 && (10..82).contains(&at)) {
                    said[at] ^= 0x40;
                    changed = true;
                }
            });
            assert_eq!(outcome.is_err(), changed, "turn {turn} byte {at}");
        }
    }
}

fn sealed(sealer: &mut Sealer, plain: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    sealer.seal(plain, &mut out);
    out
}

#[test]
fn what_is_changed_repeated_or_open_is_refused() {
    let refused = |spoil: fn(&mut BytesMut)| {
        let [server, mut client] = transforms();
        let mut codec = Codec::sealed(LIMITS(1 << 20, 16), Upstream::Messages, server.opener);
        let mut input = sealed(&mut client.sealer, b"\0\x05hello");
        spoil(&mut input);
        let (mut messages, mut commands) = (Vec::new(), Vec::new());
        let outcome = codec.handle(&mut input, &mut messages, &mut commands);
        (outcome.err(), messages.len())
    };
    assert_eq!(refused(|_| {}), (None, 1));
    let is_sealed = |(error, messages): (Option<CodecError>, usize), expected| {
        assert!(matches!(error, Some(CodecError::Sealed { .. })), "{error:?}");
        assert_eq!(messages, expected);
    };
    is_sealed(refused(|input| input[12] ^= 1), 0);
    is_sealed(refused(|input| input[20] ^= 1), 0);
    is_sealed(refused(|input| *input.last_mut().unwrap() ^= 1), 0);
    is_sealed(refused(|input| *input = BytesMut::from(&b"\0\x05hello"[..])), 0);
    is_sealed(refused(|input| input.extend_from_slice(&input.clone())), 1);
}

#[test]
fn limits_hold_and_are_judged_before_anything_is_buffered() {
    let run = |limits, plain: &[u8]| {
        let [server, mut client] = transforms();
        let mut codec = Codec::sealed(limits, Upstream::Messages, server.opener);
        codec.handle(&mut sealed(&mut client.sealer, plain), &mut Vec::new(), &mut Vec::new())
    };
    assert_eq!(run(LIMITS(10, 16), b"\0\x0aabcdefghij"), Ok(()));
    assert_eq!(run(LIMITS(10, 16), b"\0\x0babcdefghijk"), Err(CodecError::MessageTooLarge { declared: 11, limit: 10 }));
    assert_eq!(run(LIMITS(10, 16), b"\x01\x06abcdef\0\x05ghijk"), Err(CodecError::MessageTooLarge { declared: 11, limit: 10 }));
    assert_eq!(run(LIMITS(10, 2), b"\x01\x00\x01\x00\x00\x00"), Err(CodecError::TooManyFrames { limit: 2 }));
    let [server, _] = transforms();
    let mut codec = Codec::sealed(LIMITS(1 << 20, 16), Upstream::Messages, server.opener);
    let mut input = BytesMut::from(&[&[2][..], &(1u64 << 62).to_be_bytes()].concat()[..]);
    let error = codec.handle(&mut input, &mut Vec::new(), &mut Vec::new()).expect_err("far too large");
    assert!(matches!(error, CodecError::MessageTooLarge { .. }));
}

#[test]
fn messages_and_commands_come_out_as_they_went_in_however_they_are_cut() {
    let mut plain = Vec::new();
    plain.extend_from_slice(b"\0\x05first\x01\x00\x04\x07\x04PING\0\0\0\x03end\0\0");
    for len in [255usize, 256, 70_000] {
        plain.push(2);
        plain.extend_from_slice(&(len as u64).to_be_bytes());
        plain.extend(vec![7; len]);
    }
    let run = |step: usize| {
        let [server, mut client] = transforms();
        let bytes = sealed(&mut client.sealer, &plain);
        let mut codec = Codec::sealed(LIMITS(1 << 20, 16), Upstream::Messages, server.opener);
        let (mut input, mut messages, mut commands) = (BytesMut::new(), Vec::new(), Vec::new());
        for piece in bytes.chunks(step) {
            input.extend_from_slice(piece);
            codec.handle(&mut input, &mut messages, &mut commands).expect("valid");
        }
        assert!(input.is_empty());
        assert_eq!(commands, [Command::Ping { ttl: None, context: Bytes::new() }]);
        messages.iter().map(|body| format!("{:?}", body.clone())).collect::<Vec<_>>()
    };
    let whole = run(usize::MAX);
    assert_eq!(whole.len(), 6);
    for step in [1, 2, 37, 1000, 5000] {
        assert_eq!(run(step), whole, "{step}");
    }
}

#[test]
fn keys_are_read_as_zeromq_writes_them() {
    let keys = KeyPair::generate();
    let (public, secret) = (keys.public().to_string(), keys.secret_z85());
    let certificate = format!("# ****\nmetadata\ncurve\n    public-key = \"{public}\"\n    secret-key = \"{secret}\"\n");
    for text in [secret.clone(), format!("# mine\n{secret}\n"), certificate.clone()] {
        assert_eq!(KeyPair::read(&text).expect("valid").public(), keys.public());
    }
    assert_eq!(PublicKey::read(&certificate).expect("valid"), keys.public());
    assert_eq!(PublicKey::read(&public).expect("valid"), keys.public());
    assert!(!format!("{keys:?}").contains(&secret));
    assert!(KeyPair::read("short").is_err() && KeyPair::read(&format!("{secret}\n{secret}")).is_err());
    let hashes = "#".repeat(40);
    assert!(PublicKey::parse(&hashes).is_none(), "beyond 32 bits, so it is a comment");
}

#[test]
fn clients_are_denied_unless_listed_for_the_route() {
    let [a, b, c] = std::array::from_fn(|_| KeyPair::generate().public());
    let clients = Clients::parse(&format!("# fleet\n{a} camera hub, echo\n{b} admin *\n")).expect("valid");
    assert_eq!(clients.admit(&a, "echo").as_deref(), Some("camera"));
    assert_eq!(clients.admit(&a, "other"), None);
    assert_eq!(clients.admit(&b, "other").as_deref(), Some("admin"));
    assert_eq!(clients.admit(&c, "hub"), None);
    assert_eq!(Clients::default().admit(&a, "hub"), None);
    for (text, line) in [("nonsense", 1), (&*format!("\n{a} name"), 2), (&*format!("{a}"), 1), (&*format!("{a} x *\n{a} y *"), 2)] {
        assert_eq!(Clients::parse(text).expect_err(text).line, line);
    }
}
