//! One CURVE handshake: which command is whose, and who is served.

use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use omq_proto::is_compatible;
use omq_proto::proto::command::{self as wire, PeerProperties};

use super::boxes::violation;
use super::client::Client;
use super::server::Server;
use super::transform::Transform;
use super::{CurveClient, CurveServer};
use crate::codec::command::{Command, encode};
use crate::codec::{HandshakeError, Mechanism, Session, SocketType};

/// The answer to a client that we do not serve, as ZAP has it.
const DENIED: &[u8] = b"\x03400";

const READY_NAME: &[u8] = b"\x05READY";

/// The handshake behind the greetings.
pub(in crate::codec) struct CurveHandshake {
    end: End,
    ours: SocketType,
    /// What we say of ourselves, as properties of READY.
    metadata: Bytes,
    minor: u8,
    output: BytesMut,
}

enum End {
    Server { known: Arc<CurveServer>, route: Arc<str>, state: Server },
    Client(Arc<CurveClient>, Option<Client>),
}

impl CurveHandshake {
    pub(in crate::codec) fn server(known: &Arc<CurveServer>, route: &Arc<str>, ours: SocketType) -> Self {
        let end = End::Server { known: Arc::clone(known), route: Arc::clone(route), state: Server::AwaitHello };
        Self::new(end, ours, Bytes::new())
    }

    pub(in crate::codec) fn client(known: &Arc<CurveClient>, ours: SocketType, identity: Bytes) -> Self {
        Self::new(End::Client(Arc::clone(known), None), ours, identity)
    }

    fn new(end: End, ours: SocketType, identity: Bytes) -> Self {
        let mut properties = PeerProperties::default().with_socket_type(ours.to_wire());
        if !identity.is_empty() {
            properties = properties.with_identity(identity);
        }
        let mut ready = BytesMut::new();
        wire::encode(&wire::Command::Ready(properties), &mut ready);
        let metadata = ready.split_off(READY_NAME.len()).freeze();
        let is_server = matches!(end, End::Server { .. });
        Self { end, ours, metadata, minor: 0, output: greeting(is_server) }
    }

    pub(in crate::codec) fn output(&mut self) -> Bytes {
        self.output.split().freeze()
    }

    /// The greetings are exchanged; the lower version of both counts.
    pub(in crate::codec) fn begin(&mut self, their_minor: u8) -> Result<(), HandshakeError> {
        self.minor = their_minor.min(1);
        if let End::Client(known, client) = &mut self.end {
            *client = Some(Client::begin(known, &mut self.output)?);
        }
        Ok(())
    }

    /// Takes the payload of one command frame.
    pub(in crate::codec) fn command(&mut self, payload: &Bytes) -> Result<Option<(Session, Transform)>, HandshakeError> {
        let name_len = usize::from(payload.first().copied().unwrap_or_default());
        let name = payload.get(1..=name_len).ok_or_else(|| violation("command without a name"))?;
        let body = &payload[1 + name_len..];
        if name == b"ERROR" {
            let reason = match Command::parse(payload.clone()) {
                Ok(Some(Command::Error { reason })) => reason,
                _ => "without a reason".into(),
            };
            return Err(HandshakeError::Refused { reason });
        }
        match (&mut self.end, name) {
            (End::Server { known, state, .. }, b"HELLO") => state.hello(&known.keys, body, &mut self.output).map(|()| None),
            (End::Server { known, route, state }, b"INITIATE") => {
                let applicant = state.initiate(&known.keys, body)?;
                let Some(user) = known.clients.admit(&applicant.key, route) else {
                    self.output.extend_from_slice(&encode(b"ERROR", &[DENIED]));
                    return Err(HandshakeError::Denied { mechanism: Mechanism::Curve });
                };
                let session = self.session(&applicant.metadata, Some(user))?;
                let transform = applicant.admit(&self.metadata, &mut self.output)?;
                Ok(Some((session, transform)))
            }
            (End::Client(known, Some(client)), b"WELCOME") => client.welcome(known, &self.metadata, body, &mut self.output).map(|()| None),
            (End::Client(_, Some(client)), b"READY") => {
                let (metadata, transform) = client.ready(body)?;
                Ok(Some((self.session(&metadata, None)?, transform)))
            }
            _ => Err(violation("command that does not belong into a CURVE handshake")),
        }
    }

    fn session(&mut self, metadata: &[u8], user: Option<Arc<str>>) -> Result<Session, HandshakeError> {
        let ready = Bytes::from([READY_NAME, metadata].concat());
        let Ok(wire::Command::Ready(properties)) = wire::decode(ready) else { return Err(violation("malformed properties")) };
        let theirs = properties.socket_type.ok_or_else(|| violation("peer names no socket type"))?;
        let compatible = is_compatible(self.ours.to_wire(), theirs);
        let Some(peer_type) = SocketType::from_wire(theirs).filter(|_| compatible) else {
            self.output.extend_from_slice(&encode(b"ERROR", &[b"\x19Incompatible socket types"]));
            return Err(HandshakeError::Incompatible { ours: self.ours, theirs: theirs.as_str().into() });
        };
        let identity = properties.identity.as_deref().map(Bytes::copy_from_slice).unwrap_or_default();
        Ok(Session { minor: self.minor, peer_type, identity, mechanism: Mechanism::Curve, user })
    }
}

fn greeting(is_server: bool) -> BytesMut {
    let mut greeting = BytesMut::zeroed(64);
    greeting[0] = 0xff;
    greeting[9] = 0x7f;
    greeting[10..12].copy_from_slice(&[3, 1]);
    greeting[12..17].copy_from_slice(b"CURVE");
    greeting[32] = is_server.into();
    greeting
}

impl fmt::Debug for CurveHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CurveHandshake").field("ours", &self.ours).field("minor", &self.minor).finish_non_exhaustive()
    }
}
