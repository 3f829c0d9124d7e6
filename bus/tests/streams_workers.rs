//! A message of a stream is worked on until somebody is done with it, and becomes a dead letter when nobody can be: in the process that has
//! the store, and in another that is connected to it. Both run every case.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::path::Path;
use std::time::Duration;

use myelin_bus::listener::{Listener, ListenerConfig};
use myelin_bus::streams::{
    ConsumeError, ConsumerConfig, DEAD_LETTERS, Name, OnFull, Outcome, PublishDurableError, PublishOptions, Retention, StoreConfig,
    StreamConfig, StreamServer, StreamServerMetrics,
};
use myelin_bus::wire::{Body, Filter, Subject};
use myelin_bus::{Bus, EmbeddedConfig, Message};

const SOON: Duration = Duration::from_millis(50);

/// How long anything may take that has an end.
const PATIENCE: Duration = Duration::from_secs(10);

fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

/// Where the streams are, as the bus under test sees it.
#[derive(Clone, Copy)]
enum Engine {
    Local,
    Attached,
}

struct Opened {
    bus: Bus,
    /// The process that has the store, if that is another one.
    server: Option<(Bus, StreamServer, Listener)>,
}

impl Engine {
    async fn open(self, directory: &Path) -> Opened {
        let config = StoreConfig { directory: directory.to_owned() };
        let (bus, report) = Bus::embedded_with_store(EmbeddedConfig::default(), &config).unwrap();
        assert!(report.damage.is_empty() && report.unopened.is_empty(), "{report:?}");
        match self {
            Self::Local => Opened { bus, server: None },
            Self::Attached => {
                let server = StreamServer::start(&bus, StreamServerMetrics::default()).await.unwrap();
                let config = ListenerConfig { address: ([127, 0, 0, 1], 0).into(), ..ListenerConfig::default() };
                let listener = Listener::bind(bus.clone(), config).await.unwrap();
                let client = Bus::connect(&format!("nats://{}", listener.local_addr())).await.unwrap();
                Opened { bus: client, server: Some((bus, server, listener)) }
            }
        }
    }
}

impl Opened {
    async fn close(self) {
        self.bus.drain(PATIENCE).await;
        if let Some((bus, server, listener)) = self.server {
            assert!(server.shutdown(PATIENCE).await);
            bus.drain(PATIENCE).await;
            listener.shutdown(PATIENCE).await;
        }
    }
}

