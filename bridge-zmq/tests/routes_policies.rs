//! Each policy does what its name says where a route has it, and each drop is counted by route and policy: the four policies of a topic's
//! subscribers, a service's full queue and its callers that do not read; a pipeline and a pair only block, and lose what a peer takes along.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod front_support;
mod routes_support;

use std::net::SocketAddr;
use std::time::Duration;

use myelin_bridge_zmq::front::FrontConfig;
use myelin_bridge_zmq::routes::RouteContext;
use myelin_bridge_zmq::routes::pair::{Pair, Side};
use myelin_bridge_zmq::routes::pipeline::Pipeline;
use myelin_bridge_zmq::routes::service::{OnCallerGone, QueueBounds, Service, ServiceConfig};
use myelin_bridge_zmq::routes::topic::Topic;
use myelin_bus::Overflow;
use myelin_bus::outlet::OutletConfig;
use myelin_bus::wire::{Body, Frames};
use prometheus_client::registry::Registry;

use front_support::{Raw, hex};
use routes_support::{any_port, context, until};

/// Larger than a socket's buffers together, so that what is behind the first few waits with us.
const BODY_BYTES: usize = 1 << 20;
const MESSAGES: usize = 40;

/// A context whose peers may have three messages waiting, and its metrics page.
fn small() -> (RouteContext, Registry) {
    let context = context();
    let queue = OutletConfig { messages_max: 3, ..context.front.config().queue };
    let front = context.front.with_config(FrontConfig { queue, ..context.front.config().clone() });
    let mut registry = Registry::default();
    front.metrics().register(&mut registry);
    (RouteContext { front, ..context }, registry)
}

/// The drops of a route by policy, those that are not zero.
fn drops(registry: &Registry, route: &str) -> Vec<(String, u64)> {
    let mut page = String::new();
    prometheus_client::encoding::text::encode(&mut page, registry).unwrap();
    let of_route = format!("myelin_zmq_messages_dropped_total{{route=\"{route}\",policy=\"");
    let lines = page.lines().filter_map(|line| line.strip_prefix(of_route.as_str())?.split_once("\"} "));
    let mut drops: Vec<_> =
        lines.map(|(policy, count)| (policy.to_owned(), count.parse().unwrap())).filter(|(_, count)| *count > 0).collect();
    drops.sort();
    drops
}

fn counted(policy: &str, count: usize) -> Vec<(String, u64)> {
    vec![(policy.to_owned(), count as u64)]
}

async fn peer<R: Send + 'static>(play: impl FnOnce() -> R + Send + 'static) -> R {
    tokio::task::spawn_blocking(play).await.unwrap()
}

async fn shake(to: SocketAddr, socket: &'static str) -> Raw {
    peer(move || Raw::shake(to, 1, socket, None).0).await
}

/// The nth message: its number, and a mebibyte.
fn message(number: usize) -> Body {
    Body::Frames(Frames::from_parts([number.to_be_bytes().to_vec(), vec![0; BODY_BYTES]]).unwrap())
}

/// Reads messages until `done` or the end. The peer stays: one that leaves may take along what is not yet known to be written.
async fn read(mut raw: Raw, done: impl Fn(&[usize]) -> bool + Send + 'static) -> (Vec<usize>, Raw) {
    peer(move || {
        let mut numbers = Vec::new();
        let mut bytes = vec![0; 2 + 8 + 9 + BODY_BYTES];
        while !done(&numbers) && std::io::Read::read_exact(&mut raw.stream, &mut bytes).is_ok() {
            numbers.push(usize::from_be_bytes(bytes[2..10].try_into().unwrap()));
        }
        (numbers, raw)
    })
    .await
}

/// A topic with one subscriber that does not read yet.
async fn topic(context: &RouteContext, overflow: Overflow) -> (Topic, myelin_bridge_zmq::front::Listener, Raw) {
    let topic = Topic::new(context, "feed", overflow).unwrap();
    let listener = topic.bind_subscribers(&any_port()).await.unwrap();
    let mut raw = shake(listener.local_addr(), "SUB").await;
    // A subscription, and a PING whose answer says that it was taken.
    raw.send(&hex("0001 01 0408 0450494e47 0000 61"));
    let raw = peer(move || {
        assert_eq!(raw.receive(8), hex("0406 04504f4e47 61"));
        raw
    })
    .await;
    (topic, listener, raw)
}

