//! Greeting and security handshake, fed to `omq-proto` one piece at a time so that what follows stays ours.
//!
//! `omq-proto` would take bytes of the data phase along with the last handshake frame and keep them. So the outer framing of the handshake is
//! read here: exactly 64 bytes of greeting, then one whole command frame per step, each within [`HANDSHAKE_FRAME_BYTES_MAX`]. CURVE is ours
//! (see [`curve`](super::curve)): it hands its [`Transform`] over at the end, and the data phase uses it.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use omq_proto::Error as WireError;
use omq_proto::proto::connection::{Connection, ConnectionConfig, Event, Role as WireRole};
use omq_proto::proto::mechanism::{Authenticator, MechanismPeerInfo, MechanismSetup};

use super::command::printable;
use super::curve::{CurveHandshake, Transform};
use super::greeting::{GREETING_BYTES, MINOR_AT, SIGNATURE_LENGTH_AT, check_greeting, check_mechanism};
use super::header::Header;
use super::session::{Role, Session};
use super::{ClientSecurity, HandshakeError, Mechanism, ServerSecurity, SocketType};

/// Longest handshake frame. READY with an identity and a few properties is below 1 KiB.
pub(super) const HANDSHAKE_FRAME_BYTES_MAX: usize = 64 * 1024;

/// Who knows the mechanism.
#[derive(Debug)]
enum Engine {
    Wire(Box<Connection>),
    Curve(Box<CurveHandshake>),
}

/// The handshake of one connection.
#[derive(Debug)]
pub struct Handshake {
    engine: Engine,
    identity_len: usize,
    ours: SocketType,
    mechanism: Mechanism,
    greeted: bool,
    introduced: bool,
    transform: Option<Transform>,
}

impl Handshake {
    /// Begins a NULL handshake as a socket of this type; `identity` may be empty and is at most 255 bytes.
    #[must_use]
    pub fn new(role: Role, ours: SocketType, identity: Bytes) -> Self {
        Self::begin(role, ours, identity, Mechanism::Null, MechanismSetup::Null)
    }

    /// Begins the handshake of an accepted connection of the named route, which is what clients are allowed or denied.
    #[must_use]
    pub fn accepted(ours: SocketType, security: &ServerSecurity, route: &Arc<str>) -> Self {
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
            ServerSecurity::Curve(known) => {
                return Self::over(Engine::curve(CurveHandshake::server(known, route, ours)), ours, 0, Mechanism::Curve);
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
            ClientSecurity::Curve(known) => {
                let identity_len = identity.len();
                return Self::over(Engine::curve(CurveHandshake::client(known, ours, identity)), ours, identity_len, Mechanism::Curve);
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
        Self::over(Engine::Wire(Box::new(Connection::new(config))), ours, identity_len, mechanism)
    }

    fn over(engine: Engine, ours: SocketType, identity_len: usize, mechanism: Mechanism) -> Self {
        Self { engine, identity_len, ours, mechanism, greeted: false, introduced: false, transform: None }
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
            check_mechanism(self.mechanism, input)?;
            self.greet(input.split_to(GREETING_BYTES).freeze())?;
            self.greeted = true;
        }
        loop {
            let Some(frame) = take_frame(input)? else { return Ok(None) };
            if let Some(session) = self.feed(frame)? {
                return Ok(Some(session));
            }
        }
    }

    /// What the data phase is sealed with, once the session is there; `None` when it is not.
    pub fn transform(&mut self) -> Option<Transform> {
        self.transform.take()
    }

    /// Takes the bytes that are to be sent now; empty when there are none.
    #[must_use = "these bytes are handed out once"]
    pub fn output(&mut self) -> Bytes {
        let bytes = self.engine.output();
        if self.introduced || bytes.is_empty() {
            return bytes;
        }
        self.introduced = true;
        let mut greeting = BytesMut::from(bytes);
        // The padding of a ZMTP 3 signature is free; libzmq writes what ZMTP 1 had there, the length of an identity frame, and so do we.
        greeting[SIGNATURE_LENGTH_AT] = u8::try_from(self.identity_len + 1).unwrap_or(u8::MAX);
        greeting.freeze()
    }

    fn greet(&mut self, greeting: Bytes) -> Result<(), HandshakeError> {
        match &mut self.engine {
            Engine::Wire(connection) => feed(connection, greeting, self.ours, self.mechanism).map(|_| ()),
            Engine::Curve(curve) => curve.begin(greeting[MINOR_AT]),
        }
    }

    fn feed(&mut self, frame: Frame) -> Result<Option<Session>, HandshakeError> {
        match &mut self.engine {
            Engine::Wire(connection) => feed(connection, frame.bytes, self.ours, self.mechanism),
            Engine::Curve(curve) => Ok(curve.command(&frame.bytes.slice(frame.header_len..))?.map(|(session, transform)| {
                self.transform = Some(transform);
                session
            })),
        }
    }
}

impl Engine {
    fn curve(handshake: CurveHandshake) -> Self {
        Self::Curve(Box::new(handshake))
    }

