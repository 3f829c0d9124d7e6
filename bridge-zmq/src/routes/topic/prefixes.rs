//! Who wants a message: byte-prefix subscriptions of many subscribers, as a publisher of libzmq keeps them.
//!
//! A subscriber has a prefix or has it not: SUB and XSUB of libzmq count equal subscriptions themselves, send each of them, and cancel only with the
//! last, so a publisher that counted too would never be rid of them. The empty prefix, which nearly every agent uses, is kept apart from the
//! others, so that it costs nothing per message. The others are kept in byte order: a match looks up the greatest prefix not above the topic, and
//! from what that has in common with the topic, the next shorter one; usually one or two look-ups.
//!
//! Bounds, per subscriber: [`PREFIXES_MAX`] prefixes, each at most [`PREFIX_BYTES_MAX`] long, together at most [`PREFIXES_BYTES_MAX`]; more are
//! refused and counted by the caller. Memory is a small multiple of the bytes subscribed to, whatever they are.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::ops::Bound;

use hashbrown::{HashMap, HashSet};

/// Prefixes one subscriber may hold.
pub(crate) const PREFIXES_MAX: usize = 4096;

/// Bytes of one prefix: a longer one says more about its sender than about a topic.
pub(crate) const PREFIX_BYTES_MAX: usize = 1024;

/// Bytes of all prefixes of one subscriber: 4096 topics of 32 bytes.
pub(crate) const PREFIXES_BYTES_MAX: usize = 128 * 1024;

/// Subscriptions of subscribers named by `K`.
#[derive(Debug)]
pub(crate) struct Prefixes<K> {
    /// What a disconnect has to take back, the empty prefix included.
    subscribers: HashMap<K, Held>,
    everything: HashSet<K>,
    filters: BTreeMap<Box<[u8]>, Vec<K>>,
}

/// What one subscriber has subscribed to.
#[derive(Debug, Default)]
struct Held {
    prefixes: HashSet<Box<[u8]>>,
    bytes: usize,
}

impl<K> Default for Prefixes<K> {
    fn default() -> Self {
        Self { subscribers: HashMap::new(), everything: HashSet::new(), filters: BTreeMap::new() }
    }
}

impl<K: Copy + Eq + Hash> Prefixes<K> {
    /// Adds a subscription; `false` when a bound refuses it.
    pub(crate) fn subscribe(&mut self, key: K, prefix: &[u8]) -> bool {
        if prefix.len() > PREFIX_BYTES_MAX {
            return false;
        }
        let held = self.subscribers.entry(key).or_default();
        if held.prefixes.contains(prefix) {
            return true;
        }
        if held.prefixes.len() >= PREFIXES_MAX || held.bytes + prefix.len() > PREFIXES_BYTES_MAX {
            return false;
        }
        held.prefixes.insert(prefix.into());
        held.bytes += prefix.len();
        if prefix.is_empty() {
            self.everything.insert(key);
        } else if let Some(keys) = self.filters.get_mut(prefix) {
            keys.push(key);
        } else {
            self.filters.insert(prefix.into(), vec![key]);
        }
        true
    }

    /// Takes a subscription back, however often it was made. One that was never made is ignored, as libzmq does.
    pub(crate) fn cancel(&mut self, key: K, prefix: &[u8]) {
        let Some(held) = self.subscribers.get_mut(&key) else { return };
        if held.prefixes.remove(prefix) {
            held.bytes -= prefix.len();
            self.forget(key, prefix);
        }
    }

    /// Takes back everything a subscriber has subscribed to.
    pub(crate) fn remove(&mut self, key: K) {
        for prefix in self.subscribers.remove(&key).unwrap_or_default().prefixes {
            self.forget(key, &prefix);
        }
    }

    fn forget(&mut self, key: K, prefix: &[u8]) {
        if prefix.is_empty() {
            self.everything.remove(&key);
        } else if let Some(keys) = self.filters.get_mut(prefix) {
            keys.retain(|other| *other != key);
            if keys.is_empty() {
                self.filters.remove(prefix);
            }
        }
    }

    /// Subscribers to everything: the same for every message.
    pub(crate) fn everything(&self) -> impl Iterator<Item = K> + '_ {
        self.everything.iter().copied()
    }

    /// Whether anybody has subscribed to anything.
    pub(crate) fn is_any(&self) -> bool {
        !self.everything.is_empty() || !self.filters.is_empty()
    }

    /// Whether anybody has a subscription that needs a look at the message.
    pub(crate) fn has_filters(&self) -> bool {
        !self.filters.is_empty()
    }

    /// Calls `found` for each subscriber, those to everything excepted, of which some prefix begins `topic`; possibly more than once for one.
    pub(crate) fn matching(&self, topic: &[u8], mut found: impl FnMut(K)) {
        // No prefix is longer, so no comparison needs to be.
        let mut rest = &topic[..topic.len().min(PREFIX_BYTES_MAX)];
        while !rest.is_empty() {
            let Some((prefix, keys)) = self.filters.range::<[u8], _>((Bound::Unbounded, Bound::Included(rest))).next_back() else { return };
            let common = rest.iter().zip(prefix).take_while(|(a, b)| a == b).count();
            if common < prefix.len() {
                // The greatest prefix not above `rest` leaves it here, so none that follows it further exists.
                rest = &rest[..common];
                continue;
            }
            for key in keys {
                if !self.everything.contains(key) {
                    found(*key);
                }
            }
            rest = &rest[..common - 1];
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

    /// Counted, a SUB of libzmq that had subscribed twice and cancelled twice went on to get messages: it sends the last cancellation only.
    #[test]
    fn one_cancellation_ends_equal_subscriptions() {
        let mut prefixes = Prefixes::default();
        assert!(prefixes.subscribe(1, b"a") && prefixes.subscribe(1, b"a") && prefixes.subscribe(2, b"a"));
        prefixes.cancel(1, b"a");
        assert_eq!(matches(&prefixes, b"ab"), [2]);
    }

    #[test]
    fn a_subscriber_is_bounded() {
        let mut prefixes = Prefixes::default();
        assert!((0..PREFIXES_MAX as u32).all(|number| prefixes.subscribe(1, &number.to_be_bytes())));
        assert!(!prefixes.subscribe(1, b"one more"));
        assert!(!prefixes.subscribe(2, &[0; PREFIX_BYTES_MAX + 1]));
    }

    #[test]
    fn a_subscriber_is_bounded_in_bytes_and_may_exchange_them() {
        let mut prefixes = Prefixes::default();
        let long = |number: u16| [&[7; PREFIX_BYTES_MAX - 2][..], &number.to_be_bytes()].concat();
        let taken = (0..1000).filter(|number| prefixes.subscribe(1, &long(*number))).count();
        assert_eq!(taken, PREFIXES_BYTES_MAX / PREFIX_BYTES_MAX);
        prefixes.cancel(1, &long(0));
        assert!(prefixes.subscribe(1, &long(999)));
        assert!(!prefixes.subscribe(1, b"x"));
        assert!(prefixes.subscribe(2, b"x"), "others have bounds of their own");
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
                        model.retain(|held| *held != (key, prefix.clone()));
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
            prop_assert_eq!(prefixes.is_any(), !model.is_empty());
            if model.is_empty() {
                prop_assert!(prefixes.filters.is_empty(), "nothing is left behind");
            }
        }
    }
}
