//! "`publish_durable` → `Receipt { stream, sequence, duplicate }` after the record is safe. Dedup by message id in a window. Delayed delivery."

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::fixture::{Fixture, eventually, text};
use super::orders::{id, job, work};
use crate::Message;
use crate::streams::{PublishDurableError, PublishOptions, Retention};

/// "A dense stream sequence": each message has the next one, whatever its subject and whoever publishes.
pub async fn sequences_are_dense(on: &Fixture) {
    on.orders(|_| {}).await;
    let mut publishing = JoinSet::new();
    for publisher in 0..8 {
        let bus = if publisher % 2 == 0 { on.bus() } else { on.second() }.clone();
        let (message, stream) = (Message::new(on.subject(&format!("orders.{publisher}")), "x"), on.name("orders"));
        publishing.spawn(async move {
            let mut sequences = Vec::new();
            for _ in 0..25 {
                let receipt = bus.publish_durable(&message, &PublishOptions::default()).await.unwrap();
                assert!(receipt.stream == stream && !receipt.is_duplicate);
                sequences.push(receipt.sequence);
            }
            assert!(sequences.is_sorted(), "one publisher's are in its order");
            sequences
        });
    }
    let mut all = Vec::new();
    while let Some(sequences) = publishing.join_next().await {
        all.extend(sequences.unwrap());
    }
    all.sort_unstable();
    assert_eq!(all, (1..=200).collect::<Vec<_>>());
    assert_eq!(on.info().await.last_sequence, 200);
}

/// "Dedup by message id in a window": the receipt names the message that is stored, and says that it was.
pub async fn an_id_is_stored_once(on: &Fixture) {
    on.orders(|_| {}).await;
    let first = on.store_with("orders.new", "a", &id("1")).await.unwrap();
    on.store("orders.new", "without an id").await;
    let other = on.store_with("orders.new", "b", &id("2")).await.unwrap();
    assert_eq!((first.sequence, first.is_duplicate, other.sequence, other.is_duplicate), (1, false, 3, false));
    for subject in ["orders.new", "orders.elsewhere"] {
        let message = Message::new(on.subject(subject), "again");
        let again = on.second().publish_durable(&message, &id("1")).await.unwrap();
        assert_eq!((again.stream, again.sequence, again.is_duplicate), (on.name("orders"), 1, true));
    }
    assert_eq!(on.info().await.messages, 3);
}

/// Publishers that send one id at once store it once.
pub async fn an_id_is_stored_once_by_whoever_is_first(on: &Fixture) {
    on.orders(|_| {}).await;
    let mut publishing = JoinSet::new();
    for publisher in 0..16 {
        let bus = if publisher % 2 == 0 { on.bus() } else { on.second() }.clone();
        let message = Message::new(on.subject("orders.new"), "x");
        publishing.spawn(async move { bus.publish_durable(&message, &id("1")).await.unwrap() });
    }
    let receipts = publishing.join_all().await;
    assert_eq!(receipts.iter().filter(|receipt| !receipt.is_duplicate).count(), 1);
    assert!(receipts.iter().all(|receipt| receipt.sequence == 1));
    assert_eq!(on.info().await.messages, 1);
}

/// "In a window": an id is remembered for as long as the stream says, and no longer.
pub async fn after_the_window_an_id_is_new(on: &Fixture) {
    let window = Duration::from_secs(1);
    on.orders(|config| config.dedup_window = window).await;
    let started = Instant::now();
    on.store_with("orders.new", "a", &id("1")).await.unwrap();
    assert!(on.store_with("orders.new", "a", &id("1")).await.unwrap().is_duplicate || started.elapsed() >= window);
    let anew = eventually("the window is over", async || {
        let receipt = on.store_with("orders.new", "a", &id("1")).await.unwrap();
        (!receipt.is_duplicate).then_some(receipt)
    })
    .await;
    assert!(started.elapsed() >= window * 9 / 10, "{:?}", started.elapsed());
    assert_eq!(anew.sequence, 2);
}

/// An id stands for what was published, not for what is there: a message that was handled is not stored again.
pub async fn an_id_outlives_its_message(on: &Fixture) {
    on.orders(|config| config.retention = Retention::WorkQueue).await;
    on.store_with("orders.new", "a", &id("1")).await.unwrap();
    let worker = on.workers(|_| {}).await;
    assert_eq!(work(&worker).await, "a");
    let again = on.store_with("orders.new", "a", &id("1")).await.unwrap();
    assert!(again.is_duplicate && again.sequence == 1, "{again:?}");
    on.is_empty().await;
}

