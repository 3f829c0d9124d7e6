//! The agents that other nodes tell of.
//!
//! Invariants:
//! - *one voice*: what is known of an agent is what its node said last, by the numbers of its changes; the only thing added here is whether that
//!   node itself is heard.
//! - *never dead by silence*: an agent is dead or has left if its node said so (or said goodbye itself), and else at most suspect.
//! - *bounded*: never more nodes, agents or bytes than [`Limits`] say. What is over goes first, then what is silent; what still does not fit is left
//!   out and counted.
//! - *healing*: whatever was lost or came twice or out of order, a message whose version or digest differs from what is known asks for the rest.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use hashbrown::HashMap;
use tokio::time::Instant;

use super::super::message::{Head, ITEMS_BYTES, Item, List, MISSING_MAX, Message, Missing, Told, item_len};
use super::super::{Agent, NodeId};
use super::digest::Digest;
use super::events::Events;
use super::peer::{AGENT_OVERHEAD_BYTES, Peer, Theirs, Voice};
use super::pull::Pull;
use super::{Limits, Timing};
use crate::wire::AgentId;

/// Beats that a node may miss.
pub(super) const SILENT_BEATS: u32 = 3;

/// How often room is made by a walk over everything.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Peers {
    timing: Timing,
    limits: Limits,
    nodes: HashMap<NodeId, Peer>,
    /// Who tells of an agent: one node, rarely more.
    by_id: HashMap<AgentId, Vec<NodeId>>,
    /// When each node is looked at next: one entry for each.
    timers: BTreeSet<(Instant, NodeId)>,
    /// The nodes that have fallen silent, or left before all of them was known.
    missing: BTreeSet<NodeId>,
    pub(super) pull: Pull,
    agents: usize,
    bytes: usize,
    swept: Option<Instant>,
    /// Nodes and agents that were left out for want of room.
    refused: u64,
}

impl Peers {
    pub(super) fn new(timing: Timing, limits: Limits) -> Self {
        Self {
            timing,
            limits,
            nodes: HashMap::new(),
            by_id: HashMap::new(),
            timers: BTreeSet::new(),
            missing: BTreeSet::new(),
            pull: Pull::default(),
            agents: 0,
            bytes: 0,
            swept: None,
            refused: 0,
        }
    }

    /// Takes note that a node speaks, and of how far it is.
    pub(super) fn heard(&mut self, head: &Head, machine: Option<&Arc<str>>, now: Instant, rng: &mut Rng, events: &mut Events) {
        if !self.nodes.contains_key(&head.node) && !self.admit(head, now) {
            return;
        }
        let Some(peer) = self.nodes.get_mut(&head.node) else { return };
        if matches!(peer.voice, Voice::Left(_)) {
            // The last of it, overtaken by its goodbye.
            return;
        }
        peer.heard = now;
        peer.interval = self.timing.taken(head.interval);
        peer.latest = peer.latest.max(head.version);
        if let Some(machine) = machine {
            peer.machine = Arc::clone(machine);
        }
        if matches!(peer.voice, Voice::Silent(_)) || peer.has_replaced {
            self.revive(head.node, now, events);
        }
        self.compare(head, now, rng);
    }

    /// A node that was not known. Who has never had an agent is not kept.
    fn admit(&mut self, head: &Head, now: Instant) -> bool {
        if head.version == 0 {
            return false;
        }
        if self.nodes.len() >= self.limits.nodes_max {
            self.refused += 1;
            return false;
        }
        let interval = self.timing.taken(head.interval);
        let timer = now + interval * SILENT_BEATS;
        self.timers.insert((timer, head.node));
        self.nodes.insert(
            head.node,
            Peer {
                machine: "".into(),
                known: 0,
                latest: 0,
                interval,
                agents: HashMap::new(),
                digest: Digest::default(),
                heard: now,
                timer,
                voice: Voice::Heard,
                is_cut: false,
                has_replaced: false,
            },
        );
        true
    }

    /// Asks for what is missing, if anything is.
    fn compare(&mut self, head: &Head, now: Instant, rng: &mut Rng) {
        let is_roomy = self.agents < self.limits.agents_max / 8 * 7 && self.bytes < self.limits.bytes_max / 8 * 7;
        let Some(peer) = self.nodes.get_mut(&head.node) else { return };
        if peer.known == head.version && peer.digest.get() != head.digest && (is_roomy || !peer.is_cut) {
            peer.known = 0;
        }
        if peer.known < peer.latest {
            let soon = (peer.interval / super::own::GREETING_PART).min(Duration::from_millis(500));
            self.pull.want(head.node, now + soon / 4 + soon.mul_f64(rng.f64()));
        }
    }

