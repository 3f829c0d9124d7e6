//! A bus over a connection behaves as the embedded one does, against our listener and against nats-server alike.

mod nats_support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use myelin_bus::wire::{self, Body, Filter, Frames, QueueGroup, Subject};
use myelin_bus::{Bus, Caller, Delivery, Message, Meta, PublishError, ReplySink, ReplyTo, RequestError, SubscribeOptions, Subscription};
use nats_support::{PATIENCE, Server, until, within};
use parking_lot::Mutex;

fn subject(name: &str) -> Subject {
    Subject::new(name).expect("a subject")
}

fn filter(name: &str) -> Filter {
    Filter::new(name).expect("a filter")
}

async fn connect(server: &Server) -> Bus {
    Bus::connect(&server.url()).await.expect("the server listens")
}

async fn subscribe(bus: &Bus, name: &str) -> Subscription {
    bus.subscribe(&filter(name), SubscribeOptions::default()).await.expect("subscribed")
}

async fn next(subscription: &mut Subscription) -> Message {
    within("a message", subscription.next()).await.expect("not ended")
}

/// Answers every request on `name` with the request's own body, for as long as it is held.
fn echo(bus: &Bus, name: &str) -> myelin_bus::InlineSubscription {
    let answering = bus.clone();
    let handler = move |delivery: Delivery<'_>| {
        for body in delivery.bodies {
            delivery.reply.expect("a request").respond(&answering, body.clone());
        }
    };
    bus.subscribe_inline(&filter(name), None, handler).expect("subscribed")
}

on_both_servers!(
    messages_arrive_in_order,
    wildcards_match,
    bodies_arrive_as_they_were,
    headers_and_reply_arrive,
    a_group_shares_its_messages,
    a_request_gets_its_reply,
    many_requests_get_their_own_replies,
    a_request_without_responders_fails_at_once,
    a_request_without_answer_times_out,
    a_sink_takes_every_reply,
    a_sink_is_told_when_nobody_serves_its_request,
    what_is_too_large_is_refused_before_it_is_sent,
    a_dropped_subscription_is_no_responder,
    a_drained_bus_has_sent_everything,
);

async fn messages_arrive_in_order(server: Server) {
    let (publisher, receiver) = (connect(&server).await, connect(&server).await);
    let mut subscription = subscribe(&receiver, "order").await;
    let to = subject("order");
    for number in 0..20_000_u32 {
        publisher.publish(&to, Body::from(number.to_be_bytes().to_vec())).await.expect("published");
    }
    for number in 0..20_000_u32 {
        assert_eq!(next(&mut subscription).await.body, Body::from(number.to_be_bytes().to_vec()));
    }
}

async fn wildcards_match(server: Server) {
    let (publisher, receiver) = (connect(&server).await, connect(&server).await);
    let mut one = subscribe(&receiver, "w.*.c").await;
    let mut rest = subscribe(&receiver, "w.>").await;
    for name in ["w.a.c", "w.a.d", "w.b.c"] {
        publisher.publish(&subject(name), Body::from(name)).await.expect("published");
    }
    for expected in ["w.a.c", "w.b.c"] {
        assert_eq!(next(&mut one).await.subject.as_str(), expected);
    }
    for expected in ["w.a.c", "w.a.d", "w.b.c"] {
        assert_eq!(next(&mut rest).await.subject.as_str(), expected);
    }
}

async fn bodies_arrive_as_they_were(server: Server) {
    let (publisher, receiver) = (connect(&server).await, connect(&server).await);
    let mut subscription = subscribe(&receiver, "bodies").await;
    let large = vec![7; 900_000];
    let bodies = [
        Body::from(""),
        Body::from("text"),
        Body::from(large.clone()),
        Body::Frames(Frames::single(b"")),
        Body::Frames(Frames::from_parts([&b"id"[..], b"", b"{\"a\": NaN}"]).expect("frames")),
        Body::Frames(Frames::single(&large)),
    ];
    for body in &bodies {
        publisher.publish(&subject("bodies"), body.clone()).await.expect("published");
    }
    for body in bodies {
        assert!(next(&mut subscription).await.body == body, "{} bytes", body.len());
    }
}

