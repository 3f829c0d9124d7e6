//! The client's part: HELLO, WELCOME, INITIATE, READY.

use bytes::BytesMut;
use x25519_dalek::{PublicKey as Point, StaticSecret};

use super::CurveClient;
use super::boxes::{self, violation};
use super::transform::Transform;
use crate::codec::HandshakeError;
use crate::codec::command::encode;

const WELCOME_BYTES: usize = 160;

/// Where a client is in its handshake.
pub(super) struct Client {
    ours: StaticSecret,
    /// The server's key for this connection, once WELCOME has brought it.
    theirs: Option<[u8; 32]>,
}

impl Client {
    /// HELLO: our key for this connection, and that we know the server's.
    pub(super) fn begin(known: &CurveClient, out: &mut BytesMut) -> Result<Self, HandshakeError> {
        let ours = StaticSecret::random();
        let key = boxes::shared(&ours, &known.server.0)?;
        let sealed = boxes::seal(&key, &boxes::counted(boxes::HELLO, 1), &[0; 64]);
        let public = Point::from(&ours).to_bytes();
        out.extend_from_slice(&encode(b"HELLO", &[&[1, 0], &[0; 72], &public, &1u64.to_be_bytes(), &sealed]));
        Ok(Self { ours, theirs: None })
    }

    /// WELCOME brings the server's key for this connection. INITIATE: who we are.
    pub(super) fn welcome(&mut self, known: &CurveClient, metadata: &[u8], body: &[u8], out: &mut BytesMut) -> Result<(), HandshakeError> {
        if self.theirs.is_some() {
            return Err(violation("CURVE WELCOME out of turn"));
        }
        if body.len() != WELCOME_BYTES {
            return Err(violation("CURVE WELCOME of another length"));
        }
        let (number, sealed) = body.split_first_chunk::<16>().expect("160 bytes");
        let key = boxes::shared(&self.ours, &known.server.0)?;
        let plain = boxes::open(&key, &boxes::random(boxes::WELCOME, number), sealed, "CURVE WELCOME of another server")?;
        let (theirs, cookie) = plain.split_first_chunk::<32>().expect("128 bytes");
        self.theirs = Some(*theirs);

        let number = boxes::random_bytes();
        let vouched = [Point::from(&self.ours).to_bytes(), known.server.0].concat();
        let vouch = boxes::seal(&boxes::shared(&known.keys.secret, theirs)?, &boxes::random(boxes::VOUCH, &number), &vouched);
        let plain = [&known.keys.public.0[..], &number, &vouch, metadata].concat();
        let sealed = boxes::seal(&boxes::shared(&self.ours, theirs)?, &boxes::counted(boxes::INITIATE, 2), &plain);
        out.extend_from_slice(&encode(b"INITIATE", &[cookie, &2u64.to_be_bytes(), &sealed]));
        Ok(())
    }

    /// READY: the server serves us, and says what it is.
    pub(super) fn ready(&self, body: &[u8]) -> Result<(Vec<u8>, Transform), HandshakeError> {
        let Some(theirs) = &self.theirs else { return Err(violation("CURVE READY out of turn")) };
        let Some((count, sealed)) = body.split_first_chunk::<8>() else { return Err(violation("CURVE READY cut short")) };
        let count = u64::from_be_bytes(*count);
        let key = boxes::shared(&self.ours, theirs)?;
        let metadata = boxes::open(&key, &boxes::counted(boxes::READY, count), sealed, "CURVE READY does not open")?;
        Ok((metadata, Transform::of_client(&*boxes::session_key(&self.ours, theirs)?, 2, count)))
    }
}