    /// Takes a list of its node, or what somebody else knows of it.
    pub(super) fn list(&mut self, head: &Head, list: List, now: Instant, rng: &mut Rng, events: &mut Events) {
        let Some(peer) = self.nodes.get_mut(&head.node) else { return };
        if list.to <= peer.known || list.from > peer.known {
            return;
        }
        if list.from == 0 {
            peer.is_cut = false;
            peer.agents.values_mut().for_each(|theirs| theirs.is_stale = true);
        }
        peer.known = list.to;
        peer.latest = peer.latest.max(head.version);
        for item in list.items {
            self.put(head.node, item, now, events);
        }
        if list.to == head.version {
            self.drop_stale(head.node, events);
        }
        self.pull.done(head.node);
        if self.ask_since(head.node).is_some() {
            // The next part of it.
            self.pull.want(head.node, now);
        }
        self.compare(head, now, rng);
        self.note_missing(head.node);
    }

    /// A node has said goodbye.
    pub(super) fn bye(&mut self, head: &Head, now: Instant, events: &mut Events) {
        let node = head.node;
        let Some(peer) = self.nodes.get_mut(&node).filter(|peer| !matches!(peer.voice, Voice::Left(_))) else { return };
        peer.latest = peer.latest.max(head.version);
        let before = peer.seen_all(node, events.are_wanted());
        self.pull.done(node);
        self.enter(node, Voice::Left(now), now + self.timing.gone_keep);
        self.tell(node, before, events);
    }

    /// A later incarnation of an agent is there on the same machine: those before it are in doubt until their nodes speak again.
    pub(super) fn replaced(&mut self, id: &AgentId, machine: &str, incarnation: u64, by: NodeId, now: Instant, events: &mut Events) {
        for node in self.by_id.get(id).cloned().unwrap_or_default() {
            let Some(peer) = self.nodes.get_mut(&node).filter(|peer| node != by && !machine.is_empty() && *peer.machine == *machine) else {
                continue;
            };
            let before = peer.seen(node, id);
            if let Some(theirs) = peer.agents.get_mut(id).filter(|theirs| theirs.incarnation < incarnation) {
                theirs.replaced = Some(now);
                peer.has_replaced = true;
            }
            events.change(before, self.nodes[&node].seen(node, id));
        }
    }

    /// Does what has become due.
    pub(super) fn expire(&mut self, now: Instant, events: &mut Events) {
        while let Some((at, node)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            let Some(peer) = self.nodes.get(&node) else {
                self.timers.remove(&(at, node));
                continue;
            };
            let silent_at = peer.heard + peer.interval * SILENT_BEATS;
            match peer.voice {
                Voice::Heard if silent_at > now => self.set_timer(node, silent_at),
                // It has nobody to miss.
                Voice::Heard if peer.agents.is_empty() => self.forget(node, events),
                Voice::Heard => {
                    let before = peer.seen_all(node, events.are_wanted());
                    self.pull.done(node);
                    self.enter(node, Voice::Silent(now), now + self.timing.silent_keep);
                    self.tell(node, before, events);
                }
                Voice::Silent(_) | Voice::Left(_) => self.forget(node, events),
            }
        }
    }

    /// When [`expire`](Self::expire) has something to do.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Nodes that have fallen silent, the first so many.
    pub(super) fn missing(&self) -> Vec<Missing> {
        let known = |node: &NodeId| {
            self.nodes.get(node).map(|peer| Missing { node: *node, known: peer.known, has_left: matches!(peer.voice, Voice::Left(_)) })
        };
        self.missing.iter().filter_map(known).take(MISSING_MAX).collect()
    }

    pub(super) fn has_missing(&self) -> bool {
        !self.missing.is_empty()
    }

    /// Whether more is known of a node that somebody misses.
    pub(super) fn knows_more(&self, missing: &Missing) -> bool {
        let has_left = |peer: &Peer| matches!(peer.voice, Voice::Left(_)) && !missing.has_left;
        self.nodes.get(&missing.node).is_some_and(|peer| has_left(peer) || peer.known > missing.known)
    }

