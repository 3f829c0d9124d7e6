//! Whole conversations, from the greeting to the data phase: cut anywhere, they come to the same end, with the same answers of ours; the
//! handshake takes no byte of what follows it; and a peer that does everything right is always let in.
//!
//! Run with `-malloc_limit_mb=16`: an allocation that a declared length asks for ends the run.

#![no_main]

#[path = "../src/data.rs"]
mod data;

use bytes::{Bytes, BytesMut};
use data::{Settings, pieces};
use libfuzzer_sys::arbitrary::{self, Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;
use myelin_bridge_zmq::codec::{Handshake, HandshakeError, Role, Session, SocketType};

/// What a peer does, and to whom.
#[derive(Debug, Arbitrary)]
struct Conversation {
    settings: Settings,
    cuts: [u8; 8],
    we_accepted: bool,
    ours: Type,
    identity: [u8; 4],
    greeting: Greeting,
    hello: Hello,
    data: Vec<Data>,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Type {
    Req,
    Rep,
    Dealer,
    Router,
    Pub,
    Sub,
    XPub,
    XSub,
    Push,
    Pull,
    Pair,
}

#[derive(Debug, Arbitrary)]
enum Greeting {
    Right { minor: u8 },
    Announces { major: u8, minor: u8, mechanism: Mechanism, as_server: bool },
    Bytes(Vec<u8>),
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Mechanism {
    Null,
    Plain,
    Curve,
    Any([u8; 20]),
}

#[derive(Debug, Arbitrary)]
enum Hello {
    Ready { is: Type, identity: Option<Vec<u8>>, more: Vec<(Vec<u8>, Vec<u8>)> },
    Error(Vec<u8>),
    Command { name: Vec<u8>, body: Vec<u8>, is_long: bool },
    Message(Vec<u8>),
    Bytes(Vec<u8>),
}

#[derive(Debug, Arbitrary)]
enum Data {
    Frame { more: bool, is_long: bool, payload: Vec<u8> },
    /// A length that may not be true.
    Declared { flags: u8, length: u64, payload: Vec<u8> },
    Command { name: Name, body: Vec<u8>, is_long: bool },
    Bytes(Vec<u8>),
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Name {
    Ping,
    Pong,
    Subscribe,
    Cancel,
    Error,
    Ready,
    Any([u8; 3]),
}

/// How the handshake went.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    said: Vec<u8>,
    end: Result<Option<Session>, HandshakeError>,
    /// What the handshake left for the data phase.
    rest: Vec<u8>,
}

fuzz_target!(|input: &[u8]| {
    let Ok(conversation) = Conversation::arbitrary_take_rest(Unstructured::new(input)) else { return };
    conversation.check();
});

impl Conversation {
    fn check(&self) {
        let data: Vec<u8> = self.data.iter().flat_map(Data::bytes).collect();
        let input = [self.greeting.bytes(), self.hello.bytes(), data.clone()].concat();
        let whole = self.shake(&[], &input);
        let cut = self.shake(&self.cuts, &input);
        assert_eq!(class(&whole.end), class(&cut.end), "depends on where the input was cut");
        if let Ok(Some(session)) = &whole.end {
            assert_eq!(whole, cut, "depends on where the input was cut");
            assert!(input.ends_with(&whole.rest), "the handshake changed what follows it");
            assert!(session.identity.len() <= 255 && session.minor <= 1);
            data::check(self.settings, &self.cuts, &whole.rest);
        }
        if let (Greeting::Right { minor }, Hello::Ready { is, identity, more }) = (&self.greeting, &self.hello)
            && more.is_empty()
            && talks(self.ours, *is)
            && identity.as_ref().is_none_or(|identity| identity.len() <= 255 && identity.first() != Some(&0))
        {
            let Ok(Some(session)) = whole.end else { panic!("a peer that does everything right: {:?}", whole.end) };
            assert_eq!(session.peer_type, is.ours());
            assert_eq!(session.minor, (*minor).min(1));
            assert_eq!(session.identity, identity.as_deref().unwrap_or_default());
            assert_eq!(whole.rest, data, "not one byte more");
        }
    }

    fn shake(&self, cuts: &[u8], input: &[u8]) -> Outcome {
        let role = if self.we_accepted { Role::Accepted } else { Role::Connected };
        // A leading zero is for identities that a ROUTER makes up.
        let identity = if self.identity[0] == 0 { Bytes::new() } else { Bytes::copy_from_slice(&self.identity) };
        let mut handshake = Handshake::new(role, self.ours.ours(), identity);
        let mut buffer = BytesMut::new();
        let mut said = Vec::new();
        let mut end = handshake.advance(&mut buffer);
        said.extend_from_slice(&handshake.output());
        let mut fed = 0;
        for piece in pieces(cuts, input) {
            if !matches!(end, Ok(None)) {
                break;
            }
            buffer.extend_from_slice(piece);
            fed += piece.len();
            end = handshake.advance(&mut buffer);
            said.extend_from_slice(&handshake.output());
            assert!(said.len() < 4096, "a handshake is short");
        }
        let rest = [&buffer[..], &input[fed..]].concat();
        Outcome { said, end, rest }
    }
}

/// Errors are compared by their kind: a cut may show less of what is wrong. One byte of a TLS hello is not yet known as one.
fn class(end: &Result<Option<Session>, HandshakeError>) -> String {
    match end {
        Ok(session) => format!("{session:?}"),
        Err(HandshakeError::Tls | HandshakeError::NotZmtp { .. }) => "not ZMTP".to_owned(),
        Err(error) => format!("{:?}", std::mem::discriminant(error)),
    }
}

fn talks(ours: Type, theirs: Type) -> bool {
    use Type::{Dealer, Pair, Pub, Pull, Push, Rep, Req, Router, Sub, XPub, XSub};
    matches!(
        (ours, theirs),
        (Req, Rep | Router)
            | (Rep, Req | Dealer)
            | (Dealer, Rep | Dealer | Router)
            | (Router, Req | Dealer | Router)
            | (Pub | XPub, Sub | XSub)
            | (Sub | XSub, Pub | XPub)
            | (Push, Pull)
            | (Pull, Push)
            | (Pair, Pair)
    )
}

impl Type {
    fn ours(self) -> SocketType {
        match self {
            Self::Req => SocketType::Req,
            Self::Rep => SocketType::Rep,
            Self::Dealer => SocketType::Dealer,
            Self::Router => SocketType::Router,
            Self::Pub => SocketType::Pub,
            Self::Sub => SocketType::Sub,
            Self::XPub => SocketType::XPub,
            Self::XSub => SocketType::XSub,
            Self::Push => SocketType::Push,
            Self::Pull => SocketType::Pull,
            Self::Pair => SocketType::Pair,
        }
    }
}

impl Greeting {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Right { minor } => greeting(3, *minor, Mechanism::Null, false),
            Self::Announces { major, minor, mechanism, as_server } => greeting(*major, *minor, *mechanism, *as_server),
            Self::Bytes(bytes) => bytes.clone(),
        }
    }
}

fn greeting(major: u8, minor: u8, mechanism: Mechanism, as_server: bool) -> Vec<u8> {
    let mut name = [0; 20];
    match mechanism {
        Mechanism::Null => name[..4].copy_from_slice(b"NULL"),
        Mechanism::Plain => name[..5].copy_from_slice(b"PLAIN"),
        Mechanism::Curve => name[..5].copy_from_slice(b"CURVE"),
        Mechanism::Any(any) => name = any,
    }
    [&[0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, major, minor][..], &name, &[u8::from(as_server)], &[0; 31]].concat()
}

impl Hello {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Ready { is, identity, more } => {
                let mut body = property(b"Socket-Type", is.ours().as_str().as_bytes());
                body.extend(identity.iter().flat_map(|identity| property(b"Identity", identity)));
                body.extend(more.iter().flat_map(|(name, value)| property(name, value)));
                command(b"READY", &body, body.len() > 200)
            }
            Self::Error(reason) => command(b"ERROR", reason, false),
            Self::Command { name, body, is_long } => command(name, body, *is_long),
            Self::Message(payload) => frame(0, payload),
            Self::Bytes(bytes) => bytes.clone(),
        }
    }
}

