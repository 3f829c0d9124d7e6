//! Outlets of one budget on real sockets: what is read leaves the budget, and a peer that reads is served while another fills the budget.

#![allow(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use myelin_bus::Overflow;
use myelin_bus::outlet::{Budget, Outlet, OutletConfig};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(10);
const BUDGET: usize = 4 << 20;

struct Connected {
    outlet: Arc<Outlet>,
    far: TcpStream,
    _near: tokio::net::tcp::OwnedReadHalf,
}

async fn connected(overflow: Overflow, budget: &Budget) -> Connected {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (far, near) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    let (near, writer) = near.unwrap().0.into_split();
    let config = OutletConfig { bytes_max: 64 << 20, messages_max: 65_536, overflow };
    let outlet = Arc::new(Outlet::with_budget(config, budget));
    outlet.attach(writer);
    let driven = Arc::clone(&outlet);
    tokio::spawn(async move { driven.drive().await });
    Connected { outlet, far: far.unwrap(), _near: near }
}

#[tokio::test]
async fn a_stalled_peer_meets_the_budget_and_a_reading_one_gets_everything() {
    let budget = Budget::new(BUDGET);
    for overflow in [Overflow::DropNewest, Overflow::DropOldest, Overflow::Disconnect] {
        let (stalled, mut reading) = (connected(overflow, &budget).await, connected(Overflow::Disconnect, &budget).await);
        let body = Bytes::from(vec![7; 10_000]);
        for _ in 0..2_000 {
            let _ = stalled.outlet.push(&[], &body);
            assert_eq!(reading.outlet.push(&[], &body).accepted, 1);
            let mut read = vec![0; 10_000];
            timeout(DEADLINE, reading.far.read_exact(&mut read)).await.unwrap().unwrap();
        }
        assert!(stalled.outlet.dropped() > 0, "{overflow}");
        assert!(budget.drops() > 0 && budget.queued_bytes() <= BUDGET, "{overflow}");
        assert_eq!(stalled.outlet.is_closed(), overflow == Overflow::Disconnect);
    }
    assert_eq!(budget.queued_bytes(), 0, "what a dropped outlet held is given back");
}

#[tokio::test]
async fn a_producer_that_waits_for_the_budget_goes_on_once_its_peer_reads() {
    let budget = Budget::new(BUDGET);
    let mut peer = connected(Overflow::Block, &budget).await;
    let body = Bytes::from(vec![7; 10_000]);
    let mut pushed = 1;
    while !peer.outlet.push(&[], &body).over {
        pushed += 1;
    }
    assert!(budget.queued_bytes() >= BUDGET / 2, "the budget is what stops it");
    assert!(timeout(Duration::ZERO, peer.outlet.relieved()).await.is_err());
    let mut read = vec![0; pushed * 10_000];
    let (read, relieved) = tokio::join!(timeout(DEADLINE, peer.far.read_exact(&mut read)), timeout(DEADLINE, peer.outlet.relieved()));
    assert_eq!((read.unwrap().unwrap(), relieved), (pushed * 10_000, Ok(())));
    timeout(DEADLINE, peer.outlet.flushed()).await.unwrap();
    assert_eq!(budget.queued_bytes(), 0, "an idle outlet holds nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_producers_at_once_stay_within_the_budget() {
    const PRODUCERS: usize = 8;
    const MESSAGE: usize = 5_000;
    let budget = Budget::new(BUDGET);
    let config = OutletConfig { bytes_max: 64 << 20, messages_max: 65_536, overflow: Overflow::DropOldest };
    let outlets: Vec<_> = (0..PRODUCERS).map(|_| Arc::new(Outlet::with_budget(config, &budget))).collect();
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let (outlets, body) = (outlets.clone(), Bytes::from(vec![7; MESSAGE]));
            tokio::task::spawn_blocking(move || {
                for turn in 0..2_000 {
                    // Everybody pushes to everybody, and most to the first.
                    let outlet = if turn % 3 == 0 { producer } else { 0 };
                    let _ = outlets[outlet].push_batch(&[body.clone(), body.clone(), body.clone()]);
                }
            })
        })
        .collect();
    for producer in producers {
        producer.await.unwrap();
    }
    let held: usize = outlets.iter().map(|outlet| outlet.queued().bytes).sum();
    assert_eq!(held, budget.queued_bytes());
    // Each producer may have seen the budget as it was one batch of every other ago.
    assert!((BUDGET / 2..=BUDGET + PRODUCERS * PRODUCERS * 3 * MESSAGE).contains(&held), "{held}");
    drop(outlets);
    assert_eq!(budget.queued_bytes(), 0);
}
