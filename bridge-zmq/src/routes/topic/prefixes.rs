//! Who wants a message: byte-prefix subscriptions of many subscribers, counted as libzmq counts them.
//!
//! A subscriber that subscribes twice to a prefix must cancel twice. The empty prefix, which nearly every agent uses, is kept apart from the trie,
//! so that it costs nothing per message. Matching walks at most as many nodes as the longest subscribed prefix has bytes.
//!
//! Bounds: [`PREFIXES_MAX`] prefixes per subscriber, each at most [`PREFIX_BYTES_MAX`] long; more are refused and counted by the caller.

use std::hash::Hash;

use hashbrown::{HashMap, HashSet};

/// Prefixes one subscriber may hold.
pub(crate) const PREFIXES_MAX: usize = 4096;

/// Bytes of one prefix: a longer one says more about its sender than about a topic.
pub(crate) const PREFIX_BYTES_MAX: usize = 1024;

/// Subscriptions of subscribers named by `K`.
#[derive(Debug)]
pub(crate) struct Prefixes<K> {
    /// Prefix counts of each subscriber, the empty prefix included: what a disconnect has to take back.
    subscribers: HashMap<K, HashMap<Box<[u8]>, u32>>,
    everything: HashSet<K>,
    root: Node<K>,
}

#[derive(Debug)]
struct Node<K> {
    here: Vec<K>,
    children: HashMap<u8, Self>,
}

impl<K> Default for Node<K> {
    fn default() -> Self {
        Self { here: Vec::new(), children: HashMap::new() }
    }
}

impl<K> Default for Prefixes<K> {
    fn default() -> Self {
        Self {
            subscribers: HashMap::new(),
            everything: HashSet::new(),
            root: Node::default(),
        }
    }
}

impl<K: Copy + Eq + Hash> Prefixes<K> {
    /// Adds a subscription; `false` when a bound refuses it.
    pub(crate) fn subscribe(&mut self, key: K, prefix: &[u8]) -> bool {
        if prefix.len() > PREFIX_BYTES_MAX {
            return false;
        }
        let held = self.subscribers.entry(key).or_default();
        if let Some(count) = held.get_mut(prefix) {
            *count = count.saturating_add(1);
            return true;
        }
        if held.len() >= PREFIXES_MAX {
            return false;
        }
        held.insert(prefix.into(), 1);
        if prefix.is_empty() {
            self.everything.insert(key);
        } else {
            self.root.insert(prefix, key);
        }
        true
    }

    /// Takes one subscription back. One that was never made is ignored, as libzmq does.
    pub(crate) fn cancel(&mut self, key: K, prefix: &[u8]) {
        let Some(held) = self.subscribers.get_mut(&key) else { return };
        let Some(count) = held.get_mut(prefix) else { return };
        *count -= 1;
        if *count == 0 {
            held.remove(prefix);
            self.forget(key, prefix);
        }
    }

    /// Takes back everything a subscriber has subscribed to.
    pub(crate) fn remove(&mut self, key: K) {
        for prefix in self.subscribers.remove(&key).unwrap_or_default().keys() {
            self.forget(key, prefix);
        }
    }

    fn forget(&mut self, key: K, prefix: &[u8]) {
        if prefix.is_empty() {
            self.everything.remove(&key);
        } else {
            self.root.remove(prefix, key);
        }
    }

    /// Subscribers to everything: the same for every message.
    pub(crate) fn everything(&self) -> impl Iterator<Item = K> + '_ {
        self.everything.iter().copied()
    }

    /// Whether anybody has a subscription that needs a look at the message.
    pub(crate) fn has_filters(&self) -> bool {
        !self.root.children.is_empty()
    }

    /// Calls `found` for each subscriber, those to everything excepted, of which some prefix begins `topic`; possibly more than once for one.
    pub(crate) fn matching(&self, topic: &[u8], mut found: impl FnMut(K)) {
        let mut node = &self.root;
        for byte in topic {
            let Some(child) = node.children.get(byte) else { return };
            node = child;
            for key in &node.here {
                if !self.everything.contains(key) {
                    found(*key);
                }
            }
        }
    }
}

impl<K: Copy + Eq> Node<K> {
    fn insert(&mut self, prefix: &[u8], key: K) {
        let node = prefix.iter().fold(self, |node, byte| node.children.entry(*byte).or_default());
        node.here.push(key);
    }

    /// Removes the key at `prefix` and, on the way back, every node that has become empty.
    fn remove(&mut self, prefix: &[u8], key: K) {
        // A loop with a stack of parents would need raw pointers; the depth is at most `PREFIX_BYTES_MAX`.
        let Some((byte, rest)) = prefix.split_first() else {
            self.here.retain(|other| *other != key);
            return;
        };
        if let Some(child) = self.children.get_mut(byte) {
            child.remove(rest, key);
            if child.here.is_empty() && child.children.is_empty() {
                self.children.remove(byte);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(prefixes: &Prefixes<u8>, topic: &[u8]) -> Vec<u8> {
        let mut found: Vec<u8> = prefixes.everything().collect();
        prefixes.matching(topic, |key| found.push(key));
        found.sort_unstable();
        found.dedup();
        found
    }

    #[test]
    fn a_prefix_with_a_colon_does_not_match_one_without() {
        let mut prefixes = Prefixes::default();
        assert!(prefixes.subscribe(1, b"ERROR:"));
        assert!(prefixes.subscribe(2, b"ERROR"));
        assert_eq!(matches(&prefixes, b"ERROR:{}"), [1, 2]);
        assert_eq!(matches(&prefixes, b"ERROR"), [2]);
    }

    #[test]
    fn a_subscriber_is_bounded() {
        let mut prefixes = Prefixes::default();
        assert!((0..PREFIXES_MAX as u32).all(|number| prefixes.subscribe(1, &number.to_be_bytes())));
        assert!(!prefixes.subscribe(1, b"one more"));
        assert!(!prefixes.subscribe(2, &[0; PREFIX_BYTES_MAX + 1]));
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_list(
            steps in prop::collection::vec((0u8..7, 0u8..4, prop::collection::vec(0u8..3, 0..4)), 0..80),
            topic in prop::collection::vec(0u8..3, 0..6),
        ) {
            let mut prefixes = Prefixes::default();
            let mut model: Vec<(u8, Vec<u8>)> = Vec::new();
            for (kind, key, prefix) in steps {
                match kind {
                    0..=3 => {
                        prop_assert!(prefixes.subscribe(key, &prefix));
                        model.push((key, prefix));
                    }
                    4 | 5 => {
                        prefixes.cancel(key, &prefix);
                        if let Some(index) = model.iter().position(|held| *held == (key, prefix.clone())) { model.remove(index); }
                    }
                    _ => {
                        prefixes.remove(key);
                        model.retain(|(other, _)| *other != key);
                    }
                }
            }
            let mut expected: Vec<u8> = model.iter().filter(|(_, prefix)| topic.starts_with(prefix)).map(|(key, _)| *key).collect();
            expected.sort_unstable();
            expected.dedup();
            prop_assert_eq!(matches(&prefixes, &topic), expected);
            if model.is_empty() {
                prop_assert!(prefixes.root.children.is_empty(), "empty nodes are pruned");
            }
        }
    }
}
