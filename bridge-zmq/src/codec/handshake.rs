//! Greeting and security handshake, fed to `omq-proto` one piece at a time so that what follows stays ours.
//!
//! `omq-proto` would take bytes of the data phase along with the last handshake frame and keep them. So the outer framing of the handshake is
//! read here: exactly 64 bytes of greeting, then one whole command frame per step, each within [`HANDSHAKE_FRAME_BYTES_MAX`]. A security
//! mechanism that transforms the data phase (CURVE) would hand its transform over together with the [`Session`].

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use omq_proto::Error as WireError;
use omq_proto::proto::connection::{Connection, ConnectionConfig, Event, Role as WireRole};
use omq_proto::proto::mechanism::{Authenticator, MechanismPeerInfo, MechanismSetup};

use super::command::printable;
use super::header::Header;
use super::{ClientSecurity, HandshakeError, Mechanism, ServerSecurity, SocketType};

/// Longest handshake frame. READY with an identity and a few properties is below 1 KiB.
pub(super) const HANDSHAKE_FRAME_BYTES_MAX: usize = 64 * 1024;

const GREETING_BYTES: usize = 64;
const SIGNATURE_BYTES: usize = 10;
const SIGNATURE_LENGTH_AT: usize = 8;
const MECHANISM_AT: std::ops::Range<usize> = 12..32;

/// The beginnings of requests that end up on a ZMTP port by mistake.
const HTTP_STARTS: [&[u8]; 8] = [b"GET ", b"HEAD ", b"POST ", b"PUT ", b"OPTIONS ", b"DELETE ", b"CONNECT ", b"PRI "];

/// Who opened the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The peer did.
    Accepted,
    /// We did.
    Connected,
}

/// What a finished handshake has settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The lower of both minor versions of ZMTP 3: 0 knows no heartbeats and subscribes by messages, 1 by commands.
    pub minor: u8,
    /// What the peer is.
    pub peer_type: SocketType,
    /// What the peer calls itself, up to 255 bytes; empty when it does not. Nothing vouches for it.
    pub identity: Bytes,
    /// How the peer proved who it is.
    pub mechanism: Mechanism,
    /// The name of whom the peer proved to be; `None` when we asked for no proof.
    pub user: Option<Arc<str>>,
}

/// The handshake of one connection.
#[derive(Debug)]
pub struct Handshake {
    connection: Connection,
    identity_len: usize,
    ours: SocketType,
    mechanism: Mechanism,
    greeted: bool,
    introduced: bool,
}

impl Handshake {
    /// Begins a NULL handshake as a socket of this type; `identity` may be empty and is at most 255 bytes.
    #[must_use]
    pub fn new(role: Role, ours: SocketType, identity: Bytes) -> Self {
        Self::begin(role, ours, identity, Mechanism::Null, MechanismSetup::Null)
    }

    /// Begins the handshake of an accepted connection.
    #[must_use]
    pub fn accepted(ours: SocketType, security: &ServerSecurity) -> Self {
        let setup = match security {
            ServerSecurity::Null => MechanismSetup::Null,
            ServerSecurity::Plain(users) => {
                let users = Arc::clone(users);
                let check = move |peer: &MechanismPeerInfo| match (&peer.username, &peer.password) {
                    (Some(user), Some(password)) => users.check(user, password).is_some(),
                    _ => false,
                };
                MechanismSetup::PlainServer { authenticator: Authenticator::new(check) }
            }
        };
        Self::begin(Role::Accepted, ours, Bytes::new(), security.mechanism(), setup)
    }

    /// Begins the handshake of a connection that we opened; `identity` may be empty and is at most 255 bytes.
    #[must_use]
    pub fn connected(ours: SocketType, identity: Bytes, security: &ClientSecurity) -> Self {
        let setup = match security {
            ClientSecurity::Null => MechanismSetup::Null,
            ClientSecurity::Plain(login) => {
                MechanismSetup::PlainClient { username: login.user.to_string(), password: login.password.to_string() }
            }
        };
        Self::begin(Role::Connected, ours, identity, security.mechanism(), setup)
    }

    fn begin(role: Role, ours: SocketType, identity: Bytes, mechanism: Mechanism, setup: MechanismSetup) -> Self {
        let role = match role {
            Role::Accepted => WireRole::Server,
            Role::Connected => WireRole::Client,
        };
        let identity_len = identity.len();
        let config = ConnectionConfig::new(role, ours.to_wire()).identity(identity).mechanism(setup);
        Self { connection: Connection::new(config), identity_len, ours, mechanism, greeted: false, introduced: false }
    }

    /// Takes what the handshake needs from the front of `input`, and no byte more. `None` until the handshake is complete.
    ///
    /// Send what [`output`](Self::output) returns after every call, also after one that failed: it may tell the peer why.
    ///
    /// # Errors
    /// When the peer is not a ZMTP 3 peer, not one for us, or refuses us.
    pub fn advance(&mut self, input: &mut BytesMut) -> Result<Option<Session>, HandshakeError> {
        if !self.greeted {
            check_greeting(input)?;
            if input.len() < GREETING_BYTES {
                return Ok(None);
            }
            self.check_mechanism(&input[MECHANISM_AT])?;
            self.feed(input.split_to(GREETING_BYTES).freeze())?;
            self.greeted = true;
        }
        loop {
            if let Some(session) = self.session()? {
                return Ok(Some(session));
            }
            let Some(frame) = take_frame(input)? else { return Ok(None) };
            self.feed(frame)?;
        }
    }

