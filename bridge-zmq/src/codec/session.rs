//! What two ends agree on.

use std::sync::Arc;

use bytes::Bytes;

use super::{Mechanism, SocketType};

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
