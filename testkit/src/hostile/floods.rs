//! More than anybody asked for: messages, subscriptions, beginnings of messages.

use super::arena::Arena;
use crate::wait::PATIENCE;
use crate::zmtp::{LONG, Options, Peer, Received, RecvError, Version, command, message};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Four PUBs that send as fast as their sockets take it, without a pause, and a SUB that reads it all (D6), for `span` and until the sidecar
/// has taken a flood of messages.
///
/// # Panics
/// When a publisher is closed, or less is taken.
#[track_caller]
pub fn publish_loop(arena: &Arena, span: Duration, messages_min: u64) {
    let stop = AtomicBool::new(false);
    let sent = AtomicU64::new(0);
    let batch = message(&[[b'D'; 64]]).repeat(1000);
    let places = arena.places();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut reader = Peer::connect(places.subscribers, "SUB");
            reader.subscribe(b"D");
            while !stop.load(Ordering::Relaxed) {
                match reader.try_message(Duration::from_millis(50)) {
                    Ok(_) | Err(RecvError::Timeout) => {}
                    Err(RecvError::Closed) => panic!("a subscriber that reads was closed"),
                }
            }
        });
        for _ in 0..4 {
            scope.spawn(|| {
                let mut publisher = Peer::connect(places.publishers, "PUB");
                while !stop.load(Ordering::Relaxed) {
                    publisher.raw().send(&batch);
                    sent.fetch_add(1000, Ordering::Relaxed);
                }
            });
        }
        std::thread::sleep(span);
        let is_flood = || sent.load(Ordering::Relaxed) >= messages_min;
        let begin = Instant::now();
        while !is_flood() && begin.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(10));
        }
        stop.store(true, Ordering::Relaxed);
        assert!(is_flood(), "{} messages are no flood", sent.load(Ordering::Relaxed));
    });
}

/// One SUB after the other subscribes to `count` different prefixes: by commands, by the messages of ZMTP 3.0, with long prefixes, always the
/// same prefix, and one that cancels what it never had. Each is served afterwards, or was closed.
///
/// # Panics
/// When the sidecar does neither.
#[track_caller]
pub fn subscriptions(arena: &Arena, count: u32) {
    type Change = fn(u32) -> Vec<u8>;
    let old = Options { version: Version::V30, ..Options::default() };
    let now = Options::default();
    let changes: [(&Options, u32, Change); 5] = [
        (&now, count, |number| command("SUBSCRIBE", format!("D{number:08}").as_bytes())),
        (&old, count, |number| message(&[format!("\u{1}D{number:08}")])),
        (&now, count / 100, |number| command("SUBSCRIBE", &[&number.to_be_bytes()[..], &[b'D'; 2000]].concat())),
        (&now, count, |_| command("SUBSCRIBE", b"D")),
        (&now, count, |number| command("CANCEL", format!("never {number}").as_bytes())),
    ];
    let mut publisher = Peer::connect(arena.places().publishers, "PUB");
    for (index, (options, count, change)) in changes.into_iter().enumerate() {
        let mut subscriber = Peer::connect_with(arena.places().subscribers, "SUB", options);
        for first in (0..count).step_by(1000) {
            let batch: Vec<u8> = (first..count.min(first + 1000)).flat_map(change).collect();
            if subscriber.raw().try_send(&batch).is_err() {
                break;
            }
        }
        if answers_ping(&mut subscriber) && matches!(index, 0 | 1 | 3) {
            publisher.send(&[b"D00000000"]);
            assert_eq!(subscriber.message(), [b"D00000000"], "the first subscription of flood {index} is in effect");
        }
    }
}

/// `peers` connections that each send a message of `bytes` but for its last byte, and stay until all have; the sidecar may close those that
/// would exceed what all may leave incomplete. Returns how many it closed.
#[must_use]
pub fn unfinished_messages(arena: &Arena, peers: usize, bytes: usize) -> usize {
    let mut unfinished = [&[LONG][..], &(bytes as u64).to_be_bytes()].concat();
    unfinished.resize(9 + bytes - 1, b'u');
    let places = arena.every_place();
    let open: Vec<_> = (0..peers)
        .filter_map(|number| {
            let mut peer = places[number % places.len()].connect();
            // A PONG would be the end of its message, and the beginning of nonsense.
            peer.ignore_pings();
            peer.raw().try_send(&unfinished).ok().map(|()| peer)
        })
        .collect();
    // A connection that was closed has its end behind whatever came before it.
    let is_open = |peer: &mut Peer| peer.try_message(Duration::from_millis(20)) == Err(RecvError::Timeout);
    peers - open.into_iter().map(|mut peer| is_open(&mut peer)).filter(|open| *open).count()
}

/// Whether the connection lives: all that was sent before has been read then.
#[track_caller]
fn answers_ping(peer: &mut Peer) -> bool {
    if peer.raw().try_send(&command("PING", b"\0\0flood")).is_err() {
        return false;
    }
    loop {
        match peer.recv(PATIENCE) {
            Ok(Received::Command(name, body)) if name == "PONG" && body == b"flood" => return true,
            Ok(_) => {}
            Err(RecvError::Closed) => return false,
            Err(RecvError::Timeout) => panic!("neither served nor closed"),
        }
    }
}
