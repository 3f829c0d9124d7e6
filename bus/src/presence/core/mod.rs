//! The synchronous core of presence: no clock, no bus; `now` is an argument, and messages are handed in and taken out.
//!
//! [`own`] is what this process says of its agents, [`peers`] what it knows of others'. Every node speaks for its own agents only, so nobody ever has
//! to decide between two words about one life of an agent: the later one of its node counts. What a node says is numbered, and whoever misses a
//! number asks for the difference, so all that listen come to know the same once messages arrive again.

mod digest;
mod events;
#[cfg(test)]
mod model;
mod own;
mod own_agent;
mod peer;
mod peers;
mod pull;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

pub(super) use self::events::Event;
use self::events::Events;
use self::own::{Own, Say};
use self::peers::Peers;
use super::message::{Message, Missing};
use super::{Agent, AgentCard, Axes, NodeId, State};
use crate::wire::AgentId;

/// Nodes that wait for an answer to their hello or ask. Beyond it everybody is told, or nobody.
const WAITING_MAX: usize = 4_096;

/// The longest time until somebody who knows more tells of a node that others miss, so that one does and not all.
const HEARSAY_WITHIN: Duration = Duration::from_secs(2);

/// Something that was seen of an agent from outside, by whoever speaks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Evidence {
    /// It answered, or said something by itself.
    Answered,
    /// It is connected, and did not answer a question in time: it becomes suspect, and is never dead for that.
    Unanswered,
    /// Its connection has closed: it becomes suspect at once, and dead if the connection is not back within a moment.
    ConnectionLost,
    /// Its connection is there again.
    ConnectionBack,
    /// It was put to sleep on purpose.
    PutToSleep,
    /// It was woken.
    Woken,
}

/// How fast things go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// How often this node says at least that it is there; its listeners go by it.
    pub(super) interval: Duration,
    /// How long a lost connection may be away before its agent is dead.
    pub(super) lost_grace: Duration,
    /// How long agents that are over are told of.
    pub(super) gone_keep: Duration,
    /// How long agents of a silent node are kept.
    pub(super) silent_keep: Duration,
}

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) own_agents_max: usize,
    pub(super) nodes_max: usize,
    pub(super) agents_max: usize,
    pub(super) bytes_max: usize,
}

/// Whom a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum To {
    All,
    Node(NodeId),
}

/// All of it.
#[derive(Debug)]
pub(super) struct Core {
    own: Own,
    peers: Peers,
    events: Events,
    rng: Rng,
    /// Who said hello, and when they are answered.
    greeted: BTreeMap<NodeId, Instant>,
    /// Who asked, and from where on.
    asked: BTreeMap<NodeId, u64>,
    /// Nodes that others miss and that more is known of here, with when that is told.
    hearsay: BTreeMap<NodeId, (Instant, Missing)>,
}

impl Timing {
    /// The shortest interval that is believed.
    pub(super) const INTERVAL_MIN: Duration = Duration::from_millis(50);
    /// The longest.
    pub(super) const INTERVAL_MAX: Duration = Duration::from_secs(600);

    fn taken(&self, interval: Duration) -> Duration {
        interval.clamp(Self::INTERVAL_MIN, Self::INTERVAL_MAX)
    }
}

impl Core {
    pub(super) fn new(node: NodeId, machine: Arc<str>, timing: Timing, limits: Limits, mut rng: Rng, now: Instant) -> Self {
        let own = Own::new(node, machine, timing, limits, rng.fork(), now);
        Self {
            own,
            peers: Peers::new(timing, limits),
            events: Events::default(),
            rng,
            greeted: BTreeMap::new(),
            asked: BTreeMap::new(),
            hearsay: BTreeMap::new(),
        }
    }

    /// Begins a life of an agent; the number of it, or `None` when there are too many agents. `unix_ms` is the wall clock, which only serves to make
    /// the number higher than those of earlier lives that nobody remembers.
    pub(super) fn announce(&mut self, card: Arc<AgentCard>, axes: Axes, unix_ms: u64, now: Instant) -> Option<u64> {
        let id = card.id().clone();
        let known = self.own.incarnation(id.as_str()).into_iter().chain(self.peers.incarnation(&id)).max();
        let incarnation = known.map_or(unix_ms, |known| unix_ms.max(known.saturating_add(1)));
        let before = self.own.agent(id.as_str());
        if !self.own.announce(card, incarnation, axes, now) {
            return None;
        }
        self.events.change(before, self.own.agent(id.as_str()));
        self.peers.replaced(&id, &Arc::clone(self.own.machine()), incarnation, self.own.node(), now, &mut self.events);
        Some(incarnation)
    }

