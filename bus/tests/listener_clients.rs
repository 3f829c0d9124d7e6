//! A NATS client that knows nothing of us finds in our listener what it finds in nats-server. The client is async-nats.

mod nats_support;

use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::{Client, ConnectOptions, HeaderMap, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use nats_support::{Server, within};

async fn connect(server: &Server) -> Client {
    async_nats::connect(server.url()).await.expect("the server listens")
}

async fn subscribe(client: &Client, subject: &'static str) -> Subscriber {
    let subscriber = client.subscribe(subject).await.expect("subscribed");
    synced(client).await;
    subscriber
}

/// Waits until the server has handled everything before: it handles what one connection sends in order.
async fn synced(client: &Client) {
    let inbox = client.new_inbox();
    let mut echo = client.subscribe(inbox.clone()).await.expect("subscribed");
    client.publish(inbox, Bytes::new()).await.expect("published");
    within("an echo", echo.next()).await.expect("not ended");
}

async fn next(subscriber: &mut Subscriber) -> async_nats::Message {
    within("a message", subscriber.next()).await.expect("not ended")
}

on_both_servers!(
    publish_and_subscribe,
    wildcards,
    queue_groups,
    request_and_reply,
    no_responders,
    headers,
    large_payloads,
    unsubscribe_after,
    echo_off,
    drain,
    a_flood_arrives_whole_and_in_order,
);

async fn publish_and_subscribe(server: Server) {
    let (publisher, receiver) = (connect(&server).await, connect(&server).await);
    let mut all = subscribe(&receiver, "a.b").await;
    for number in 0..1_000 {
        publisher.publish("a.b", format!("{number}").into()).await.expect("published");
    }
    for number in 0..1_000 {
        let message = next(&mut all).await;
        assert_eq!((message.subject.as_str(), message.payload, message.reply), ("a.b", format!("{number}").into(), None));
    }
}

async fn wildcards(server: Server) {
    let client = connect(&server).await;
    let mut star = subscribe(&client, "w.*").await;
    let mut rest = subscribe(&client, "w.>").await;
    for subject in ["w.a", "w.a.b", "x.a", "w.c"] {
        client.publish(subject, Bytes::new()).await.expect("published");
    }
    for expected in ["w.a", "w.c"] {
        assert_eq!(next(&mut star).await.subject.as_str(), expected);
    }
    for expected in ["w.a", "w.a.b", "w.c"] {
        assert_eq!(next(&mut rest).await.subject.as_str(), expected);
    }
}

async fn queue_groups(server: Server) {
    let client = connect(&server).await;
    let mut members = Vec::new();
    for _ in 0..3 {
        let worker = connect(&server).await;
        members.push(worker.queue_subscribe("work", "workers".into()).await.expect("subscribed"));
        synced(&worker).await;
    }
    let mut plain = subscribe(&client, "work").await;
    for number in 0..300 {
        client.publish("work", format!("{number}").into()).await.expect("published");
    }
    for _ in 0..300 {
        next(&mut plain).await;
    }
    let mut members = futures_util::stream::select_all(members);
    let mut seen = Vec::new();
    for _ in 0..300 {
        let message = within("a message", members.next()).await.expect("not ended");
        seen.push(String::from_utf8_lossy(&message.payload).parse::<u32>().expect("a number"));
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..300).collect::<Vec<_>>());
    assert!(tokio::time::timeout(Duration::from_millis(50), members.next()).await.is_err(), "a message went to two members");
}

async fn request_and_reply(server: Server) {
    let (requester, responder) = (connect(&server).await, connect(&server).await);
    let mut requests = subscribe(&responder, "echo").await;
    let answering = tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            responder.publish(request.reply.expect("a request"), request.payload).await.expect("published");
        }
    });
    for number in 0..100 {
        let reply = within("a reply", requester.request("echo", format!("{number}").into())).await.expect("a reply");
        assert_eq!(reply.payload, format!("{number}"));
    }
    answering.abort();
}

