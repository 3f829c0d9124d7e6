//! What goes unread becomes a dead letter where its stream says so: what expires, whether or not a worker is there, and what has to make room.
//! Each consumer that had not settled it has a letter of its own, once, whatever happens between the letter and the end of the message.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::path::Path;
use std::time::Duration;

use myelin_bus::streams::{
    Batch, ConsumerConfig, Letter, LetterFilter, Name, OnFull, PublishDurableError, PublishOptions, Retention, StoreConfig, StreamConfig,
    StreamServer, StreamServerMetrics,
};
use myelin_bus::wire::{Body, Filter, Subject};
use myelin_bus::{Bus, EmbeddedConfig, Message};

const PATIENCE: Duration = Duration::from_secs(10);

/// What the documentation of the sweeper promises is half a second and the time of the letters; the rest is for a busy machine.
const SWEPT_WITHIN: Duration = Duration::from_secs(5);

struct Opened {
    bus: Bus,
    server: StreamServer,
}

async fn open(directory: &Path) -> Opened {
    let store = StoreConfig { directory: directory.to_owned() };
    let (bus, _) = Bus::embedded_with_store(EmbeddedConfig::default(), &store).unwrap();
    let server = StreamServer::start(&bus, StreamServerMetrics::default()).await.unwrap();
    Opened { bus, server }
}

impl Opened {
    async fn close(self) {
        assert!(self.server.shutdown(PATIENCE).await);
        self.bus.drain(PATIENCE).await;
    }

    async fn publish(&self, on: &str, body: &str, ttl: Option<Duration>) -> Result<u64, PublishDurableError> {
        let message = Message::new(Subject::new(on).unwrap(), Body::from(body.to_owned()));
        let options = PublishOptions { ttl, ..PublishOptions::default() };
        self.bus.publish_durable(&message, &options).await.map(|receipt| receipt.sequence)
    }

