//! A stream is what it was asked to be from when the call returns: plain publishes on its subjects are stored from then on, and a change that
//! cannot be made is refused with the name of the setting.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::time::Duration;

use myelin_bus::streams::{Durability, Name, Retention, StoreConfig, StreamConfig, StreamError, StreamServer, StreamServerMetrics};
use myelin_bus::wire::{Body, Filter, Subject};
use myelin_bus::{Bus, EmbeddedConfig};

const PATIENCE: Duration = Duration::from_secs(10);

struct Opened {
    bus: Bus,
    server: StreamServer,
    _directory: tempfile::TempDir,
}

impl Opened {
    async fn open() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = StoreConfig { directory: directory.path().to_owned() };
        let (bus, _) = Bus::embedded_with_store(EmbeddedConfig::default(), &store).unwrap();
        let server = StreamServer::start(&bus, StreamServerMetrics::default()).await.unwrap();
        Self { bus, server, _directory: directory }
    }

    async fn publish(&self, on: &str) {
        self.bus.publish(&Subject::new(on).unwrap(), Body::from("plain")).await.unwrap();
    }

    async fn close(self) {
        assert!(self.server.shutdown(PATIENCE).await);
        self.bus.drain(PATIENCE).await;
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn stream(text: &str, filter: &str) -> StreamConfig {
    StreamConfig::new(name(text), vec![Filter::new(filter).unwrap()])
}

/// Streams that were made in this process were captured only after the next request about streams, whichever came first.
#[tokio::test]
async fn plain_publishes_are_stored_from_when_the_stream_is_there() {
    let opened = Opened::open().await;
    opened.bus.ensure_stream(&stream("s", "s.>")).await.unwrap();
    opened.publish("s.a").await;
    opened.bus.ensure_stream(&stream("s", "t.>")).await.unwrap();
    opened.publish("s.a").await;
    opened.publish("t.a").await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    // Has its place before it is on the disk, and can be read from then on.
    let last = loop {
        if let Some(last) = opened.bus.get_message(&name("s"), 2).await.unwrap() {
            break last;
        }
        assert!(tokio::time::Instant::now() < deadline, "never stored");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(opened.bus.stream_info(&name("s")).await.unwrap().last_sequence, 2);
    assert_eq!(last.subject.as_str(), "t.a");
    assert!(opened.bus.delete_stream(&name("s")).await.unwrap());
    // Nobody is held back by a stream that is gone, and another may have its subjects.
    opened.bus.ensure_stream(&stream("other", "t.>")).await.unwrap();
    opened.publish("t.b").await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while opened.bus.stream_info(&name("other")).await.unwrap().messages == 0 {
        assert!(tokio::time::Instant::now() < deadline, "never stored");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    opened.close().await;
}

/// They were passed over without a word.
#[tokio::test]
async fn what_cannot_be_changed_is_named() {
    let opened = Opened::open().await;
    let before = stream("s", "s.>");
    opened.bus.ensure_stream(&before).await.unwrap();
    let mut config = before.clone();
    config.retention = Retention::WorkQueue;
    let refused = opened.bus.ensure_stream(&config).await.unwrap_err();
    assert!(matches!(refused, StreamError::Invalid { field: "retention", .. }), "{refused:?}");
    let mut config = before.clone();
    config.durability = Durability::Memory;
    let refused = opened.bus.ensure_stream(&config).await.unwrap_err();
    assert!(matches!(refused, StreamError::Invalid { field: "durability", .. }), "{refused:?}");
    assert_eq!(opened.bus.stream_info(&name("s")).await.unwrap().config, before);
    // The same again is no change, and limits may be others.
    opened.bus.ensure_stream(&before).await.unwrap();
    let mut config = before;
    config.messages_max = 7;
    assert_eq!(opened.bus.ensure_stream(&config).await.unwrap().config, config);
    opened.close().await;
}

/// A new stream's subjects were compared with those of others, a changed one's were not.
#[tokio::test]
async fn a_change_takes_no_subject_from_another_stream() {
    let opened = Opened::open().await;
    opened.bus.ensure_stream(&stream("one", "one.>")).await.unwrap();
    opened.bus.ensure_stream(&stream("two", "two.>")).await.unwrap();
    let refused = opened.bus.ensure_stream(&stream("two", "one.a")).await.unwrap_err();
    assert!(matches!(&refused, StreamError::Overlap { other } if *other == name("one")), "{refused:?}");
    opened.close().await;
}