    /// What is known of a node beyond what somebody else knows, who misses it: that it has left, or else what it said.
    pub(super) fn hearsay(&self, missing: &Missing, now: Instant) -> Option<Message> {
        let peer = self.nodes.get(&missing.node)?;
        let head = Head { node: missing.node, interval: peer.interval, version: peer.known, digest: peer.digest.get() };
        if matches!(peer.voice, Voice::Left(_)) && !missing.has_left {
            return Some(Message::Bye(Head { version: peer.latest, ..head }));
        }
        let mut agents: Vec<_> = peer.agents.iter().filter(|(_, theirs)| theirs.version > missing.known).collect();
        agents.sort_unstable_by_key(|(_, theirs)| theirs.version);
        let (mut items, mut bytes, mut to) = (Vec::new(), 0, peer.known);
        for (id, theirs) in agents {
            if bytes > ITEMS_BYTES {
                to = items.last().map_or(missing.known, |item: &Item| item.version);
                break;
            }
            let item = Item { id: id.clone(), version: theirs.version, told: Some(theirs.told(now)) };
            bytes += item_len(&item);
            items.push(item);
        }
        let list = List { machine: Arc::clone(&peer.machine), from: missing.known, to, items };
        (peer.known > missing.known).then_some(Message::Hearsay(head, list))
    }

    /// From where on a node is to be asked; none if it need not be.
    pub(super) fn ask_since(&self, node: NodeId) -> Option<u64> {
        self.nodes.get(&node).filter(|peer| peer.voice == Voice::Heard && peer.known < peer.latest).map(|peer| peer.known)
    }

    /// The highest incarnation that is known of an agent.
    pub(super) fn incarnation(&self, id: &AgentId) -> Option<u64> {
        let nodes = self.by_id.get(id)?.iter();
        nodes.filter_map(|node| self.nodes.get(node)?.agents.get(id)).map(|theirs| theirs.incarnation).max()
    }

    pub(super) fn agents(&self) -> impl Iterator<Item = Agent> {
        self.nodes.iter().flat_map(|(node, peer)| peer.agents.values().map(|theirs| theirs.seen(*node, peer)))
    }

    pub(super) fn agent(&self, id: &str) -> impl Iterator<Item = Agent> {
        let nodes = self.by_id.get(id).into_iter().flatten();
        nodes.filter_map(|node| self.nodes.get(node).and_then(|peer| peer.agents.get(id).map(|theirs| theirs.seen(*node, peer))))
    }

    /// Nodes, agents, their bytes, and what was refused for want of room.
    pub(super) fn totals(&self) -> (usize, usize, usize, u64) {
        (self.nodes.len(), self.agents, self.bytes, self.refused)
    }

    fn put(&mut self, node: NodeId, item: Item, now: Instant, events: &mut Events) {
        let Item { id, version, told } = item;
        let Some(told) = told else { return self.remove(node, &id, events) };
        let Some(peer) = self.nodes.get(&node) else { return };
        let known = peer.agents.get(&id);
        let card = told.card.clone().or_else(|| known.map(|known| Arc::clone(&known.card)));
        let Some(card) = card else {
            // It did not fit when its card came.
            return self.cut(node);
        };
        let added = AGENT_OVERHEAD_BYTES + card.len_bytes();
        let (bytes, is_new) = (known.map_or(0, Theirs::len_bytes), known.is_none());
        if !self.has_room(usize::from(is_new), added.saturating_sub(bytes)) && !self.sweep(usize::from(is_new), added, now, events) {
            return self.cut(node);
        }
        let Some(peer) = self.nodes.get_mut(&node) else { return };
        let before = peer.seen(node, &id);
        let Told { incarnation, state, reason, age, axes, .. } = told;
        let since = now.checked_sub(age).unwrap_or(now);
        let theirs = Theirs { card, version, incarnation, state, reason, since, axes, is_stale: false, replaced: None };
        let is_another = before.as_ref().is_none_or(|before| before.incarnation != incarnation);
        peer.digest.add(&id, incarnation, version);
        if let Some(known) = peer.agents.insert(id.clone(), theirs) {
            peer.digest.remove(&id, known.incarnation, known.version);
            self.bytes -= known.len_bytes();
        } else {
            self.agents += 1;
            self.by_id.entry(id.clone()).or_default().push(node);
        }
        self.bytes += added;
        let machine = Arc::clone(&peer.machine);
        events.change(before, peer.seen(node, &id));
        if is_another && !state.is_over() {
            self.replaced(&id, &machine, incarnation, node, now, events);
        }
    }

    fn remove(&mut self, node: NodeId, id: &AgentId, events: &mut Events) {
        let Some(peer) = self.nodes.get_mut(&node) else { return };
        let before = peer.seen(node, id);
        let Some(known) = peer.agents.remove(id) else { return };
        peer.digest.remove(id, known.incarnation, known.version);
        self.agents -= 1;
        self.bytes -= known.len_bytes();
        if let Some(nodes) = self.by_id.get_mut(id) {
            nodes.retain(|other| *other != node);
            if nodes.is_empty() {
                self.by_id.remove(id);
            }
        }
        events.change(before, None);
    }

