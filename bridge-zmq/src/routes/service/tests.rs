//! What a service keeps for a conversation with a ROUTER agent goes when the conversation does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use myelin_bus::wire::{Body, Frames};
use myelin_bus::{Bus, Caller, EmbeddedConfig, InlineHandler, Pressure, ReplySink, ReplyTo};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Service, ServiceConfig, agents, request};
use crate::front::{DisconnectReason, Endpoint, Front, FrontConfig, Peer, PeerHandler, SocketType, SubscriptionChange};
use crate::metrics::Metrics;
use crate::routes::{COPY_TO_WAIT_BYTES_MAX, RouteContext, RouteMetrics};

const DEADLINE: Duration = Duration::from_secs(20);

/// An agent that answers each message with itself, twice.
#[derive(Debug)]
struct Twice;

impl PeerHandler for Twice {
    fn connected(&self, _peer: &Arc<Peer>) {}

    fn received(&self, peer: &Arc<Peer>, batch: &mut Vec<Body>) -> Option<Pressure> {
        for body in batch.drain(..) {
            let Body::Frames(frames) = body else { unreachable!("sockets carry frames") };
            peer.send_batch([&frames, &frames]);
        }
        None
    }

    fn subscription(&self, _peer: &Arc<Peer>, _change: SubscriptionChange, _prefix: Bytes) {}

    fn disconnected(&self, _peer: &Arc<Peer>, _reason: &DisconnectReason) {}
}

async fn until(what: &str, mut state: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !state() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn requests_of_the_bus_leave_nothing_behind_at_a_router() {
    let context = RouteContext {
        bus: Bus::embedded(EmbeddedConfig::default()),
        front: Front::new(FrontConfig::default(), Metrics::default()),
        metrics: RouteMetrics::default(),
        health: None,
    };
    let any: Endpoint = "tcp://127.0.0.1:0".parse().unwrap();
    let agent = context.front.listen(&any, SocketType::Router, Arc::new(Twice)).await.unwrap();
    let service = Service::new(&context, "Router", ServiceConfig::default()).unwrap();
    let _connector = service.connect_agent(&Endpoint::from(agent.local_addr()));
    let handler = agents::Handler(Arc::clone(&service.agents));
    until("the agent attaches", || handler.load() == 0).await;
    for number in 0..20 {
        let body = Body::from(format!("{number}"));
        let reply = context.bus.request(service.subject(), body.clone(), DEADLINE).await.unwrap();
        assert_eq!(reply.body, body);
    }
    // Nobody is told of an answer to these; their connections go once they are sent.
    for _ in 0..20 {
        context.bus.publish(service.subject(), Body::Frames(Frames::single(b"unanswered"))).await.unwrap();
    }
    until("every conversation is over", || handler.load() == 0).await;
    until("every connection is closed", || context.front.metrics().connections.get() == 2).await;
}

/// The reply subject of a caller on another machine expires; what an agent said a minute after the caller's first request reached nobody.
#[tokio::test]
async fn what_a_router_says_goes_where_its_callers_latest_request_wants_it() {
    let context = RouteContext {
        bus: Bus::embedded(EmbeddedConfig::default()),
        front: Front::new(FrontConfig::default(), Metrics::default()),
        metrics: RouteMetrics::default(),
        health: None,
    };
    let any: Endpoint = "tcp://127.0.0.1:0".parse().unwrap();
    let agent = context.front.listen(&any, SocketType::Router, Arc::new(Twice)).await.unwrap();
    let service = Service::new(&context, "Router", ServiceConfig::default()).unwrap();
    let _connector = service.connect_agent(&Endpoint::from(agent.local_addr()));
    let handler = agents::Handler(Arc::clone(&service.agents));
    until("the agent attaches", || handler.load() == 0).await;
    let gone = CancellationToken::new();
    let publisher = context.bus.publisher(service.subject().clone());
    for _ in 0..3 {
        let taken = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&taken);
        let caller = Caller { connection: 1 << 40, identity: Bytes::new(), request: 0, gone: gone.clone() };
        let sink = ReplySink::for_caller(caller, move |_| _ = counted.fetch_add(1, Ordering::Relaxed));
        let body = Body::Frames(Frames::from_parts([&b""[..], b"x"]).unwrap());
        assert!(publisher.request_inline(body, ReplyTo::Sink(sink)).unwrap().pressure.is_none());
        until("both answers are here", || taken.load(Ordering::Relaxed) == 2).await;
    }
    assert_eq!(context.front.metrics().connections.get(), 4, "one conversation: its two ends, and those of the first connection");
    gone.cancel();
    until("the conversation is over", || context.front.metrics().connections.get() == 2).await;
}

#[test]
fn a_request_that_waits_keeps_no_read_buffer_alive_unless_it_is_most_of_one() {
    for (len, is_copied) in [(1, true), (COPY_TO_WAIT_BYTES_MAX, true), (COPY_TO_WAIT_BYTES_MAX + 1, false)] {
        let read = Bytes::from(vec![7; 1 << 20]);
        let request = request::Request { body: Body::Blob(read.slice(..len)), reply: None }.detached();
        assert_eq!(request.len(), len);
        assert_eq!(read.is_unique(), is_copied, "{len} bytes");
    }
}
