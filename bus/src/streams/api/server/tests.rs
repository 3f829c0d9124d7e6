//! Who may be at work at once: requests that nobody finishes are begun up to the bound, and not one beyond it; of workers that wait, one too
//! many is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{StreamServer, WAITING_MAX, read, subscribe};
use crate::streams::{ConsumerConfig, Name, PublishOptions, StoreConfig, StreamConfig, StreamServerMetrics};
use crate::wire::{Body, Filter, Subject};
use crate::{Bus, EmbeddedConfig, Message, Overflow, ReplyTo, SubscribeOptions, Subscription};

const PATIENCE: Duration = Duration::from_secs(20);

/// Requests that begin and wait to be let go of.
#[derive(Default)]
struct Held {
    begun: AtomicUsize,
    done: AtomicUsize,
    changed: Notify,
    let_go: Notify,
}

impl Held {
    async fn until_begun(&self, count: usize) {
        let begun = async {
            loop {
                let changed = self.changed.notified();
                if self.begun.load(Ordering::SeqCst) >= count {
                    return;
                }
                changed.await;
            }
        };
        timeout(PATIENCE, begun).await.expect("they begin");
        assert_eq!(self.begun.load(Ordering::SeqCst), count);
    }
}

/// Sends `count` requests of `bytes` to a server that finishes none, and tells how many it begins: `expected`, and one more for each that ends.
async fn begins(count: usize, bytes: usize, expected: usize) {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let server = StreamServer::start(&bus, StreamServerMetrics::default()).await.unwrap();
    let held = Arc::new(Held::default());
    let subscription = subscribe(&bus, "work", Overflow::Block).await.unwrap();
    let handle = {
        let held = Arc::clone(&held);
        move |_, _message: Message| {
            let held = Arc::clone(&held);
            async move {
                let let_go = held.let_go.notified();
                held.begun.fetch_add(1, Ordering::SeqCst);
                held.changed.notify_waiters();
                let_go.await;
                held.done.fetch_add(1, Ordering::SeqCst);
            }
        }
    };
    let serving = Arc::clone(&server.serving);
    let reading = tokio::spawn(async move { read(serving, subscription, handle).await });
    let subject = Subject::new("work").unwrap();
    let publishing = tokio::spawn({
        let bus = bus.clone();
        async move {
            for _ in 0..count {
                bus.publish(&subject, vec![0; bytes].into()).await.unwrap();
            }
        }
    });
    held.until_begun(expected).await;
    let another = async {
        let changed = held.changed.notified();
        changed.await;
    };
    assert!(timeout(Duration::from_millis(200), another).await.is_err(), "no more begin");
    for ended in 1..=3 {
        held.let_go.notify_one();
        held.until_begun(expected + ended).await;
    }
    // The rest, in as many rounds as it takes.
    let all = async {
        while held.done.load(Ordering::SeqCst) < count {
            held.let_go.notify_waiters();
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, all).await.expect("all end");
    publishing.await.unwrap();
    assert!(server.shutdown(PATIENCE).await);
    reading.await.unwrap();
}

#[tokio::test]
async fn at_most_256_small_requests_are_at_work() {
    begins(300, 10, 256).await;
}

#[tokio::test]
async fn large_requests_count_by_their_bytes() {
    // 64 MiB in all.
    begins(24, 4 << 20, 16).await;
}

/// What ends an answer to a worker: its status, and what it says.
async fn ended(inbox: &mut Subscription) -> (String, Value) {
    let message = timeout(PATIENCE, inbox.next()).await.expect("an answer").unwrap();
    let status = message.meta.as_ref().and_then(|meta| meta.header("Myelin-Status")).expect("the end of an answer");
    let Body::Blob(told) = &message.body else { panic!("frames") };
    (String::from_utf8_lossy(status).into_owned(), serde_json::from_slice(told).unwrap())
}

#[tokio::test]
async fn one_waiting_worker_too_many_is_told_and_the_others_wait_on() {
    let directory = tempfile::tempdir().unwrap();
    let store = StoreConfig { directory: directory.path().to_owned() };
    let (bus, _) = Bus::embedded_with_store(EmbeddedConfig::default(), &store).unwrap();
    let server = StreamServer::start(&bus, StreamServerMetrics::default()).await.unwrap();
    let name = |name: &str| Name::new(name).unwrap();
    bus.ensure_stream(&StreamConfig::new(name("orders"), vec![Filter::new("orders.>").unwrap()])).await.unwrap();
    bus.ensure_consumer(&name("orders"), &ConsumerConfig::new(name("workers"))).await.unwrap();
    // All places but two are taken.
    let taken = Arc::clone(&server.serving.waiting).acquire_many_owned(16_384 - 2).await.unwrap();
    assert_eq!((WAITING_MAX, server.serving.waiting.available_permits()), (16_384, 2));

    let mut inbox = bus.subscribe(&Filter::new("_INBOX.w").unwrap(), SubscribeOptions::default()).await.unwrap();
    let ask = async || {
        let asked = json!({ "max": 1, "wait_ms": 60_000 }).to_string();
        let mut next = Message::new(Subject::new("$MYELIN.API.CONSUMER.NEXT.orders.workers").unwrap(), asked);
        next.reply = Some(ReplyTo::Subject(Subject::new("_INBOX.w").unwrap()));
        bus.publish_message(next).await.unwrap();
    };
    for _ in 0..3 {
        ask().await;
    }
    let (status, told) = ended(&mut inbox).await;
    assert_eq!((status.as_str(), &told["error"]["code"], &told["error"]["retryable"]), ("error", &json!("too_many"), &json!(true)));
    assert!(timeout(Duration::from_millis(200), inbox.next()).await.is_err(), "the others wait");

    // One gets what comes, and its place is free again.
    let message = Message::new(Subject::new("orders.new").unwrap(), "a");
    bus.publish_durable(&message, &PublishOptions::default()).await.unwrap();
    assert_eq!(timeout(PATIENCE, inbox.next()).await.expect("a message").unwrap().body, "a".into());
    assert_eq!(ended(&mut inbox).await.0, "end");
    ask().await;
    assert!(timeout(Duration::from_millis(200), inbox.next()).await.is_err(), "it waits too");
    drop(taken);
    // It waits for the word about the message that was taken, which never comes.
    server.shutdown(Duration::from_secs(1)).await;
    assert_eq!(server.serving.waiting.available_permits(), WAITING_MAX, "nobody waits any more");
}
