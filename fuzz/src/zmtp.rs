//! What a peer of ZMTP says, right or not: greetings, commands, frames.

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use myelin_bridge_zmq::codec::{Handshake, HandshakeError, Session, SocketType};

use crate::data::pieces;

#[derive(Debug, Clone, Copy, Arbitrary)]
pub enum Type {
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
pub enum Greeting {
    Right { minor: u8 },
    Announces { major: u8, minor: u8, mechanism: Mechanism, as_server: bool },
    Bytes(Vec<u8>),
}

#[derive(Debug, Clone, Copy, Arbitrary)]
pub enum Mechanism {
    Null,
    Plain,
    Curve,
    Any([u8; 20]),
}

/// What a peer says of itself.
#[derive(Debug, Arbitrary)]
pub enum Hello {
    Ready { is: Type, identity: Option<Vec<u8>>, more: Vec<(Vec<u8>, Vec<u8>)> },
    Error(Vec<u8>),
    Command { name: Vec<u8>, body: Vec<u8>, is_long: bool },
    Message(Vec<u8>),
    Bytes(Vec<u8>),
}

#[derive(Debug, Arbitrary)]
pub enum Data {
    Frame {
        more: bool,
        is_long: bool,
        payload: Vec<u8>,
    },
    /// A length that may not be true.
    Declared {
        flags: u8,
        length: u64,
        payload: Vec<u8>,
    },
    Command {
        name: Name,
        body: Vec<u8>,
        is_long: bool,
    },
    Bytes(Vec<u8>),
}

#[derive(Debug, Clone, Copy, Arbitrary)]
pub enum Name {
    Ping,
    Pong,
    Subscribe,
    Cancel,
    Error,
    Ready,
    Any([u8; 3]),
}

/// How a handshake went.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub said: Vec<u8>,
    pub end: Result<Option<Session>, HandshakeError>,
    /// What the handshake left for the data phase.
    pub rest: Vec<u8>,
}

/// Has a handshake with a peer that waits for no answer.
pub fn shake(mut handshake: Handshake, cuts: &[u8], input: &[u8]) -> Outcome {
    let mut buffer = BytesMut::new();
    let mut end = handshake.advance(&mut buffer);
    let mut said = handshake.output().to_vec();
    let rest = feed(&mut handshake, &mut buffer, &mut end, &mut said, cuts, input);
    Outcome { said, end, rest }
}

/// Feeds a handshake that goes on until it ends, and returns what it left.
pub fn feed(
    handshake: &mut Handshake,
    buffer: &mut BytesMut,
    end: &mut Result<Option<Session>, HandshakeError>,
    said: &mut Vec<u8>,
    cuts: &[u8],
    input: &[u8],
) -> Vec<u8> {
    let mut fed = 0;
    for piece in pieces(cuts, input) {
        if !matches!(end, Ok(None)) {
            break;
        }
        buffer.extend_from_slice(piece);
        fed += piece.len();
        *end = handshake.advance(buffer);
        said.extend_from_slice(&handshake.output());
        assert!(said.len() < 4096, "a handshake is short");
    }
    [&buffer[..], &input[fed..]].concat()
}

/// Errors are compared by their kind: a cut may show less of what is wrong.
pub fn class(end: &Result<Option<Session>, HandshakeError>) -> String {
    match end {
        Ok(session) => format!("{session:?}"),
        Err(error) => format!("{:?}", std::mem::discriminant(error)),
    }
}

pub fn talks(ours: Type, theirs: Type) -> bool {
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

/// An identity of ours; a leading zero is for identities that a ROUTER makes up.
pub fn identity(bytes: &[u8; 4]) -> Bytes {
    if bytes[0] == 0 { Bytes::new() } else { Bytes::copy_from_slice(bytes) }
}

impl Type {
    pub fn ours(self) -> SocketType {
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
    /// The bytes, where a right greeting names this mechanism.
    pub fn bytes(&self, right: Mechanism) -> Vec<u8> {
        match self {
            Self::Right { minor } => greeting(3, *minor, right, false),
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
    /// The bytes, where properties go with a command of this name.
    pub fn bytes(&self, right: &[u8]) -> Vec<u8> {
        match self {
            Self::Ready { .. } => {
                let body = self.properties();
                command(right, &body, body.len() > 200)
            }
            Self::Error(reason) => command(b"ERROR", reason, false),
            Self::Command { name, body, is_long } => command(name, body, *is_long),
            Self::Message(payload) => frame(0, payload),
            Self::Bytes(bytes) => bytes.clone(),
        }
    }

    /// The properties, or what stands where they belong.
    pub fn properties(&self) -> Vec<u8> {
        match self {
            Self::Ready { is, identity, more } => {
                let mut body = property(b"Socket-Type", is.ours().as_str().as_bytes());
                body.extend(identity.iter().flat_map(|identity| property(b"Identity", identity)));
                body.extend(more.iter().flat_map(|(name, value)| property(name, value)));
                body
            }
            Self::Command { body: bytes, .. } | Self::Error(bytes) | Self::Message(bytes) | Self::Bytes(bytes) => bytes.clone(),
        }
    }

    /// Type and identity of a peer that a socket of this type talks to, if nothing is wrong with it.
    pub fn right(&self, ours: Type) -> Option<(SocketType, &[u8])> {
        let Self::Ready { is, identity, more } = self else { return None };
        let legal = identity.as_ref().is_none_or(|identity| identity.len() <= 255 && identity.first() != Some(&0));
        (more.is_empty() && talks(ours, *is) && legal).then(|| (is.ours(), identity.as_deref().unwrap_or_default()))
    }
}

impl Data {
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Frame { more, is_long, payload } => frame(u8::from(*more) | u8::from(*is_long) << 1, payload),
            Self::Declared { flags, length, payload } => [&[*flags][..], &length.to_be_bytes(), payload].concat(),
            Self::Command { name, body, is_long } => command(name.bytes(), body, *is_long),
            Self::Bytes(bytes) => bytes.clone(),
        }
    }
}

impl Name {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Ping => b"PING",
            Self::Pong => b"PONG",
            Self::Subscribe => b"SUBSCRIBE",
            Self::Cancel => b"CANCEL",
            Self::Error => b"ERROR",
            Self::Ready => b"READY",
            Self::Any(name) => name,
        }
    }
}

fn property(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[name.len() as u8][..], name, &(value.len() as u32).to_be_bytes(), value].concat()
}

pub fn command(name: &[u8], body: &[u8], is_long: bool) -> Vec<u8> {
    frame(4 | u8::from(is_long) << 1, &named(name, body))
}

/// The payload of a command.
pub fn named(name: &[u8], body: &[u8]) -> Vec<u8> {
    [&[name.len() as u8][..], name, body].concat()
}

/// In the short form where it fits and is not told otherwise.
pub fn frame(flags: u8, payload: &[u8]) -> Vec<u8> {
    match u8::try_from(payload.len()) {
        Ok(length) if flags & 2 == 0 => [&[flags, length][..], payload].concat(),
        _ => [&[flags | 2][..], &(payload.len() as u64).to_be_bytes(), payload].concat(),
    }
}
