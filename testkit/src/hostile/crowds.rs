//! Many connections, and connections that claim to be somebody else.

use super::arena::Arena;
use crate::hex;
use crate::wait::PATIENCE;
use crate::zmtp::{GREETING, Options, Peer, RawPeer, Received, command, ready};
use std::time::{Duration, Instant};

/// Opens `count` connections that never finish their handshake: a third says nothing, a third stops in the greeting, a third after it. Then a
/// healthy agent connects to every place, several times; the slowest of them is returned.
///
/// # Panics
/// When one of the healthy agents cannot connect.
#[must_use]
#[track_caller]
pub fn half_open(arena: &Arena, count: usize) -> Duration {
    let greeting = hex::bytes(GREETING);
    let places = arena.every_place();
    let open: Vec<RawPeer> = (0..count)
        .map(|number| {
            let mut raw = RawPeer::connect(places[number % places.len()].address);
            match number % 3 {
                0 => {}
                1 => raw.send(&greeting[..11]),
                _ => raw.send(&greeting),
            }
            raw
        })
        .collect();
    let mut slowest = Duration::ZERO;
    for _ in 0..5 {
        for place in places {
            let begin = Instant::now();
            drop(place.connect());
            slowest = slowest.max(begin.elapsed());
        }
    }
    drop(open);
    slowest
}

/// A peer at every place sends a PING each `interval` for `span`, and wants its PONG each time (D4). The TTL promises no more than a busy machine
/// lets the peer keep.
///
/// # Panics
/// When a PONG does not come, or a connection ends.
#[track_caller]
pub fn pings(arena: &Arena, interval: Duration, span: Duration) {
    let mut peers: Vec<_> = arena.every_place().map(|place| (place, place.connect())).into();
    let begin = Instant::now();
    let deciseconds = u16::try_from(PATIENCE.as_millis() / 100).unwrap_or(u16::MAX);
    for round in 0_u32.. {
        let due = interval * round;
        if due >= span {
            return;
        }
        std::thread::sleep(due.saturating_sub(begin.elapsed()));
        let context = round.to_be_bytes();
        let ping = command("PING", &[&deciseconds.to_be_bytes()[..], &context].concat());
        for (_, peer) in &mut peers {
            peer.raw().send(&ping);
        }
        for (place, peer) in &mut peers {
            // An XPUB of ours says nothing else; a SUB of ours has sent its subscription before.
            let pong = loop {
                match peer.recv(PATIENCE) {
                    Ok(Received::Command(name, body)) if name == "PONG" => break body,
                    Ok(_) => {}
                    Err(error) => panic!("{}: no PONG in round {round}: {error}", place.name),
                }
            };
            assert_eq!(pong, context, "{}", place.name);
        }
    }
}

/// DEALERs that all announce the same identity, `crowd` at once and `rounds` times: each gets its own reply or is closed, never a reply of
/// another. Returns how many were answered.
///
/// # Panics
/// When a caller gets what it did not ask for.
#[track_caller]
pub fn same_identity(arena: &Arena, crowd: usize, rounds: usize) -> usize {
    let options = Options { identity: b"everybody".to_vec(), ..Options::default() };
    let mut answered = 0;
    for round in 0..rounds {
        let connect = |_| Peer::try_connect(arena.places().callers, "DEALER", &options, PATIENCE).ok();
        let mut peers: Vec<_> = (0..crowd).filter_map(connect).collect();
        let body = |number: usize| format!("caller {number} of round {round}").into_bytes();
        for (number, peer) in peers.iter_mut().enumerate() {
            peer.try_send(&[b"".to_vec(), body(number)]).ok();
        }
        for (number, peer) in peers.iter_mut().enumerate() {
            if let Ok(reply) = peer.try_message(PATIENCE) {
                assert_eq!(reply, [b"".to_vec(), body(number)], "own reply or nothing");
                answered += 1;
            }
        }
    }
    answered
}

/// A READY with an identity longer than ZeroMQ allows, and one that begins with a zero byte, which libzmq keeps for itself. Both are harmless
/// or refused; none may end more than its own connection.
pub fn odd_identities(arena: &Arena) {
    for identity in [vec![b'i'; 256], vec![b'i'; 60_000], vec![0; 5], vec![0xff; 255]] {
        let mut raw = RawPeer::connect(arena.places().callers);
        raw.try_send(&[hex::bytes(GREETING), ready("DEALER", &identity)].concat()).ok();
        raw.recv(64, PATIENCE).ok();
    }
}