    /// (consumer, sequence in the stream, reason), once there are as many.
    async fn letters(&self, count: usize) -> Vec<(String, u64, String)> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let found = self.letters_now().await;
            if found.len() >= count {
                let mut told: Vec<_> =
                    found.iter().map(|letter| (letter.consumer.to_string(), letter.origin, letter.reason.to_string())).collect();
                told.sort();
                return told;
            }
            assert!(tokio::time::Instant::now() < deadline, "{found:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn letters_now(&self) -> Vec<Letter> {
        let mut letters = self.bus.dead_letters().list(LetterFilter::default());
        let mut found = Vec::new();
        while let Some(letter) = letters.next().await.unwrap() {
            found.push(letter);
        }
        found
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn stream(retention: Retention) -> StreamConfig {
    let mut config = StreamConfig::new(name("s"), vec![Filter::new("s.>").unwrap()]);
    (config.retention, config.dead_letter_expired) = (retention, true);
    config
}

fn consumer(text: &str, filter: &str) -> ConsumerConfig {
    let mut config = ConsumerConfig::new(name(text));
    config.filter = Some(Filter::new(filter).unwrap());
    config
}

fn told(consumer: &str, sequence: u64, reason: &str) -> (String, u64, String) {
    (consumer.to_owned(), sequence, reason.to_owned())
}

#[tokio::test]
async fn what_expires_is_a_letter_soon_without_any_worker() {
    let directory = tempfile::tempdir().unwrap();
    let opened = open(directory.path()).await;
    opened.bus.ensure_stream(&stream(Retention::WorkQueue)).await.unwrap();
    opened.bus.ensure_consumer(&name("s"), &consumer("a", "s.a")).await.unwrap();
    let ttl = Duration::from_millis(200);
    opened.publish("s.a", "unread", Some(ttl)).await.unwrap();
    opened.publish("s.b", "nobody takes this", Some(ttl)).await.unwrap();
    opened.publish("s.a", "stays", None).await.unwrap();
    let stored = tokio::time::Instant::now();
    assert_eq!(opened.letters(2).await, [told("a", 1, "expired"), told("none", 2, "no_route")]);
    assert!(stored.elapsed() < ttl + SWEPT_WITHIN, "{:?}", stored.elapsed());
    let shown = opened.bus.dead_letters().show(1).await.unwrap().unwrap();
    assert!(["unread", "nobody takes this"].iter().any(|body| shown.message.body == Body::from(*body)), "whole");

    // The letters come first: then the messages are gone from their stream, and counted as expired.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let info = opened.bus.stream_info(&name("s")).await.unwrap();
        if (info.messages, info.expired) == (1, 2) {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{info:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    opened.close().await;
}

#[tokio::test]
async fn each_consumer_that_had_not_settled_it_has_a_letter_and_who_had_has_none() {
    let directory = tempfile::tempdir().unwrap();
    let opened = open(directory.path()).await;
    let mut config = stream(Retention::Limits);
    config.age_max = Some(Duration::from_millis(1_500));
    opened.bus.ensure_stream(&config).await.unwrap();
    let done = opened.bus.ensure_consumer(&name("s"), &consumer("done", "s.>")).await.unwrap();
    opened.bus.ensure_consumer(&name("s"), &consumer("late", "s.>")).await.unwrap();
    let tried = opened.bus.ensure_consumer(&name("s"), &consumer("tried", "s.>")).await.unwrap();
    opened.bus.ensure_consumer(&name("s"), &consumer("other", "s.other")).await.unwrap();
    opened.publish("s.a", "1", None).await.unwrap();
    done.next().await.unwrap().ack().await.unwrap();
    tried.next().await.unwrap().nak(Some(PATIENCE), "not now").await.unwrap();
    assert_eq!(opened.letters(2).await, [told("late", 1, "expired"), told("tried", 1, "expired")]);
    let letters = opened.letters_now().await;
    let tried = letters.iter().find(|letter| &*letter.consumer == "tried").unwrap();
    assert_eq!(&*tried.attempts[0].error, "not now", "with every attempt");
    opened.close().await;
}

#[tokio::test]
async fn what_a_worker_has_is_left_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let opened = open(directory.path()).await;
    opened.bus.ensure_stream(&stream(Retention::WorkQueue)).await.unwrap();
    let workers = opened.bus.ensure_consumer(&name("s"), &consumer("a", "s.a")).await.unwrap();
    opened.publish("s.a", "at work", Some(Duration::from_millis(100))).await.unwrap();
    let job = workers.next().await.unwrap();
    opened.publish("s.a", "marks the time", Some(Duration::from_millis(200))).await.unwrap();
    assert_eq!(opened.letters(1).await, [told("a", 2, "expired")], "the sweeper was there");
    job.ack().await.unwrap();
    assert_eq!(opened.bus.stream_info(&name("s")).await.unwrap().messages, 0);
    assert_eq!(opened.letters_now().await.len(), 1);
    opened.close().await;
}

#[tokio::test]
async fn what_expired_while_nobody_ran_is_a_letter_after_the_start_and_once() {
    let directory = tempfile::tempdir().unwrap();
    let opened = open(directory.path()).await;
    opened.bus.ensure_stream(&stream(Retention::WorkQueue)).await.unwrap();
    opened.bus.ensure_consumer(&name("s"), &consumer("a", "s.a")).await.unwrap();
    for number in 0..40 {
        opened.publish("s.a", &number.to_string(), Some(Duration::from_millis(1))).await.unwrap();
    }
    opened.close().await;
    for _ in 0..2 {
        let opened = open(directory.path()).await;
        let letters = opened.letters(40).await;
        let expected: Vec<_> = (1..=40).map(|sequence| told("a", sequence, "expired")).collect();
        assert_eq!(letters, expected);
        opened.close().await;
    }
}

#[tokio::test]
async fn without_that_policy_what_expires_is_counted_and_gone() {
    let directory = tempfile::tempdir().unwrap();
    let opened = open(directory.path()).await;
    let mut config = stream(Retention::WorkQueue);
    config.dead_letter_expired = false;
    opened.bus.ensure_stream(&config).await.unwrap();
    opened.bus.ensure_consumer(&name("s"), &consumer("a", "s.a")).await.unwrap();
    opened.publish("s.a", "unread", Some(Duration::from_millis(50))).await.unwrap();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while opened.bus.stream_info(&name("s")).await.unwrap().expired == 0 {
        assert!(tokio::time::Instant::now() < deadline, "never expires");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(opened.letters_now().await.is_empty());
    opened.close().await;
}

fn ring(messages_max: u64) -> StreamConfig {
    let mut config = StreamConfig::new(name("s"), vec![Filter::new("s.>").unwrap()]);
    (config.messages_max, config.on_full, config.dead_letter_evicted) = (messages_max, OnFull::DropOldest, true);
    config
}

#[tokio::test]
async fn what_makes_room_unread_is_a_letter_before_it_goes() {
    let directory = tempfile::tempdir().unwrap();
    let opened = open(directory.path()).await;
    opened.bus.ensure_stream(&ring(3)).await.unwrap();
    let reader = opened.bus.ensure_consumer(&name("s"), &consumer("reader", "s.>")).await.unwrap();
    opened.bus.ensure_consumer(&name("s"), &consumer("absent", "s.>")).await.unwrap();
    for body in ["1", "2", "3"] {
        opened.publish("s.a", body, None).await.unwrap();
    }
    reader.next().await.unwrap().ack().await.unwrap();
    opened.publish("s.a", "4", None).await.unwrap();
    assert_eq!(opened.letters(1).await, [told("absent", 1, "evicted")], "the other one had read it");
    opened.publish("s.a", "5", None).await.unwrap();
    assert_eq!(opened.letters(3).await, [told("absent", 1, "evicted"), told("absent", 2, "evicted"), told("reader", 2, "evicted")]);
    let info = opened.bus.stream_info(&name("s")).await.unwrap();
    assert_eq!((info.messages, info.first_sequence, info.evicted), (3, 3, 2));
    let letters = opened.letters_now().await;
    assert!(letters.iter().all(|letter| &*letter.fault == "ours"), "{letters:?}");
    let whole = opened.bus.dead_letters().show(1).await.unwrap().unwrap();
    assert_eq!((whole.message.subject.as_str(), whole.message.body), ("s.a", Body::from("1")));
    opened.close().await;
}

#[tokio::test]
async fn publishers_side_by_side_lose_nothing_in_a_full_ring() {
    let directory = tempfile::tempdir().unwrap();
    let opened = open(directory.path()).await;
    opened.bus.ensure_stream(&ring(8)).await.unwrap();
    opened.bus.ensure_consumer(&name("s"), &consumer("absent", "s.>")).await.unwrap();
    let publishing: Vec<_> = (0..8)
        .map(|publisher| {
            let bus = opened.bus.clone();
            tokio::spawn(async move {
                for number in 0..10 {
                    let message = Message::new(Subject::new("s.a").unwrap(), Body::from(format!("{publisher}-{number}")));
                    bus.publish_durable(&message, &PublishOptions::default()).await.unwrap();
                }
            })
        })
        .collect();
    for publisher in publishing {
        publisher.await.unwrap();
    }
    let letters = opened.letters(72).await;
    let expected: Vec<_> = (1..=72).map(|sequence| told("absent", sequence, "evicted")).collect();
    assert_eq!(letters, expected, "all but the last eight, each once");
    assert_eq!(opened.bus.stream_info(&name("s")).await.unwrap().messages, 8);
    opened.close().await;
}

/// Batches were refused as if the stream were closed.
#[tokio::test]
async fn a_batch_into_a_full_ring_makes_letters_too() {
    let directory = tempfile::tempdir().unwrap();
    let opened = open(directory.path()).await;
    opened.bus.ensure_stream(&ring(2)).await.unwrap();
    opened.bus.ensure_consumer(&name("s"), &consumer("absent", "s.>")).await.unwrap();
    let mut batch = Batch::default();
    for body in ["1", "2", "3", "4"] {
        batch.push(&Body::from(body)).unwrap();
    }
    let (stored, result) = opened.bus.publish_durable_batch(&Subject::new("s.a").unwrap(), &mut batch, PATIENCE).await;
    result.unwrap();
    assert_eq!((stored, batch.len()), (4, 0));
    assert_eq!(opened.letters(2).await, [told("absent", 1, "evicted"), told("absent", 2, "evicted")]);
    opened.close().await;
}

#[tokio::test]
async fn where_no_letter_can_be_written_nothing_is_evicted() {
    let directory = tempfile::tempdir().unwrap();
    let opened = open(directory.path()).await;
    let mut letters = StreamConfig::new(name("DLQ"), vec![Filter::new("$MYELIN.DLQ.>").unwrap()]);
    letters.messages_max = 1;
    opened.bus.ensure_stream(&letters).await.unwrap();
    opened.bus.ensure_stream(&ring(1)).await.unwrap();
    opened.bus.ensure_consumer(&name("s"), &consumer("absent", "s.>")).await.unwrap();
    opened.publish("s.a", "1", None).await.unwrap();
    opened.publish("s.a", "2", None).await.unwrap();
    let refused = opened.publish("s.a", "3", None).await.unwrap_err();
    assert!(matches!(&refused, PublishDurableError::StreamFull { stream, .. } if stream.as_str() == "DLQ"), "{refused:?}");
    let info = opened.bus.stream_info(&name("s")).await.unwrap();
    assert_eq!((info.first_sequence, info.last_sequence), (2, 2), "what is unread stays");
    assert!(opened.bus.dead_letters().purge(1).await.unwrap());
    opened.publish("s.a", "3", None).await.unwrap();
    assert_eq!(opened.letters(1).await, [told("absent", 2, "evicted")]);
    opened.close().await;
}
