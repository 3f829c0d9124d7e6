//! The other sidecars and the names they serve: the synchronous core of what is known of elsewhere.
//!
//! Invariants:
//! - *bounded*: never more sidecars, names or bytes than [`NodesLimits`] say. What does not fit is left out and counted; nothing is evicted for it.
//! - *healing*: whatever was lost or came twice or out of order, a beat whose version or digest differs from what is known here asks for everything
//!   again.
//! - *forgetting*: a sidecar that has been silent for [`SILENT_BEATS`] of its beats is not known any more, nor are its names.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use tokio::time::Instant;

use super::super::agent::AgentName;
use super::digest::Digest;
use super::message::{Head, News, NodeId, Sockets};

/// Beats that a sidecar may miss.
const SILENT_BEATS: u32 = 3;

/// What a name occupies beside its own bytes, roughly.
const NAME_OVERHEAD_BYTES: usize = 64;

/// How often in a row a sidecar is asked in vain before its next beat.
const TRIES_MAX: u32 = 3;

/// Before it is asked again, times the tries so far.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// How much is known at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct NodesLimits {
    /// Other sidecars.
    pub(super) nodes_max: usize,
    /// Names of one of them.
    pub(super) names_max: usize,
    /// Bytes of all names.
    pub(super) bytes_max: usize,
}

impl Default for NodesLimits {
    fn default() -> Self {
        Self { nodes_max: 256, names_max: myelin_bus::wire::limits::CONNECTIONS_MAX, bytes_max: 32 * 1024 * 1024 }
    }
}

#[derive(Debug)]
pub(super) struct Nodes {
    own: NodeId,
    limits: NodesLimits,
    nodes: HashMap<NodeId, Node>,
    bytes: usize,
}

#[derive(Debug)]
struct Node {
    incarnation: u64,
    host: Arc<str>,
    /// Of the names as they are known here; none before the first.
    version: Option<u64>,
    /// The highest that was heard of.
    latest: u64,
    names: HashMap<AgentName, Sockets>,
    digest: Digest,
    /// Some names did not fit, so the digest never will.
    is_cut: bool,
    heard: Instant,
    silent_after: Duration,
    pull: Pull,
}

/// Whether everything is to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pull {
    No,
    Wanted { at: Instant, tries: u32 },
    Underway { tries: u32 },
}

/// What a piece of news did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// Somebody has just come, and wants to know who is there.
    pub(super) is_greeting: bool,
    /// Names that are served elsewhere since, or not any more, or differently.
    pub(super) moved: Vec<AgentName>,
    /// Sidecars or names that are left out because too many are known.
    pub(super) refused: usize,
}

/// Where a name is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct There {
    pub(super) node: NodeId,
    pub(super) host: Arc<str>,
    pub(super) sockets: Sockets,
}

impl Nodes {
    pub(super) fn new(own: NodeId, limits: NodesLimits) -> Self {
        Self { own, limits, nodes: HashMap::new(), bytes: 0 }
    }

    /// How many other sidecars are known.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Every name that is served elsewhere, once.
    pub(super) fn names(&self) -> BTreeSet<AgentName> {
        self.nodes.values().flat_map(|node| node.names.keys().cloned()).collect()
    }

    /// How many those are.
    pub(super) fn names_len(&self) -> usize {
        match self.nodes.len() {
            0 | 1 => self.nodes.values().map(|node| node.names.len()).sum(),
            _ => self.nodes.values().flat_map(|node| node.names.keys()).collect::<HashSet<_>>().len(),
        }
    }

    /// Who serves a name, the one that was heard of last first.
    pub(super) fn find(&self, name: &str) -> Vec<There> {
        let mut found: Vec<_> = self.nodes.iter().filter_map(|(id, node)| Some((node.heard, *id, node, *node.names.get(name)?))).collect();
        found.sort_unstable_by_key(|(heard, id, ..)| (std::cmp::Reverse(*heard), *id));
        let there = |(_, node, known, sockets): (Instant, NodeId, &Node, Sockets)| There { node, host: Arc::clone(&known.host), sockets };
        found.into_iter().map(there).collect()
    }

    /// Takes what a sidecar says to everybody.
    pub(super) fn heard(&mut self, head: &Head, news: News, now: Instant) -> Heard {
        let mut heard = Heard::default();
        if head.node == self.own || self.nodes.get(&head.node).is_some_and(|known| head.incarnation < known.incarnation) {
            return heard;
        }
        if news == News::Bye {
            heard.moved = self.forget(head.node);
            return heard;
        }
        if self.nodes.get(&head.node).is_some_and(|known| head.incarnation > known.incarnation) {
            heard.moved = self.forget(head.node);
        }
        if !self.nodes.contains_key(&head.node) {
            if self.nodes.len() >= self.limits.nodes_max {
                heard.refused = 1;
                return heard;
            }
            self.nodes.insert(head.node, Node::new(head, now));
        }
        let node = self.nodes.get_mut(&head.node).expect("it was just put there");
        node.heard_at(head, now);
        heard.is_greeting = news == News::Hello;
        match news {
            News::Change { from, names } if node.version == Some(from) => {
                for (name, sockets) in names {
                    match node.put(&name, sockets, &mut self.bytes, &self.limits) {
                        Put::Same => {}
                        Put::Moved => heard.moved.push(name),
                        Put::Refused => heard.refused += 1,
                    }
                }
                node.version = Some(head.version);
            }
            // Of the past: said twice, or overtaken by a list of everything.
            News::Change { .. } if node.version.is_some_and(|known| head.version <= known) => {}
            News::Change { .. } => node.want(now),
            News::Hello | News::Beat | News::Bye => {
                if node.digest.get() == head.digest {
                    node.version = Some(head.version);
                } else if node.version != Some(head.version) || !node.is_cut {
                    node.want(now);
                }
            }
        }
        heard
    }

