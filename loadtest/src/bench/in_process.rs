//! P8: from `publish` to a subscriber inside one process, through the public API of `myelin-bus`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use myelin_bus::wire::{Body, Filter, Subject};
use myelin_bus::{Bus, EmbeddedConfig, Overflow, Publisher, SubscribeOptions, Subscription};
use tokio::runtime::{Builder, Runtime};

use super::report::{Goal, Report};
use super::{BenchArgs, interleave};
use crate::failure::{Doing, Failure, Outcome};
use crate::latency::{Latency, Summary};
use crate::neighbours::Neighbours;
use crate::pace::Pace;
use crate::payload::{self, END};

const PAYLOAD_BYTES: usize = 64;
const RATE: u64 = 500_000;
const WORKERS: usize = 2;
const BATCH: usize = 64;
/// Messages between two looks at the clock.
const CHECK_EVERY: u64 = 256;
const READER_TIMEOUT: Duration = Duration::from_secs(30);

/// How a cell publishes and receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    /// `publish` to `next`, a body of its own per message: what an agent does.
    Single,
    /// `publish` to `next` with one shared body: the bus without the allocator.
    Shared,
    /// `publish_batch` to `next_batch`: what a bridge does.
    Batch,
    /// On a schedule; the publisher yields to the runtime between messages, as a task does.
    Paced,
    /// On a schedule; the publisher spins on a thread outside the runtime, so each wake-up crosses to another CPU.
    PacedOutside,
}

const CELLS: [Cell; 5] = [Cell::Single, Cell::Shared, Cell::Batch, Cell::Paced, Cell::PacedOutside];

impl Cell {
    fn label(self) -> &'static str {
        match self {
            Self::Single => "publish -> next, own body",
            Self::Shared => "publish -> next, shared body",
            Self::Batch => "batches of 64",
            Self::Paced => "500 k/s, publisher yields",
            Self::PacedOutside => "500 k/s, publisher outside",
        }
    }
}

pub(super) fn run(args: &BenchArgs, neighbours: &mut Neighbours) -> Outcome<Report> {
    let length = Duration::from_secs_f64(args.seconds(2.0));
    let setup = format!(
        "publish -> subscriber in process, {PAYLOAD_BYTES} B, overflow block, {WORKERS} workers, {length:?} x {} rounds interleaved; \
         latency open loop from the intended send time",
        args.rounds
    );
    let mut report = Report::new("P8", setup);
    let runtime = Builder::new_multi_thread().worker_threads(WORKERS).enable_time().build().doing(|| "starting a runtime".to_owned())?;
    interleave(args.rounds, neighbours, &CELLS, |&cell| {
        match cell {
            Cell::Single | Cell::Shared | Cell::Batch => {
                let rate = throughput(&runtime, cell, length)?;
                report.add("embedded", cell.label(), "msgs/s", rate);
            }
            Cell::Paced | Cell::PacedOutside => {
                let summary = paced(&runtime, cell, length)?;
                report.add("embedded", cell.label(), "p50 µs", summary.p50_us);
                report.add("embedded", cell.label(), "p99 µs", summary.p99_us);
                report.add("embedded", cell.label(), "p99.9 µs", summary.p999_us);
            }
        }
        Ok(())
    })?;
    report.median_of("P8", Cell::Single.label(), "msgs/s", (Goal::AtLeast, 5e6));
    report.median_of("P8", Cell::Shared.label(), "msgs/s", (Goal::None, 0.0));
    report.median_of("P8", Cell::Batch.label(), "msgs/s", (Goal::None, 0.0));
    report.median_of("P8", Cell::Paced.label(), "p99 µs", (Goal::AtMost, 10.0));
    report.median_of("P8", Cell::PacedOutside.label(), "p99 µs", (Goal::None, 0.0));
    Ok(report)
}

fn pair(runtime: &Runtime) -> Outcome<(Publisher, Subscription)> {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let subject = Subject::new("load.in-process").doing(|| "naming the subject".to_owned())?;
    let filter = Filter::new("load.in-process").doing(|| "naming the filter".to_owned())?;
    let options = SubscribeOptions::default().overflow(Overflow::Block);
    let subscription = runtime.block_on(bus.subscribe(&filter, options)).doing(|| "subscribing".to_owned())?;
    Ok((bus.publisher(subject), subscription))
}

