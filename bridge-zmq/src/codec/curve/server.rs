//! The server's part: HELLO, WELCOME, INITIATE, READY.

use bytes::BytesMut;
use x25519_dalek::{PublicKey as Point, StaticSecret};

use super::boxes::{self, violation};
use super::transform::Transform;
use super::{KeyPair, PublicKey};
use crate::codec::HandshakeError;
use crate::codec::command::encode;

const HELLO_BYTES: usize = 194;
const COOKIE_BYTES: usize = 96;
const VOUCH_BYTES: usize = 96;

/// Where a server is in its handshake.
pub(super) enum Server {
    AwaitHello,
    AwaitInitiate(Session),
    Over,
}

/// The keys of one connection.
pub(super) struct Session {
    ours: StaticSecret,
    theirs: [u8; 32],
    /// What the client has to bring back. A server that keeps nothing would seal its own keys in it; a connection keeps them anyway.
    cookie: [u8; COOKIE_BYTES],
    count: u64,
}

/// A client that has proved who it is, and waits to be served.
pub(super) struct Applicant {
    pub(super) key: PublicKey,
    pub(super) metadata: Vec<u8>,
    session: Session,
}

impl Server {
    /// HELLO: the client shows its key for this connection and that it knows ours. We show ours.
    pub(super) fn hello(&mut self, keys: &KeyPair, body: &[u8], out: &mut BytesMut) -> Result<(), HandshakeError> {
        if !matches!(self, Self::AwaitHello) {
            return Err(violation("CURVE HELLO out of turn"));
        }
        if body.len() != HELLO_BYTES || body[..2] != [1, 0] {
            return Err(violation("CURVE HELLO of another length or version"));
        }
        let theirs: [u8; 32] = body[74..106].try_into().expect("32 bytes");
        let count = u64::from_be_bytes(body[106..114].try_into().expect("8 bytes"));
        let key = boxes::shared(&keys.secret, &theirs)?;
        let zeros = boxes::open(&key, &boxes::counted(boxes::HELLO, count), &body[114..], "CURVE HELLO for another server key")?;
        if zeros != [0; 64] {
            return Err(violation("CURVE HELLO with something in its box"));
        }
        let session = Session { ours: StaticSecret::random(), theirs, cookie: boxes::random_bytes(), count };
        let mut plain = Point::from(&session.ours).to_bytes().to_vec();
        plain.extend_from_slice(&session.cookie);
        let number = boxes::random_bytes();
        let sealed = boxes::seal(&key, &boxes::random(boxes::WELCOME, &number), &plain);
        out.extend_from_slice(&encode(b"WELCOME", &[&number, &sealed]));
        *self = Self::AwaitInitiate(session);
        Ok(())
    }

    /// INITIATE: the client shows who it is, and that its key for this connection is its own.
    pub(super) fn initiate(&mut self, keys: &KeyPair, body: &[u8]) -> Result<Applicant, HandshakeError> {
        let Self::AwaitInitiate(mut session) = std::mem::replace(self, Self::Over) else {
            return Err(violation("CURVE INITIATE out of turn"));
        };
        let cookie = body.get(..COOKIE_BYTES);
        let count = body.get(COOKIE_BYTES..).and_then(|rest| rest.first_chunk::<8>());
        let (Some(cookie), Some(count)) = (cookie, count) else { return Err(violation("CURVE INITIATE cut short")) };
        if *cookie != session.cookie {
            return Err(violation("CURVE INITIATE with another cookie"));
        }
        let count = u64::from_be_bytes(*count);
        if count <= session.count {
            return Err(violation("CURVE INITIATE with a nonce of the past"));
        }
        session.count = count;
        let key = boxes::shared(&session.ours, &session.theirs)?;
        let nonce = boxes::counted(boxes::INITIATE, count);
        let plain = boxes::open(&key, &nonce, &body[COOKIE_BYTES + 8..], "CURVE INITIATE does not open")?;
        let Some((client, rest)) = plain.split_first_chunk::<32>() else { return Err(violation("CURVE INITIATE cut short")) };
        let Some((vouch, metadata)) = rest.split_first_chunk::<VOUCH_BYTES>() else { return Err(violation("CURVE INITIATE cut short")) };
        let (number, vouch) = vouch.split_first_chunk::<16>().expect("96 bytes");
        let key = boxes::shared(&session.ours, client)?;
        let vouched = boxes::open(&key, &boxes::random(boxes::VOUCH, number), vouch, "CURVE vouch does not open")?;
        if vouched[..32] != session.theirs || vouched[32..] != keys.public.0 {
            return Err(violation("CURVE vouch for other keys"));
        }
        Ok(Applicant { key: PublicKey(*client), metadata: metadata.to_vec(), session })
    }
}

impl Applicant {
    /// READY: it is served.
    pub(super) fn admit(self, metadata: &[u8], out: &mut BytesMut) -> Result<Transform, HandshakeError> {
        let Session { ours, theirs, count, .. } = self.session;
        let sealed = boxes::seal(&boxes::shared(&ours, &theirs)?, &boxes::counted(boxes::READY, 1), metadata);
        out.extend_from_slice(&encode(b"READY", &[&1u64.to_be_bytes(), &sealed]));
        Ok(Transform::of_server(&*boxes::session_key(&ours, &theirs)?, 1, count))
    }
}
