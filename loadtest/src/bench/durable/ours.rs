//! Our side: the public API of a bus, embedded or attached to a sidecar.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use myelin_bus::streams::{Consumer, ConsumerConfig, Job, Name, PublishOptions, StreamConfig};
use myelin_bus::wire::{Body, Filter, Subject};
use myelin_bus::{Bus, Message};
use tokio::task::JoinSet;

use super::seen::Seen;
use super::{Ack, Done, PAYLOAD_BYTES, Pull, Until};
use crate::failure::{Doing, Failure, Outcome};
use crate::payload;

/// No limit of the stream ends a cell.
const MESSAGES_MAX: u64 = 1 << 32;
const BYTES_MAX: u64 = 1 << 35;
/// How long a worker waits for messages when there are none left.
const FETCH_WAIT: Duration = Duration::from_millis(500);

/// A bus with streams.
#[derive(Debug)]
pub(super) struct Ours {
    pub(super) bus: Bus,
}

impl Ours {
    pub(super) async fn make(&self, stream: &str) -> Outcome<()> {
        let filter = Filter::new(&format!("load.{stream}")).doing(|| "naming the filter".to_owned())?;
        let mut config = StreamConfig::new(name(stream)?, vec![filter]);
        (config.messages_max, config.bytes_max) = (MESSAGES_MAX, BYTES_MAX);
        self.bus.ensure_stream(&config).await.map(drop).doing(|| format!("making the stream {stream}"))
    }

    pub(super) async fn publish(&self, stream: &str, window: usize, until: Until) -> Outcome<Done> {
        let subject = Subject::new(&format!("load.{stream}")).doing(|| "naming the subject".to_owned())?;
        let (bus, options) = (&self.bus, &PublishOptions::default());
        let one = |number: u64| {
            let mut buffer = [b'x'; PAYLOAD_BYTES];
            payload::stamp(&mut buffer, number, 0);
            let message = Message::new(subject.clone(), Body::Blob(Bytes::copy_from_slice(&buffer)));
            async move { bus.publish_durable(&message, options).await }
        };
        let started = Instant::now();
        let mut outstanding = FuturesUnordered::new();
        let (mut sent, mut acked) = (0, 0);
        loop {
            while outstanding.len() < window && !until.is_over(started, sent) {
                outstanding.push(one(sent));
                sent += 1;
            }
            let Some(receipt) = outstanding.next().await else { break };
            let receipt = receipt.doing(|| "publishing".to_owned())?;
            if receipt.is_duplicate {
                return Err(Failure::new("a message was taken for a duplicate"));
            }
            acked += 1;
        }
        Ok(Done { messages: acked, took: started.elapsed() })
    }

    /// As many workers as batches fit in flight: while one waits for its acks, the others pull.
    pub(super) async fn pull(&self, stream: &str, pull: Pull) -> Outcome<Done> {
        if pull.ack == Ack::Sent {
            return Err(Failure::new("our acks are always confirmed"));
        }
        let mut config = ConsumerConfig::new(name("load")?);
        config.in_flight_max = pull.in_flight;
        let consumer = self.bus.ensure_consumer(&name(stream)?, &config).await.doing(|| "making the consumer".to_owned())?;
        let left = Arc::new(AtomicU64::new(pull.messages));
        let started = Instant::now();
        let mut workers = JoinSet::new();
        for _ in 0..pull.in_flight.div_ceil(pull.batch) {
            workers.spawn(work(consumer.clone(), pull.batch, Arc::clone(&left)));
        }
        let (mut seen, mut took) = (Seen::of(pull.messages), Duration::ZERO);
        while let Some(worker) = workers.join_next().await {
            let (numbers, last) = worker.doing(|| "running a worker".to_owned())??;
            numbers.into_iter().for_each(|number| seen.mark(number));
            took = took.max(last.duration_since(started));
        }
        seen.check()?;
        let info = consumer.info().await.doing(|| "asking for the consumer".to_owned())?;
        if (info.acked, info.in_flight, info.waiting) != (pull.messages, 0, 0) {
            return Err(Failure::new(format!("{} were acked, {} are in flight, {} wait", info.acked, info.in_flight, info.waiting)));
        }
        Ok(Done { messages: pull.messages, took })
    }

    pub(super) async fn messages(&self, stream: &str) -> Outcome<u64> {
        let info = self.bus.stream_info(&name(stream)?).await.doing(|| format!("asking for the stream {stream}"))?;
        Ok(info.messages)
    }

    pub(super) async fn remove(&self, stream: &str) -> Outcome<()> {
        self.bus.delete_stream(&name(stream)?).await.map(drop).doing(|| format!("deleting the stream {stream}"))
    }
}

/// Pulls and acks until nothing is left; the numbers it saw, and when its last ack was confirmed.
async fn work(consumer: Consumer, batch: usize, left: Arc<AtomicU64>) -> Outcome<(Vec<u64>, Instant)> {
    let (mut numbers, mut last) = (Vec::new(), Instant::now());
    while left.load(Ordering::Relaxed) > 0 {
        let jobs = consumer.fetch(batch, FETCH_WAIT).await.doing(|| "pulling".to_owned())?;
        if jobs.is_empty() {
            continue;
        }
        numbers.extend(jobs.iter().map(|job| number(job.body())));
        let mut acks: FuturesUnordered<_> = jobs.into_iter().map(Job::ack).collect();
        let mut acked = 0;
        while let Some(ack) = acks.next().await {
            ack.doing(|| "acking".to_owned())?;
            acked += 1;
        }
        last = Instant::now();
        left.fetch_sub(acked, Ordering::Relaxed);
    }
    Ok((numbers, last))
}

fn number(body: &Body) -> u64 {
    match body {
        Body::Blob(bytes) => payload::read(bytes).map_or(u64::MAX, |(number, _)| number),
        Body::Frames(_) => u64::MAX,
    }
}

fn name(text: &str) -> Outcome<Name> {
    Name::new(text).doing(|| "naming a stream".to_owned())
}

impl Until {
    pub(super) fn is_over(self, started: Instant, sent: u64) -> bool {
        match self {
            Self::Elapsed(length) => started.elapsed() >= length,
            Self::Count(count) => sent >= count,
        }
    }
}
