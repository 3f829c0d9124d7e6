//! The stream and the consumer that a pipeline is kept in.

use std::time::Duration;

use myelin_bus::Bus;
use myelin_bus::streams::{Consumer, ConsumerConfig, NAME_BYTES_MAX, Name, OnFull, Retention, StreamConfig, StreamError};
use myelin_bus::wire::Subject;

use super::super::super::RouteError;

/// What the names of these streams begin with.
const PREFIX: &str = "PIPELINE_";

/// The name of the one consumer of such a stream.
const CONSUMER: &str = "pull";

/// Most messages in the hands of all consumers of a pipeline together, and of those that wait to be delivered again: enough for 256 connections, and
/// some 10 MB of bookkeeping.
const IN_FLIGHT_MAX: usize = 65_536;

/// How a durable pipeline keeps its messages. Durations and bounds are those of its stream and consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurableConfig {
    /// Deliveries of one message before it is a dead letter; default 5.
    pub deliveries_max: u32,
    /// How long a consumer may show no progress; default 30 s. Then what it has goes to the next.
    pub ack_wait: Duration,
    /// Most messages that wait; default 1,048,576. Beyond it the producers are held back.
    pub messages_max: u64,
    /// Most bytes that wait; default 1 GiB.
    pub bytes_max: u64,
    /// Oldest message that is delivered; default: any. Older ones go, which is counted.
    pub age_max: Option<Duration>,
}

impl Default for DurableConfig {
    fn default() -> Self {
        let consumer = ConsumerConfig::new(consumer_name());
        let stream = StreamConfig::new(consumer_name(), Vec::new());
        Self {
            deliveries_max: consumer.deliveries_max,
            ack_wait: consumer.ack_wait,
            messages_max: stream.messages_max,
            bytes_max: stream.bytes_max,
            age_max: stream.age_max,
        }
    }
}

/// The name of the stream that the durable pipeline `route` is kept in: `PIPELINE_<route>`. What a stream's name cannot hold becomes `-`, and a
/// name so changed, or one that is too long and was cut, ends in a checksum of the whole.
#[must_use]
pub fn stream_name(route: &str) -> Name {
    if let Ok(name) = Name::new(&format!("{PREFIX}{route}")) {
        return name;
    }
    let checksum = format!("-{:08x}", fnv(route.as_bytes()));
    let legal = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    let stem: String = route.chars().map(legal).take(NAME_BYTES_MAX - PREFIX.len() - checksum.len()).collect();
    Name::new(&format!("{PREFIX}{stem}{checksum}")).expect("every character is a legal one, and they are few enough")
}

/// FNV-1a: short, and the same in every release.
fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

fn consumer_name() -> Name {
    Name::new(CONSUMER).expect("a valid constant")
}

/// The place of a pipeline's messages.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) bus: Bus,
    pub(super) subject: Subject,
    route: String,
    stream: StreamConfig,
    consumer: ConsumerConfig,
}

impl Kept {
    pub(super) fn new(bus: Bus, route: &str, subject: Subject, config: DurableConfig) -> Self {
        let mut stream = StreamConfig::new(stream_name(route), vec![subject.clone().into()]);
        stream.retention = Retention::WorkQueue;
        stream.on_full = OnFull::Reject;
        (stream.messages_max, stream.bytes_max, stream.age_max) = (config.messages_max, config.bytes_max, config.age_max);
        let mut consumer = ConsumerConfig::new(consumer_name());
        (consumer.deliveries_max, consumer.ack_wait, consumer.in_flight_max) = (config.deliveries_max, config.ack_wait, IN_FLIGHT_MAX);
        Self { bus, subject, route: route.to_owned(), stream, consumer }
    }

    pub(super) fn stream(&self) -> &Name {
        &self.stream.name
    }

    pub(super) fn ack_wait(&self) -> Duration {
        self.consumer.ack_wait
    }

    /// Makes the stream and the consumer, or changes them to what the configuration says: also when somebody has deleted them meanwhile.
    pub(super) async fn ensure(&self) -> Result<Consumer, RouteError> {
        let failed = |source: StreamError| RouteError::Stream { route: self.route.clone(), stream: self.stream.name.to_string(), source };
        match self.bus.stream_info(&self.stream.name).await {
            Ok(found) if found.config.subjects != self.stream.subjects || found.config.retention != Retention::WorkQueue => {
                return Err(RouteError::StreamTaken { route: self.route.clone(), stream: self.stream.name.to_string() });
            }
            Ok(_) | Err(StreamError::NoStream { .. }) => {}
            Err(error) => return Err(failed(error)),
        }
        self.bus.ensure_stream(&self.stream).await.map_err(failed)?;
        self.bus.ensure_consumer(&self.stream.name, &self.consumer).await.map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streams_name_is_the_routes_where_that_is_possible_and_its_own_where_not() {
        assert_eq!(stream_name("jobs").as_str(), "PIPELINE_jobs");
        assert_eq!(stream_name("other-jobs_2").as_str(), "PIPELINE_other-jobs_2");
        assert_eq!(stream_name("a.b").as_str(), "PIPELINE_a-b-108bf50c");
        let (dot, blank) = (stream_name("a.b"), stream_name("a b"));
        assert_ne!(dot, blank);
        let long = stream_name(&"x".repeat(80));
        assert_eq!(long.as_str().len(), NAME_BYTES_MAX);
        assert_ne!(long, stream_name(&"x".repeat(81)));
    }
}