async fn publish(context: &RouteContext, topic: &Topic) {
    for number in 0..MESSAGES {
        context.bus.publish(topic.subject(), message(number)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_drops_the_newest_delivers_what_came_first() {
    let (context, registry) = small();
    let (topic, _listener, subscriber) = topic(&context, Overflow::DropNewest).await;
    publish(&context, &topic).await;
    let dropped: u64 = drops(&registry, "feed").iter().map(|(_, count)| count).sum();
    let kept = MESSAGES - usize::try_from(dropped).unwrap();
    assert_eq!(drops(&registry, "feed"), counted("drop_newest", MESSAGES - kept));
    assert!((3..MESSAGES).contains(&kept));
    let (numbers, _subscriber) = read(subscriber, move |numbers| numbers.len() == kept).await;
    // The system may take more from us meanwhile, and make room for a later one.
    assert!(numbers.starts_with(&[0, 1, 2]) && numbers.is_sorted() && numbers.len() == kept, "{numbers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_drops_the_oldest_delivers_what_came_last() {
    let (context, registry) = small();
    let (topic, _listener, subscriber) = topic(&context, Overflow::DropOldest).await;
    publish(&context, &topic).await;
    let (numbers, _subscriber) = read(subscriber, |numbers| numbers.last() == Some(&(MESSAGES - 1))).await;
    assert!(numbers.ends_with(&[MESSAGES - 3, MESSAGES - 2, MESSAGES - 1]) && numbers.is_sorted(), "{numbers:?}");
    assert!(numbers.len() < MESSAGES);
    assert_eq!(drops(&registry, "feed"), counted("drop_oldest", MESSAGES - numbers.len()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_disconnects_ends_the_subscriber_and_counts_what_it_missed() {
    let (context, registry) = small();
    let (topic, _listener, subscriber) = topic(&context, Overflow::Disconnect).await;
    publish(&context, &topic).await;
    until("the subscriber is gone", || topic.subscribers_connected() == 0).await;
    let by_policy = drops(&registry, "feed");
    assert!(matches!(by_policy.as_slice(), [(policy, count)] if policy == "disconnect" && *count >= 4), "{by_policy:?}");
    let (numbers, _subscriber) = read(subscriber, |_| false).await;
    assert_eq!(numbers, (0..numbers.len()).collect::<Vec<_>>(), "what it got has no gap");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_blocks_holds_the_publisher_back_and_drops_nothing() {
    let (context, registry) = small();
    let (topic, _listener, subscriber) = topic(&context, Overflow::Block).await;
    let publishing = publish(&context, &topic);
    tokio::pin!(publishing);
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut publishing).await.is_err(), "nobody reads");
    let reading = tokio::spawn(read(subscriber, |numbers| numbers.len() == MESSAGES));
    publishing.await;
    let (numbers, _subscriber) = reading.await.unwrap();
    assert_eq!(numbers, (0..MESSAGES).collect::<Vec<_>>());
    assert_eq!(drops(&registry, "feed"), []);
}

/// A request of a DEALER: the delimiter and one byte.
fn ask(caller: &mut Raw, body: u8) {
    caller.send(&[&hex("0100 0001")[..], &[body]].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_service_refuses_and_evicts_and_says_so_where_the_route_asks_for_it() {
    let (context, registry) = small();
    let config = ServiceConfig {
        waiting: QueueBounds { bytes_max: 1 << 20, requests_max: 4 },
        on_caller_gone: OnCallerGone::Drop,
        fail_fast: Some("no".into()),
        ..ServiceConfig::default()
    };
    let service = Service::new(&context, "busy", config).unwrap();
    let (callers, agents) = (service.bind_callers(&any_port()).await.unwrap(), service.bind_agents(&any_port()).await.unwrap());
    // It takes one request and never answers.
    let _agent = shake(agents.local_addr(), "REP").await;
    until("the agent attaches", || service.agents_connected() == 1).await;
    let mut greedy = shake(callers.local_addr(), "DEALER").await;
    (0..5).for_each(|body| ask(&mut greedy, body));
    // One is with the agent, three wait, one is beyond three quarters.
    let refusal = hex("0100 0002 6e6f");
    let (mut greedy, refused) = peer(move || {
        let refused = greedy.receive(6);
        (greedy, refused)
    })
    .await;
    assert_eq!((refused, service.requests_waiting()), (refusal.clone(), 3));
    assert_eq!(drops(&registry, "busy"), counted("drop_newest", 1));
    let mut second = shake(callers.local_addr(), "DEALER").await;
    ask(&mut second, 1);
    until("the queue is full", || service.requests_waiting() == 4).await;
    let mut third = shake(callers.local_addr(), "DEALER").await;
    ask(&mut third, 1);
    let (greedy, evicted) = peer(move || {
        let evicted = greedy.receive(6);
        (greedy, evicted)
    })
    .await;
    assert_eq!((evicted, service.requests_waiting()), (refusal, 4));
    assert_eq!(drops(&registry, "busy"), [("drop_newest".to_owned(), 1), ("evict_longest".to_owned(), 1)]);
    drop(greedy);
    until("what nobody waits for is dropped", || drops(&registry, "busy")[0] == ("caller_gone".to_owned(), 2)).await;
    assert_eq!(service.requests_waiting(), 2);
    drop((second, third));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_does_not_read_loses_its_newest_replies() {
    let (context, registry) = small();
    let service = Service::new(&context, "replies", ServiceConfig::default()).unwrap();
    let (callers, agents) = (service.bind_callers(&any_port()).await.unwrap(), service.bind_agents(&any_port()).await.unwrap());
    let mut agent = shake(agents.local_addr(), "REP").await;
    until("the agent attaches", || service.agents_connected() == 1).await;
    let mut caller = shake(callers.local_addr(), "DEALER").await;
    (0..MESSAGES).for_each(|_| ask(&mut caller, 1));
    // Answers each with a mebibyte behind the envelope it came with.
    peer(move || {
        for _ in 0..MESSAGES {
            let request = agent.receive(10 + 2 + 3);
            let length = (BODY_BYTES as u64).to_be_bytes();
            agent.send(&[&request[..12], &[2], &length, &vec![0; BODY_BYTES]].concat());
        }
    })
    .await;
    until("all are answered", || service.replies_owed() == 0).await;
    let dropped = drops(&registry, "replies");
    assert!(matches!(dropped.as_slice(), [(policy, count)] if policy == "drop_newest" && *count > 0), "{dropped:?}");
    drop(caller);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_and_a_pair_lose_only_what_a_peer_takes_along() {
    let (context, registry) = small();
    let bounds = QueueBounds { bytes_max: 64 << 20, requests_max: 4 * MESSAGES };
    let pipeline = Pipeline::new(&context, "jobs", bounds).unwrap();
    let consumers = pipeline.bind_consumers(&any_port()).await.unwrap();
    let pair = Pair::new(&context, "line", bounds).unwrap();
    let b = pair.bind(Side::B, &any_port()).await.unwrap();
    for (route, subject, to, socket) in
        [("jobs", pipeline.subject(), consumers.local_addr(), "PULL"), ("line", pair.subject(Side::A), b.local_addr(), "PAIR")]
    {
        let deaf = shake(to, socket).await;
        until("it is there", || context.front.metrics().connections() == 1).await;
        for number in 0..MESSAGES {
            context.bus.publish(subject, message(number)).await.unwrap();
        }
        let waiting = || if route == "jobs" { pipeline.messages_waiting() } else { pair.waiting(Side::B).messages };
        until("its own queue is full", || waiting() > 0).await;
        assert_eq!(drops(&registry, route), [], "{route} blocks");
        drop(deaf);
        until("it is gone", || context.front.metrics().connections() == 0).await;
        let lost = drops(&registry, route);
        assert!(matches!(lost.as_slice(), [(policy, count)] if policy == "disconnected" && *count > 0), "{route}: {lost:?}");
    }
}
