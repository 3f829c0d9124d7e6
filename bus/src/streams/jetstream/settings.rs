//! Our settings of streams and consumers as a server's, and back.
//!
//! All of ours stand in the metadata too: the server has no word for some of them, and a rounded one is not what was asked for.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, Config as ServerConsumer};
use async_nats::jetstream::stream::{Config as ServerStream, DiscardPolicy, PersistenceMode, RetentionPolicy, StorageType};
use myelin_store::{ConsumerConfig, Durability, Name, OnFull, Retention, StreamConfig};

use super::super::api::{asked, describe};
use super::{own_name, server_name};
use crate::wire::{Filter, limits};

/// Where ours are in the metadata.
const OURS: &str = "myelin";
/// The server's shortest window.
const WINDOW_MIN: Duration = Duration::from_millis(100);
/// How much longer than its TTL a message is kept that becomes a dead letter when it expires: for the sweeper to come by.
pub(super) const GRACE: Duration = Duration::from_secs(3_600);

pub(super) fn stream(config: &StreamConfig, has_ttl: bool, replicas: usize) -> ServerStream {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let grace = if config.dead_letter_expired { GRACE } else { Duration::ZERO };
    let max_age = config.age_max.map(|age| age.saturating_add(grace)).unwrap_or_default();
    let window = config.dedup_window.max(WINDOW_MIN);
    ServerStream {
        name: server_name(&config.name),
        subjects: essential(&config.subjects).map(|filter| filter.as_str().to_owned()).collect(),
        retention: match config.retention {
            Retention::Limits => RetentionPolicy::Limits,
            Retention::WorkQueue => RetentionPolicy::WorkQueue,
            Retention::Interest => RetentionPolicy::Interest,
        },
        discard: match config.on_full {
            OnFull::Reject => DiscardPolicy::New,
            OnFull::DropOldest => DiscardPolicy::Old,
        },
        max_messages: number(config.messages_max),
        max_bytes: number(config.bytes_max),
        max_age,
        max_message_size: message_size(config.message_bytes_max),
        // The server refuses a window that is longer than the oldest message is old.
        duplicate_window: if max_age.is_zero() { window } else { window.min(max_age) },
        storage: if config.durability == Durability::Memory { StorageType::Memory } else { StorageType::File },
        persist_mode: (config.durability == Durability::OsBuffered && replicas == 1).then_some(PersistenceMode::Async),
        num_replicas: replicas,
        allow_message_ttl: has_ttl,
        // For whoever sweeps.
        allow_direct: true,
        metadata: HashMap::from([(OURS.to_owned(), describe::config(config).to_string())]),
        ..ServerStream::default()
    }
}

/// Filters without those that others contain: the server stores once what several of ours match, but wants them told apart.
fn essential(filters: &[Filter]) -> impl Iterator<Item = &Filter> {
    filters
        .iter()
        .enumerate()
        .filter(|&(at, filter)| {
            let is_spare =
                |(other_at, other): (usize, &Filter)| other_at != at && covers(other, filter) && !(covers(filter, other) && at < other_at);
            !filters.iter().enumerate().any(is_spare)
        })
        .map(|(_, filter)| filter)
}

/// Whether every subject that `part` matches is matched by `whole`.
fn covers(whole: &Filter, part: &Filter) -> bool {
    let mut parts = part.tokens();
    for token in whole.tokens() {
        match (token, parts.next()) {
            (_, None) | ("*", Some(">")) => return false,
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (literal, Some(other)) if literal == other => {}
            _ => return false,
        }
    }
    parts.next().is_none()
}

/// The server counts headers too, and knows no limit by -1.
fn message_size(bytes_max: u64) -> i32 {
    if bytes_max >= limits::PAYLOAD_BYTES_CEILING as u64 { -1 } else { i32::try_from(bytes_max).unwrap_or(-1) }
}

/// Our settings of a server's stream, if it is ours.
pub(super) fn own_stream(server: &ServerStream) -> Option<StreamConfig> {
    asked::stream_config(own_name(&server.name)?, server.metadata.get(OURS)?.as_bytes()).ok()
}

pub(super) fn consumer(config: &ConsumerConfig) -> ServerConsumer {
    ServerConsumer {
        name: Some(config.name.to_string()),
        durable_name: Some(config.name.to_string()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: config.ack_wait,
        max_deliver: -1,
        max_ack_pending: i64::try_from(config.in_flight_max).unwrap_or(i64::MAX),
        filter_subject: config.filter.as_ref().map(|filter| filter.as_str().to_owned()).unwrap_or_default(),
        metadata: HashMap::from([(OURS.to_owned(), describe::consumer_config(config).to_string())]),
        ..ServerConsumer::default()
    }
}

/// Our settings of a server's consumer, if it is ours.
pub(super) fn own_consumer(name: &str, server: &ServerConsumer) -> Option<ConsumerConfig> {
    asked::consumer_config(Name::new(name).ok()?, server.metadata.get(OURS)?.as_bytes()).ok()
}

/// What a reader of all of a stream looks for.
pub(super) const EVERYTHING: &str = ">";

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(texts: &[&str]) -> Vec<Filter> {
        texts.iter().map(|text| Filter::new(text).unwrap()).collect()
    }

    #[test]
    fn what_another_filter_contains_is_left_out() {
        for (given, kept) in [
            (&["a.*", "a.>"][..], &["a.>"][..]),
            (&["a.b", "a.*", "a.c.d"], &["a.*", "a.c.d"]),
            (&["a", "a"], &["a"]),
            (&["a.*.c", "a.b.c", "*.b.d"], &["a.*.c", "*.b.d"]),
            (&["a.>", "a"], &["a.>", "a"]),
            (&[">", "a.>", "b"], &[">"]),
        ] {
            let given = filters(given);
            assert_eq!(essential(&given).map(Filter::as_str).collect::<Vec<_>>(), kept);
        }
    }
}