/// Everything an envelope can say.
fn envelope() -> Meta {
    let mut meta = wire::Meta::new(wire::Kind::REQUEST, std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    meta.source = Some(wire::AgentId::new("planner-7").expect("an id"));
    meta.headers.append("enclosed", "1").expect("a header");
    meta.into()
}

async fn headers_and_reply_arrive(server: Server) {
    let (publisher, receiver) = (connect(&server).await, connect(&server).await);
    let mut subscription = subscribe(&receiver, "headers").await;
    let headers = vec![("A".into(), Bytes::from("1")), ("A".into(), Bytes::from("2")), ("B".into(), Bytes::from("x: y"))];
    let message = Message {
        reply: Some(ReplyTo::Subject(subject("answers.here"))),
        meta: Some(Box::new(Meta { headers, ..envelope() })),
        ..Message::new(subject("headers"), "body")
    };
    publisher.publish_message(message.clone()).await.expect("published");
    let received = next(&mut subscription).await;
    assert_eq!(received.meta, message.meta);
    assert!(matches!(&received.reply, Some(ReplyTo::Subject(reply)) if reply.as_str() == "answers.here"));
    assert_eq!(received.body, message.body);
}

async fn a_group_shares_its_messages(server: Server) {
    let (publisher, receiver) = (connect(&server).await, connect(&server).await);
    let seen = Arc::new(Mutex::new((Vec::new(), [0_usize; 3])));
    let members: Vec<_> = (0..3)
        .map(|member| {
            let seen = Arc::clone(&seen);
            let handler = move |delivery: Delivery<'_>| {
                let mut seen = seen.lock();
                seen.1[member] += delivery.bodies.len();
                seen.0.extend(delivery.bodies.iter().cloned());
            };
            receiver.subscribe_inline(&filter("work"), Some(QueueGroup::new("g").expect("a name")), handler).expect("subscribed")
        })
        .collect();
    receiver.flush().await;
    for number in 0..300_u32 {
        publisher.publish(&subject("work"), Body::from(number.to_string())).await.expect("published");
    }
    until("every message", || seen.lock().0.len() >= 300).await;
    publisher.flush().await;
    let (mut bodies, by_member) = std::mem::take(&mut *seen.lock());
    bodies.sort_by_key(|body| match body {
        Body::Blob(blob) => String::from_utf8_lossy(blob).parse::<u32>().expect("a number"),
        Body::Frames(_) => panic!("a blob was sent"),
    });
    assert_eq!(bodies, (0..300).map(|number: u32| Body::from(number.to_string())).collect::<Vec<_>>());
    assert!(by_member.iter().filter(|&&count| count > 0).count() > 1, "{by_member:?}");
    drop(members);
}

async fn a_request_gets_its_reply(server: Server) {
    let (requester, responder) = (connect(&server).await, connect(&server).await);
    let _echo = echo(&responder, "echo.*");
    responder.flush().await;
    for body in [Body::from("ping"), Body::Frames(Frames::from_parts([&b""[..], b"ping"]).expect("frames"))] {
        let reply = requester.request(&subject("echo.a"), body.clone(), PATIENCE).await.expect("a reply");
        assert_eq!(reply.body, body);
    }
}

async fn many_requests_get_their_own_replies(server: Server) {
    let (requester, responder) = (connect(&server).await, connect(&server).await);
    let _echo = echo(&responder, "echo");
    responder.flush().await;
    let asking: Vec<_> = (0..16)
        .map(|task| {
            let requester = requester.clone();
            tokio::spawn(async move {
                for number in 0..100 {
                    let body = Body::from(format!("{task}.{number}"));
                    let reply = requester.request(&subject("echo"), body.clone(), PATIENCE).await.expect("a reply");
                    assert_eq!(reply.body, body);
                }
            })
        })
        .collect();
    for task in asking {
        task.await.expect("every reply was its own");
    }
}

async fn a_request_without_responders_fails_at_once(server: Server) {
    let requester = connect(&server).await;
    let started = Instant::now();
    let outcome = requester.request(&subject("nobody"), "x".into(), Duration::from_secs(60)).await;
    assert!(matches!(outcome, Err(RequestError::NoResponders { .. })), "{outcome:?}");
    assert!(started.elapsed() < PATIENCE);
}

async fn a_request_without_answer_times_out(server: Server) {
    let (requester, responder) = (connect(&server).await, connect(&server).await);
    let _silent = subscribe(&responder, "silent").await;
    let patience = Duration::from_millis(100);
    let outcome = requester.request(&subject("silent"), "x".into(), patience).await;
    assert!(matches!(outcome, Err(RequestError::Timeout { after, .. }) if after == patience), "{outcome:?}");
}

