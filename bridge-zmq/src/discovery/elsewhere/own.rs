//! What this sidecar has to say of itself: its names, those of them that nobody has been told of yet, and when the next beat is due.
//!
//! Synchronous: `now` is an argument. Bounded by the registry, which admits the names.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use tokio::time::Instant;

use super::super::agent::AgentName;
use super::digest::Digest;
use super::message::{Head, News, NodeId, Page, Sockets, fitting};

/// How long the answer to somebody who has just come may take, so that one beat answers all who come together: a hundredth of a beat.
const GREETING_PART: u32 = 100;

#[derive(Debug)]
pub(super) struct Own {
    node: NodeId,
    incarnation: u64,
    host: Box<str>,
    beat: Duration,
    names: BTreeMap<AgentName, Sockets>,
    digest: Digest,
    version: u64,
    /// Names that nobody has been told of, with the number of their change.
    changed: BTreeMap<AgentName, u64>,
    changes: u64,
    due: Due,
}

/// When it says next that it is there.
#[derive(Clone, Copy, Debug)]
enum Due {
    Hello,
    Beat(Instant),
    /// It has said goodbye.
    Never,
}

impl Own {
    /// A sidecar that has not said anything yet. Beats come after three to five quarters of `beat`.
    pub(super) fn new(node: NodeId, incarnation: u64, host: Box<str>, beat: Duration) -> Self {
        Self {
            node,
            incarnation,
            host,
            beat,
            names: BTreeMap::new(),
            digest: Digest::default(),
            version: 0,
            changed: BTreeMap::new(),
            changes: 0,
            due: Due::Hello,
        }
    }

    pub(super) fn node(&self) -> NodeId {
        self.node
    }

    /// A name is served here from now on. Returns the number of the change that says so, for [`told`](Self::told).
    pub(super) fn serve(&mut self, name: &AgentName, sockets: Sockets) -> u64 {
        if let Some(before) = self.names.insert(name.clone(), sockets) {
            if before == sockets {
                return self.changed.get(name).copied().unwrap_or(0);
            }
            self.digest.remove(name, before);
        }
        self.digest.add(name, sockets);
        self.changes += 1;
        self.changed.insert(name.clone(), self.changes);
        self.changes
    }

    /// The last change up to which everybody has been told.
    pub(super) fn told(&self) -> u64 {
        self.changed.values().min().map_or(self.changes, |first| first - 1)
    }

    /// Says hello again: the connection to the others was lost for a while.
    pub(super) fn greet(&mut self) {
        if !matches!(self.due, Due::Never) {
            self.due = Due::Hello;
        }
    }

    /// Somebody has just come, and wants to know who is there.
    pub(super) fn greeted(&mut self, now: Instant) {
        if let Due::Beat(at) = &mut self.due {
            *at = (*at).min(now + jittered(self.beat / GREETING_PART));
        }
    }

    /// When [`next`](Self::next) has something to say; at once if that is in the past.
    pub(super) fn next_at(&self, now: Instant) -> Option<Instant> {
        match self.due {
            Due::Never => None,
            Due::Hello => Some(now),
            Due::Beat(_) if !self.changed.is_empty() => Some(now),
            Due::Beat(at) => Some(at),
        }
    }

    /// What is to be said now. A hello comes first, and a beat after all changes: its digest is of what everybody was told.
    pub(super) fn next(&mut self, now: Instant) -> Option<(Head, News)> {
        let is_due = match self.due {
            Due::Never => return None,
            Due::Hello => true,
            Due::Beat(at) => at <= now,
        };
        if matches!(self.due, Due::Beat(_)) && !self.changed.is_empty() {
            return Some(self.change());
        }
        if !is_due {
            return None;
        }
        let news = match self.due {
            Due::Hello => {
                // Whoever hears it asks for everything.
                self.version += u64::from(!self.changed.is_empty());
                self.changed.clear();
                News::Hello
            }
            Due::Beat(_) | Due::Never => News::Beat,
        };
        self.due = Due::Beat(now + self.beat * 3 / 4 + jittered(self.beat / 2));
        Some((self.head(), news))
    }

    /// The last that is to be said.
    pub(super) fn bye(&mut self) -> Option<(Head, News)> {
        match std::mem::replace(&mut self.due, Due::Never) {
            Due::Never => None,
            Due::Hello | Due::Beat(_) => Some((self.head(), News::Bye)),
        }
    }

    /// The names behind `after`, as many as fit.
    pub(super) fn page(&self, after: Option<&AgentName>) -> Page {
        let behind = after.map_or(Bound::Unbounded, Bound::Excluded);
        let names = self.names.range::<AgentName, _>((behind, Bound::Unbounded)).map(|(name, sockets)| (name, *sockets));
        let (names, is_last) = fitting(names);
        Page { head: self.head(), names, is_last }
    }

    fn change(&mut self) -> (Head, News) {
        let (names, _) = fitting(self.changed.keys().map(|name| (name, self.names.get(name).copied())));
        for (name, _) in &names {
            self.changed.remove(name);
        }
        let from = self.version;
        self.version += 1;
        (self.head(), News::Change { from, names })
    }

    fn head(&self) -> Head {
        Head {
            node: self.node,
            incarnation: self.incarnation,
            host: self.host.clone(),
            beat: self.beat,
            version: self.version,
            digest: self.digest.get(),
        }
    }
}

fn jittered(most: Duration) -> Duration {
    most.mul_f64(fastrand::f64())
}
