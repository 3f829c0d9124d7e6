//! Captures on a full disk: whoever asked is told, nobody waits for ever, what a worker says still counts, and with space again all goes on.

use std::sync::Arc;
use std::time::Duration;

use myelin_store::{ConsumerConfig, Faulty, Name, Retention, Store, StreamConfig};
use serde_json::Value;
use tokio::time::timeout;

use crate::streams::engine::Streams;
use crate::streams::local::Local;
use crate::streams::{ConsumeError, Consumer, DEAD_LETTERS, PublishDurableError, StreamServer, StreamServerMetrics};
use crate::wire::{Body, Filter, Subject};
use crate::{Bus, EmbeddedConfig};

const PATIENCE: Duration = Duration::from_secs(20);

/// A segment and a little: what is left on the disk takes some hundred messages.
const LEFT_BYTES: u64 = 5 << 20;

struct Served {
    bus: Bus,
    server: StreamServer,
    metrics: StreamServerMetrics,
    disk: Faulty,
    worker: Consumer,
}

fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

fn subject() -> Subject {
    Subject::new("orders.new").unwrap()
}

fn body(number: u64) -> Body {
    let mut body = format!("{number:08}").into_bytes();
    body.resize(10_000, b'.');
    body.into()
}

async fn serve() -> Served {
    let disk = Faulty::default();
    let local = Local::over(Store::open_faulty(&disk).unwrap().store);
    let bus = Bus::embedded_streams(EmbeddedConfig::default(), Some(Arc::new(Streams::Local(local))));
    let metrics = StreamServerMetrics::default();
    let mut config = StreamConfig::new(name("orders"), vec![Filter::new("orders.>").unwrap()]);
    (config.retention, config.dedup_window) = (Retention::WorkQueue, Duration::ZERO);
    bus.ensure_stream(&config).await.unwrap();
    let server = StreamServer::start(&bus, metrics.clone()).await.unwrap();
    let worker = bus.ensure_consumer(&name("orders"), &ConsumerConfig::new(name("workers"))).await.unwrap();
    Served { bus, server, metrics, disk, worker }
}

impl Served {
    /// A plain publish that asks for its receipt.
    async fn ask(&self, number: u64) -> Value {
        let reply = self.bus.request(&subject(), body(number), PATIENCE).await.unwrap();
        let Body::Blob(blob) = reply.body else { panic!("frames") };
        serde_json::from_slice(&blob).unwrap()
    }

    /// Publishes until the disk is full; how many have a receipt.
    async fn fill(&self) -> u64 {
        self.disk.set_capacity(Some(self.disk.used() + LEFT_BYTES));
        for number in 1..10_000 {
            let told = self.ask(number).await;
            if told["error"].is_null() {
                assert_eq!(told["sequence"], number);
                continue;
            }
            assert_eq!((&told["error"]["code"], &told["error"]["retryable"]), (&"storage_full".into(), &true.into()), "{told}");
            // Not even for something small.
            self.disk.set_capacity(Some(0));
            return number - 1;
        }
        panic!("the disk is never full")
    }

    /// There is space, and that is noticed; the sequence of the first message that was stored then.
    async fn space_again(&self) -> u64 {
        self.disk.set_capacity(None);
        timeout(PATIENCE, async {
            loop {
                if let Some(sequence) = self.ask(0).await["sequence"].as_u64() {
                    return sequence;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .expect("space is noticed")
    }

    async fn messages(&self) -> u64 {
        self.bus.stream_info(&name("orders")).await.unwrap().messages
    }

    async fn close(self) {
        assert!(self.server.shutdown(PATIENCE).await);
        self.bus.drain(PATIENCE).await;
    }
}

#[tokio::test]
async fn a_full_disk_refuses_captures_and_takes_them_again_in_order() {
    let served = serve().await;
    let stored = served.fill().await;
    assert!(stored > 20, "{stored}");
    // Nobody asked: these are lost, which is counted. Their publisher is not held up for ever.
    for number in 0..5 {
        timeout(PATIENCE, served.bus.publish(&subject(), body(number))).await.expect("no waiting for space").unwrap();
    }
    timeout(PATIENCE, async {
        while served.metrics.not_captured.get() < 5 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("they are counted");
    assert_eq!(served.messages().await, stored, "no more than was acknowledged");

    // Acks are durable on a full disk.
    let job = timeout(PATIENCE, served.worker.next()).await.unwrap().unwrap();
    assert_eq!((job.sequence(), job.body()), (1, &body(1)));
    job.ack().await.unwrap();

    let first = served.space_again().await;
    assert_eq!(first, stored + 1, "no sequence was used for what was refused");
    for number in 1..=20 {
        served.bus.publish(&subject(), body(number)).await.unwrap();
    }
    assert_eq!(served.ask(21).await["sequence"], first + 21);
    for number in [1, 20] {
        let message = served.bus.get_message(&name("orders"), first + number).await.unwrap().expect("it is stored");
        assert!(message.body == body(number), "{number}");
    }
    assert_eq!((served.messages().await, served.metrics.not_captured.get()), (stored - 1 + 22, 5));
    served.close().await;
}

/// The letter has no room, so the message stays where it is, and is a letter later: in one place at every moment.
#[tokio::test]
async fn what_cannot_become_a_letter_on_a_full_disk_stays_and_becomes_one_later() {
    let served = serve().await;
    let stored = served.fill().await;
    let job = timeout(PATIENCE, served.worker.next()).await.unwrap().unwrap();
    let refused = job.term("hopeless").await.unwrap_err();
    let ConsumeError::DeadLetter { sequence: 1, cause } = &refused else { panic!("{refused:?}") };
    assert_eq!(**cause, PublishDurableError::StorageFull);
    assert!(refused.is_retryable());
    assert_eq!(served.messages().await, stored);

    served.space_again().await;
    // Whoever asks next does not get it: it is moved.
    timeout(PATIENCE, async {
        while served.bus.stream_info(&name(DEAD_LETTERS)).await.map_or(0, |info| info.messages) == 0 {
            for job in served.worker.fetch(1, Duration::from_millis(100)).await.unwrap() {
                assert_ne!(job.sequence(), 1);
                job.ack().await.unwrap();
            }
        }
    })
    .await
    .expect("it becomes a letter");
    assert!(served.bus.get_message(&name("orders"), 1).await.unwrap().is_none());
    served.close().await;
}
