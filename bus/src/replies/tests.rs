use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::*;
use crate::{Bus, Delivery, EmbeddedConfig, Message};

fn bus(reply_subjects_max: usize) -> Bus {
    let reply_subject_ttl = Duration::from_secs(10);
    Bus::embedded(EmbeddedConfig { reply_subjects_max, reply_subject_ttl, ..EmbeddedConfig::default() })
}

/// A sink and what it took.
fn sink() -> (ReplyTo, Arc<Mutex<Vec<Body>>>) {
    let taken = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&taken);
    (ReplyTo::Sink(ReplySink::new(move |body| seen.lock().push(body))), taken)
}

fn receivers(bus: &Bus, subject: &Subject) -> usize {
    bus.publisher(subject.clone()).publish_batch(&["reply".into()]).receivers
}

#[tokio::test(start_paused = true)]
async fn a_sink_is_reached_by_its_subject_until_that_expires() {
    let bus = bus(10);
    let (reply, taken) = sink();
    let subject = bus.reply_subject(&reply);
    assert!(subject.as_str().starts_with("_INBOX."));
    assert_ne!(subject, bus.reply_subject(&reply), "each request is told apart");
    bus.publish(&subject, "one".into()).await.unwrap();
    assert_eq!(receivers(&bus, &subject), 1, "zero or more replies");
    assert_eq!(*taken.lock(), ["one".into(), "reply".into()]);

    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(receivers(&bus, &subject), 0);
    assert_eq!(bus.metrics().late_replies.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_full_table_forgets_the_oldest_sink() {
    let bus = bus(2);
    let subjects: Vec<_> = (0..3).map(|_| bus.reply_subject(&sink().0)).collect();
    assert_eq!(subjects.iter().map(|subject| receivers(&bus, subject)).collect::<Vec<_>>(), [0, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_request_is_reached_by_its_subject_as_long_as_it_waits() {
    let bus = bus(1);
    let subjects = Arc::new(Mutex::new(Vec::new()));
    let (seen, handler_bus) = (Arc::clone(&subjects), bus.clone());
    let handler = move |delivery: Delivery<'_>| {
        let reply = delivery.reply.expect("a request");
        seen.lock().push(handler_bus.reply_subject(reply));
    };
    let service = Subject::new("service").unwrap();
    let _service = bus.subscribe_inline(&service.clone().into(), None, handler).unwrap();
    let requesting = tokio::spawn({
        let bus = bus.clone();
        async move { bus.request(&service, Body::default(), Duration::from_secs(100)).await }
    });
    while subjects.lock().is_empty() {
        tokio::task::yield_now().await;
    }
    let subject = subjects.lock()[0].clone();
    tokio::time::advance(Duration::from_secs(50)).await;
    let crowd: Vec<_> = (0..5).map(|_| bus.reply_subject(&sink().0)).collect();
    bus.publish_message(Message::new(subject.clone(), "reply")).await.unwrap();
    assert_eq!(requesting.await.unwrap().unwrap().body, "reply".into());
    assert_eq!(receivers(&bus, &crowd[4]), 1);

    let before = bus.metrics().late_replies.get();
    bus.publish(&subject, "late".into()).await.unwrap();
    assert_eq!(bus.metrics().late_replies.get(), before + 1);
}

#[test]
fn what_nobody_issued_is_nobodys_address() {
    let bus = bus(10);
    let own = bus.reply_subject(&sink().0);
    let (prefix, _) = own.as_str().rsplit_once('.').unwrap();
    for number in ["1", "-1", "x", "18446744073709551615", "9223372036854775808", "0.0", "99999999999999999999"] {
        assert_eq!(receivers(&bus, &Subject::new(&format!("{prefix}.{number}")).unwrap()), 0, "{number}");
    }
    assert_eq!(receivers(&bus, &own), 1);
}

#[tokio::test]
async fn a_server_that_knows_no_responders_ends_the_request() {
    let replies =
        Arc::new(Replies::new(RepliesConfig { requests_max: 1, subjects_max: 1, subject_ttl: Duration::from_secs(1) }, Metrics::default()));
    let pending = replies.open().unwrap();
    replies.no_responders(&replies.subject_of(&ReplyTo::Sink(pending.sink())));
    assert!(matches!(pending.outcome().await, Outcome::NoResponders));
}

#[test]
fn a_server_that_knows_no_responders_tells_the_sink() {
    let bus = bus(10);
    let told = Arc::new(Mutex::new(0));
    let (count, (plain, taken)) = (Arc::clone(&told), sink());
    let watching = ReplyTo::Sink(ReplySink::new(|_| {}).on_unserved(move || *count.lock() += 1));
    for reply in [&watching, &plain] {
        bus.shared().replies.no_responders(&bus.reply_subject(reply));
    }
    assert_eq!((*told.lock(), taken.lock().len()), (1, 0));
    assert_eq!(bus.metrics().no_responders.get(), 2);
}