/// Ids are those of one stream.
pub async fn another_stream_has_ids_of_its_own(on: &Fixture) {
    on.orders(|_| {}).await;
    on.bus().ensure_stream(&on.config("other", &["other.>"])).await.unwrap();
    for subject in ["orders.new", "other.new"] {
        let receipt = on.store_with(subject, "x", &id("1")).await.unwrap();
        assert!(!receipt.is_duplicate && receipt.sequence == 1, "{receipt:?}");
    }
}

/// "*expected last subject sequence*": stored only if the last message on its subject is that one; 0 for none.
pub async fn a_message_may_expect_the_last_on_its_subject(on: &Fixture) {
    on.orders(|_| {}).await;
    let expect = |last| PublishOptions { expected_last_sequence: Some(last), ..PublishOptions::default() };
    on.store("orders.other", "does not count").await;
    assert_eq!(on.store_with("orders.a", "first", &expect(0)).await.unwrap().sequence, 2);
    let refused = on.store_with("orders.a", "second", &expect(0)).await.unwrap_err();
    assert_eq!(refused, PublishDurableError::WrongLastSequence { last: 2 });
    assert!(!refused.is_retryable() && !refused.may_have_happened());
    assert_eq!(on.store_with("orders.a", "second", &expect(2)).await.unwrap().sequence, 3);
    assert_eq!(on.info().await.messages, 3);
}

/// What many expect at once, one gets: this is what keeps a dead letter from being stored twice.
pub async fn of_many_that_expect_the_same_one_is_stored(on: &Fixture) {
    on.orders(|_| {}).await;
    let mut publishing = JoinSet::new();
    for publisher in 0..16 {
        let bus = if publisher % 2 == 0 { on.bus() } else { on.second() }.clone();
        let message = Message::new(on.subject("orders.new"), "x");
        let options = PublishOptions { expected_last_sequence: Some(0), ..PublishOptions::default() };
        publishing.spawn(async move { bus.publish_durable(&message, &options).await });
    }
    let stored = publishing.join_all().await;
    assert_eq!(stored.iter().filter(|stored| stored.is_ok()).count(), 1, "{stored:?}");
    assert!(stored.iter().all(|stored| matches!(stored, Ok(_) | Err(PublishDurableError::WrongLastSequence { last: 1 }))), "{stored:?}");
    assert_eq!(on.info().await.messages, 1);
}

/// "Delayed delivery": no worker gets it before, and later messages do not wait for it.
pub async fn a_delayed_message_comes_when_it_is_due(on: &Fixture) {
    on.orders(|_| {}).await;
    let delay = Duration::from_secs(1);
    let started = Instant::now();
    let later = PublishOptions { delay: Some(delay), ..PublishOptions::default() };
    on.store_with("orders.new", "later", &later).await.unwrap();
    on.store("orders.new", "now").await;
    let worker = on.workers(|_| {}).await;
    assert_eq!(work(&worker).await, "now");
    let job = job(&worker).await;
    assert!(started.elapsed() >= delay * 9 / 10, "{:?}", started.elapsed());
    assert_eq!((text(job.body()), job.deliveries()), ("later".to_owned(), 1));
}

/// "Typed errors": a subject that no stream stores.
pub async fn what_no_stream_stores_is_refused(on: &Fixture) {
    on.orders(|_| {}).await;
    let refused = on.store_with("elsewhere", "x", &PublishOptions::default()).await.unwrap_err();
    assert_eq!(refused, PublishDurableError::NoStream { subject: on.subject("elsewhere") });
    assert!(!refused.may_have_happened());
}

/// A stream may store less than the bus carries.
pub async fn a_stream_may_refuse_what_the_bus_carries(on: &Fixture) {
    on.orders(|config| config.message_bytes_max = 1_000).await;
    let refused = on.store_with("orders.new", vec![0; 1_001], &PublishOptions::default()).await.unwrap_err();
    assert!(matches!(refused, PublishDurableError::TooLarge { size, max: 1_000 } if size >= 1_001), "{refused:?}");
    assert_eq!((on.store("orders.new", vec![0; 900]).await, on.info().await.messages), (1, 1));
}

/// "`TooLarge` names both"; and what is not too large is stored and delivered whole.
pub async fn what_is_too_large_to_store_is_refused(on: &Fixture) {
    on.orders(|_| {}).await;
    let max = on.bus().payload_bytes_max();
    let refused = on.store_with("orders.new", vec![0; max + 1], &PublishOptions::default()).await.unwrap_err();
    assert_eq!(refused, PublishDurableError::TooLarge { size: max + 1, max });
    assert!(!refused.is_retryable() && !refused.may_have_happened());
    // Room for what is told beside the payload, in headers.
    let largest = max - 4_096;
    assert_eq!(on.store("orders.new", vec![7; largest]).await, 1);
    let worker = on.workers(|_| {}).await;
    let job = job(&worker).await;
    assert!(*job.body() == vec![7; largest].into(), "{} bytes", job.body().len());
    job.ack().await.unwrap();
}
