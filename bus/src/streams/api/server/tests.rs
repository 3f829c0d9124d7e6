//! Who may be at work at once: requests that nobody finishes are begun up to the bound, and not one beyond it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::timeout;

use super::{StreamServer, read_until, subscribe};
use crate::streams::StreamServerMetrics;
use crate::wire::Subject;
use crate::{Bus, EmbeddedConfig, Message, Overflow};

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
    let (token, tracker) = (serving.token.clone(), serving.tracker.clone());
    let reading = tokio::spawn(async move { read_until(serving, subscription, &token, &tracker, handle).await });
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
