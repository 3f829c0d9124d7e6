//! "**request**: typed errors `NoResponders` (at once), `Timeout`, `TooLarge`. A late reply is dropped."

use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::fixture::{Fixture, eventually, group, next, text, within};
use super::{PATIENCE, QUIET};
use crate::wire::{Body, Frames, QueueGroup};
use crate::{Delivery, InlineSubscription, Message, Meta, RequestError, SubscribeOptions};

/// Answers every request on `subject` with `answer` of its body, as a member of a group or alone.
async fn respond(
    on: &Fixture,
    subject: &str,
    group: Option<&str>,
    answer: impl Fn(&Body) -> Vec<Body> + Send + Sync + 'static,
) -> InlineSubscription {
    let bus = on.second().clone();
    let handler = move |delivery: Delivery<'_>| {
        for body in delivery.bodies {
            for answer in answer(body) {
                delivery.reply.expect("a request").respond(&bus, answer);
            }
        }
    };
    let group = group.map(|group| QueueGroup::new(group).unwrap());
    let subscription = on.second().subscribe_inline(&on.filter(subject), group, handler).unwrap();
    on.second().flush().await;
    subscription
}

fn echo(body: &Body) -> Vec<Body> {
    vec![body.clone()]
}

async fn ask(on: &Fixture, subject: &str, body: impl Into<Body>, patience: Duration) -> Result<Message, RequestError> {
    on.bus().request(&on.subject(subject), body.into(), patience).await
}

/// A request is answered by who is subscribed; the reply is as it was sent.
pub async fn a_request_gets_its_reply(on: &Fixture) {
    let _echo = respond(on, "echo.*", None, echo).await;
    let frames = Frames::from_parts([&b""[..], b"ping", b"\xff"]).unwrap();
    for body in [Body::from("ping"), Body::from(""), Body::Frames(frames), Body::from(vec![1; 300_000])] {
        let reply = ask(on, "echo.a", body.clone(), PATIENCE).await.unwrap();
        assert!(reply.body == body, "{} bytes", body.len());
    }
}

/// What a request carries beside its body reaches who answers.
pub async fn a_responder_sees_headers_and_frames(on: &Fixture) {
    let mut requests = on.subscribe("svc", SubscribeOptions::default()).await;
    let meta = Meta { headers: vec![("Trace".into(), Bytes::from("1"))], envelope: None };
    let body = Body::Frames(Frames::from_parts([&b"id"[..], b"", b"body"]).unwrap());
    let message = Message { meta: Some(Box::new(meta.clone())), ..Message::new(on.subject("svc"), body.clone()) };
    let answer = async {
        let request = next(&mut requests).await;
        assert_eq!((request.meta.as_deref(), &request.body), (Some(&meta), &body));
        request.respond(on.second(), "done");
    };
    let (reply, ()) = tokio::join!(on.bus().request_message(&message, PATIENCE), answer);
    assert_eq!(reply.unwrap().body, "done".into());
}

/// "`NoResponders` (at once)".
pub async fn without_responders_a_request_fails_at_once(on: &Fixture) {
    let outcome = within("the error", ask(on, "nobody", "x", 10 * PATIENCE)).await;
    let error = outcome.unwrap_err();
    assert_eq!(error, RequestError::NoResponders { subject: on.subject("nobody") });
    assert!(error.is_retryable() && !error.may_have_happened());
}

/// "`Timeout`": somebody has the request and does not answer.
pub async fn without_an_answer_a_request_times_out(on: &Fixture) {
    let _silent = on.subscribe("silent", SubscribeOptions::default()).await;
    let started = Instant::now();
    let error = within("the error", ask(on, "silent", "x", QUIET)).await.unwrap_err();
    assert_eq!(error, RequestError::Timeout { subject: on.subject("silent"), after: QUIET });
    assert!(started.elapsed() >= QUIET && error.may_have_happened());
}

/// "A late reply is dropped": it is not the reply of a later request.
pub async fn a_late_reply_is_nobodys(on: &Fixture) {
    let mut requests = on.subscribe("slow", SubscribeOptions::default()).await;
    let outcome = ask(on, "slow", "first", QUIET).await;
    assert!(matches!(outcome, Err(RequestError::Timeout { .. })), "{outcome:?}");
    let late = next(&mut requests).await;
    let answer = async {
        let request = next(&mut requests).await;
        late.respond(on.second(), "too late");
        request.respond(on.second(), "in time");
    };
    let (reply, ()) = tokio::join!(ask(on, "slow", "second", PATIENCE), answer);
    assert_eq!(reply.unwrap().body, "in time".into());
}

/// "Waits for the first reply": others are nobody's.
pub async fn the_first_reply_counts(on: &Fixture) {
    let _twice = respond(on, "twice", None, |body| vec![body.clone(), "another".into()]).await;
    for number in 0..20 {
        let reply = ask(on, "twice", number.to_string(), PATIENCE).await.unwrap();
        assert_eq!(text(&reply.body), number.to_string());
    }
}

/// Replies find who asked, however many ask at once.
pub async fn concurrent_requests_get_their_own_replies(on: &Fixture) {
    let _echo = respond(on, "echo", None, echo).await;
    let mut asking = JoinSet::new();
    for task in 0..8 {
        let (bus, subject) = (on.bus().clone(), on.subject("echo"));
        asking.spawn(async move {
            for number in 0..50 {
                let body = Body::from(format!("{task}.{number}"));
                let reply = bus.request(&subject, body.clone(), PATIENCE).await.unwrap();
                assert_eq!(reply.body, body);
            }
        });
    }
    while let Some(asked) = asking.join_next().await {
        asked.unwrap();
    }
}

/// "Replicas share a queue group": each request is answered once, by one of them.
pub async fn responders_in_a_group_share_the_requests(on: &Fixture) {
    let mut members = [on.subscribe("svc", group("replicas")).await, on.subscribe("svc", group("replicas")).await];
    let [one, two] = &mut members;
    let serve = async {
        loop {
            let request = tokio::select! {
                request = one.next() => request,
                request = two.next() => request,
            };
            let request = request.unwrap();
            request.respond(on.second(), request.body.clone());
        }
    };
    let ask_all = async {
        for number in 0..100 {
            assert_eq!(text(&ask(on, "svc", number.to_string(), PATIENCE).await.unwrap().body), number.to_string());
        }
    };
    tokio::select! {
        () = serve => {}
        () = ask_all => {}
    }
    on.second().flush().await;
    assert!(members.iter().all(|member| member.is_empty()), "no request went to both");
}

/// A subscription that was dropped answers nothing, and is not waited for.
pub async fn who_left_is_no_responder(on: &Fixture) {
    let responder = respond(on, "svc", None, echo).await;
    ask(on, "svc", "x", PATIENCE).await.unwrap();
    drop(responder);
    eventually("no responders", async || {
        let outcome = ask(on, "svc", "x", QUIET).await;
        matches!(outcome, Err(RequestError::NoResponders { .. })).then_some(())
    })
    .await;
}

/// "`TooLarge`": before anything is sent.
pub async fn a_request_that_is_too_large_is_not_sent(on: &Fixture) {
    let requests = on.subscribe("svc", SubscribeOptions::default()).await;
    let max = on.bus().payload_bytes_max();
    let error = ask(on, "svc", vec![0; max + 1], PATIENCE).await.unwrap_err();
    assert_eq!(error, RequestError::TooLarge { size: max + 1, max });
    assert!(!error.is_retryable() && !error.may_have_happened());
    on.second().flush().await;
    assert!(requests.is_empty());
}