async fn no_responders(server: Server) {
    let client = connect(&server).await;
    let error = within("an error", client.request("nobody", "x".into())).await.expect_err("nobody is there");
    assert_eq!(error.kind(), RequestErrorKind::NoResponders);
}

async fn headers(server: Server) {
    let client = connect(&server).await;
    let mut all = subscribe(&client, "h").await;
    let mut sent = HeaderMap::new();
    sent.insert("A", "1");
    sent.append("A", "2");
    sent.insert("Content-Type", "text/plain; charset=utf-8");
    client.publish_with_headers("h", sent.clone(), "body".into()).await.expect("published");
    client.publish_with_reply_and_headers("h", "r", sent.clone(), Bytes::new()).await.expect("published");
    for (body, reply) in [("body", None), ("", Some("r"))] {
        let message = next(&mut all).await;
        assert_eq!(message.headers.as_ref(), Some(&sent));
        assert_eq!((message.payload, message.reply.as_deref()), (body.into(), reply));
    }
}

async fn large_payloads(server: Server) {
    let client = connect(&server).await;
    let max = client.server_info().max_payload;
    let mut all = subscribe(&client, "large").await;
    for len in [4_095, 4_096, 4_097, 65_535, 65_536, 300_000, max - 1, max] {
        let payload: Bytes = (0..len).map(|at| at as u8).collect::<Vec<_>>().into();
        client.publish("large", payload.clone()).await.expect("published");
        assert!(next(&mut all).await.payload == payload, "{len} bytes");
    }
}

async fn unsubscribe_after(server: Server) {
    let client = connect(&server).await;
    let mut three = client.subscribe("u").await.expect("subscribed");
    three.unsubscribe_after(3).await.expect("still subscribed");
    for _ in 0..5 {
        client.publish("u", Bytes::new()).await.expect("published");
    }
    for _ in 0..3 {
        next(&mut three).await;
    }
    assert!(within("the end", three.next()).await.is_none());
}

async fn echo_off(server: Server) {
    let deaf = ConnectOptions::new().no_echo().connect(server.url()).await.expect("connected");
    let other = connect(&server).await;
    let mut own = deaf.subscribe("e").await.expect("subscribed");
    let mut others = subscribe(&other, "e").await;
    deaf.publish("e", "own".into()).await.expect("published");
    assert_eq!(next(&mut others).await.payload, "own");
    other.publish("e", "other".into()).await.expect("published");
    assert_eq!(next(&mut own).await.payload, "other");
}

async fn drain(server: Server) {
    let (publisher, receiver) = (connect(&server).await, connect(&server).await);
    let mut all = subscribe(&receiver, "d").await;
    for _ in 0..500 {
        publisher.publish("d", Bytes::new()).await.expect("published");
    }
    publisher.drain().await.expect("connected");
    for _ in 0..500 {
        next(&mut all).await;
    }
    receiver.drain().await.expect("connected");
    assert!(within("the end", all.next()).await.is_none());
}

async fn a_flood_arrives_whole_and_in_order(server: Server) {
    const MESSAGES: u32 = 300_000;
    let publisher = connect(&server).await;
    // The client's own queue for a subscription is bounded, and drops.
    let options = ConnectOptions::new().subscription_capacity(MESSAGES as usize);
    let receiver = options.connect(server.url()).await.expect("connected");
    let mut all = subscribe(&receiver, "flood.*").await;
    let sending = tokio::spawn(async move {
        for number in 0..MESSAGES {
            let subject = if number % 100 < 50 { "flood.a" } else { "flood.b" };
            publisher.publish(subject, Bytes::copy_from_slice(&number.to_be_bytes())).await.expect("published");
        }
        publisher.flush().await.expect("connected");
        publisher
    });
    for number in 0..MESSAGES {
        assert_eq!(next(&mut all).await.payload[..], number.to_be_bytes());
    }
    sending.await.expect("every message was sent");
}