    fn output(&mut self) -> Bytes {
        match self {
            Self::Wire(connection) => {
                let bytes = connection.poll_transmit();
                connection.advance_transmit(bytes.len());
                bytes
            }
            Self::Curve(curve) => curve.output(),
        }
    }
}

fn feed(connection: &mut Connection, bytes: Bytes, ours: SocketType, mechanism: Mechanism) -> Result<Option<Session>, HandshakeError> {
    let theirs = declared_type(&bytes);
    connection.handle_input(bytes).map_err(|error| match error {
        WireError::UnsupportedZmtpVersion { major, .. } => HandshakeError::Version { major },
        WireError::HandshakeRefused(refusal) => HandshakeError::Refused { reason: printable(refusal.reason.as_bytes()) },
        WireError::HandshakeFailed(detail) => match theirs {
            Some(theirs) if detail.starts_with("incompatible socket types") => HandshakeError::Incompatible { ours, theirs },
            _ if detail.contains("authentication failed") => HandshakeError::Denied { mechanism },
            _ => HandshakeError::Violation { detail: detail.into() },
        },
        error => HandshakeError::Violation { detail: error.to_string().into() },
    })?;
    match connection.poll_event() {
        None => Ok(None),
        Some(Event::HandshakeSucceeded { peer_minor, peer_properties }) => {
            let wire = peer_properties.socket_type;
            let peer_type = wire
                .and_then(SocketType::from_wire)
                .ok_or_else(|| HandshakeError::Incompatible { ours, theirs: wire.map_or("unnamed", |wire| wire.as_str()).into() })?;
            // A copy, for the identity outlives the frame it came in.
            let identity = peer_properties.identity.as_deref().map(Bytes::copy_from_slice).unwrap_or_default();
            let user = peer_properties.authentication.username.as_deref().map(Arc::from);
            Ok(Some(Session { minor: peer_minor, peer_type, identity, mechanism, user }))
        }
        Some(_) => Err(HandshakeError::Violation { detail: "message before the end of the handshake".into() }),
    }
}

/// One command frame, header and all.
struct Frame {
    bytes: Bytes,
    header_len: usize,
}

/// One whole command frame from the front of `input`.
fn take_frame(input: &mut BytesMut) -> Result<Option<Frame>, HandshakeError> {
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
    Ok((input.len() >= end).then(|| Frame { bytes: input.split_to(end).freeze(), header_len: header.header_len }))
}

/// The value of Socket-Type in a READY frame, for the error that names it.
fn declared_type(frame: &[u8]) -> Option<Box<str>> {
    const KEY: &[u8] = b"\x0bSocket-Type";
    let at = frame.windows(KEY.len()).position(|window| window == KEY)? + KEY.len();
    let len = u32::from_be_bytes(*frame.get(at..)?.first_chunk::<4>()?) as usize;
    Some(printable(frame.get(at + 4..at + 4 + len.min(32))?))
}
