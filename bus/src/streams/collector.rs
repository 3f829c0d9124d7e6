//! How full streams are and how far their consumers, read when somebody asks.
//!
//! Streams and consumers are labels by their names: they are made by operators, a handful of each. So that a program that makes them by the
//! thousand does not make as many series, the first [`STREAMS_MAX`] and [`CONSUMERS_MAX`] are told, and a gauge says how many are not.

use std::fmt;
use std::sync::Arc;

use myelin_store::{Attempt, ConsumerInfo, StreamInfo};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::dead::DEAD_LETTERS;
use super::engine::Streams;
use crate::Bus;

/// Most streams and consumers with series of their own.
const STREAMS_MAX: usize = 128;
const CONSUMERS_MAX: usize = 512;

/// Metrics of the streams of a bus, under `myelin_stream_…`, `myelin_consumer_…` and `myelin_dead_letters…`.
#[derive(Debug)]
pub struct StreamsCollector {
    streams: Option<Arc<Streams>>,
}

impl StreamsCollector {
    /// For the streams in the store of `bus`; a bus without a store has none.
    pub fn new(bus: &Bus) -> Self {
        Self { streams: bus.shared().streams.clone() }
    }
}

impl Collector for StreamsCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(streams) = &self.streams else { return Ok(()) };
        let infos = streams.infos();
        let now_ms = Attempt::now_ms();
        let age = |at_ms: Option<u64>| at_ms.map_or(0.0, |at_ms| now_ms.saturating_sub(at_ms) as f64 / 1_000.0);
        let told = &infos[..infos.len().min(STREAMS_MAX)];
        let consumers: Vec<(&str, &ConsumerInfo)> =
            told.iter().flat_map(|stream| stream.consumers.iter().map(|consumer| (stream.config.name.as_str(), consumer))).collect();
        let untold = infos.len() - told.len() + consumers.len().saturating_sub(CONSUMERS_MAX);
        let consumers = &consumers[..consumers.len().min(CONSUMERS_MAX)];

        let mut of_streams = |name: &str, help: &str, value: &dyn Fn(&StreamInfo) -> f64| {
            let rows = told.iter().map(|info| (vec![("stream", info.config.name.as_str())], value(info)));
            gauges(&mut encoder, name, help, rows)
        };
        of_streams("myelin_stream_messages", "Messages in a stream", &|info| info.messages as f64)?;
        of_streams("myelin_stream_bytes", "Bytes of the messages in a stream", &|info| info.bytes as f64)?;
        of_streams("myelin_stream_disk_bytes", "Bytes of a stream's files", &|info| info.disk_bytes as f64)?;
        of_streams("myelin_stream_oldest_age_seconds", "Age of the oldest message in a stream, 0 if there is none", &|info| {
            age(info.first_ms)
        })?;
        of_streams("myelin_stream_disk_full", "1 while a stream's disk has no room for another message", &|info| {
            f64::from(u8::from(info.is_disk_full))
        })?;
        let mut of_consumers = |name: &str, help: &str, value: &dyn Fn(&ConsumerInfo) -> f64| {
            let rows = consumers.iter().map(|(stream, info)| (labels(stream, info), value(info)));
            gauges(&mut encoder, name, help, rows)
        };
        of_consumers("myelin_consumer_waiting_messages", "Messages that a consumer was not given yet", &|info| info.waiting as f64)?;
        of_consumers("myelin_consumer_in_flight_messages", "Messages in the hands of a consumer's workers", &|info| info.in_flight as f64)?;
        of_consumers("myelin_consumer_oldest_age_seconds", "Age of the oldest message that a consumer has not settled", &|info| {
            age(info.oldest_ms)
        })?;
        of_consumers("myelin_consumer_redelivered_messages", "Deliveries beyond the first of a message", &|info| info.redelivered as f64)?;
        let mut family = encoder.encode_descriptor(
            "myelin_dead_letters_written",
            "Messages that became dead letters since the start, by reason",
            None,
            MetricType::Counter,
        )?;
        for (reason, count) in streams.letters() {
            ConstCounter::new(count).encode(family.encode_family(&[("reason", reason.as_str())])?)?;
        }
        let dead = infos.iter().find(|info| info.config.name.as_str() == DEAD_LETTERS);
        let mut one = |name: &str, help: &str, value: f64| {
            let encoder = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(encoder)
        };
        one(
            "myelin_dead_letters",
            "Messages that nobody could handle and that wait for an operator",
            dead.map_or(0.0, |info| info.messages as f64),
        )?;
        one(
            "myelin_dead_letters_oldest_age_seconds",
            "Age of the oldest dead letter, 0 if there is none",
            dead.map_or(0.0, |info| age(info.first_ms)),
        )?;
        one("myelin_streams_untold", "Streams and consumers beyond those with metrics of their own", untold as f64)
    }
}

fn labels<'a>(stream: &'a str, consumer: &'a ConsumerInfo) -> Vec<(&'static str, &'a str)> {
    vec![("stream", stream), ("consumer", consumer.config.name.as_str())]
}

fn gauges<'a>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: impl Iterator<Item = (Vec<(&'static str, &'a str)>, f64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, value) in rows {
        let encoder = family.encode_family(&labels)?;
        ConstGauge::new(value).encode(encoder)?;
    }
    Ok(())
}
