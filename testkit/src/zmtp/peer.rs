//! A peer that has done its handshake and moves frames.

use super::{COMMAND, GREETING, LONG, MORE, RawPeer, RecvError, command, message, ready};
use crate::hex;
use crate::wait::PATIENCE;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A frame longer than this is a fault of the test, not a message.
const FRAME_BYTES_MAX: u64 = 64 << 20;

/// The protocol version a peer announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Version {
    /// Subscriptions are messages `01 prefix` and `00 prefix`; there is no PING.
    V30,
    /// Subscriptions are commands; the version of libzmq since 4.2.
    #[default]
    V31,
}

/// What a peer says of itself.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Announced in the greeting.
    pub version: Version,
    /// Announced in READY by REQ, DEALER and ROUTER.
    pub identity: Vec<u8>,
}

/// What a peer got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A whole message, frame by frame.
    Message(Vec<Vec<u8>>),
    /// A command: its name and what follows it.
    Command(String, Vec<u8>),
}

/// A connection on which both sides are READY.
#[derive(Debug)]
pub struct Peer {
    raw: RawPeer,
    other: String,
    other_minor: u8,
    answers_pings: bool,
    /// Frames of a message whose rest did not come before a timeout.
    partial: Vec<Vec<u8>>,
}

impl Peer {
    /// Connects and does the handshake as a socket of this type, such as `REQ`.
    ///
    /// # Panics
    /// When the other side does not listen, or does not greet as ZMTP 3 with NULL security.
    #[must_use]
    #[track_caller]
    pub fn connect(address: SocketAddr, socket_type: &str) -> Self {
        Self::connect_with(address, socket_type, &Options::default())
    }

    /// As [`Peer::connect`], with a version and an identity.
    ///
    /// # Panics
    /// As [`Peer::connect`].
    #[must_use]
    #[track_caller]
    pub fn connect_with(address: SocketAddr, socket_type: &str, options: &Options) -> Self {
        match Self::try_connect(address, socket_type, options, PATIENCE) {
            Ok(peer) => peer,
            Err(error) => panic!("{socket_type}: no handshake with {address}: {error}"),
        }
    }

    /// As [`Peer::connect_with`], for places that may be down.
    ///
    /// # Errors
    /// Nobody listens (`Closed`), or the handshake did not finish in `timeout`.
    #[track_caller]
    pub fn try_connect(address: SocketAddr, socket_type: &str, options: &Options, timeout: Duration) -> Result<Self, RecvError> {
        let raw = RawPeer::try_connect(address).map_err(|_| RecvError::Closed)?;
        Self::handshake(raw, socket_type, options, timeout)
    }

    /// Does the handshake over a connection.
    ///
    /// # Errors
    /// The other side closed, or did not finish in `timeout`.
    ///
    /// # Panics
    /// When it does not greet as ZMTP 3 with NULL security, or says ERROR.
    #[track_caller]
    pub fn handshake(mut raw: RawPeer, socket_type: &str, options: &Options, timeout: Duration) -> Result<Self, RecvError> {
        let end = Instant::now() + timeout;
        let mut greeting = hex::bytes(GREETING);
        if options.version == Version::V30 {
            greeting[11] = 0;
        }
        raw.try_send(&greeting).map_err(|_| RecvError::Closed)?;
        let theirs = raw.recv(64, timeout)?;
        let shown = hex::text(&theirs);
        assert!(theirs[0] == 0xff && theirs[9] == 0x7f && theirs[10] == 3, "not a ZMTP 3 greeting: {shown}");
        assert_eq!(&theirs[12..32], b"NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "not NULL security: {shown}");
        raw.try_send(&ready(socket_type, &options.identity)).map_err(|_| RecvError::Closed)?;
        let mut peer = Self { raw, other: String::new(), other_minor: theirs[11], answers_pings: true, partial: Vec::new() };
        match peer.recv_any(end)? {
            Received::Command(name, body) if name == "READY" => peer.other = socket_type_of(&body),
            other => panic!("{socket_type}: {other:?} instead of READY"),
        }
        Ok(peer)
    }

    /// The socket type the other side announced.
    #[must_use]
    pub fn other_type(&self) -> &str {
        &self.other
    }

    /// The minor version the other side announced: 0 or 1.
    #[must_use]
    pub fn other_minor(&self) -> u8 {
        self.other_minor
    }

    /// This side's address.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.raw.local_addr()
    }

    /// The bytes below, for a vector that goes on in hex.
    pub fn raw(&mut self) -> &mut RawPeer {
        &mut self.raw
    }

    /// The bytes below, without the peer.
    #[must_use]
    pub fn into_raw(self) -> RawPeer {
        self.raw
    }

    /// Leaves PING unanswered from now on, as a peer that hangs does.
    pub fn ignore_pings(&mut self) {
        self.answers_pings = false;
    }