fn stamped(sequence: u64, nanos: u64) -> Body {
    let mut buffer = [b'x'; PAYLOAD_BYTES];
    payload::stamp(&mut buffer, sequence, nanos);
    Body::Blob(Bytes::copy_from_slice(&buffer))
}

fn numbers(body: &Body) -> (u64, u64) {
    match body {
        Body::Blob(bytes) => payload::read(bytes),
        Body::Frames(_) => None,
    }
    .unwrap_or((END, 0))
}

/// Messages per second from the first publish until the subscriber has the last one.
fn throughput(runtime: &Runtime, cell: Cell, length: Duration) -> Outcome<f64> {
    let (publisher, mut subscription) = pair(runtime)?;
    let started = Instant::now();
    let reader = runtime.spawn(async move {
        let mut received = 0_u64;
        let mut batch = Vec::new();
        loop {
            if cell == Cell::Batch {
                subscription.next_batch(&mut batch).await;
            } else {
                batch.extend(subscription.next().await);
            }
            // Only the mark is looked at: a subscriber that parses would be measured with the bus.
            let ended = batch.last().is_none_or(|message| numbers(&message.body).0 == END);
            received += batch.len() as u64;
            batch.clear();
            if ended {
                return received - 1;
            }
        }
    });
    let writer = runtime.spawn(async move {
        let shared = stamped(0, 0);
        let mut sent = 0_u64;
        while started.elapsed() < length {
            if cell == Cell::Batch {
                for _ in 0..CHECK_EVERY / BATCH as u64 {
                    let bodies: [Body; BATCH] = std::array::from_fn(|at| stamped(sent + at as u64, 0));
                    publisher.publish_batch(&bodies).settled().await;
                    sent += BATCH as u64;
                }
                continue;
            }
            for _ in 0..CHECK_EVERY {
                let body = if cell == Cell::Shared { shared.clone() } else { stamped(sent, 0) };
                if publisher.publish(body).await.is_err() {
                    return sent;
                }
                sent += 1;
            }
        }
        // A refused end leaves the reader waiting; the deadline below reports it.
        publisher.publish(stamped(END, 0)).await.ok();
        sent
    });
    let (sent, received) = runtime.block_on(async {
        let received = tokio::time::timeout(length + READER_TIMEOUT, reader).await;
        (writer.await, received)
    });
    let took = started.elapsed();
    let sent = sent.doing(|| "publishing".to_owned())?;
    let received = received.doing(|| "waiting for the subscriber".to_owned())?.doing(|| "subscribing".to_owned())?;
    if sent != received {
        return Err(Failure::new(format!("{sent} messages were published and {received} received")));
    }
    Ok(received as f64 / took.as_secs_f64())
}

fn paced(runtime: &Runtime, cell: Cell, length: Duration) -> Outcome<Summary> {
    let (publisher, mut subscription) = pair(runtime)?;
    let pace = Pace::new(RATE, length);
    let started = Instant::now();
    let nanos = move || u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let reader = runtime.spawn(async move {
        let mut latency = Latency::new();
        while let Some(message) = subscription.next().await {
            let (sequence, intended) = numbers(&message.body);
            if sequence == END {
                break;
            }
            latency.record_nanos(nanos().saturating_sub(intended));
        }
        latency.summary()
    });
    let writer = async move {
        let mut sent = 0;
        while sent < pace.total() {
            let due = pace.due(started.elapsed());
            if sent == due {
                if cell == Cell::Paced {
                    tokio::task::yield_now().await;
                } else {
                    std::hint::spin_loop();
                }
                continue;
            }
            while sent < due {
                if publisher.publish(stamped(sent, pace.intended_nanos(sent))).await.is_err() {
                    return;
                }
                sent += 1;
            }
        }
        publisher.publish(stamped(END, 0)).await.ok();
    };
    if cell == Cell::Paced {
        let writer = runtime.spawn(writer);
        runtime.block_on(writer).doing(|| "publishing".to_owned())?;
    } else {
        // `block_on` polls on this thread, which is none of the runtime's workers.
        runtime.block_on(writer);
    }
    let done = runtime.block_on(async { tokio::time::timeout(READER_TIMEOUT, reader).await });
    done.doing(|| "waiting for the subscriber".to_owned())?.doing(|| "subscribing".to_owned())
}
