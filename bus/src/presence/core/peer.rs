//! One other node, and its agents as they are seen here.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use tokio::time::Instant;

use super::super::message::Told;
use super::super::{Agent, AgentCard, Axes, NodeId, Reason, State};
use super::digest::Digest;
use crate::wire::AgentId;

/// What an agent occupies beside the bytes of its card, roughly.
pub(super) const AGENT_OVERHEAD_BYTES: usize = 384;

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) machine: Arc<str>,
    /// Everything up to here is known.
    pub(super) known: u64,
    /// The last version that was heard of.
    pub(super) latest: u64,
    pub(super) interval: Duration,
    pub(super) agents: HashMap<AgentId, Theirs>,
    pub(super) digest: Digest,
    pub(super) heard: Instant,
    pub(super) timer: Instant,
    pub(super) voice: Voice,
    /// Something did not fit, so the digest never will.
    pub(super) is_cut: bool,
    /// Some of its agents count as replaced until it speaks again.
    pub(super) has_replaced: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Voice {
    Heard,
    Silent(Instant),
    Left(Instant),
}

#[derive(Debug, Clone)]
pub(super) struct Theirs {
    pub(super) card: Arc<AgentCard>,
    pub(super) version: u64,
    pub(super) incarnation: u64,
    pub(super) state: State,
    pub(super) reason: Reason,
    pub(super) since: Instant,
    pub(super) axes: Axes,
    /// Not mentioned yet by the list of everything that is being read.
    pub(super) is_stale: bool,
    pub(super) replaced: Option<Instant>,
}

impl Peer {
    pub(super) fn seen(&self, node: NodeId, id: &AgentId) -> Option<Agent> {
        self.agents.get(id).map(|theirs| theirs.seen(node, self))
    }

    /// All of its agents, if somebody wants to know.
    pub(super) fn seen_all(&self, node: NodeId, is_wanted: bool) -> Vec<Agent> {
        if is_wanted { self.agents.values().map(|theirs| theirs.seen(node, self)).collect() } else { Vec::new() }
    }
}

impl Theirs {
    pub(super) fn len_bytes(&self) -> usize {
        AGENT_OVERHEAD_BYTES + self.card.len_bytes()
    }

    /// As its node tells of it, and as far as that node is heard.
    pub(super) fn seen(&self, node: NodeId, peer: &Peer) -> Agent {
        let (state, reason, since) = match (self.state.is_over(), peer.voice) {
            (true, _) => (self.state, self.reason, self.since),
            (false, Voice::Left(at)) => (State::Left, Reason::MachineLeft, at),
            (false, Voice::Silent(at)) => (State::Suspect, Reason::MachineSilent, at),
            (false, Voice::Heard) => match self.replaced {
                Some(at) => (State::Suspect, Reason::Replaced, at),
                None => (self.state, self.reason, self.since),
            },
        };
        let is_heard = peer.voice == Voice::Heard && self.replaced.is_none();
        let axes = Axes { reachable: self.axes.reachable && is_heard, ready: self.axes.ready && state == State::Alive, ..self.axes };
        let (card, machine) = (Arc::clone(&self.card), Arc::clone(&peer.machine));
        Agent { card, incarnation: self.incarnation, machine, node, state, reason, since, axes }
    }

    pub(super) fn told(&self, now: Instant) -> Told {
        let Self { incarnation, state, reason, axes, .. } = *self;
        Told { incarnation, state, reason, age: now.saturating_duration_since(self.since), axes, card: Some(Arc::clone(&self.card)) }
    }
}
