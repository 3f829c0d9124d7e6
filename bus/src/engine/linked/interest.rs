//! Which other machines listen to what: the synchronous core of interest leases.
//!
//! A server tells a publisher nothing about who listens. So each node says to which of the leased subjects somebody listens there, and says so
//! again whenever messages arrive: a lease that is renewed by what it is for. While nothing is published nothing is said, but for a beat every
//! [`BEAT`].
//!
//! Invariants:
//! - **Off means off.** A message is sent only while some node wants its subject and has been heard of since, or at most [`LEASE`] after, the first
//!   message that was sent to it unconfirmed. A node that dies is sent nothing from [`LEASE`] after that message on.
//! - **On is safe.** A node that was heard of is sent everything it wants from that moment on: no message is lost for want of a lease.
//! - **The last word counts.** A word that comes behind a later one of its node, as it may when a connection was cut, changes nothing here.
//! - **Bounded.** [`NODES_MAX`] nodes with as many subjects each as an announcement may carry; a node that is silent for [`BEATS_MISSED_MAX`] beats is
//!   forgotten.

use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use tokio::time::Instant;

use super::announcement::{Announcement, FILTERS_MAX, NodeId};
use crate::wire::{Filter, Subject};

/// How long messages are sent to a node that confirms none. Less than the two seconds that are promised, by what a confirmation may be under way.
pub(super) const LEASE: Duration = Duration::from_millis(1_500);

/// How often a node that gets messages confirms them, at most: three confirmations fit into a lease.
pub(super) const CONFIRM_INTERVAL: Duration = Duration::from_millis(500);

/// How often a node says that it is there when it has nothing else to say.
pub(super) const BEAT: Duration = Duration::from_secs(20);

/// Beats that a node may miss before it is forgotten.
const BEATS_MISSED_MAX: u32 = 3;

/// Most nodes that are known. Who comes on top is not heard.
const NODES_MAX: usize = 1_024;

/// What the other nodes want.
#[derive(Debug, Default)]
pub(super) struct Interests {
    nodes: HashMap<NodeId, Node>,
}

#[derive(Debug)]
struct Node {
    host: Box<str>,
    wants: HashSet<Filter>,
    heard: Instant,
    /// The highest number of its words.
    number: u64,
    /// The first message sent to it since it was heard.
    unconfirmed: Option<Instant>,
}

/// What is to be done about an announcement.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing more.
    Noted,
    /// A node that did not know us, or that we did not know, is told what we want.
    Tell,
    /// Connections of its have closed.
    Left(Vec<u64>),
    /// The node has gone, and all its connections with it.
    Gone,
    /// There are too many nodes already.
    Ignored,
}

impl Interests {
    /// Takes in what `node` says.
    pub(super) fn hear(&mut self, node: NodeId, announcement: Announcement, now: Instant) -> Heard {
        if announcement == Announcement::Bye {
            return if self.nodes.remove(&node).is_some() { Heard::Gone } else { Heard::Noted };
        }
        let is_new = !self.nodes.contains_key(&node);
        if is_new && self.nodes.len() >= NODES_MAX {
            return Heard::Ignored;
        }
        let known = self.nodes.entry(node).or_insert_with(|| Node::new(now));
        known.heard = now;
        known.unconfirmed = None;
        let heard = match announcement {
            Announcement::Hello { host } => {
                // It may have been away, and have less to want than it had.
                known.host = host;
                Heard::Tell
            }
            Announcement::Wants { host, filters } => {
                (known.host, known.wants) = (host, filters.into_iter().collect());
                Heard::Noted
            }
            Announcement::Want { filter } => {
                if known.wants.len() < FILTERS_MAX {
                    known.wants.insert(filter);
                }
                Heard::Noted
            }
            Announcement::Drop { filter } => {
                known.wants.remove(&filter);
                Heard::Noted
            }
            Announcement::Left { callers } => Heard::Left(callers),
            Announcement::Confirm | Announcement::Bye => Heard::Noted,
        };
        // Who speaks before we have heard its hello does not know what we want either.
        if is_new && heard == Heard::Noted { Heard::Tell } else { heard }
    }

