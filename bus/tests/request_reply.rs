//! Promise: a request ends with its own first reply, or with an error that says what is known: nobody there, too late, too large.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::sync::Arc;
use std::time::Duration;

use myelin_bus::wire::{Body, Filter, Frames, Subject};
use myelin_bus::{Bus, Delivery, EmbeddedConfig, Metrics, ReplySink, ReplyTo, RequestError, SubscribeOptions};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;

const PATIENCE: Duration = Duration::from_secs(5);

fn subject(name: &str) -> Subject {
    Subject::new(name).unwrap()
}

fn filter(name: &str) -> Filter {
    Filter::new(name).unwrap()
}

/// One line of the metrics text.
fn metric(metrics: &Metrics, line: &str) -> bool {
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    text.lines().any(|found| found == line)
}

#[tokio::test]
async fn a_service_answers_each_request_with_its_own_reply() {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let mut service = bus.subscribe(&filter("echo"), SubscribeOptions::default()).await.unwrap();
    let responder = bus.clone();
    let serving = tokio::spawn(async move {
        while let Some(request) = service.next().await {
            request.respond(&responder, request.body.clone());
        }
    });
    let requests = (0..100).map(|number: u32| {
        let bus = bus.clone();
        tokio::spawn(async move {
            let body = Body::from(number.to_string());
            assert_eq!(bus.request(&subject("echo"), body.clone(), PATIENCE).await.unwrap().body, body);
        })
    });
    for request in requests.collect::<Vec<_>>() {
        request.await.unwrap();
    }
    bus.drain(PATIENCE).await;
    serving.await.unwrap();
}

#[tokio::test]
async fn nobody_there_is_known_at_once() {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let _other = bus.subscribe(&filter("other"), SubscribeOptions::default()).await.unwrap();
    let error = bus.request(&subject("nobody"), Body::default(), Duration::MAX).await.unwrap_err();
    assert_eq!(error, RequestError::NoResponders { subject: subject("nobody") });
    assert!(error.is_retryable() && !error.may_have_happened());
    let sink = ReplyTo::Sink(ReplySink::new(|_| {}));
    assert!(bus.publisher(subject("nobody")).request_inline(Body::default(), sink).is_err());
    assert!(metric(bus.metrics(), "myelin_bus_no_responders_total 2"));
}

#[tokio::test(start_paused = true)]
async fn a_late_reply_is_dropped_and_counted_and_reaches_no_other_request() {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let mut service = bus.subscribe(&filter("slow"), SubscribeOptions::default()).await.unwrap();
    let error = bus.request(&subject("slow"), "one".into(), PATIENCE).await.unwrap_err();
    assert_eq!(error, RequestError::Timeout { subject: subject("slow"), after: PATIENCE });
    assert!(error.may_have_happened());
    let late = service.next().await.unwrap();

    let responder = bus.clone();
    let serving = tokio::spawn(async move {
        let request = service.next().await.unwrap();
        // The late reply comes while the next request, which has the same slot, waits.
        late.respond(&responder, "late");
        request.respond(&responder, "in time");
        request.respond(&responder, "again");
    });
    let reply = bus.request(&subject("slow"), "two".into(), PATIENCE).await.unwrap();
    assert_eq!(reply.body, "in time".into());
    serving.await.unwrap();
    assert!(metric(bus.metrics(), "myelin_bus_late_replies_total 2"));
}

#[tokio::test]
async fn too_large_names_both_sizes() {
    let bus = Bus::embedded(EmbeddedConfig { payload_bytes_max: 4, ..EmbeddedConfig::default() });
    let mut service = bus.subscribe(&filter("x"), SubscribeOptions::default()).await.unwrap();
    let error = bus.request(&subject("x"), "12345".into(), PATIENCE).await.unwrap_err();
    assert_eq!(error, RequestError::TooLarge { size: 5, max: 4 });
    service.drain();
    assert!(service.next().await.is_none(), "nothing was sent");
}

#[tokio::test]
async fn one_waiting_request_too_many_is_refused() {
    let bus = Bus::embedded(EmbeddedConfig { requests_max: 1, ..EmbeddedConfig::default() });
    let mut service = bus.subscribe(&filter("x"), SubscribeOptions::default()).await.unwrap();
    let waiting = {
        let bus = bus.clone();
        tokio::spawn(async move { bus.request(&subject("x"), "one".into(), PATIENCE).await })
    };
    let request = service.next().await.unwrap();
    let error = bus.request(&subject("x"), "two".into(), PATIENCE).await.unwrap_err();
    assert_eq!(error, RequestError::TooManyWaiting { max: 1 });
    request.respond(&bus, "done");
    assert_eq!(waiting.await.unwrap().unwrap().body, "done".into());
}

#[tokio::test]
async fn a_cancelled_request_gives_its_slot_back() {
    let bus = Bus::embedded(EmbeddedConfig { requests_max: 1, ..EmbeddedConfig::default() });
    let mut service = bus.subscribe(&filter("x"), SubscribeOptions::default()).await.unwrap();
    for _ in 0..3 {
        let name = subject("x");
        let request = bus.request(&name, Body::default(), PATIENCE);
        tokio::select! {
            biased;
            _ = request => unreachable!("nobody replies"),
            got = service.next() => drop(got.unwrap()),
        }
    }
    assert!(metric(bus.metrics(), "myelin_bus_requests_total 3"));
}

#[test]
fn an_inline_request_gets_every_reply_in_the_callers_own_call() {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let responder = bus.clone();
    let serve = move |delivery: Delivery<'_>| {
        let reply = delivery.reply.expect("a request");
        for body in delivery.bodies {
            reply.respond(&responder, body.clone());
            reply.respond(&responder, "more".into());
        }
    };
    let _service = bus.subscribe_inline(&filter("x"), None, serve).unwrap();
    let replies = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&replies);
    let sink = ReplySink::new(move |body| seen.lock().push(body));
    let frames = Body::Frames(Frames::from_parts(["", "request"]).unwrap());
    let published = bus.publisher(subject("x")).request_inline(frames.clone(), ReplyTo::Sink(sink)).unwrap();
    assert_eq!(published.receivers, 1);
    assert_eq!(*replies.lock(), [frames, "more".into()]);
}

#[tokio::test]
async fn a_reply_subject_is_an_ordinary_subject() {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let mut service = bus.subscribe(&filter("x"), SubscribeOptions::default()).await.unwrap();
    let mut inbox = bus.subscribe(&filter("_INBOX.mine"), SubscribeOptions::default()).await.unwrap();
    let request = myelin_bus::Message { reply: Some(subject("_INBOX.mine").into()), ..myelin_bus::Message::new(subject("x"), "request") };
    bus.publish_message(request).await.unwrap();
    service.next().await.unwrap().respond(&bus, "reply");
    assert_eq!(inbox.next().await.unwrap().body, "reply".into());
}
