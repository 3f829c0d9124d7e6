//! A stream's consumers, and what a stream lets go of because they are done with it.

use super::Core;
use crate::config::{ConsumerConfig, Name, Retention};
use crate::consumer::{Attempt, ConsumerState, Lease, Most, Settled};
use crate::handle::Unsettled;
use crate::stream::Entry;

impl Core {
    pub(crate) fn key_of(&self, consumer: &Name) -> Option<u32> {
        self.keys.get(consumer).copied()
    }

    pub(crate) fn consumer(&self, key: u32) -> Option<&ConsumerState> {
        self.consumers.get(&key)
    }

    pub(crate) fn consumer_mut(&mut self, key: u32) -> Option<&mut ConsumerState> {
        self.consumers.get_mut(&key)
    }

    pub(crate) fn consumers(&self) -> impl Iterator<Item = (u32, &ConsumerState)> {
        self.consumers.iter().map(|(key, consumer)| (*key, consumer))
    }

    /// The key that the next new consumer gets.
    pub(crate) fn next_key(&self) -> u32 {
        self.next_key
    }

    /// Makes a consumer or changes one. A new one begins with the oldest message.
    pub(crate) fn put_consumer(&mut self, key: u32, config: ConsumerConfig) {
        self.next_key = self.next_key.max(key + 1);
        self.keys.insert(config.name.clone(), key);
        if let Some(consumer) = self.consumers.get_mut(&key) {
            let before = consumer.config.clone();
            consumer.configure(config, &self.index);
            self.let_go(&before);
        } else {
            let mut consumer = ConsumerState::new(config, 0);
            consumer.count_unread(&self.index);
            self.consumers.insert(key, consumer);
        }
    }

    /// Removes a consumer. What only it still needed goes with it, as retention says.
    pub(crate) fn delete_consumer(&mut self, key: u32) {
        if let Some(consumer) = self.consumers.remove(&key) {
            self.keys.remove(&consumer.config.name);
            self.let_go(&consumer.config);
        }
    }

    /// A consumer does not want any more what it wanted before: where interest is what counts, that may have been the last.
    fn let_go(&mut self, before: &ConsumerConfig) {
        if self.config.retention == Retention::Interest && self.knows_all {
            let let_go = |(_, entry): &(u64, &Entry)| before.wants(&entry.subject);
            self.drop_where(|core, message| let_go(message) && !core.is_needed(*message));
        }
    }

    /// A filter of another consumer that shares a subject with this one's, on a work queue, where each message has one consumer.
    pub(crate) fn overlapping(&self, config: &ConsumerConfig) -> Option<&Name> {
        if self.config.retention != Retention::WorkQueue {
            return None;
        }
        let overlap = |other: &&ConsumerState| {
            other.config.name != config.name
                && match (&other.config.filter, &config.filter) {
                    (Some(one), Some(two)) => super::overlap(one.as_str(), two.as_str()),
                    _ => true,
                }
        };
        self.consumers.values().find(overlap).map(|other| &other.config.name)
    }

    pub(crate) fn lease(&mut self, key: u32, most: Most, now_ms: u64) -> Vec<Lease> {
        let (index, visible) = (&self.index, self.visible);
        self.consumers.get_mut(&key).map(|consumer| consumer.lease(index, visible, most, now_ms)).unwrap_or_default()
    }

    /// A consumer is done with a message, and so may be the stream.
    pub(crate) fn settle(&mut self, key: u32, sequence: u64) -> Settled {
        let settled = self.consumers.get_mut(&key).map_or(Settled::Stale, |consumer| consumer.settle(sequence));
        if settled == Settled::Done
            && self.config.retention != Retention::Limits
            && self.knows_all
            && self.index.get(sequence).is_some_and(|entry| !self.is_needed((sequence, entry)))
        {
            self.drop_message(sequence);
        }
        settled
    }

    /// Whether some worker has a message.
    pub(crate) fn is_in_hand(&self, sequence: u64) -> bool {
        self.consumers.values().any(|consumer| consumer.is_in_hand(sequence))
    }

    /// Who has not settled a message, which is there.
    pub(crate) fn unsettled(&self, sequence: u64) -> Option<Unsettled> {
        let entry = self.index.get(sequence)?;
        let wanting = || self.consumers.values().filter(|consumer| consumer.config.wants(&entry.subject));
        let unsettled = wanting().filter(|consumer| !consumer.is_done_with(sequence));
        let consumers = unsettled.map(|consumer| (consumer.config.name.clone(), consumer.attempts(sequence))).collect();
        Some(Unsettled { sequence, consumers, is_wanted: wanting().next().is_some() })
    }

    /// Whether some consumer that wants a message is not done with it.
    fn is_needed(&self, (sequence, entry): (u64, &Entry)) -> bool {
        self.consumers.values().any(|consumer| consumer.config.wants(&entry.subject) && !consumer.is_done_with(sequence))
    }

    /// Drops what was settled while not every consumer was known to be.
    pub(super) fn drop_what_is_done(&mut self) {
        if self.config.retention != Retention::Limits {
            let is_wanted = |core: &Self, entry: &Entry| core.consumers.values().any(|consumer| consumer.config.wants(&entry.subject));
            self.drop_where(|core, message| is_wanted(core, message.1) && !core.is_needed(*message));
        }
    }

    fn drop_where(&mut self, goes: impl Fn(&Self, &(u64, &Entry)) -> bool) {
        let gone: Vec<_> = self.index.range(0..=u64::MAX).filter(|message| goes(self, message)).map(|(sequence, _)| sequence).collect();
        gone.into_iter().for_each(|sequence| self.drop_message(sequence));
    }

    /// A delivery ended without an ack.
    pub(crate) fn fail(&mut self, key: u32, sequence: u64, attempt: Attempt, not_before_ms: u64) {
        if let Some(consumer) = self.consumers.get_mut(&key) {
            consumer.fail(sequence, attempt, not_before_ms);
        }
    }
}
