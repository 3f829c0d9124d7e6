//! A name is served on a port of the range, and an agent that comes back is reached at once.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use myelin_bus::wire::Body;
use myelin_bus::{Bus, EmbeddedConfig, Pressure};
use tokio::time::Instant;

use super::*;
use crate::front::{
    ConnectorState, DisconnectReason, Front, FrontConfig, Peer, PeerHandler, ReconnectConfig, SocketType, SubscriptionChange,
};
use crate::metrics::Metrics;
use crate::routes::RouteMetrics;

/// An agent that is there and says nothing.
#[derive(Debug)]
struct Silent;

impl PeerHandler for Silent {
    fn connected(&self, _peer: &Arc<Peer>) {}

    fn received(&self, _peer: &Arc<Peer>, _batch: &mut Vec<Body>) -> Option<Pressure> {
        None
    }

    fn subscription(&self, _peer: &Arc<Peer>, _change: SubscriptionChange, _prefix: Bytes) {}

    fn disconnected(&self, _peer: &Arc<Peer>, _reason: &DisconnectReason) {}
}

fn fleet(reconnect: ReconnectConfig) -> Arc<Fleet> {
    let context = RouteContext {
        bus: Bus::embedded(EmbeddedConfig::default()),
        front: Front::new(FrontConfig { reconnect, ..FrontConfig::default() }, Metrics::default()),
        metrics: RouteMetrics::default(),
        health: None,
    };
    let config = FleetConfig { host: [127, 0, 0, 1].into(), ports: 17_000..=21_999, service: ServiceConfig::default() };
    Fleet::new(&context, config)
}

fn attachment(endpoint: SocketAddr, health: Option<SocketAddr>) -> Attachment {
    Attachment { name: AgentName::new("agent").unwrap(), endpoint, health, preferred: None }
}

async fn until(what: &str, mut state: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !state() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::task::yield_now().await;
    }
}

#[test]
fn every_port_of_a_range_is_tried_once() {
    for (range, offset) in [(0..=u16::MAX, 65_000), (1..=u16::MAX, u32::MAX), (17_000..=21_999, 4_999), (7..=7, 12)] {
        let tried: Vec<u16> = from_anywhere(&range, offset).collect();
        assert_eq!(tried.len(), range.len());
        assert!(tried.iter().all(|port| range.contains(port)));
        assert_eq!(tried.iter().collect::<HashSet<_>>().len(), tried.len());
    }
}

#[tokio::test]
async fn an_agent_that_registers_again_is_tried_at_once() {
    let hour = Duration::from_secs(3600);
    let fleet = fleet(ReconnectConfig { base: hour, max: hour });
    // A port that nobody listens on: that of a listener which is gone.
    let any: Endpoint = "tcp://127.0.0.1:0".parse().unwrap();
    let former = fleet.context.front.listen(&any, SocketType::Rep, Arc::new(Silent)).await.unwrap();
    let endpoint = former.local_addr();
    former.close().await;
    let first = fleet.attach(attachment(endpoint, None)).await.unwrap();
    until("the first attempt has failed", || {
        let names = fleet.names.lock();
        let (_, connector) = &names.values().next().unwrap().main.replicas[&endpoint];
        let state = connector.state();
        matches!(*state.borrow(), ConnectorState::Waiting { .. })
    })
    .await;
    let _agent = fleet.context.front.listen(&Endpoint::from(endpoint), SocketType::Rep, Arc::new(Silent)).await.unwrap();
    assert_eq!(fleet.attach(attachment(endpoint, None)).await.unwrap(), first, "its port stays");
    until("it is connected", || fleet.members()[0].connected == 1).await;
}

#[tokio::test]
async fn a_health_socket_that_is_no_longer_named_is_left() {
    let fleet = fleet(ReconnectConfig::default());
    let any: Endpoint = "tcp://127.0.0.1:0".parse().unwrap();
    let (main, health) = (
        fleet.context.front.listen(&any, SocketType::Rep, Arc::new(Silent)).await.unwrap(),
        fleet.context.front.listen(&any, SocketType::Rep, Arc::new(Silent)).await.unwrap(),
    );
    let with = fleet.attach(attachment(main.local_addr(), Some(health.local_addr()))).await.unwrap();
    let without = fleet.attach(attachment(main.local_addr(), None)).await.unwrap();
    assert_eq!(with, without, "the name keeps its ports");
    let names = fleet.names.lock();
    let member = names.values().next().unwrap();
    assert_eq!((member.main.replicas.len(), member.health.as_ref().unwrap().replicas.len()), (1, 0));
}