    /// Takes the next frame, which is a PING, and answers it.
    ///
    /// # Panics
    /// When something else comes, or nothing.
    #[track_caller]
    pub fn answer_ping(&mut self) {
        match self.recv_any(Instant::now() + PATIENCE) {
            Ok(Received::Command(name, body)) if name == "PING" => self.raw.send(&pong(&body)),
            other => panic!("{other:?} instead of a PING"),
        }
    }

    /// Sends one message.
    ///
    /// # Panics
    /// When the other side has closed.
    #[track_caller]
    pub fn send<P: AsRef<[u8]>>(&mut self, frames: &[P]) {
        self.raw.send(&message(frames));
    }

    /// Sends one message.
    ///
    /// # Errors
    /// The other side has closed.
    pub fn try_send<P: AsRef<[u8]>>(&mut self, frames: &[P]) -> Result<(), RecvError> {
        self.raw.try_send(&message(frames)).map_err(|_| RecvError::Closed)
    }

    /// Subscribes to a prefix, as the announced version of the other side wants it.
    ///
    /// # Panics
    /// When the other side has closed.
    #[track_caller]
    pub fn subscribe(&mut self, prefix: &[u8]) {
        if self.other_minor == 0 {
            self.send(&[[&[1], prefix].concat()]);
        } else {
            self.raw.send(&command("SUBSCRIBE", prefix));
        }
    }

    /// The next message or command; PINGs are answered on the way and not returned.
    ///
    /// # Errors
    /// Nothing in `timeout`, or the connection is closed.
    pub fn recv(&mut self, timeout: Duration) -> Result<Received, RecvError> {
        let end = Instant::now() + timeout;
        loop {
            match self.recv_any(end)? {
                Received::Command(name, body) if name == "PING" => {
                    if self.answers_pings {
                        self.raw.try_send(&pong(&body)).map_err(|_| RecvError::Closed)?;
                    }
                }
                other => return Ok(other),
            }
        }
    }

    /// The next message; commands on the way are dropped.
    ///
    /// # Errors
    /// As [`Peer::recv`].
    pub fn try_message(&mut self, timeout: Duration) -> Result<Vec<Vec<u8>>, RecvError> {
        let end = Instant::now() + timeout;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if let Received::Message(frames) = self.recv(left)? {
                return Ok(frames);
            }
        }
    }

    /// The next message.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    pub fn message(&mut self) -> Vec<Vec<u8>> {
        match self.try_message(PATIENCE) {
            Ok(frames) => frames,
            Err(error) => panic!("no message: {error}"),
        }
    }

    /// Whether no message arrives for `span`; heartbeats may.
    ///
    /// # Panics
    /// When one does, or the connection ends.
    #[track_caller]
    pub fn expect_silence(&mut self, span: Duration) {
        match self.try_message(span) {
            Err(RecvError::Timeout) => {}
            other => panic!("{other:?}, where silence was expected"),
        }
    }

    fn recv_any(&mut self, end: Instant) -> Result<Received, RecvError> {
        loop {
            let (flags, payload) = self.recv_frame(end)?;
            if flags & COMMAND != 0 {
                let name_length = usize::from(*payload.first().expect("a command has a name"));
                let (name, body) = payload[1..].split_at(name_length);
                return Ok(Received::Command(String::from_utf8_lossy(name).into_owned(), body.to_vec()));
            }
            self.partial.push(payload);
            if flags & MORE == 0 {
                return Ok(Received::Message(std::mem::take(&mut self.partial)));
            }
        }
    }

    fn recv_frame(&mut self, end: Instant) -> Result<(u8, Vec<u8>), RecvError> {
        self.raw.fill(2, end)?;
        let flags = self.raw.buffered()[0];
        assert!(flags <= 7, "a frame with reserved flags {flags:#04x}");
        let (header, length) = if flags & LONG == 0 {
            (2, u64::from(self.raw.buffered()[1]))
        } else {
            self.raw.fill(9, end)?;
            (9, u64::from_be_bytes(self.raw.buffered()[1..9].try_into().expect("eight bytes")))
        };
        assert!(length <= FRAME_BYTES_MAX, "a frame of {length} bytes");
        let length = usize::try_from(length).expect("checked against the maximum");
        self.raw.fill(header + length, end)?;
        Ok((flags, self.raw.take(header + length)[header..].to_vec()))
    }
}

/// The PONG that answers a PING with this body: it carries the context, which follows the two bytes of the TTL.
fn pong(ping: &[u8]) -> Vec<u8> {
    command("PONG", ping.get(2..).unwrap_or_default())
}

/// The value of `Socket-Type` among the properties of READY.
fn socket_type_of(mut properties: &[u8]) -> String {
    while let Some((length, rest)) = properties.split_first() {
        let (name, rest) = rest.split_at(usize::from(*length));
        let (length, rest) = rest.split_at(4);
        let length = u32::from_be_bytes(length.try_into().expect("four bytes"));
        let (value, rest) = rest.split_at(usize::try_from(length).expect("fits"));
        if name.eq_ignore_ascii_case(b"Socket-Type") {
            return String::from_utf8_lossy(value).into_owned();
        }
        properties = rest;
    }
    String::new()
}
