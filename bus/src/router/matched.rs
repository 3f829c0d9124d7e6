//! The receivers of one subject, and how a delivery is spread over them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Entry;
use super::trie::{Group, Leaf};
use crate::message::Offer;
use crate::wire::QueueGroup;
use crate::{Delivery, Published};

/// A match list. Complete for the generation in which it was made.
#[derive(Debug, Default)]
pub(crate) struct Matched {
    plain: Vec<Arc<Entry>>,
    groups: Vec<MatchedGroup>,
}

/// All members of one queue group, whichever of their filters matched: the group gets one copy, not one per filter.
#[derive(Debug)]
struct MatchedGroup {
    name: QueueGroup,
    members: Vec<Arc<Entry>>,
    turn: Arc<AtomicUsize>,
}

impl Matched {
    pub(super) fn add(&mut self, leaf: &Leaf) {
        self.plain.extend_from_slice(&leaf.plain);
        for Group { name, members, turn } in &leaf.groups {
            match self.groups.iter_mut().find(|group| group.name == *name) {
                Some(group) => group.members.extend_from_slice(members),
                None => {
                    self.groups.push(MatchedGroup { name: name.clone(), members: members.clone(), turn: Arc::clone(turn) });
                }
            }
        }
    }

    pub(super) fn is_any_open(&self) -> bool {
        self.plain.iter().chain(self.groups.iter().flat_map(|group| &group.members)).any(|entry| entry.is_open())
    }

    /// Whether a queue group listens.
    pub(crate) fn has_groups(&self) -> bool {
        self.groups.iter().flat_map(|group| &group.members).any(|member| member.is_open())
    }

    /// Whether each queue group has a member that could begin with another message at once.
    pub(crate) fn has_room(&self) -> bool {
        let has_room = |member: &Arc<Entry>| member.is_open() && !member.receiver.is_busy();
        self.groups.iter().all(|group| group.members.iter().any(has_room))
    }

    /// Hands a batch to every plain subscriber.
    pub(crate) fn deliver_plain(&self, delivery: Delivery<'_>) -> Published {
        let mut published = Published::default();
        for entry in &self.plain {
            if entry.is_open() {
                published.add(entry.receiver.deliver(delivery));
            }
        }
        published
    }

    /// Hands each body to one member of every group.
    pub(crate) fn deliver_to_groups(&self, delivery: Delivery<'_>, published: &mut Published) {
        for group in &self.groups {
            group.deliver(delivery, published);
        }
    }

    /// Hands each body to one member of a group.
    pub(crate) fn deliver_to_group(&self, name: &QueueGroup, delivery: Delivery<'_>) -> Published {
        let mut published = Published::default();
        for group in self.groups.iter().filter(|group| group.name == *name) {
            group.deliver(delivery, &mut published);
        }
        published
    }

    /// Hands a batch to every plain subscriber, and each body to one member of every group.
    pub(crate) fn deliver(&self, delivery: Delivery<'_>) -> Published {
        let mut published = self.deliver_plain(delivery);
        self.deliver_to_groups(delivery, &mut published);
        published
    }

    /// As [`deliver`](Self::deliver) for one message, which the last receiver keeps.
    pub(crate) fn offer(&self, offer: Offer<'_>) -> Published {
        let mut published = Published::default();
        let mut last: Option<&Arc<Entry>> = None;
        let chosen = self.groups.iter().filter_map(MatchedGroup::choose);
        for entry in self.plain.iter().chain(chosen).filter(|entry| entry.is_open()) {
            if let Some(earlier) = last.replace(entry) {
                published.add(earlier.receiver.deliver(offer.as_delivery()));
            }
        }
        // It may have left while the others were served.
        if let Some(last) = last.filter(|last| last.is_open()) {
            published.add(last.receiver.take(offer));
        }
        published
    }
}

impl MatchedGroup {
    fn deliver(&self, delivery: Delivery<'_>, published: &mut Published) {
        if let [_only] = &*self.members {
            if let Some(only) = self.choose() {
                published.add(only.receiver.deliver(delivery));
            }
            return;
        }
        let mut taken = false;
        for body in delivery.bodies {
            // Chosen again for each body, since the last one has changed the load.
            if let Some(member) = self.choose() {
                published.press(member.receiver.deliver(delivery.only(body)));
                taken = true;
            }
        }
        published.receivers += usize::from(taken);
    }

    /// The open member with the least load; among equals, each in turn.
    fn choose(&self) -> Option<&Arc<Entry>> {
        if let [only] = &*self.members {
            return (only.is_open() && only.receiver.load() != usize::MAX).then_some(only);
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.members.len();
        let (before, after) = self.members.split_at(turn);
        let mut chosen = None;
        let mut least = usize::MAX;
        for member in after.iter().chain(before) {
            if !member.is_open() {
                continue;
            }
            let load = member.receiver.load();
            if load < least {
                (chosen, least) = (Some(member), load);
            }
            if load == 0 {
                break;
            }
        }
        chosen
    }
}