    /// Notes the number of a word, and tells whether it comes behind a later one. Words of number 0 are not counted.
    pub(super) fn is_late(&mut self, node: NodeId, number: u64) -> bool {
        let Some(known) = self.nodes.get_mut(&node) else { return false };
        let is_late = number != 0 && number < known.number;
        known.number = known.number.max(number);
        is_late
    }

    /// Whether a message on `subject` is to be sent now.
    pub(super) fn wants(&mut self, subject: &Subject, now: Instant) -> bool {
        let mut is_wanted = false;
        for node in self.nodes.values_mut().filter(|node| node.wants(subject)) {
            // Each of them gets the message, so each has to confirm.
            let since = *node.unconfirmed.get_or_insert(now);
            is_wanted |= now.saturating_duration_since(since) < LEASE;
        }
        is_wanted
    }

    /// Forgets who has been silent for too long.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<NodeId> {
        let is_silent = |node: &Node| now.saturating_duration_since(node.heard) > BEAT * BEATS_MISSED_MAX;
        self.nodes.extract_if(|_, node| is_silent(node)).map(|(id, _)| id).collect()
    }

    pub(super) fn nodes(&self) -> usize {
        self.nodes.len()
    }
}

impl Node {
    fn new(now: Instant) -> Self {
        Self { host: Box::default(), wants: HashSet::new(), heard: now, number: 0, unconfirmed: None }
    }

    fn wants(&self, subject: &Subject) -> bool {
        // Nearly all are subjects without wildcards, which the set finds by their text.
        self.wants.contains(subject.as_str()) || self.wants.iter().any(|filter| filter.matches(subject))
    }
}

/// What somebody on this machine listens to, of the leased subjects.
#[derive(Debug, Default)]
pub(super) struct Wants {
    listeners: HashMap<Filter, usize>,
    confirmed: Option<Instant>,
}

impl Wants {
    /// One more listens. Returns whether that is news.
    pub(super) fn add(&mut self, filter: &Filter) -> bool {
        let listeners = self.listeners.entry(filter.clone()).or_default();
        *listeners += 1;
        *listeners == 1
    }

    /// One listens no more. Returns whether that is news.
    pub(super) fn remove(&mut self, filter: &Filter) -> bool {
        let Some(listeners) = self.listeners.get_mut(filter) else { return false };
        *listeners -= 1;
        *listeners == 0 && self.listeners.remove(filter).is_some()
    }

    pub(super) fn has(&self, filter: &Filter) -> bool {
        self.listeners.contains_key(filter)
    }

    /// A message has arrived. Returns whether it is time to confirm.
    pub(super) fn arrived(&mut self, now: Instant) -> bool {
        let is_time = self.confirmed.is_none_or(|last| now.saturating_duration_since(last) >= CONFIRM_INTERVAL);
        if is_time {
            self.confirmed = Some(now);
        }
        is_time
    }

    /// All of it, or if that is too much for an announcement, everything that may be leased.
    pub(super) fn all(&self, leased: &[Filter]) -> Vec<Filter> {
        if self.listeners.len() > FILTERS_MAX {
            return leased.to_vec();
        }
        self.listeners.keys().cloned().collect()
    }
}

/// Whether every subject of `filter` matches `wide` too.
pub(super) fn covers(wide: &Filter, filter: &Filter) -> bool {
    let (mut wide, mut narrow) = (wide.tokens(), filter.tokens());
    loop {
        match (wide.next(), narrow.next()) {
            (None, None) | (Some(">"), Some(_)) => return true,
            (Some(a), Some(b)) if a == b || (a == "*" && b != ">") => {}
            _ => return false,
        }
    }
}

/// Whether some subject matches both.
pub(super) fn overlap(one: &Filter, other: &Filter) -> bool {
    let (mut ours, mut theirs) = (one.tokens(), other.tokens());
    loop {
        match (ours.next(), theirs.next()) {
            (None, None) | (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
            (Some(a), Some(b)) if a == b || a == "*" || b == "*" => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
#[path = "interest/tests.rs"]
mod tests;
