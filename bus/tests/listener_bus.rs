//! What is in this process and what is behind a connection find each other through the listener: frames, headers, replies by sink.

mod nats_support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use myelin_bus::wire::{Body, Filter, Frames, Subject};
use myelin_bus::{Bus, Delivery, Message, Meta, ReplySink, ReplyTo, RequestError, SubscribeOptions};
use nats_support::raw::Raw;
use nats_support::{PATIENCE, Server, until, within};
use parking_lot::Mutex;

fn subject(name: &str) -> Subject {
    Subject::new(name).expect("a subject")
}

fn filter(name: &str) -> Filter {
    Filter::new(name).expect("a filter")
}

/// A foreign client that answers each request on `subject` with the request's payload, twice.
async fn foreign_responder(server: &Server, subject: &'static str) {
    let client = async_nats::connect(server.url()).await.expect("the server listens");
    let mut requests = client.subscribe(subject).await.expect("subscribed");
    let inbox = client.new_inbox();
    let mut echo = client.subscribe(inbox.clone()).await.expect("subscribed");
    client.publish(inbox, Bytes::new()).await.expect("published");
    within("an echo", echo.next()).await.expect("not ended");
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let reply = request.reply.expect("a request");
            for _ in 0..2 {
                client.publish(reply.clone(), request.payload.clone()).await.expect("published");
            }
        }
    });
}

#[tokio::test]
async fn a_foreign_responder_answers_requests_of_this_process() {
    let server = Server::ours().await;
    foreign_responder(&server, "svc").await;
    // The second reply to the first request comes too late, and not to the second request.
    for body in [Body::from("blob"), Body::Frames(Frames::from_parts([&b"id"[..], b"", b"body"]).expect("frames"))] {
        let reply = server.bus().request(&subject("svc"), body.clone(), PATIENCE).await.expect("a reply");
        assert_eq!(reply.body, body);
    }
}

#[tokio::test]
async fn a_sink_takes_the_replies_of_a_foreign_responder() {
    let server = Server::ours().await;
    foreign_responder(&server, "svc").await;
    let replies = Arc::new(Mutex::new(Vec::new()));
    let sink = ReplySink::new({
        let replies = Arc::clone(&replies);
        move |body| replies.lock().push(body)
    });
    let body = Body::Frames(Frames::from_parts([&b""[..], b"body"]).expect("frames"));
    server.bus().publisher(subject("svc")).request_inline(body.clone(), ReplyTo::Sink(sink)).expect("a responder").settled().await;
    until("both replies", || replies.lock().len() == 2).await;
    assert_eq!(*replies.lock(), [body.clone(), body]);
}

#[tokio::test]
async fn this_process_answers_requests_of_a_foreign_client() {
    let server = Server::ours().await;
    let answering = server.bus().clone();
    let upper = move |delivery: Delivery<'_>| {
        for body in delivery.bodies {
            let Body::Blob(blob) = body else { panic!("a foreign client sends blobs") };
            delivery.reply.expect("a request").respond(&answering, Body::from(blob.to_ascii_uppercase()));
        }
    };
    let _upper = server.bus().subscribe_inline(&filter("upper"), None, upper).expect("subscribed");
    let client = async_nats::connect(server.url()).await.expect("the server listens");
    let reply = within("a reply", client.request("upper", "text".into())).await.expect("a reply");
    assert_eq!(reply.payload, "TEXT");
}

#[tokio::test]
async fn an_answer_within_the_request_reaches_a_client_that_wants_no_echo() {
    let server = Server::ours().await;
    let answering = server.bus().clone();
    let reply = move |delivery: Delivery<'_>| delivery.reply.expect("a request").respond(&answering, "answer".into());
    let _reply = server.bus().subscribe_inline(&filter("ask"), None, reply).expect("subscribed");
    let mut client = Raw::connect(&server).await;
    client.say("CONNECT {\"verbose\":false,\"echo\":false}\r\nSUB r 1\r\nSUB ask 2\r\nPUB ask r 1\r\n?\r\n").await;
    assert_eq!(client.message().await, Ok(("MSG r 1 6".to_owned(), b"answer".to_vec())));
    client.synced().await;
}

