//! How much is in a stream, and how far its consumers are.

use crate::config::{ConsumerConfig, StreamConfig};
use crate::stream::State;

/// How much is in a stream.
#[derive(Debug, Clone)]
pub struct StreamInfo {
    /// What it was asked to do.
    pub config: StreamConfig,
    /// Messages in it.
    pub messages: u64,
    /// Bytes of their records.
    pub bytes: u64,
    /// Bytes of its files.
    pub disk_bytes: u64,
    /// Lowest sequence, 0 if it is empty.
    pub first_sequence: u64,
    /// Highest sequence that was ever given.
    pub last_sequence: u64,
    /// When its oldest message was stored, in milliseconds since 1970.
    pub first_ms: Option<u64>,
    /// Subjects with messages.
    pub subjects: usize,
    /// Messages that went because of a limit of count or bytes, since the stream was made.
    pub evicted: u64,
    /// Messages that went because of their age or TTL.
    pub expired: u64,
    /// Messages that were deleted or purged.
    pub removed: u64,
    /// Message ids that were forgotten before their window ended.
    pub ids_forgotten: u64,
    /// Whether the disk was full when it was last asked for space.
    pub is_disk_full: bool,
    /// Its consumers.
    pub consumers: Vec<ConsumerInfo>,
}

/// How far a consumer is.
#[derive(Debug, Clone)]
pub struct ConsumerInfo {
    /// What it was asked to do.
    pub config: ConsumerConfig,
    /// Messages that it wants and was not given yet.
    pub waiting: u64,
    /// Messages that it was given and has not settled.
    pub in_flight: usize,
    /// Sequence of the oldest of these.
    pub oldest_pending: Option<u64>,
    /// When the oldest message that it has not settled was stored, given or not.
    pub oldest_ms: Option<u64>,
    /// Deliveries since it was made, redeliveries among them.
    pub delivered: u64,
    /// Deliveries beyond the first of a message.
    pub redelivered: u64,
    /// Messages that it settled.
    pub acked: u64,
}

pub(super) fn info(state: &State) -> StreamInfo {
    let core = &state.core;
    let first = core.index.first();
    StreamInfo {
        config: core.config.clone(),
        messages: core.index.len(),
        bytes: core.index.bytes(),
        disk_bytes: state.disk_bytes(),
        first_sequence: first.map_or(0, |(sequence, _)| sequence),
        last_sequence: core.last_sequence(),
        first_ms: first.map(|(_, entry)| entry.stored_ms),
        subjects: core.index.subjects(),
        evicted: core.counts.evicted,
        expired: core.counts.expired,
        removed: core.counts.removed,
        ids_forgotten: core.ids().1,
        is_disk_full: state.tail.is_full(),
        consumers: core.consumers().filter_map(|(key, _)| consumer_info(state, key)).collect(),
    }
}

pub(super) fn consumer_info(state: &State, key: u32) -> Option<ConsumerInfo> {
    let consumer = state.core.consumer(key)?;
    let oldest_pending = consumer.oldest_pending();
    let first_unread = || {
        let unread = state.core.index.range(consumer.cursor().saturating_add(1)..=u64::MAX);
        unread.filter(|(_, entry)| consumer.config.wants(&entry.subject)).map(|(sequence, _)| sequence).next()
    };
    // Looking for something where nothing is would take as long as the stream is.
    let oldest = oldest_pending.or_else(|| if consumer.unread() > 0 { first_unread() } else { None });
    Some(ConsumerInfo {
        config: consumer.config.clone(),
        in_flight: consumer.in_flight(),
        oldest_pending,
        oldest_ms: oldest.and_then(|sequence| state.core.index.get(sequence)).map(|entry| entry.stored_ms),
        delivered: consumer.delivered,
        redelivered: consumer.redelivered,
        acked: consumer.acked,
        waiting: consumer.unread(),
    })
}
