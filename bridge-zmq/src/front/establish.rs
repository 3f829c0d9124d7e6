//! From a stream to a session, before a deadline.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::timeout;

use super::http::Visitor;
use super::stream::Stream;
use crate::codec::curve::Transform;
use crate::codec::{Handshake, HandshakeError, Role, Session};
use crate::metrics::HandshakeFailure;

/// How long an accepted connection may be silent before we greet first. ZMTP peers and HTTP clients speak at once, so whoever speaks HTTP is
/// closed cleanly instead of reading a greeting it cannot understand.
const FIRST_BYTES_GRACE: Duration = Duration::from_millis(50);

/// Enough for a greeting and a READY in one read.
const READ_BYTES: usize = 1024;

/// A stream whose handshake is over.
#[derive(Debug)]
pub(super) struct Established {
    pub(super) stream: Stream,
    pub(super) session: Session,
    /// What the data phase is sealed with, if it is.
    pub(super) transform: Option<Transform>,
    pub(super) remote: SocketAddr,
    pub(super) local: SocketAddr,
    /// Bytes of the data phase that came along.
    pub(super) input: BytesMut,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub(super) enum EstablishError {
    #[error("socket failed")]
    Io(#[from] io::Error),
    #[error("closed by the peer during the handshake")]
    Closed,
    #[error("handshake not finished after {after:?}")]
    Timeout { after: Duration },
    #[error("handshake failed")]
    Handshake(#[from] HandshakeError),
    /// Who spoke HTTP may still be answered.
    #[error("handshake failed")]
    Http { visitor: Box<Visitor>, source: HandshakeError },
}

impl EstablishError {
    pub(super) fn failure(&self) -> HandshakeFailure {
        match self {
            Self::Io(_) | Self::Closed => HandshakeFailure::Closed,
            Self::Timeout { .. } => HandshakeFailure::Timeout,
            Self::Http { .. } => HandshakeFailure::Http,
            Self::Handshake(error) => match error {
                HandshakeError::Http => HandshakeFailure::Http,
                HandshakeError::Tls => HandshakeFailure::Tls,
                HandshakeError::NotZmtp { .. } => HandshakeFailure::NotZmtp,
                HandshakeError::Version { .. } => HandshakeFailure::Version,
                HandshakeError::Incompatible { .. } => HandshakeFailure::Incompatible,
                HandshakeError::Mechanism { .. } => HandshakeFailure::Mechanism,
                HandshakeError::Denied { .. } => HandshakeFailure::Denied,
                HandshakeError::Refused { .. } => HandshakeFailure::Refused,
                HandshakeError::TooLarge { .. } | HandshakeError::UnexpectedFrame { .. } | HandshakeError::Violation { .. } => {
                    HandshakeFailure::Violation
                }
            },
        }
    }
}

/// Runs the handshake on `stream`, as the one who accepted it or opened it, for at most `limit`.
pub(super) async fn establish(
    mut stream: Stream,
    role: Role,
    handshake: Handshake,
    limit: Duration,
) -> Result<Established, EstablishError> {
    let (remote, local) = stream.addresses()?;
    stream.tune()?;
    let mut input = BytesMut::with_capacity(READ_BYTES);
    let shaken = timeout(limit, shake_hands(&mut stream, role, handshake, &mut input)).await;
    let (session, transform) = match shaken.map_err(|_| EstablishError::Timeout { after: limit })? {
        Err(EstablishError::Handshake(source @ HandshakeError::Http)) => {
            return Err(EstablishError::Http { visitor: Box::new(Visitor { stream, input }), source });
        }
        shaken => shaken?,
    };
    Ok(Established { stream, session, transform, remote, local, input })
}

async fn shake_hands(
    stream: &mut Stream,
    role: Role,
    mut handshake: Handshake,
    input: &mut BytesMut,
) -> Result<(Session, Option<Transform>), EstablishError> {
    if role == Role::Accepted && matches!(timeout(FIRST_BYTES_GRACE, stream.readable()).await, Ok(Ok(()))) {
        read_some(stream, input).await?;
    }
    loop {
        let step = handshake.advance(input);
        let output = match &step {
            // A health check on the wrong port is told nothing: only its agent could say whether it is healthy.
            Err(HandshakeError::Http | HandshakeError::Tls | HandshakeError::NotZmtp { .. }) => Bytes::new(),
            _ => handshake.output(),
        };
        if !output.is_empty() {
            stream.write_all(&output).await?;
        }
        if let Some(session) = step? {
            return Ok((session, handshake.transform()));
        }
        read_some(stream, input).await?;
    }
}

async fn read_some(stream: &mut Stream, input: &mut BytesMut) -> Result<(), EstablishError> {
    match stream.read_buf(input).await? {
        0 => Err(EstablishError::Closed),
        _ => Ok(()),
    }
}