    /// Takes all names of a sidecar, as it said when asked.
    pub(super) fn listed(&mut self, head: &Head, names: Vec<(AgentName, Sockets)>, now: Instant) -> Heard {
        let mut heard = Heard::default();
        let Some(node) = self.nodes.get_mut(&head.node).filter(|node| node.incarnation == head.incarnation) else { return heard };
        node.heard_at(head, now);
        node.pull = Pull::No;
        node.is_cut = false;
        let gone: Vec<AgentName> = {
            let listed: HashSet<&AgentName> = names.iter().map(|(name, _)| name).collect();
            node.names.keys().filter(|name| !listed.contains(name)).cloned().collect()
        };
        let listed = names.into_iter().map(|(name, sockets)| (name, Some(sockets)));
        for (name, sockets) in gone.into_iter().map(|name| (name, None)).chain(listed) {
            match node.put(&name, sockets, &mut self.bytes, &self.limits) {
                Put::Same => {}
                Put::Moved => heard.moved.push(name),
                Put::Refused => heard.refused += 1,
            }
        }
        node.version = Some(head.version);
        if node.latest > head.version {
            // A change that was announced meanwhile did not fit what was known then. Once, whatever the sidecar had claimed.
            node.latest = head.version;
            node.want(now);
        }
        heard
    }

    /// A sidecar did not say its names when asked.
    pub(super) fn not_listed(&mut self, id: NodeId, now: Instant) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        if let Pull::Underway { tries } = node.pull {
            let at = now + TRY_AGAIN * (tries + 1);
            // Past that, its next beat asks again, or it has gone.
            node.pull = if tries + 1 < TRIES_MAX { Pull::Wanted { at, tries: tries + 1 } } else { Pull::No };
        }
    }

    /// Whom to ask for all names now, at most `max`. Each is to be answered with [`listed`](Self::listed) or [`not_listed`](Self::not_listed).
    pub(super) fn next_asked(&mut self, now: Instant, max: usize) -> Vec<NodeId> {
        let mut due = Vec::new();
        for (id, node) in &mut self.nodes {
            if due.len() == max {
                break;
            }
            if let Pull::Wanted { at, tries } = node.pull
                && at <= now
            {
                node.pull = Pull::Underway { tries };
                due.push(*id);
            }
        }
        due
    }

    /// Forgets who has been silent for too long. Returns how many, and the names that they took along.
    pub(super) fn expire(&mut self, now: Instant) -> (usize, Vec<AgentName>) {
        let silent: Vec<NodeId> = self.nodes.iter().filter(|(_, node)| node.forgotten_at() <= now).map(|(id, _)| *id).collect();
        let moved = silent.iter().flat_map(|id| self.forget(*id)).collect();
        (silent.len(), moved)
    }

    /// When [`expire`](Self::expire) has something to do, or with `may_ask` [`next_asked`](Self::next_asked).
    pub(super) fn next_at(&self, may_ask: bool) -> Option<Instant> {
        let at = |node: &Node| match node.pull {
            Pull::Wanted { at, .. } if may_ask => at.min(node.forgotten_at()),
            Pull::Wanted { .. } | Pull::No | Pull::Underway { .. } => node.forgotten_at(),
        };
        self.nodes.values().map(at).min()
    }

    fn forget(&mut self, id: NodeId) -> Vec<AgentName> {
        let Some(node) = self.nodes.remove(&id) else { return Vec::new() };
        self.bytes -= node.names.keys().map(bytes_of).sum::<usize>();
        node.names.into_keys().collect()
    }
}

/// What became of one entry.
enum Put {
    Same,
    Moved,
    Refused,
}

impl Node {
    fn new(head: &Head, now: Instant) -> Self {
        Self {
            incarnation: head.incarnation,
            host: head.host.as_ref().into(),
            version: None,
            latest: 0,
            names: HashMap::new(),
            digest: Digest::default(),
            is_cut: false,
            heard: now,
            silent_after: head.beat * SILENT_BEATS,
            pull: Pull::No,
        }
    }

    fn heard_at(&mut self, head: &Head, now: Instant) {
        (self.heard, self.silent_after) = (now, head.beat * SILENT_BEATS);
        self.latest = self.latest.max(head.version);
        if *self.host != *head.host {
            self.host = head.host.as_ref().into();
        }
    }

    fn forgotten_at(&self) -> Instant {
        self.heard + self.silent_after
    }

    fn want(&mut self, now: Instant) {
        if self.pull == Pull::No {
            self.pull = Pull::Wanted { at: now, tries: 0 };
        }
    }

    fn put(&mut self, name: &AgentName, sockets: Option<Sockets>, bytes: &mut usize, limits: &NodesLimits) -> Put {
        let before = self.names.get(name).copied();
        if before == sockets {
            return Put::Same;
        }
        if let (None, Some(_)) = (before, sockets) {
            if self.names.len() >= limits.names_max || *bytes + bytes_of(name) > limits.bytes_max {
                self.is_cut = true;
                return Put::Refused;
            }
            *bytes += bytes_of(name);
        }
        if let Some(before) = before {
            self.digest.remove(name, before);
        }
        match sockets {
            Some(sockets) => {
                self.digest.add(name, sockets);
                self.names.insert(name.clone(), sockets);
            }
            None => {
                self.names.remove(name);
                *bytes -= bytes_of(name);
            }
        }
        Put::Moved
    }
}

fn bytes_of(name: &AgentName) -> usize {
    name.as_str().len() + NAME_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests;
