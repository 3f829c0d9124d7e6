//! Promise: a peer that closes its connection while it is held back is known to have left within a second, and everything that it said before is
//! read all the same, once the pressure is over. (An end reaches us behind what was said before it: one that has more to say than fits into the
//! socket's buffer has not left yet.)

#![allow(clippy::unwrap_used, reason = "tests")]

mod front_support;

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use front_support::{PATIENCE, Raw, Recorder, Seen, front, greeting, hex, listen, ready};
use myelin_bridge_zmq::front::{Endpoint, Front, Peer, PeerHandler, PeerQuery, SocketType};
use myelin_bridge_zmq::metrics::{DisconnectKind, IdentityConflict};
use myelin_bus::Pressure;
use socket2::SockRef;
use tokio::sync::oneshot;
use tokio::time::Instant;

const NOTICED_WITHIN: Duration = Duration::from_secs(1);

/// A handler that holds back whoever speaks first, until the sender is used.
fn pressing() -> (Arc<Recorder>, oneshot::Sender<()>) {
    let (relieve, relieved) = oneshot::channel();
    let handler = Recorder::new();
    handler.press.lock().push(Pressure::new(async {
        drop(relieved.await);
    }));
    (handler, relieve)
}

fn message(text: &[u8]) -> Vec<u8> {
    [&[0, u8::try_from(text.len()).unwrap()], text].concat()
}

/// A DEALER of this identity that is held back after its first message.
async fn held_back(handler: &Arc<Recorder>, to: std::net::SocketAddr, identity: &'static [u8]) -> Raw {
    let raw = tokio::task::spawn_blocking(move || {
        let (mut raw, _) = Raw::shake(to, 1, "DEALER", Some(identity));
        raw.send(&message(b"first"));
        raw
    });
    let raw = raw.await.unwrap();
    handler.messages(1).await;
    raw
}

async fn leaves(peer: &Peer, closed_at: Instant) {
    while !peer.has_left() {
        assert!(closed_at.elapsed() < NOTICED_WITHIN, "nobody noticed");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// What happens after the peer is gone, whichever way it went.
async fn is_noticed_and_read_to_its_end(close: fn(Raw), at_the_end: DisconnectKind) {
    let (front, (handler, relieve)) = (front(), pressing());
    let listener = listen(&front, SocketType::Router, &handler).await;
    let mut raw = held_back(&handler, listener.local_addr(), b"agent1").await;
    let peer = handler.peers().remove(0);
    // Small enough to have arrived before a reset, which takes back what is still on its way.
    let more = vec![7; 10_000];
    raw.send(&[hex("02"), 10_000_u64.to_be_bytes().to_vec(), more.clone(), message(b"last")].concat());
    assert!(!peer.has_left(), "more to read is no end");
    let closed_at = Instant::now();
    close(raw);
    leaves(&peer, closed_at).await;
    assert!(peer.outlet().is_closed(), "nothing waits for one that has left");
    let listed = front.peers(&PeerQuery { limit: 10, ..PeerQuery::default() }).peers;
    assert_eq!(listed.iter().map(|peer| peer.has_left).collect::<Vec<_>>(), [true], "it keeps its place until its end");
    assert!(!handler.seen().iter().any(|seen| matches!(seen, Seen::Disconnected(_))));
    relieve.send(()).unwrap();
    assert_eq!(handler.disconnected().await, at_the_end);
    let said: Vec<_> = handler.messages(3).await.into_iter().map(|frames| frames.concat()).collect();
    assert_eq!(said, [b"first".to_vec(), more, b"last".to_vec()]);
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_closes() {
    is_noticed_and_read_to_its_end(drop, DisconnectKind::Peer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_reset() {
    let reset = |raw: Raw| {
        SockRef::from(&raw.stream).set_linger(Some(Duration::ZERO)).unwrap();
        drop(raw);
    };
    is_noticed_and_read_to_its_end(reset, DisconnectKind::Peer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_identity_is_free_for_the_next_one() {
    let (front, (handler, relieve)) = (front(), pressing());
    let listener = listen(&front, SocketType::Router, &handler).await;
    let address = listener.local_addr();
    let mut first = held_back(&handler, address, b"agent1").await;
    first.send(&message(b"last"));
    let former = handler.peers().remove(0);
    drop(first);
    leaves(&former, Instant::now()).await;
    let second = tokio::task::spawn_blocking(move || {
        let (mut second, _) = Raw::shake(address, 1, "DEALER", Some(b"agent1"));
        second.send(&message(b"again"));
        second
    });
    let second = second.await.unwrap();
    let said = |handler: &Arc<Recorder>| {
        let handler = Arc::clone(handler);
        async move { handler.messages(2).await.into_iter().map(|frames| frames.concat()).collect::<Vec<_>>() }
    };
    assert_eq!(said(&handler).await, [b"first".to_vec(), b"again".to_vec()], "the next one is served meanwhile");
    assert_eq!(front.metrics().identity_conflicts(IdentityConflict::Refused), 0);
    relieve.send(()).unwrap();
    handler.disconnected().await;
    assert_eq!(handler.messages(3).await[2].concat(), b"last");
    // The end of the first has not freed what the second holds.
    let third = tokio::task::spawn_blocking(move || Raw::shake(address, 1, "DEALER", Some(b"agent1")).0.rest());
    assert_eq!(third.await.unwrap(), b"");
    drop(second);
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_over_ipc() {
    let (front, (handler, relieve)) = (front(), pressing());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("callers");
    let endpoint: Endpoint = format!("ipc://{}", path.display()).parse().unwrap();
    let _listener = listen_at(&front, &endpoint, &handler).await;
    let stream = tokio::task::spawn_blocking(move || {
        let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&[greeting(1), ready("DEALER", None)].concat()).unwrap();
        let mut theirs = [0; 64 + 2];
        stream.read_exact(&mut theirs).unwrap();
        stream.write_all(&message(b"first")).unwrap();
        stream
    });
    let mut stream = stream.await.unwrap();
    handler.messages(1).await;
    let peer = handler.peers().remove(0);
    stream.write_all(&message(b"last")).unwrap();
    drop(stream);
    leaves(&peer, Instant::now()).await;
    relieve.send(()).unwrap();
    handler.disconnected().await;
    assert_eq!(handler.messages(2).await[1].concat(), b"last");
    front.shutdown().await;
}

async fn listen_at(front: &Front, endpoint: &Endpoint, handler: &Arc<Recorder>) -> myelin_bridge_zmq::front::Listener {
    front.listen(endpoint, SocketType::Router, Arc::clone(handler) as Arc<dyn PeerHandler>).await.unwrap()
}