    pub(super) fn goodbye(&mut self, id: &AgentId, incarnation: u64, now: Instant) {
        self.on_own(id, |own| own.goodbye(id, incarnation, now));
    }

    pub(super) fn set_axes(&mut self, id: &AgentId, incarnation: u64, set: impl FnOnce(&mut Axes)) {
        self.on_own(id, |own| own.set_axes(id, incarnation, set));
    }

    pub(super) fn set_card(&mut self, card: Arc<AgentCard>, incarnation: u64) {
        let id = card.id().clone();
        self.on_own(&id, |own| own.set_card(card, incarnation));
    }

    pub(super) fn saw(&mut self, id: &AgentId, incarnation: u64, evidence: Evidence, now: Instant) {
        self.on_own(id, |own| own.saw(id, incarnation, evidence, now));
    }

    /// Whether an agent of this process has this name, and is not over.
    pub(super) fn is_taken(&self, id: &AgentId) -> bool {
        self.own.agent(id.as_str()).is_some_and(|agent| !agent.state.is_over())
    }

    /// Whether this life of an agent of this process ended with its connection, or is not remembered any more.
    pub(super) fn is_dead(&self, id: &AgentId, incarnation: u64) -> bool {
        self.own.agent(id.as_str()).is_none_or(|agent| agent.incarnation == incarnation && agent.state == State::Dead)
    }

    fn on_own(&mut self, id: &AgentId, change: impl FnOnce(&mut Own)) {
        let before = self.own.agent(id.as_str());
        change(&mut self.own);
        self.events.change(before, self.own.agent(id.as_str()));
    }

    /// Takes what another node said. Returns whether there may be something to do before [`next_at`](Self::next_at) said so.
    pub(super) fn hear(&mut self, message: Message, now: Instant) -> bool {
        let own = self.own.node();
        match message {
            Message::Hello(head, machine, missing) if head.node != own => {
                self.peers.heard(&head, Some(&machine), now, &mut self.rng, &mut self.events);
                self.is_greeted(head.node, now);
                self.are_missing(&missing, now);
            }
            Message::Beat(head, missing) if head.node != own => {
                self.peers.heard(&head, None, now, &mut self.rng, &mut self.events);
                self.are_missing(&missing, now);
            }
            Message::List(head, list) if head.node != own => {
                self.peers.heard(&head, Some(&Arc::clone(&list.machine)), now, &mut self.rng, &mut self.events);
                self.peers.list(&head, list, now, &mut self.rng, &mut self.events);
            }
            Message::Hearsay(head, list) if head.node != own => {
                self.is_told_by_another(head.node, list.to);
                self.peers.list(&head, list, now, &mut self.rng, &mut self.events);
            }
            Message::Ask { node, since } if node != own => {
                if self.asked.len() < WAITING_MAX {
                    self.asked.insert(node, since);
                }
            }
            Message::Bye(head) if head.node != own => {
                self.is_told_by_another(head.node, u64::MAX);
                self.peers.bye(&head, now, &mut self.events);
            }
            // Our own voice.
            _ => return false,
        }
        true
    }

    /// What is to be said now, one message at a time.
    pub(super) fn say(&mut self, now: Instant) -> Option<(To, Message)> {
        self.expire(now);
        let has_missing = self.peers.has_missing();
        if let Some(say) = self.own.say(now, has_missing) {
            let message = match say {
                Say::Hello(head) => Message::Hello(head, Arc::clone(self.own.machine()), self.peers.missing()),
                Say::List(head, list) => Message::List(head, list),
                Say::Beat(head) => Message::Beat(head, self.peers.missing()),
            };
            return Some((To::All, message));
        }
        if let Some((node, since)) = self.asked.pop_first() {
            return Some((To::Node(node), Message::List(self.own.head(), self.own.since(since, now))));
        }
        if let Some(node) = self.greeted.iter().find(|(_, at)| **at <= now).map(|(node, _)| *node) {
            self.greeted.remove(&node);
            return Some((To::Node(node), Message::Beat(self.own.head(), Vec::new())));
        }
        if let Some(node) = self.peers.pull.next(now)
            && let Some(since) = self.peers.ask_since(node)
        {
            return Some((To::Node(node), Message::Ask { node: self.own.node(), since }));
        }
        let due = self.hearsay.iter().find(|(_, (at, _))| *at <= now).map(|(node, (_, missing))| (*node, *missing))?;
        self.hearsay.remove(&due.0);
        self.peers.hearsay(&due.1, now).map(|message| (To::All, message))
    }

