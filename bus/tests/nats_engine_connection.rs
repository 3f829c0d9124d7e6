//! What a bus over a connection says when there is none, and that it comes back with its server.

mod nats_support;

use std::net::SocketAddr;
use std::time::Duration;

use myelin_bus::listener::{Listener, ListenerConfig};
use myelin_bus::wire::{Filter, Subject};
use myelin_bus::{Bus, ConnectError, EmbeddedConfig, Overflow, SubscribeOptions, SubscriptionEnd};
use nats_support::{PATIENCE, Server, until, within};

fn subject(name: &str) -> Subject {
    Subject::new(name).expect("a subject")
}

fn filter(name: &str) -> Filter {
    Filter::new(name).expect("a filter")
}

async fn listen(address: SocketAddr) -> (Bus, Listener) {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let listener = Listener::bind(bus.clone(), ListenerConfig { address, ..ListenerConfig::default() }).await.expect("a free port");
    (bus, listener)
}

#[tokio::test]
async fn nobody_there_names_the_url_and_what_to_do() {
    let port = myelin_testkit::free_port();
    let url = format!("nats://127.0.0.1:{port}");
    let error = within("an error", Bus::connect(&url)).await.expect_err("nobody listens");
    assert!(matches!(&error, ConnectError::Unreachable { url: named, .. } if **named == *url), "{error:?}");
    assert!(error.is_retryable());
    let text = error.to_string();
    assert!(text.contains(&url) && text.contains("`myelin serve`"), "{text}");
}

#[tokio::test]
async fn what_is_no_url_is_named() {
    for url in ["http://127.0.0.1:4222", "nats://", "not a url", ""] {
        let error = within("an error", Bus::connect(url)).await.expect_err("no server URL");
        assert!(matches!(&error, ConnectError::Url { url: named, .. } if **named == *url), "{url:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_password_does_not_show() {
    let port = myelin_testkit::free_port();
    let error = Bus::connect(&format!("nats://ann:s3cret@127.0.0.1:{port}")).await.expect_err("nobody listens");
    assert!(!error.to_string().contains("s3cret") && error.to_string().contains("ann"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_come_back_with_the_server() {
    let (_bus, listener) = listen(SocketAddr::from(([127, 0, 0, 1], 0))).await;
    let address = listener.local_addr();
    let bus = Bus::connect(&format!("nats://{address}")).await.expect("connected");
    let mut subscription = bus.subscribe(&filter("back.>"), SubscribeOptions::default()).await.expect("subscribed");
    assert!(listener.shutdown(PATIENCE).await);

    let (embedded, _listener) = listen(address).await;
    let message = within("a message by the new server", async {
        loop {
            embedded.publish(&subject("back.again"), "x".into()).await.expect("published");
            if let Ok(message) = tokio::time::timeout(Duration::from_millis(20), subscription.next()).await {
                return message;
            }
        }
    })
    .await;
    assert_eq!(message.expect("not ended").subject, subject("back.again"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_while_the_server_is_away_is_sent_when_it_is_back() {
    let (_bus, listener) = listen(SocketAddr::from(([127, 0, 0, 1], 0))).await;
    let address = listener.local_addr();
    let bus = Bus::connect(&format!("nats://{address}")).await.expect("connected");
    assert!(listener.shutdown(PATIENCE).await);

    let embedded = Bus::embedded(EmbeddedConfig::default());
    let mut subscription = embedded.subscribe(&filter("away"), SubscribeOptions::default()).await.expect("subscribed");
    // More than the client's own channel holds.
    for number in 0..5_000_u32 {
        bus.publish(&subject("away"), number.to_string().into()).await.expect("it waits");
    }
    let config = ListenerConfig { address, ..ListenerConfig::default() };
    let _listener = Listener::bind(embedded.clone(), config).await.expect("the port is free again");
    // What the client wrote to the old connection before it noticed is lost with it; the rest arrives, in order.
    let mut received = Vec::new();
    within("the last message", async {
        while received.last() != Some(&4_999) {
            let body = subscription.next().await.expect("not ended").body;
            let myelin_bus::wire::Body::Blob(blob) = body else { panic!("a blob was sent") };
            received.push(String::from_utf8_lossy(&blob).parse::<u32>().expect("a number"));
        }
    })
    .await;
    assert!(received.is_sorted_by(|one, next| one < next), "{received:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overflow_policies_hold_over_a_connection() {
    for server in [Server::ours().await, Server::real().await] {
        let bus = Bus::connect(&server.url()).await.expect("connected");
        let options = |overflow| SubscribeOptions::default().overflow(overflow).messages_max(10);
        let mut oldest = bus.subscribe(&filter("flood"), options(Overflow::DropOldest)).await.expect("subscribed");
        let mut newest = bus.subscribe(&filter("flood"), options(Overflow::DropNewest)).await.expect("subscribed");
        let mut ended = bus.subscribe(&filter("flood"), options(Overflow::Disconnect)).await.expect("subscribed");
        for number in 0..100 {
            bus.publish(&subject("flood"), number.to_string().into()).await.expect("published");
        }
        until("every drop", || oldest.dropped() == 90 && newest.dropped() == 90).await;
        assert_eq!(within("the oldest left", oldest.next()).await.expect("not ended").body, "90".into());
        assert_eq!(within("the oldest", newest.next()).await.expect("not ended").body, "0".into());
        for _ in 0..10 {
            assert!(within("what fitted", ended.next()).await.is_some());
        }
        assert!(within("the end", ended.next()).await.is_none());
        assert_eq!(ended.end(), Some(SubscriptionEnd::Overflowed));
    }
}