#[tokio::test]
async fn a_client_that_hears_only_itself_has_no_responders() {
    let server = Server::ours().await;
    let mut client = Raw::connect(&server).await;
    client.say("CONNECT {\"verbose\":false,\"echo\":false,\"headers\":true,\"no_responders\":true}\r\n").await;
    client.say("SUB r 1\r\nSUB ask 2\r\nSUB ask group 3\r\nPUB ask r 1\r\n?\r\n").await;
    assert_eq!(client.message().await.expect("a status").0, "HMSG r 1 16 16");
    client.synced().await;
}

#[tokio::test]
async fn headers_cross_the_edge_both_ways() {
    let server = Server::ours().await;
    let mut subscription = server.bus().subscribe(&filter("in"), SubscribeOptions::default()).await.expect("subscribed");
    let mut client = Raw::subscribed(&server, "out").await;
    client.say("HPUB in r 26 28\r\nNATS/1.0\r\nB: 1\r\na:  2 \r\n\r\nhi\r\n").await;
    let message = within("a message", subscription.next()).await.expect("not ended");
    let headers = vec![("B".into(), Bytes::from("1")), ("a".into(), Bytes::from("2"))];
    assert_eq!(message.meta.as_deref(), Some(&Meta { headers: headers.clone(), ..Meta::default() }));
    assert_eq!(message.body, "hi".into());

    let message = Message { meta: Some(Box::new(Meta { headers, ..Meta::default() })), ..Message::new(subject("out"), "ho") };
    server.bus().publish_message(message).await.expect("published");
    let (line, payload) = client.message().await.expect("a message");
    assert_eq!((line.as_str(), &payload[..]), ("HMSG out 1 24 26", &b"NATS/1.0\r\nB: 1\r\na: 2\r\n\r\nho"[..]));
}

#[tokio::test]
async fn a_client_without_headers_gets_the_payload_alone() {
    let server = Server::ours().await;
    let mut client = Raw::connect(&server).await;
    client.say("CONNECT {\"verbose\":false}\r\nSUB out 1\r\n").await;
    client.synced().await;
    let headers = vec![("A".into(), Bytes::from("1"))];
    let message = Message { meta: Some(Box::new(Meta { headers, ..Meta::default() })), ..Message::new(subject("out"), "ho") };
    server.bus().publish_message(message).await.expect("published");
    assert_eq!(client.message().await, Ok(("MSG out 1 2".to_owned(), b"ho".to_vec())));
}

#[tokio::test]
async fn frames_travel_in_an_envelope_that_another_sidecar_opens() {
    let server = Server::ours().await;
    let mut foreign = Raw::subscribed(&server, "frames").await;
    let sidecar = Bus::connect(&server.url()).await.expect("the server listens");
    let mut subscription = sidecar.subscribe(&filter("frames"), SubscribeOptions::default()).await.expect("subscribed");
    let body = Body::Frames(Frames::from_parts([&b"ERROR:"[..], b"{\"a\":1}"]).expect("frames"));
    server.bus().publish(&subject("frames"), body.clone()).await.expect("published");
    assert_eq!(within("a message", subscription.next()).await.expect("not ended").body, body);

    // A foreign client that sends the envelope back sends the frames back.
    let (_, payload) = foreign.message().await.expect("a message");
    let mut inside = server.bus().subscribe(&filter("back"), SubscribeOptions::default()).await.expect("subscribed");
    foreign.say_bytes(&[format!("PUB back {}\r\n", payload.len()).as_bytes(), &payload, b"\r\n"].concat()).await;
    assert_eq!(within("a message", inside.next()).await.expect("not ended").body, body);
}

#[tokio::test]
async fn a_client_that_leaves_is_no_responder_any_more() {
    let server = Server::ours().await;
    let client = Raw::subscribed(&server, "svc").await;
    let outcome = server.bus().request(&subject("svc"), "x".into(), Duration::from_millis(20)).await;
    assert!(matches!(outcome, Err(RequestError::Timeout { .. })), "{outcome:?}");
    drop(client);
    within("no responders", async {
        while !matches!(
            server.bus().request(&subject("svc"), "x".into(), Duration::from_millis(20)).await,
            Err(RequestError::NoResponders { .. })
        ) {}
    })
    .await;
}