    /// Takes the bytes that are to be sent now; empty when there are none.
    #[must_use = "these bytes are handed out once"]
    pub fn output(&mut self) -> Bytes {
        let bytes = self.connection.poll_transmit();
        self.connection.advance_transmit(bytes.len());
        if self.introduced || bytes.is_empty() {
            return bytes;
        }
        self.introduced = true;
        let mut greeting = BytesMut::from(bytes);
        // The padding of a ZMTP 3 signature is free; libzmq writes what ZMTP 1 had there, the length of an identity frame, and so do we.
        greeting[SIGNATURE_LENGTH_AT] = u8::try_from(self.identity_len + 1).unwrap_or(u8::MAX);
        greeting.freeze()
    }

    fn check_mechanism(&self, theirs: &[u8]) -> Result<(), HandshakeError> {
        let name = theirs.split(|byte| *byte == 0).next().unwrap_or_default();
        if name == self.mechanism.as_str().as_bytes() {
            return Ok(());
        }
        Err(HandshakeError::Mechanism { ours: self.mechanism, theirs: printable(name) })
    }

    fn feed(&mut self, bytes: Bytes) -> Result<(), HandshakeError> {
        let theirs = declared_type(&bytes);
        self.connection.handle_input(bytes).map_err(|error| match error {
            WireError::UnsupportedZmtpVersion { major, .. } => HandshakeError::Version { major },
            WireError::HandshakeRefused(refusal) => HandshakeError::Refused { reason: printable(refusal.reason.as_bytes()) },
            WireError::HandshakeFailed(detail) => match theirs {
                Some(theirs) if detail.starts_with("incompatible socket types") => HandshakeError::Incompatible { ours: self.ours, theirs },
                _ if detail.contains("authentication failed") => HandshakeError::Denied { mechanism: self.mechanism },
                _ => HandshakeError::Violation { detail: detail.into() },
            },
            error => HandshakeError::Violation { detail: error.to_string().into() },
        })
    }

    fn session(&mut self) -> Result<Option<Session>, HandshakeError> {
        match self.connection.poll_event() {
            None => Ok(None),
            Some(Event::HandshakeSucceeded { peer_minor, peer_properties }) => {
                let wire = peer_properties.socket_type;
                let peer_type = wire.and_then(SocketType::from_wire).ok_or_else(|| HandshakeError::Incompatible {
                    ours: self.ours,
                    theirs: wire.map_or("unnamed", |wire| wire.as_str()).into(),
                })?;
                // A copy, for the identity outlives the frame it came in.
                let identity = peer_properties.identity.as_deref().map(Bytes::copy_from_slice).unwrap_or_default();
                let user = peer_properties.authentication.username.as_deref().map(Arc::from);
                Ok(Some(Session { minor: peer_minor, peer_type, identity, mechanism: self.mechanism, user }))
            }
            Some(_) => Err(HandshakeError::Violation { detail: "message before the end of the handshake".into() }),
        }
    }
}

/// Judges what is there of a greeting: a mistaken peer is told apart by its first bytes, not by a deadline.
fn check_greeting(input: &[u8]) -> Result<(), HandshakeError> {
    let Some(&first) = input.first() else { return Ok(()) };
    if first == 0xff {
        return match input.get(SIGNATURE_BYTES - 1) {
            Some(&last) if last != 0x7f => Err(HandshakeError::NotZmtp { first: last }),
            _ => match input.get(SIGNATURE_BYTES) {
                Some(&major) if major < 3 => Err(HandshakeError::Version { major }),
                _ => Ok(()),
            },
        };
    }
    if HTTP_STARTS.iter().any(|start| input.starts_with(start)) {
        return Err(HandshakeError::Http);
    }
    if HTTP_STARTS.iter().any(|start| start.starts_with(input)) {
        return Ok(());
    }
    Err(if input.starts_with(&[0x16, 0x03]) { HandshakeError::Tls } else { HandshakeError::NotZmtp { first } })
}

/// One whole command frame from the front of `input`.
fn take_frame(input: &mut BytesMut) -> Result<Option<Bytes>, HandshakeError> {
    let header = match Header::parse(input) {
        Ok(Some(header)) => header,
        Ok(None) => return Ok(None),
        Err(_) => return Err(HandshakeError::UnexpectedFrame { flags: input[0] }),
    };
    if !header.command {
        return Err(HandshakeError::UnexpectedFrame { flags: input[0] });
    }
    let payload_len = match usize::try_from(header.payload_len) {
        Ok(len) if len <= HANDSHAKE_FRAME_BYTES_MAX => len,
        _ => return Err(HandshakeError::TooLarge { declared: header.payload_len, limit: HANDSHAKE_FRAME_BYTES_MAX }),
    };
    let end = header.header_len + payload_len;
    Ok((input.len() >= end).then(|| input.split_to(end).freeze()))
}

/// The value of Socket-Type in a READY frame, for the error that names it.
fn declared_type(frame: &[u8]) -> Option<Box<str>> {
    const KEY: &[u8] = b"\x0bSocket-Type";
    let at = frame.windows(KEY.len()).position(|window| window == KEY)? + KEY.len();
    let len = u32::from_be_bytes(*frame.get(at..)?.first_chunk::<4>()?) as usize;
    Some(printable(frame.get(at + 4..at + 4 + len.min(32))?))
}