    fn cut(&mut self, node: NodeId) {
        self.refused += 1;
        if let Some(peer) = self.nodes.get_mut(&node) {
            peer.is_cut = true;
        }
    }

    fn has_room(&self, agents: usize, bytes: usize) -> bool {
        self.agents + agents <= self.limits.agents_max && self.bytes + bytes <= self.limits.bytes_max
    }

    /// Makes room: what is over goes first, then what is silent. Returns whether there is enough now.
    fn sweep(&mut self, agents: usize, bytes: usize, now: Instant, events: &mut Events) -> bool {
        if self.swept.is_some_and(|at| now < at + SWEEP_INTERVAL) {
            return false;
        }
        self.swept = Some(now);
        let is_over = |peer: &Peer, theirs: &Theirs| theirs.state.is_over() || matches!(peer.voice, Voice::Left(_));
        let is_silent = |peer: &Peer, _: &Theirs| matches!(peer.voice, Voice::Silent(_));
        for goes in [is_over as fn(&Peer, &Theirs) -> bool, is_silent] {
            let going: Vec<(NodeId, AgentId)> = self
                .nodes
                .iter()
                .flat_map(|(node, peer)| peer.agents.iter().filter(|(_, theirs)| goes(peer, theirs)).map(|(id, _)| (*node, id.clone())))
                .collect();
            for (node, id) in going {
                self.remove(node, &id, events);
                // What its node goes on telling of is not asked for again.
                if let Some(peer) = self.nodes.get_mut(&node) {
                    peer.is_cut = true;
                }
            }
            if self.has_room(agents, bytes) {
                return true;
            }
        }
        false
    }

    /// Everything was told; what was not among it is not kept any more.
    fn drop_stale(&mut self, node: NodeId, events: &mut Events) {
        let Some(peer) = self.nodes.get(&node) else { return };
        let stale: Vec<_> = peer.agents.iter().filter(|(_, theirs)| theirs.is_stale).map(|(id, _)| id.clone()).collect();
        for id in stale {
            self.remove(node, &id, events);
        }
    }

    fn revive(&mut self, node: NodeId, now: Instant, events: &mut Events) {
        let Some(peer) = self.nodes.get_mut(&node) else { return };
        let before = peer.seen_all(node, events.are_wanted());
        peer.has_replaced = false;
        peer.agents.values_mut().for_each(|theirs| theirs.replaced = None);
        let silent_at = now + peer.interval * SILENT_BEATS;
        self.enter(node, Voice::Heard, silent_at);
        self.tell(node, before, events);
    }

    fn forget(&mut self, node: NodeId, events: &mut Events) {
        let ids: Vec<_> = self.nodes.get(&node).map_or_else(Vec::new, |peer| peer.agents.keys().cloned().collect());
        for id in ids {
            self.remove(node, &id, events);
        }
        if let Some(peer) = self.nodes.remove(&node) {
            self.timers.remove(&(peer.timer, node));
        }
        self.missing.remove(&node);
        self.pull.done(node);
    }

    fn enter(&mut self, node: NodeId, voice: Voice, timer: Instant) {
        if let Some(peer) = self.nodes.get_mut(&node) {
            peer.voice = voice;
        }
        self.set_timer(node, timer);
        self.note_missing(node);
    }

    /// Whether others are to be asked for what they know of a node.
    fn note_missing(&mut self, node: NodeId) {
        let is_missing = self.nodes.get(&node).is_some_and(|peer| match peer.voice {
            Voice::Heard => false,
            Voice::Silent(_) => true,
            Voice::Left(_) => peer.known < peer.latest,
        });
        if is_missing {
            self.missing.insert(node);
        } else {
            self.missing.remove(&node);
        }
    }

    fn set_timer(&mut self, node: NodeId, at: Instant) {
        if let Some(peer) = self.nodes.get_mut(&node) {
            self.timers.remove(&(peer.timer, node));
            peer.timer = at;
            self.timers.insert((at, node));
        }
    }

    /// Tells of all agents of a node that are seen differently now.
    fn tell(&self, node: NodeId, before: Vec<Agent>, events: &mut Events) {
        let Some(peer) = self.nodes.get(&node) else { return };
        for agent in before {
            let after = peer.seen(node, agent.id());
            events.change(Some(agent), after);
        }
    }
}
