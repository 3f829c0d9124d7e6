//! What an operator may set about the front.

use std::time::Duration;

use myelin_bus::Overflow;
use myelin_bus::outlet::{Budget, OutletConfig};
use myelin_bus::wire::limits;

use crate::codec::{ClientSecurity, CodecLimits, FramesLimit, MessageLimit, ServerSecurity};

/// Bounds and timers of the sockets of one [`Front`](super::Front).
#[derive(Debug, Clone)]
pub struct FrontConfig {
    /// Payload bytes of one multipart message; 8 MiB. A peer that declares more is disconnected.
    pub message_bytes_max: MessageLimit,
    /// Frames of one multipart message; 1,024.
    pub frames_max: FramesLimit,
    /// From accept or connect to the end of the handshake; 5 s.
    pub handshake_timeout: Duration,
    /// Connections in their handshake, over all listeners; 1,024. One more drops the oldest of the source that has most of them, so
    /// that silent connections from one machine (or this one) never keep others out.
    pub pending_max: usize,
    /// Established and pending connections, over all listeners and connectors; 16,384. One more is closed at once. Of what connects to us, one source
    /// (an address; loopback is one; a process, over ipc) has at most seven eighths, so has one route, and one source at one route three quarters; what
    /// others have taken makes these shares smaller, never nothing while connections are free.
    pub connections_max: usize,
    /// Bytes of large incomplete messages (above 256 KiB each) that all peers together may leave in our buffers; 256 MiB. The peer that would
    /// exceed it is disconnected.
    pub incomplete_bytes_max: usize,
    /// The write queue of each peer; 8 MiB, 65,536 messages, `block`.
    pub queue: OutletConfig,
    /// What all peers, and whoever else shares the budget, may have waiting; 256 MiB of their own. Beyond three quarters of it the queues of the
    /// fullest peers are treated as full, see [`Budget`].
    pub budget: Budget,
    /// Our own heartbeats towards peers of ZMTP 3.1. `None` sends none; PINGs of peers are answered either way.
    pub heartbeat: Option<HeartbeatConfig>,
    /// How long a connection that we close may take to write what its queue holds; 1 s. When the whole front shuts down, how long it may make no
    /// progress.
    pub linger: Duration,
    /// How soon connectors try again.
    pub reconnect: ReconnectConfig,
    /// What happens when a second connection announces an identity at one of our ROUTERs; `refuse`.
    pub identity: IdentityPolicy,
    /// Who may connect to our listeners, and who we are where we connect; nobody is asked anything, on loopback only.
    pub security: Security,
}

/// Proofs of identity at the sockets of one route.
#[derive(Debug, Clone, Default)]
pub struct Security {
    /// What our listeners ask for.
    pub listen: ServerSecurity,
    /// What our connectors prove.
    pub connect: ClientSecurity,
    /// Binds addresses that other machines can reach although `listen` asks for nothing; no.
    pub insecure: bool,
}

/// What happens to a connection that announces an identity which another connection of the same ROUTER listener has. Every case is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IdentityPolicy {
    /// It is closed, as soon as it is sure that the other one is not just leaving; libzmq's default. A libzmq peer tries again by itself.
    #[default]
    Refuse,
    /// It takes over, and the other one is closed; for agents that come back while their old connection is not yet known to be dead.
    HandOver,
    /// Both are served: our routes answer connections and not identities. For fleets whose callers all announce the same one.
    Share,
}

/// Our own heartbeats. Older peers (ZMTP 3.0) never see them: some end the connection at a command they do not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeartbeatConfig {
    /// A PING is sent after this much silence of the peer; 30 s.
    pub interval: Duration,
    /// The connection ends when this many PINGs in a row stayed without any sign of life; 3.
    pub missed_max: u32,
}

/// The backoff of connectors: `base`, doubled per failure up to `max`, each time jittered between half and the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReconnectConfig {
    /// The first pause; 100 ms, as libzmq has it.
    pub base: Duration,
    /// The longest pause; 5 s.
    pub max: Duration,
}

impl FrontConfig {
    pub(super) fn codec_limits(&self) -> CodecLimits {
        CodecLimits { message: self.message_bytes_max, frames: self.frames_max }
    }
}

impl Default for FrontConfig {
    fn default() -> Self {
        Self {
            message_bytes_max: MessageLimit::default(),
            frames_max: FramesLimit::default(),
            handshake_timeout: limits::HANDSHAKE_TIMEOUT,
            pending_max: 1024,
            connections_max: limits::CONNECTIONS_MAX,
            incomplete_bytes_max: limits::QUEUED_BYTES_PROCESS_MAX,
            queue: OutletConfig { bytes_max: limits::QUEUE_BYTES_MAX, messages_max: limits::QUEUE_MESSAGES_MAX, overflow: Overflow::Block },
            budget: Budget::default(),
            heartbeat: Some(HeartbeatConfig::default()),
            linger: Duration::from_secs(1),
            reconnect: ReconnectConfig::default(),
            identity: IdentityPolicy::default(),
            security: Security::default(),
        }
    }
}

impl Default for HeartbeatConfig {
    fn default() -> Self {
        Self { interval: Duration::from_secs(30), missed_max: 3 }
    }
}

impl Default for ReconnectConfig {
    fn default() -> Self {
        Self { base: Duration::from_millis(100), max: Duration::from_secs(5) }
    }
}
