//! Who is there: agents announce themselves, everybody on the bus knows of them, and idle ones cost next to nothing.
//!
//! One process (a *node*) speaks for all its agents. It tells at once what changes, and otherwise says once per interval (30 s by default) that it
//! is there and in which state its list is. Whoever has missed something sees it by that and asks for the difference. Nothing is stored: presence
//! needs no streams, and works alike on every engine. Subjects, bytes and bounds are described in `docs/presence.md`.
//!
//! The way of a change: [`Announced`] → `core::own` (numbered) → `speaker` (one message) → `ears` of the others → `core::peers` → [`Watch`].
//!
//! What it is not: a registry that anybody can ask for what was, or a lock: two processes may announce the same name, and both are listed.

mod agent;
mod announced;
mod capability;
mod card;
mod config;
mod core;
mod ears;
mod handle;
mod message;
mod metrics;
mod service;
mod speaker;
mod watch;

pub use self::agent::{Agent, Axes, NodeId, Reason, State};
pub use self::announced::Announced;
pub use self::capability::{Answer, BUSY, CapabilityError, Unfit};
pub use self::card::{
    AgentCard, AgentLimits, CARD_BYTES_MAX, CARD_CAPABILITIES_MAX, CARD_METADATA_MAX, CARD_NAME_BYTES_MAX, CARD_VALUE_BYTES_MAX, CardError,
};
pub use self::config::PresenceConfig;
pub use self::core::Evidence;
pub use self::handle::{AnnounceError, Presence};
pub use self::metrics::PresenceMetrics;
pub(crate) use self::service::Service;
pub use self::watch::{PresenceEvent, Watch};

/// Feeds arbitrary bytes to the reader of messages, and checks what must hold for any of them.
///
/// # Panics
/// When it does not hold.
#[doc(hidden)]
pub fn fuzz_message(bytes: &[u8]) {
    if let Ok(read) = message::decode(bytes) {
        let written = message::encode(&read);
        assert_eq!(message::decode(&written).as_ref(), Ok(&read), "what was read can be written");
    }
}
