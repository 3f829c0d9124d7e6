//! Which nodes are to be asked for what they have changed, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::super::NodeId;

/// How often a node is asked in vain before its next beat.
const TRIES_MAX: u32 = 3;

/// Before it is asked again, times the tries so far.
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// Between two asks, so that the answers of a large fleet do not come all at once.
const PACE: Duration = Duration::from_millis(2);

/// Asks that are still to be made, at most one for each node.
#[derive(Debug, Default)]
pub(super) struct Pull {
    tries: BTreeMap<NodeId, (Instant, u32)>,
    order: BTreeSet<(Instant, NodeId)>,
    not_before: Option<Instant>,
}

impl Pull {
    /// A node is to be asked, unless it has been already.
    pub(super) fn want(&mut self, node: NodeId, at: Instant) {
        if !self.tries.contains_key(&node) {
            self.set(node, at, 0);
        }
    }

    /// Nothing is missing any more, or nobody can tell.
    pub(super) fn done(&mut self, node: NodeId) {
        if let Some((at, _)) = self.tries.remove(&node) {
            self.order.remove(&(at, node));
        }
    }

    /// Who is to be asked now. It will be asked again until it is [`done`](Self::done), some times.
    pub(super) fn next(&mut self, now: Instant) -> Option<NodeId> {
        if self.not_before.is_some_and(|at| now < at) {
            return None;
        }
        let (_, node) = self.order.first().copied().filter(|(at, _)| *at <= now)?;
        let (_, tries) = self.tries[&node];
        self.done(node);
        if tries >= TRIES_MAX {
            return None;
        }
        self.set(node, now + TRY_AGAIN * (tries + 1), tries + 1);
        self.not_before = Some(now + PACE);
        Some(node)
    }

    /// When [`next`](Self::next) has something to say.
    pub(super) fn next_at(&self) -> Option<Instant> {
        let first = self.order.first().map(|(at, _)| *at)?;
        Some(self.not_before.map_or(first, |at| at.max(first)))
    }

    fn set(&mut self, node: NodeId, at: Instant, tries: u32) {
        self.done(node);
        self.tries.insert(node, (at, tries));
        self.order.insert((at, node));
    }
}
