//! The trie of filters: one node per token, wildcards beside the literal children.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use hashbrown::HashMap;

use super::matched::Matched;
use super::{Entry, Interest};
use crate::wire::{QueueGroup, Subject};

#[derive(Debug, Default)]
pub(super) struct Trie {
    root: Node,
    len: usize,
    next_id: u64,
}

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<Box<str>, Self>,
    /// `*`: the node behind any one token.
    any: Option<Box<Self>>,
    /// Filters that end with `>` here.
    tail: Leaf,
    /// Filters that end here.
    end: Leaf,
}

/// The subscriptions of one filter.
#[derive(Debug, Default)]
pub(super) struct Leaf {
    pub(super) plain: Vec<Arc<Entry>>,
    pub(super) groups: Vec<Group>,
}

/// The members of a queue group that share one filter.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: QueueGroup,
    pub(super) members: Vec<Arc<Entry>>,
    /// Whose turn it is among members with equal load. Shared with the match lists, so that all publishers take turns together.
    pub(super) turn: Arc<AtomicUsize>,
}

impl Trie {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(super) fn insert(&mut self, interest: &Interest, entry: Arc<Entry>) {
        self.root.leaf(interest.filter.as_str()).insert(interest.group.as_ref(), entry);
        self.len += 1;
    }

    pub(super) fn remove(&mut self, interest: &Interest, id: u64) -> Option<Arc<Entry>> {
        let removed = self.root.remove(Some(interest.filter.as_str()), interest.group.as_ref(), id);
        self.len -= usize::from(removed.is_some());
        removed
    }

    pub(super) fn matches(&self, subject: &Subject) -> Matched {
        let mut matched = Matched::default();
        self.root.collect(Some(subject.as_str()), &mut matched);
        matched
    }

    pub(super) fn for_each(&self, visit: &mut impl FnMut(&Arc<Entry>)) {
        self.root.for_each(visit);
    }

    #[cfg(test)]
    pub(super) fn is_pruned(&self) -> bool {
        self.len == 0 && self.root.is_empty()
    }
}

impl Node {
    /// The place of a filter, made if it does not exist.
    fn leaf(&mut self, filter: &str) -> &mut Leaf {
        let mut node = self;
        for token in filter.split('.') {
            match token {
                // Always the last token.
                ">" => return &mut node.tail,
                "*" => node = &mut **node.any.get_or_insert_default(),
                literal => node = node.literals.entry_ref(literal).or_default(),
            }
        }
        &mut node.end
    }

    /// Removes an entry below this node, and every node that holds nothing after that. `rest` is what is left of the filter.
    fn remove(&mut self, rest: Option<&str>, group: Option<&QueueGroup>, id: u64) -> Option<Arc<Entry>> {
        let Some((token, rest)) = rest.map(split) else {
            return self.end.remove(group, id);
        };
        match token {
            ">" => self.tail.remove(group, id),
            "*" => {
                let child = self.any.as_mut()?;
                let removed = child.remove(rest, group, id);
                if child.is_empty() {
                    self.any = None;
                }
                removed
            }
            literal => {
                let child = self.literals.get_mut(literal)?;
                let removed = child.remove(rest, group, id);
                if child.is_empty() {
                    self.literals.remove(literal);
                    if self.literals.len() < self.literals.capacity() / 4 {
                        self.literals.shrink_to(self.literals.len() * 2);
                    }
                }
                removed
            }
        }
    }

    /// Adds everything below this node that matches. `rest` is what is left of the subject.
    fn collect(&self, rest: Option<&str>, matched: &mut Matched) {
        let Some((token, rest)) = rest.map(split) else {
            return matched.add(&self.end);
        };
        matched.add(&self.tail);
        if let Some(child) = &self.any {
            child.collect(rest, matched);
        }
        if let Some(child) = self.literals.get(token) {
            child.collect(rest, matched);
        }
    }

    fn is_empty(&self) -> bool {
        self.literals.is_empty() && self.any.is_none() && self.tail.is_empty() && self.end.is_empty()
    }

    fn for_each(&self, visit: &mut impl FnMut(&Arc<Entry>)) {
        for leaf in [&self.tail, &self.end] {
            leaf.plain.iter().for_each(&mut *visit);
            leaf.groups.iter().flat_map(|group| &group.members).for_each(&mut *visit);
        }
        self.any.iter().for_each(|child| child.for_each(visit));
        self.literals.values().for_each(|child| child.for_each(visit));
    }
}

impl Leaf {
    fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.groups.is_empty()
    }

    fn insert(&mut self, group: Option<&QueueGroup>, entry: Arc<Entry>) {
        let Some(name) = group else {
            return self.plain.push(entry);
        };
        match self.groups.iter_mut().find(|group| group.name == *name) {
            Some(group) => group.members.push(entry),
            None => self.groups.push(Group { name: name.clone(), members: vec![entry], turn: Arc::default() }),
        }
    }

    fn remove(&mut self, group: Option<&QueueGroup>, id: u64) -> Option<Arc<Entry>> {
        let Some(name) = group else {
            return take(&mut self.plain, id);
        };
        let at = self.groups.iter().position(|group| group.name == *name)?;
        let removed = take(&mut self.groups[at].members, id);
        if self.groups[at].members.is_empty() {
            self.groups.swap_remove(at);
        }
        removed
    }
}

/// Entries are in order of their ids, so the search is binary and the order of subscription is kept.
fn take(entries: &mut Vec<Arc<Entry>>, id: u64) -> Option<Arc<Entry>> {
    let at = entries.binary_search_by_key(&id, |entry| entry.id).ok()?;
    let removed = entries.remove(at);
    if entries.len() < entries.capacity() / 4 {
        entries.shrink_to(entries.len() * 2);
    }
    Some(removed)
}

/// The first token and what follows it.
fn split(rest: &str) -> (&str, Option<&str>) {
    match rest.split_once('.') {
        Some((token, rest)) => (token, Some(rest)),
        None => (rest, None),
    }
}
