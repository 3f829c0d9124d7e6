//! However many connections one source or the peers of one route hold, and however silent they are, others find a place, and nobody's is taken away.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod front_support;

use std::net::SocketAddr;
use std::time::Duration;

use myelin_bridge_zmq::front::{Endpoint, Front, FrontConfig, Listener, SocketType};
use myelin_bridge_zmq::metrics::ConnectionShare;

use front_support::{Raw, Recorder, front_with, greeting, hex, listen, ready};

const MAX: usize = 64;

fn small_front() -> Front {
    front_with(FrontConfig { connections_max: MAX, ..FrontConfig::default() })
}

/// Plays peers on a thread of their own.
async fn peers<R: Send + 'static>(play: impl FnOnce() -> R + Send + 'static) -> R {
    tokio::task::spawn_blocking(play).await.unwrap()
}

/// Connects REQs that then say nothing, until one is closed; returns those that were not.
async fn hoard(address: SocketAddr) -> Vec<Raw> {
    peers(move || {
        let mut silent = Vec::new();
        while let Some(raw) = admitted(address) {
            silent.push(raw);
        }
        silent
    })
    .await
}

/// A connection that is greeted, or `None`: one without a place is closed without a word.
fn admitted(address: SocketAddr) -> Option<Raw> {
    let mut raw = Raw::connect(address);
    // It may be closed before it has spoken.
    drop(std::io::Write::write(&mut raw.stream, &[greeting(1), ready("REQ", None)].concat()));
    let mut theirs = [0; 64 + 2];
    std::io::Read::read_exact(&mut raw.stream, &mut theirs).is_ok().then(|| {
        raw.receive(theirs[65].into());
        raw
    })
}

async fn listen_at(front: &Front, route: &str) -> (Listener, std::sync::Arc<Recorder>) {
    let handler = Recorder::echo();
    (listen(&front.for_route(route), SocketType::Router, &handler).await, handler)
}

fn echo(raw: &mut Raw) {
    raw.send(&hex("0100 0001 61"));
    assert_eq!(raw.receive(5), hex("0100 0001 61"));
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_peers_of_one_route_leave_room_at_another_and_for_what_we_open() {
    let front = small_front();
    let (flooded, _handler) = listen_at(&front, "flooded").await;
    let (quiet, _quiet) = listen_at(&front, "quiet").await;
    let (to_flooded, to_quiet) = (flooded.local_addr(), quiet.local_addr());
    let mut silent = hoard(to_flooded).await;
    assert_eq!(silent.len(), MAX * 3 / 4, "one source at one route has three quarters");
    assert_eq!(front.metrics().connections_refused(ConnectionShare::SourceAtRoute), 1);
    assert_eq!(front.handshake_failures().len(), 1, "an operator sees who was refused");
    // The same source, as every agent of this machine is.
    let mut others = hoard(to_quiet).await;
    assert_eq!(others.len(), MAX / 8);
    assert_eq!(front.metrics().connections_refused(ConnectionShare::Source), 1);
    let echo_all = peers(move || {
        silent.iter_mut().chain(&mut others).for_each(echo);
        (silent, others)
    });
    let (silent, others) = echo_all.await;
    // What we open ourselves takes from the last eighth.
    let (ours, agent) = (Recorder::new(), Recorder::echo());
    let elsewhere = front_with(FrontConfig::default());
    let agent_at = listen(&elsewhere, SocketType::Router, &agent).await;
    let connector = front.connect(&Endpoint::from(agent_at.local_addr()), SocketType::Dealer, bytes::Bytes::new(), ours.clone());
    ours.connected(1).await;
    drop((connector, silent, others));
    front.shutdown().await;
    elsewhere.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_over_ipc_is_not_kept_out_by_loopback() {
    let front = small_front();
    let (flooded, _handler) = listen_at(&front, "flooded").await;
    let address = flooded.local_addr();
    let silent = hoard(address).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("callers");
    let handler = Recorder::echo();
    let endpoint: Endpoint = format!("ipc://{}", path.display()).parse().unwrap();
    let _ipc = front.for_route("flooded").listen(&endpoint, SocketType::Router, handler.clone()).await.unwrap();
    let mine = front_with(FrontConfig::default());
    let _connector = mine.connect(&endpoint, SocketType::Req, bytes::Bytes::new(), Recorder::new());
    handler.connected(1).await;
    drop(silent);
    mine.shutdown().await;
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_given_back_is_used_again() {
    let front = small_front();
    let (flooded, handler) = listen_at(&front, "flooded").await;
    let address = flooded.local_addr();
    let mut silent = hoard(address).await;
    drop(silent.pop());
    handler.disconnected().await;
    // The place is given back right after the handler knows.
    let deadline = tokio::time::Instant::now() + front_support::PATIENCE;
    while peers(move || admitted(address)).await.is_none() {
        assert!(tokio::time::Instant::now() < deadline, "the place stayed taken");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(silent);
    front.shutdown().await;
}