impl Data {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Frame { more, is_long, payload } => frame(u8::from(*more) | u8::from(*is_long) << 1, payload),
            Self::Declared { flags, length, payload } => [&[*flags][..], &length.to_be_bytes(), payload].concat(),
            Self::Command { name, body, is_long } => match name {
                Name::Ping => command(b"PING", body, *is_long),
                Name::Pong => command(b"PONG", body, *is_long),
                Name::Subscribe => command(b"SUBSCRIBE", body, *is_long),
                Name::Cancel => command(b"CANCEL", body, *is_long),
                Name::Error => command(b"ERROR", body, *is_long),
                Name::Ready => command(b"READY", body, *is_long),
                Name::Any(name) => command(name, body, *is_long),
            },
            Self::Bytes(bytes) => bytes.clone(),
        }
    }
}

fn property(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[name.len() as u8][..], name, &(value.len() as u32).to_be_bytes(), value].concat()
}

fn command(name: &[u8], body: &[u8], is_long: bool) -> Vec<u8> {
    frame(4 | u8::from(is_long) << 1, &[&[name.len() as u8][..], name, body].concat())
}

/// In the short form where it fits and is not told otherwise.
fn frame(flags: u8, payload: &[u8]) -> Vec<u8> {
    match u8::try_from(payload.len()) {
        Ok(length) if flags & 2 == 0 => [&[flags, length][..], payload].concat(),
        _ => [&[flags | 2][..], &(payload.len() as u64).to_be_bytes(), payload].concat(),
    }
}
