//! Whose sockets they are: the route and the side under which their peers, drops and undelivered messages are listed.

use std::sync::Arc;

use super::Front;
use crate::metrics::{DropCause, Metrics, RouteDrops};

/// The route and side of a socket. Routes are named by the operator; what is not, such as the agents that register themselves, counts under a
/// `group` instead, so that metrics keep a closed set of labels.
#[derive(Debug, Clone)]
pub(super) struct Tag {
    pub(super) route: Arc<str>,
    pub(super) side: &'static str,
    group: Option<Arc<str>>,
    drops: RouteDrops,
}

impl Tag {
    pub(super) fn none(metrics: &Metrics) -> Self {
        Self { route: Arc::default(), side: "", group: None, drops: metrics.unlisted_drops() }
    }

    pub(super) fn dropped(&self, cause: DropCause, messages: u64) {
        self.drops.dropped(cause, messages);
    }

    fn with_drops(self, metrics: &Metrics) -> Self {
        let listed = self.group.as_ref().unwrap_or(&self.route);
        let drops = if listed.is_empty() { metrics.unlisted_drops() } else { metrics.route_drops(listed) };
        Self { drops, ..self }
    }
}

impl Front {
    /// The same front for the sockets of the route `name`.
    #[must_use]
    pub fn for_route(&self, name: &str) -> Self {
        self.tagged(Tag { route: name.into(), ..Tag::clone(&self.tag) })
    }

    /// The same front for routes that no operator has named: whatever [`for_route`](Self::for_route) calls them, metrics count them as `group`.
    #[must_use]
    pub fn for_group(&self, group: &str) -> Self {
        self.tagged(Tag { group: Some(group.into()), ..Tag::clone(&self.tag) })
    }

    /// The same front for the sockets of one side of its route, in the words of the configuration: `callers`, `agents`.
    #[must_use]
    pub fn at_side(&self, side: &'static str) -> Self {
        self.tagged(Tag { side, ..Tag::clone(&self.tag) })
    }

    /// Counts messages that were dropped before they reached a peer's own queue, for the route of this handle.
    pub(crate) fn count_drops(&self, cause: DropCause, messages: u64) {
        self.tag.dropped(cause, messages);
    }

    fn tagged(&self, tag: Tag) -> Self {
        Self { tag: Arc::new(tag.with_drops(self.metrics())), ..self.clone() }
    }
}
