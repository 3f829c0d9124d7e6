//! Over a network the word that nobody serves a request comes after the request was sent. What a route does then is what it does where that is known at
//! once: a fail-fast reply with the caller's envelope, a dead letter of reason `no_route`, or silence.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod front_support;
mod routes_support;

use std::net::SocketAddr;
use std::time::Duration;

use myelin_bridge_zmq::front::Listener;
use myelin_bridge_zmq::routes::RouteContext;
use myelin_bridge_zmq::routes::service::{Service, ServiceConfig};
use myelin_bus::listener::{Listener as Server, ListenerConfig};
use myelin_bus::streams::{DeadReason, LetterFilter, StoreConfig, StreamServer, StreamServerMetrics};
use myelin_bus::{Bus, EmbeddedConfig};
use prometheus_client::registry::Registry;
use tempfile::TempDir;

use front_support::{Raw, hex};
use routes_support::{DEADLINE, any_port, context, until};

/// What a DEALER sends: an identity of its own making, the delimiter, a body.
const REQUEST: &str = "0102 6964 0100 0002 6869";

/// A bus with a store that others reach over a connection, and a context whose bus is such a connection.
struct Network {
    _directory: TempDir,
    _streams: StreamServer,
    server: Server,
    context: RouteContext,
}

impl Network {
    async fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let store = StoreConfig { directory: directory.path().to_owned() };
        let (bus, _) = Bus::embedded_with_store(EmbeddedConfig::default(), &store).unwrap();
        let streams = StreamServer::start(&bus, StreamServerMetrics::default()).await.unwrap();
        let config = ListenerConfig { address: ([127, 0, 0, 1], 0).into(), ..ListenerConfig::default() };
        let server = Server::bind(bus, config).await.unwrap();
        let bus = Bus::connect(&format!("nats://{}", server.local_addr())).await.unwrap();
        Self { _directory: directory, _streams: streams, server, context: RouteContext { bus, ..context() } }
    }

    async fn service(&self, config: ServiceConfig) -> (Service, Listener) {
        let service = Service::new(&self.context, "nobody", config).unwrap();
        let listener = service.bind_callers(&any_port()).await.unwrap();
        (service, listener)
    }

    fn unserved(&self) -> u64 {
        let mut registry = Registry::default();
        self.context.metrics.register(&mut registry);
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
        let count = page.lines().find_map(|line| line.split_once("requests_without_responder_total "));
        count.unwrap().1.parse().unwrap()
    }

    async fn end(self) {
        self.context.bus.drain(DEADLINE).await;
        self.server.shutdown(DEADLINE).await;
    }
}

async fn peer<R: Send + 'static>(play: impl FnOnce() -> R + Send + 'static) -> R {
    tokio::task::spawn_blocking(play).await.unwrap()
}

async fn ask(to: SocketAddr) -> Raw {
    peer(move || {
        let mut raw = Raw::shake(to, 1, "DEALER", None).0;
        raw.send(&hex(REQUEST));
        raw
    })
    .await
}

/// Nothing came: the answer to a PING is the first.
async fn is_silent(mut raw: Raw) {
    peer(move || {
        raw.send(&hex("0408 0450494e47 0000 61"));
        assert_eq!(raw.receive(8), hex("0406 04504f4e47 61"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_fails_fast_answers_with_the_callers_envelope() {
    let network = Network::new().await;
    let config = ServiceConfig { fail_fast: Some("no".into()), ..ServiceConfig::default() };
    let (service, listener) = network.service(config).await;
    for _ in 0..2 {
        let mut raw = ask(listener.local_addr()).await;
        let answer = peer(move || raw.receive(10)).await;
        assert_eq!(answer, hex("0102 6964 0100 0002 6e6f"));
    }
    assert_eq!((network.unserved(), service.replies_owed()), (2, 0));
    network.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_nobody_serves_is_a_dead_letter_at_once() {
    let network = Network::new().await;
    let config = ServiceConfig { dead_letter_requests: true, ..ServiceConfig::default() };
    let (service, listener) = network.service(config).await;
    let raw = ask(listener.local_addr()).await;
    let find = async {
        loop {
            let mut letters = network.context.bus.dead_letters().list(LetterFilter::default());
            if let Some(letter) = letters.next().await.unwrap() {
                return letter;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let letter = tokio::time::timeout(DEADLINE, find).await.expect("a letter while the caller waits");
    assert_eq!(&*letter.reason, DeadReason::NoRoute.as_str());
    is_silent(raw).await;
    assert_eq!((network.unserved(), service.replies_owed()), (1, 0));
    network.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_without_either_counts_it_and_is_silent() {
    let network = Network::new().await;
    let (service, listener) = network.service(ServiceConfig::default()).await;
    let raw = ask(listener.local_addr()).await;
    until("it is counted", || network.unserved() == 1).await;
    assert_eq!(service.replies_owed(), 0, "nobody owes a reply");
    is_silent(raw).await;
    network.end().await;
}