/// One test per case and engine.
macro_rules! on_each_engine {
    ($($case:ident),* $(,)?) => {
        mod local {
            $(#[tokio::test] async fn $case() { super::$case(super::Engine::Local).await; })*
        }
        mod attached {
            $(#[tokio::test] async fn $case() { super::$case(super::Engine::Attached).await; })*
        }
    };
}

fn work_queue() -> StreamConfig {
    let mut config = StreamConfig::new(name("orders"), vec![Filter::new("orders.>").unwrap()]);
    config.retention = Retention::WorkQueue;
    config
}

async fn publish(bus: &Bus, body: &'static str) -> u64 {
    let message = Message::new(Subject::new("orders.new").unwrap(), body);
    bus.publish_durable(&message, &PublishOptions::default()).await.unwrap().sequence
}

fn workers() -> ConsumerConfig {
    ConsumerConfig::new(name("workers"))
}

on_each_engine!(
    each_message_goes_to_one_worker_and_an_acked_one_never_again,
    a_dropped_job_comes_again_at_once_and_tells_why,
    after_max_deliver_a_message_is_a_dead_letter_with_all_its_attempts,
    a_terminated_message_is_a_dead_letter_at_once,
    silence_past_ack_wait_is_an_attempt_and_the_late_worker_is_told,
    what_is_published_twice_under_one_id_is_stored_once_also_after_a_restart,
    a_full_work_queue_refuses_and_says_how_full_it_is,
    a_delayed_message_comes_when_it_is_due_and_later_ones_do_not_wait_for_it,
);

async fn each_message_goes_to_one_worker_and_an_acked_one_never_again(engine: Engine) {
    let directory = tempfile::tempdir().unwrap();
    let opened = engine.open(directory.path()).await;
    let bus = &opened.bus;
    bus.ensure_stream(&work_queue()).await.unwrap();
    for body in ["a", "b", "c", "d"] {
        publish(bus, body).await;
    }
    let one = bus.ensure_consumer(&name("orders"), &workers()).await.unwrap();
    let two = one.clone();
    let (first, second) = (one.fetch(2, SOON).await.unwrap(), two.fetch(9, SOON).await.unwrap());
    let sequences = |jobs: &[myelin_bus::streams::Job]| jobs.iter().map(myelin_bus::streams::Job::sequence).collect::<Vec<_>>();
    assert_eq!((sequences(&first), sequences(&second)), (vec![1, 2], vec![3, 4]));
    for job in first.into_iter().chain(second) {
        job.ack().await.unwrap();
    }
    assert!(one.fetch(9, SOON).await.unwrap().is_empty());
    assert_eq!(bus.stream_info(&name("orders")).await.unwrap().messages, 0);
    opened.close().await;
}

async fn a_dropped_job_comes_again_at_once_and_tells_why(engine: Engine) {
    let directory = tempfile::tempdir().unwrap();
    let opened = engine.open(directory.path()).await;
    let bus = &opened.bus;
    bus.ensure_stream(&work_queue()).await.unwrap();
    publish(bus, "a").await;
    let worker = bus.ensure_consumer(&name("orders"), &workers()).await.unwrap();
    drop(worker.next().await.unwrap());
    let again = worker.next().await.unwrap();
    assert_eq!((again.sequence(), again.deliveries()), (1, 2));
    assert_eq!(again.attempts()[0].outcome, Outcome::WorkerGone);
    again.ack().await.unwrap();
    opened.close().await;
}

async fn after_max_deliver_a_message_is_a_dead_letter_with_all_its_attempts(engine: Engine) {
    let directory = tempfile::tempdir().unwrap();
    let opened = engine.open(directory.path()).await;
    let bus = &opened.bus;
    bus.ensure_stream(&work_queue()).await.unwrap();
    publish(bus, "poison").await;
    let mut config = workers();
    config.deliveries_max = 2;
    let worker = bus.ensure_consumer(&name("orders"), &config).await.unwrap();
    for error in ["first", "second"] {
        worker.next().await.unwrap().nak(None, error).await.unwrap();
    }
    assert!(worker.fetch(1, SOON).await.unwrap().is_empty());
    assert_eq!(bus.stream_info(&name("orders")).await.unwrap().messages, 0);
    let dead = bus.ensure_consumer(&name(DEAD_LETTERS), &ConsumerConfig::new(name("reader"))).await.unwrap();
    let letter = dead.next().await.unwrap();
    assert_eq!(letter.message().subject.as_str(), "$MYELIN.DLQ.orders.workers.1");
    assert_eq!(*letter.body(), Body::from("poison"));
    let header = |name: &str| String::from_utf8(letter.message().meta.as_ref().unwrap().header(name).unwrap().to_vec()).unwrap();
    assert_eq!((header("Myelin-Dead-Reason"), header("Myelin-Dead-Subject")), ("max_deliver".into(), "orders.new".into()));
    let attempts = header("Myelin-Dead-Attempts");
    assert!(attempts.contains("first") && attempts.contains("second"), "{attempts}");
    letter.ack().await.unwrap();
    opened.close().await;
}

async fn a_terminated_message_is_a_dead_letter_at_once(engine: Engine) {
    let directory = tempfile::tempdir().unwrap();
    let opened = engine.open(directory.path()).await;
    let bus = &opened.bus;
    bus.ensure_stream(&work_queue()).await.unwrap();
    publish(bus, "hopeless").await;
    let worker = bus.ensure_consumer(&name("orders"), &workers()).await.unwrap();
    worker.next().await.unwrap().term("not JSON").await.unwrap();
    assert_eq!(bus.stream_info(&name("orders")).await.unwrap().messages, 0);
    assert_eq!(bus.stream_info(&name(DEAD_LETTERS)).await.unwrap().messages, 1);
    opened.close().await;
}

async fn silence_past_ack_wait_is_an_attempt_and_the_late_worker_is_told(engine: Engine) {
    let directory = tempfile::tempdir().unwrap();
    let opened = engine.open(directory.path()).await;
    let bus = &opened.bus;
    bus.ensure_stream(&work_queue()).await.unwrap();
    publish(bus, "a").await;
    let mut config = workers();
    config.ack_wait = SOON;
    let worker = bus.ensure_consumer(&name("orders"), &config).await.unwrap();
    let slow = worker.next().await.unwrap();
    let again = worker.next().await.unwrap();
    assert_eq!(again.attempts()[0].outcome, Outcome::AckWaitExpired);
    again.ack().await.unwrap();
    assert!(matches!(slow.ack().await, Err(ConsumeError::Stale { sequence: 1 })));
    opened.close().await;
}

async fn what_is_published_twice_under_one_id_is_stored_once_also_after_a_restart(engine: Engine) {
    let directory = tempfile::tempdir().unwrap();
    let options = PublishOptions { id: Some("once".into()), ..PublishOptions::default() };
    let message = Message::new(Subject::new("orders.new").unwrap(), "a");
    let opened = engine.open(directory.path()).await;
    let bus = &opened.bus;
    bus.ensure_stream(&work_queue()).await.unwrap();
    let first = bus.publish_durable(&message, &options).await.unwrap();
    opened.close().await;
    let opened = engine.open(directory.path()).await;
    let bus = &opened.bus;
    let second = bus.publish_durable(&message, &options).await.unwrap();
    assert_eq!((first.sequence, first.is_duplicate, second.sequence, second.is_duplicate), (1, false, 1, true));
    opened.close().await;
}

async fn a_full_work_queue_refuses_and_says_how_full_it_is(engine: Engine) {
    let directory = tempfile::tempdir().unwrap();
    let opened = engine.open(directory.path()).await;
    let bus = &opened.bus;
    let mut config = work_queue();
    (config.messages_max, config.on_full) = (1, OnFull::Reject);
    bus.ensure_stream(&config).await.unwrap();
    publish(bus, "a").await;
    let message = Message::new(Subject::new("orders.new").unwrap(), "b");
    let refused = bus.publish_durable(&message, &PublishOptions::default()).await;
    assert!(matches!(refused, Err(PublishDurableError::StreamFull { messages: 1, .. })), "{refused:?}");
    let elsewhere = Message::new(Subject::new("elsewhere").unwrap(), "b");
    let refused = bus.publish_durable(&elsewhere, &PublishOptions::default()).await;
    assert!(matches!(refused, Err(PublishDurableError::NoStream { .. })), "{refused:?}");
    opened.close().await;
}

async fn a_delayed_message_comes_when_it_is_due_and_later_ones_do_not_wait_for_it(engine: Engine) {
    let directory = tempfile::tempdir().unwrap();
    let opened = engine.open(directory.path()).await;
    let bus = &opened.bus;
    bus.ensure_stream(&work_queue()).await.unwrap();
    let later = PublishOptions { delay: Some(Duration::from_millis(300)), ..PublishOptions::default() };
    bus.publish_durable(&Message::new(Subject::new("orders.new").unwrap(), "later"), &later).await.unwrap();
    publish(bus, "now").await;
    let worker = bus.ensure_consumer(&name("orders"), &workers()).await.unwrap();
    let first = worker.next().await.unwrap();
    assert_eq!(*first.body(), Body::from("now"));
    let second = worker.next().await.unwrap();
    assert_eq!((second.body().clone(), second.deliveries()), (Body::from("later"), 1));
    opened.close().await;
}
