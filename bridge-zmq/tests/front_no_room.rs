//! Promise: a route that has no room reads nobody: of many peers that speak at once, none is read before there is room, not even once. What they said
//! is read then.

#![allow(clippy::unwrap_used, reason = "tests")]

mod front_support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use front_support::{PATIENCE, Raw, Recorder, any_port, front};
use myelin_bridge_zmq::front::{DisconnectReason, Peer, PeerHandler, PeerId, SocketType, SubscriptionChange};
use myelin_bus::Pressure;
use myelin_bus::wire::Body;
use parking_lot::Mutex;
use tokio::sync::watch;

const PEERS: usize = 16;

/// A route with room or without.
struct Route {
    recorder: Arc<Recorder>,
    is_full: watch::Receiver<bool>,
    /// Who wanted to be read while it was full.
    held_back: Mutex<BTreeSet<PeerId>>,
}

impl PeerHandler for Route {
    fn connected(&self, peer: &Arc<Peer>) {
        PeerHandler::connected(&*self.recorder, peer);
    }

    fn received(&self, peer: &Arc<Peer>, batch: &mut Vec<Body>) -> Option<Pressure> {
        self.recorder.received(peer, batch)
    }

    fn held_back(&self, peer: &Arc<Peer>) -> Option<Pressure> {
        let mut is_full = self.is_full.clone();
        if !*is_full.borrow() {
            return None;
        }
        self.held_back.lock().insert(peer.id());
        Some(Pressure::new(async move {
            drop(is_full.wait_for(|is_full| !is_full).await);
        }))
    }

    fn subscription(&self, peer: &Arc<Peer>, change: SubscriptionChange, prefix: Bytes) {
        self.recorder.subscription(peer, change, prefix);
    }

    fn disconnected(&self, peer: &Arc<Peer>, reason: &DisconnectReason) {
        PeerHandler::disconnected(&*self.recorder, peer, reason);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_read_before_there_is_room() {
    let front = front();
    let (set_full, is_full) = watch::channel(false);
    let recorder = Recorder::new();
    let route = Arc::new(Route { recorder: Arc::clone(&recorder), is_full, held_back: Mutex::default() });
    let listener = front.listen(&any_port(), SocketType::Pull, Arc::clone(&route) as Arc<dyn PeerHandler>).await.unwrap();
    let to = listener.local_addr();
    let connect = tokio::task::spawn_blocking(move || (0..PEERS).map(|_| Raw::shake(to, 1, "PUSH", None).0).collect::<Vec<_>>());
    let mut peers = connect.await.unwrap();
    recorder.connected(PEERS).await;
    set_full.send(true).unwrap();
    for (number, peer) in peers.iter_mut().enumerate() {
        peer.send(&[0, 1, u8::try_from(number).unwrap()]);
    }
    let began = Instant::now();
    while route.held_back.lock().len() < PEERS {
        assert!(began.elapsed() < PATIENCE, "somebody was not asked about");
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert_eq!(recorder.seen().len(), PEERS, "they connected, and nothing was read");
    set_full.send(false).unwrap();
    let said: BTreeSet<Vec<u8>> = recorder.messages(PEERS).await.into_iter().map(|frames| frames.concat()).collect();
    assert_eq!(said.len(), PEERS);
    front.shutdown().await;
}
