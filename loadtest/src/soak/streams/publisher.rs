//! Publishes numbered messages into one stream, at a pace, a window of them outstanding.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use myelin_bus::streams::{Name, PublishDurableError, PublishOptions, Receipt};
use myelin_bus::wire::{Body, Subject};
use myelin_bus::{Bus, Message};
use tokio::time::{MissedTickBehavior, interval};

use super::book::Books;
use crate::payload;

const WINDOW: usize = 128;
const TICK: Duration = Duration::from_millis(10);
const PAYLOAD_BYTES_MIN: usize = 200;
const PAYLOAD_BYTES_MAX: usize = 1_800;
/// How far the consumer may be behind: less than any limit lets go of, so that whatever is missing is missing by a mistake. On a machine so busy
/// that fifty messages a second get through, it is a third of the shortest age.
const AHEAD_MAX: u64 = 256;

/// Publishes until it is enough, then waits for what is outstanding.
pub(super) async fn publish(bus: Bus, stream: Name, rate: u64, books: Arc<Books>, is_enough: Arc<AtomicBool>) {
    let subject = Subject::new(&format!("soak.{stream}")).expect("a name is a token");
    let options = &PublishOptions::default();
    let bus = &bus;
    let one = |number: u64| {
        let message = Message::new(subject.clone(), body(number));
        async move { (number, bus.publish_durable(&message, options).await) }
    };
    let mut outstanding = FuturesUnordered::new();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut sent, mut credit, mut last) = (0, 0.0, Instant::now());
    loop {
        let is_over = is_enough.load(Ordering::Relaxed);
        if is_over && outstanding.is_empty() {
            return;
        }
        tokio::select! {
            _ = ticks.tick(), if !is_over => {
                // What could not be sent in time is not made up for: this is a load, not a measurement.
                credit = (credit + last.elapsed().as_secs_f64() * rate as f64).min(WINDOW as f64);
                last = Instant::now();
            }
            Some((number, published)) = outstanding.next() => note(&books, stream.as_str(), number, published),
        }
        while !is_over && credit >= 1.0 && outstanding.len() < WINDOW && books.ahead(stream.as_str(), sent) < AHEAD_MAX {
            outstanding.push(one(sent));
            sent += 1;
            credit -= 1.0;
        }
    }
}

fn note(books: &Books, stream: &str, number: u64, published: Result<Receipt, PublishDurableError>) {
    match published {
        Ok(receipt) if !receipt.is_duplicate => books.write(stream, |book| book.acknowledged(number)),
        Ok(_) => books.wrong(format!("{stream}: message {number} was taken for a duplicate")),
        Err(error) => books.wrong(format!("{stream}: message {number} was not stored: {error}")),
    }
}

fn body(number: u64) -> Body {
    let mut buffer = vec![b'x'; fastrand::usize(PAYLOAD_BYTES_MIN..=PAYLOAD_BYTES_MAX)];
    payload::stamp(&mut buffer, number, 0);
    Body::Blob(Bytes::from(buffer))
}
