//! Workers: they take what is stored, and do with it what its number says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use myelin_bus::Bus;
use myelin_bus::streams::{ConsumeError, Consumer, DEAD_LETTERS, Job, Name};
use myelin_bus::wire::Body;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::book::Books;
use super::plan::{Fate, Plan, WORK};
use crate::failure::{Doing, Outcome};
use crate::payload;

const BATCH: usize = 64;
const WAIT: Duration = Duration::from_secs(1);
const NAK_DELAY: Duration = Duration::from_millis(100);
/// Workers of the work queue; the other streams have one each.
const WORKERS: usize = 2;

/// Starts the workers of all streams.
pub(super) async fn start(plan: &Plan, bus: &Bus, books: &Arc<Books>, is_over: &Arc<AtomicBool>) -> Outcome<JoinSet<()>> {
    let mut workers = JoinSet::new();
    for config in &plan.streams {
        let stream = &config.name;
        let consumer = bus.ensure_consumer(stream, &Plan::consumer(stream)).await.doing(|| format!("making a consumer of {stream}"))?;
        for _ in 0..if stream.as_str() == WORK { WORKERS } else { 1 } {
            workers.spawn(work(consumer.clone(), stream.clone(), Arc::clone(books), Arc::clone(is_over)));
        }
    }
    Ok(workers)
}

async fn work(consumer: Consumer, stream: Name, books: Arc<Books>, is_over: Arc<AtomicBool>) {
    while !is_over.load(Ordering::Relaxed) {
        match consumer.fetch(BATCH, WAIT).await {
            Ok(jobs) => {
                let settled: FuturesUnordered<_> = jobs.into_iter().map(|job| settle(job, stream.as_str(), &books)).collect();
                settled.for_each(|()| std::future::ready(())).await;
            }
            Err(error) => {
                books.wrong(format!("{stream}: nothing can be taken: {error}"));
                sleep(WAIT).await;
            }
        }
    }
}

async fn settle(job: Job, stream: &str, books: &Books) {
    let Some(number) = number(job.body()) else {
        books.wrong(format!("{stream}: message {} is none of ours", job.sequence()));
        return;
    };
    let deliveries = job.deliveries();
    let fate = if stream == WORK { Fate::of(number) } else { Fate::Acked };
    let settled = match fate {
        Fate::AckedLater if deliveries == 1 => job.nak(Some(NAK_DELAY), "not now").await,
        Fate::Acked | Fate::AckedLater => {
            let acked = job.ack().await;
            if acked.is_ok() {
                // A letter is about a message of the work queue.
                match stream {
                    DEAD_LETTERS => books.write(WORK, |book| book.died(number)),
                    _ => books.write(stream, |book| book.arrived(number)),
                }
            }
            acked
        }
        Fate::GivenBack => job.nak(Some(NAK_DELAY), "never").await,
        Fate::Terminated => job.term("no use").await,
    };
    match settled {
        Ok(()) => {}
        // It took longer than `ack_wait`, and comes again.
        Err(ConsumeError::Stale { .. }) => books.write(stream, |book| book.counts.again += 1),
        Err(error) => books.wrong(format!("{stream}: message {number} cannot be settled: {error}")),
    }
}

fn number(body: &Body) -> Option<u64> {
    match body {
        Body::Blob(bytes) => payload::read(bytes).map(|(number, _)| number),
        Body::Frames(_) => None,
    }
}