async fn a_sink_takes_every_reply(server: Server) {
    let (requester, responder) = (connect(&server).await, connect(&server).await);
    let answering = responder.clone();
    let twice = move |delivery: Delivery<'_>| {
        for text in ["one", "two"] {
            delivery.reply.expect("a request").respond(&answering, text.into());
        }
    };
    let _twice = responder.subscribe_inline(&filter("twice"), None, twice).expect("subscribed");
    responder.flush().await;
    let replies = Arc::new(Mutex::new(Vec::new()));
    let sink = ReplySink::new({
        let replies = Arc::clone(&replies);
        move |body| replies.lock().push(body)
    });
    let published = requester.publisher(subject("twice")).request_inline("x".into(), ReplyTo::Sink(sink)).expect("sent");
    published.settled().await;
    until("both replies", || replies.lock().len() == 2).await;
    assert_eq!(*replies.lock(), [Body::from("one"), Body::from("two")]);
}

/// `request_inline` has returned by the time a server says so: a route that answers in place of an agent was never told.
async fn a_sink_is_told_when_nobody_serves_its_request(server: Server) {
    let requester = connect(&server).await;
    let (told, taken) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
    let sinks = [true, false].map(|is_caller| {
        let (told, taken) = (Arc::clone(&told), Arc::clone(&taken));
        let take = move |_| *taken.lock() += 1;
        let gone = tokio_util::sync::CancellationToken::new();
        let caller = Caller { connection: 7, identity: Bytes::new(), request: 0, gone };
        let sink = if is_caller { ReplySink::for_caller(caller, take) } else { ReplySink::new(take) };
        sink.on_unserved(move || *told.lock() += 1)
    });
    let publisher = requester.publisher(subject("nobody"));
    for sink in sinks {
        let published = publisher.request_inline("x".into(), ReplyTo::Sink(sink)).expect("sent");
        assert!(published.pressure.is_none());
    }
    until("both are told", || *told.lock() == 2).await;
    requester.flush().await;
    assert_eq!((*told.lock(), *taken.lock()), (2, 0));
    assert!(requester.callers_unanswered().is_empty(), "nobody owes it a reply");
}

async fn what_is_too_large_is_refused_before_it_is_sent(server: Server) {
    let bus = connect(&server).await;
    let max = bus.payload_bytes_max();
    assert_eq!(max, if server.is_ours() { 8 << 20 } else { 1 << 20 });
    let mut subscription = subscribe(&bus, "large").await;
    let too_large = Body::from(vec![0; max + 1]);
    let outcome = bus.publish(&subject("large"), too_large.clone()).await;
    assert_eq!(outcome, Err(PublishError::TooLarge { size: max + 1, max }));
    let outcome = bus.request(&subject("large"), too_large, PATIENCE).await;
    assert!(matches!(outcome, Err(RequestError::TooLarge { .. })), "{outcome:?}");
    // Within the limit as a payload, beyond it in its envelope.
    let framed = Body::Frames(Frames::single(&vec![0; max - 2]));
    let outcome = bus.publish(&subject("large"), framed).await;
    assert!(matches!(outcome, Err(PublishError::TooLarge { size, .. }) if size > max), "{outcome:?}");
    bus.publish(&subject("large"), Body::from(vec![0; max])).await.expect("just fits");
    assert_eq!(next(&mut subscription).await.body.len(), max);
}

async fn a_dropped_subscription_is_no_responder(server: Server) {
    let (requester, responder) = (connect(&server).await, connect(&server).await);
    let subscription = echo(&responder, "gone");
    responder.flush().await;
    requester.request(&subject("gone"), "x".into(), PATIENCE).await.expect("a reply");
    drop(subscription);
    // The task that fed it ends on its own; the server knows soon after.
    within("no responders", async { while requester.request(&subject("gone"), "x".into(), Duration::from_millis(50)).await.is_ok() {} })
        .await;
    until_no_responders(&requester, "gone").await;
}

async fn until_no_responders(requester: &Bus, name: &str) {
    within("no responders", async {
        loop {
            let outcome = requester.request(&subject(name), "x".into(), Duration::from_millis(50)).await;
            if matches!(outcome, Err(RequestError::NoResponders { .. })) {
                return;
            }
        }
    })
    .await;
}

async fn a_drained_bus_has_sent_everything(server: Server) {
    let (publisher, receiver) = (connect(&server).await, connect(&server).await);
    let mut subscription = subscribe(&receiver, "last").await;
    for number in 0..1_000_u32 {
        publisher.publish(&subject("last"), Body::from(number.to_string())).await.expect("published");
    }
    assert!(publisher.drain(PATIENCE).await.is_clean());
    assert_eq!(publisher.publish(&subject("last"), "x".into()).await, Err(PublishError::Closed));
    for number in 0..1_000_u32 {
        assert_eq!(next(&mut subscription).await.body, Body::from(number.to_string()));
    }
}