    /// When [`say`](Self::say) is to be called next.
    pub(super) fn next_at(&self, now: Instant) -> Option<Instant> {
        if !self.asked.is_empty() {
            return Some(now);
        }
        let own = self.own.next_at(now, self.peers.has_missing());
        let (greeted, hearsay) = (self.greeted.values().min().copied(), self.hearsay.values().map(|(at, _)| *at).min());
        [own, self.peers.next_at(), self.peers.pull.next_at(), greeted, hearsay].into_iter().flatten().min()
    }

    /// When [`expire`](Self::expire) is to be called next, while nothing can be said.
    pub(super) fn next_expiry_at(&self) -> Option<Instant> {
        self.own.next_expiry_at().into_iter().chain(self.peers.next_at()).min()
    }

    /// Does what has become due and says nothing.
    pub(super) fn expire(&mut self, now: Instant) {
        self.own.expire(now, &mut self.events);
        self.peers.expire(now, &mut self.events);
    }

    /// The network did not take what was to be said.
    pub(super) fn unheard(&mut self, now: Instant) {
        self.own.unheard(now);
    }

    /// The connection to the others is back.
    pub(super) fn greet(&mut self, now: Instant) {
        self.own.greet(now);
    }

    /// The last word, if there is somebody to say it for.
    pub(super) fn bye(&mut self) -> Option<Message> {
        let head = self.own.head();
        self.own.bye().then_some(Message::Bye(head))
    }

    /// Whether nothing waits to be said of our own agents that does not wait on purpose.
    pub(super) fn is_told(&self) -> bool {
        self.own.is_told()
    }

    /// Everybody that is known, in no order.
    pub(super) fn agents(&self) -> Vec<Agent> {
        self.own.agents().chain(self.peers.agents()).collect()
    }

    /// All that go by one name: one, unless it runs on several machines or has moved.
    pub(super) fn agent(&self, id: &str) -> Vec<Agent> {
        self.own.agent(id).into_iter().chain(self.peers.agent(id)).collect()
    }

    /// Nodes, agents, bytes, and what was refused for want of room, of others.
    pub(super) fn totals(&self) -> (usize, usize, usize, u64) {
        self.peers.totals()
    }

    /// Whether changes are to be noted for [`events`](Self::events).
    pub(super) fn watch(&mut self, is_watched: bool) {
        self.events.want(is_watched);
    }

    /// What has changed since the last call.
    pub(super) fn events(&mut self) -> Vec<Event> {
        self.events.take()
    }

    /// Who has nothing to tell of does not answer.
    fn is_greeted(&mut self, node: NodeId, now: Instant) {
        let head = self.own.head();
        if head.version == 0 || node == self.own.node() {
            return;
        }
        if self.greeted.len() >= WAITING_MAX {
            self.greeted.clear();
            return self.own.is_missed(now);
        }
        let within = head.interval / own::GREETING_PART;
        self.greeted.entry(node).or_insert_with(|| now + within.mul_f64(self.rng.f64()));
    }

    fn are_missing(&mut self, missing: &[Missing], now: Instant) {
        for missing in missing {
            if missing.node == self.own.node() {
                self.own.is_missed(now);
            } else if self.peers.knows_more(missing) && self.hearsay.len() < WAITING_MAX {
                let at = now + HEARSAY_WITHIN.mul_f64(self.rng.f64());
                // Whoever knows least is told enough for all.
                let known = self.hearsay.entry(missing.node).or_insert((at, *missing));
                known.1.known = known.1.known.min(missing.known);
                known.1.has_left &= missing.has_left;
            }
        }
    }

    /// Somebody was faster.
    fn is_told_by_another(&mut self, node: NodeId, to: u64) {
        if self.hearsay.get(&node).is_some_and(|(_, missing)| to > missing.known) {
            self.hearsay.remove(&node);
        }
    }
}
