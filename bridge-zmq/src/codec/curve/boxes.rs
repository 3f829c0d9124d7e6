//! Boxes as NaCl makes them, and the nonces that CURVE seals them with.

use salsabox::BoxKey;
use x25519_dalek::{PublicKey as Point, StaticSecret};
use zeroize::Zeroizing;

use crate::codec::HandshakeError;

/// Bytes of the tag in front of a box.
pub(super) const TAG_BYTES: usize = 16;

pub(super) const HELLO: &[u8; 16] = b"CurveZMQHELLO---";
pub(super) const INITIATE: &[u8; 16] = b"CurveZMQINITIATE";
pub(super) const READY: &[u8; 16] = b"CurveZMQREADY---";
pub(super) const MESSAGE_OF_CLIENT: &[u8; 16] = b"CurveZMQMESSAGEC";
pub(super) const MESSAGE_OF_SERVER: &[u8; 16] = b"CurveZMQMESSAGES";
pub(super) const WELCOME: &[u8; 8] = b"WELCOME-";
pub(super) const VOUCH: &[u8; 8] = b"VOUCH---";

/// The nonce of a box that is counted.
pub(super) fn counted(prefix: &[u8; 16], count: u64) -> [u8; 24] {
    let mut nonce = [0; 24];
    nonce[..16].copy_from_slice(prefix);
    nonce[16..].copy_from_slice(&count.to_be_bytes());
    nonce
}

/// The nonce of a box that carries a random number.
pub(super) fn random(prefix: &[u8; 8], number: &[u8; 16]) -> [u8; 24] {
    let mut nonce = [0; 24];
    nonce[..8].copy_from_slice(prefix);
    nonce[8..].copy_from_slice(number);
    nonce
}

/// Random bytes of the system.
pub(super) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    bytes
}

/// The key that the owners of these two halves share. Keys of low order, which would make it known to everybody, are refused.
pub(super) fn shared(ours: &StaticSecret, theirs: &[u8; 32]) -> Result<BoxKey, HandshakeError> {
    BoxKey::from_shared_secret(ours.diffie_hellman(&Point::from(*theirs)).as_bytes()).ok_or_else(|| violation("CURVE key of low order"))
}

/// The same key, for the many boxes of a [`Cipher`](super::cipher::Cipher).
pub(super) fn session_key(ours: &StaticSecret, theirs: &[u8; 32]) -> Result<Zeroizing<[u8; 32]>, HandshakeError> {
    let shared = ours.diffie_hellman(&Point::from(*theirs));
    if !shared.was_contributory() {
        return Err(violation("CURVE key of low order"));
    }
    Ok(Zeroizing::new(salsabox::hsalsa20(shared.as_bytes(), &[0; 16])))
}

/// A box: tag, then what was sealed.
pub(super) fn seal(key: &BoxKey, nonce: &[u8; 24], plain: &[u8]) -> Vec<u8> {
    let mut sealed = vec![0; TAG_BYTES + plain.len()];
    sealed[TAG_BYTES..].copy_from_slice(plain);
    let tag = key.encrypt_detached(nonce, &mut sealed[TAG_BYTES..]);
    sealed[..TAG_BYTES].copy_from_slice(&tag);
    sealed
}

/// What was sealed, if it was with this key and this nonce.
pub(super) fn open(key: &BoxKey, nonce: &[u8; 24], sealed: &[u8], detail: &'static str) -> Result<Vec<u8>, HandshakeError> {
    let (tag, sealed) = sealed.split_first_chunk::<TAG_BYTES>().ok_or_else(|| violation(detail))?;
    let mut plain = sealed.to_vec();
    key.decrypt_detached(nonce, &mut plain, tag).map_err(|_| violation(detail))?;
    Ok(plain)
}

pub(super) fn violation(detail: &'static str) -> HandshakeError {
    HandshakeError::Violation { detail: detail.into() }
}
