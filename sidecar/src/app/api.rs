//! The request subjects under `$MYELIN.API.`: what other commands and programs can ask a running sidecar.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use myelin_bridge_zmq::meter::Meter;
use myelin_bus::wire::{Body, Filter};
use myelin_bus::{Bus, Message, Overflow, SubscribeError, SubscribeOptions, Subscription};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::agents::{AgentsReply, AgentsSource};
use super::zmq::PeersSource;

/// Answers with the version; also what `/readyz` asks, so it takes the way of every other message.
pub(crate) const PING: &str = "$MYELIN.API.PING";
/// Answers with [`AgentsReply`] as JSON.
pub(crate) const AGENTS_LIST: &str = "$MYELIN.API.AGENTS.LIST";

/// Answers with [`PeersReply`](super::zmq::PeersReply) as JSON; the request may be a [`PeersRequest`](super::zmq::PeersRequest).
pub(crate) const ZMQ_PEERS: &str = "$MYELIN.API.ZMQ.PEERS";

/// Answers with [`TrafficReply`](super::traffic::TrafficReply) as JSON; the request may be a [`TrafficRequest`](super::traffic::TrafficRequest).
pub(crate) const TRAFFIC: &str = "$MYELIN.API.TRAFFIC";

/// Requests about streams are answered by the bus itself.
const ANSWERED: [&str; 4] = [PING, "$MYELIN.API.AGENTS.>", "$MYELIN.API.ZMQ.>", TRAFFIC];

/// Where the answers come from.
pub(super) struct Sources {
    pub(super) agents: AgentsSource,
    pub(super) peers: PeersSource,
    pub(super) meter: Meter,
}

/// Answers requests until `token` is cancelled. Callers that ask faster than we answer lose the newest questions and time out.
pub(super) async fn start(bus: &Bus, sources: Sources, tracker: &TaskTracker, token: CancellationToken) -> Result<(), SubscribeError> {
    let sources = Arc::new(sources);
    for filter in ANSWERED {
        let filter = Filter::new(filter).expect("a valid constant");
        let options = SubscribeOptions { overflow: Overflow::DropNewest, ..SubscribeOptions::default() };
        let subscription = bus.subscribe(&filter, options).await?;
        let (bus, sources) = (bus.clone(), Arc::clone(&sources));
        let serving = async move { serve(&bus, subscription, &sources).await };
        tracker.spawn(token.clone().run_until_cancelled_owned(serving));
    }
    Ok(())
}

async fn serve(bus: &Bus, mut subscription: Subscription, sources: &Sources) {
    let started = Instant::now();
    while let Some(message) = subscription.next().await {
        let reply = match message.subject.as_str() {
            PING => json!({
                "version": env!("CARGO_PKG_VERSION"),
                "pid": std::process::id(),
                "uptime_s": started.elapsed().as_secs(),
            }),
            AGENTS_LIST => json!(AgentsReply { agents: (sources.agents)() }),
            ZMQ_PEERS => match sources.peers.reply(&asked(&message)).await {
                Ok(reply) => json!(reply),
                Err(error) => json!({ "error": format!("cannot read the request: {error}") }),
            },
            TRAFFIC => match super::traffic::reply(&sources.meter, &asked(&message)) {
                Ok(reply) => json!(reply),
                Err(error) => json!({ "error": format!("cannot read the request: {error}") }),
            },
            unknown => json!({ "error": format!("unknown request {unknown}") }),
        };
        message.respond(bus, Body::from(reply.to_string()));
    }
}

/// The bytes of a request, from whichever kind of caller.
fn asked(message: &Message) -> Bytes {
    match &message.body {
        Body::Blob(blob) => blob.clone(),
        Body::Frames(frames) => frames.slices().last().map(Bytes::copy_from_slice).unwrap_or_default(),
    }
}
