//! The mechanism CURVE (ZeroMQ RFC 26): both ends know each other by public keys, and nobody in between can read or change a message.
//!
//! X25519 and the boxes of the handshake come from the crates `x25519-dalek` and `salsabox`. The boxes of messages are the same, made several at a
//! time (`cipher`). Here is who sends which box when. `omq-proto` has a
//! handshake of its own, but keeps the session's key to itself: its data phase copies every frame twice and swallows the PONGs that our barriers
//! wait for (docs/adr/0005-curve.md).
//!
//! Invariants:
//! - **Default deny.** A server serves listed keys only, each on the routes that the list names.
//! - **A nonce is used once.** Each direction has a prefix and a counter that only grows; what does not grow is refused unopened.
//! - **Forward secret.** Messages are sealed with keys that live as long as the connection.

mod boxes;
mod cipher;
mod client;
mod clients;
mod handshake;
mod keys;
mod salsa20;
mod server;
mod tag;
mod transform;

pub(super) use self::cipher::Batch;
pub use self::clients::Clients;
pub(super) use self::handshake::CurveHandshake;
pub use self::keys::{KeyPair, PublicKey};
pub(super) use self::transform::OVERHEAD;
pub use self::transform::{Opener, Sealer, Transform};

/// What a CURVE listener knows.
#[derive(Debug)]
pub struct CurveServer {
    /// Its own keys; clients know the public one.
    pub keys: KeyPair,
    /// Whom it serves.
    pub clients: Clients,
}

/// What a CURVE connector knows.
#[derive(Debug)]
pub struct CurveClient {
    /// Its own keys; the server may ask for the public one.
    pub keys: KeyPair,
    /// The key of the server that it connects to. Another one is refused.
    pub server: PublicKey,
}

#[cfg(test)]
mod tests;
