//! What processes tell each other of their agents: the words, as described in `docs/presence.md`.
//!
//! A node is the only one that says anything about its agents. It numbers every change of one of them; a *list* brings all changes between two
//! of these numbers, each agent once, as it is now. So what comes twice, late or out of order is seen by its numbers.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

pub(super) use self::decode::{Unreadable, decode};
pub(super) use self::encode::{encode, item_len};
use super::{AgentCard, Axes, NodeId, Reason, State};
use crate::wire::AgentId;

/// What every message begins with: format and version.
const TAG: &str = "mp1";

/// Most bytes of one message: 64 KiB, what any NATS server carries.
pub(super) const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a list's items after which no other is added; the rest of a message is its head, and one last item.
pub(super) const ITEMS_BYTES: usize = 40 * 1024;

/// Longest name of a machine, in bytes.
pub(super) const MACHINE_BYTES_MAX: usize = 255;

/// Most nodes that one message names as missing.
pub(super) const MISSING_MAX: usize = 16;

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Message {
    /// I am new here, or was away: who is there?
    Hello(Head, Arc<str>, Vec<Missing>),
    /// I am here, and this is where I am.
    Beat(Head, Vec<Missing>),
    /// What has changed.
    List(Head, List),
    /// What has changed at a node that its listener misses, from somebody who heard it before. Says nothing of whether that node is there.
    Hearsay(Head, List),
    /// Tell me what has changed since.
    Ask { node: NodeId, since: u64 },
    /// This node has said goodbye, and this was where it was.
    Bye(Head),
}

/// Who speaks, or is spoken of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) node: NodeId,
    /// It is missed after three of these.
    pub(super) interval: Duration,
    /// The number of the last change of one of its agents.
    pub(super) version: u64,
    /// Of all its agents at that version.
    pub(super) digest: u64,
}

/// A node that has fallen silent, or left before all of it was known, and how far it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) node: NodeId,
    pub(super) known: u64,
    /// Its goodbye was heard, and only some of what it said before was not.
    pub(super) has_left: bool,
}

/// All changes from one version (without) to another (with). From 0 it is everything: what is not in it is not.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct List {
    pub(super) machine: Arc<str>,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) items: Vec<Item>,
}

/// One agent, or that it is not kept any more.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    pub(super) id: AgentId,
    /// The number of its last change.
    pub(super) version: u64,
    pub(super) told: Option<Told>,
}

/// An agent as its node tells of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told {
    pub(super) incarnation: u64,
    pub(super) state: State,
    pub(super) reason: Reason,
    /// For how long it has been in that state.
    pub(super) age: Duration,
    pub(super) axes: Axes,
    /// None: as the listener has it.
    pub(super) card: Option<Arc<AgentCard>>,
}
