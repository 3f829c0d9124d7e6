//! Attacks made of wrong bytes: whoever sends them loses its connection, soon.

use super::arena::{Arena, Place};
use crate::hex;
use crate::wait::PATIENCE;
use crate::zmtp::{COMMAND, GREETING, LONG, MORE, RawPeer, command, frame, ready};

/// Frame headers that declare 2^31 to 2^64 - 1 bytes, before and after the handshake, as messages and as commands (D1).
///
/// # Panics
/// When a connection stays open.
#[track_caller]
pub fn declared_lengths(arena: &Arena) {
    let lengths = (31..=63).step_by(8).map(|power| 1_u64 << power).chain([u64::from(u32::MAX), i64::MAX.unsigned_abs(), u64::MAX]);
    for length in lengths {
        for place in arena.every_place() {
            for flags in [LONG, LONG | MORE, LONG | COMMAND] {
                let header = [&[flags][..], &length.to_be_bytes(), b"and some of it"].concat();
                let mut before = RawPeer::connect(place.address);
                before.send(&[&hex::bytes(GREETING)[..], &header].concat());
                closed(&mut before, place, &header);
                let mut after = place.connect();
                after.raw().send(&header);
                closed(after.raw(), place, &header);
            }
        }
    }
    closed_by_no_deadline(arena);
}

/// Messages that are cut off at every place where a frame can be, by an end of the stream and by a reset (D5). The bytes contain `cut off`.
///
/// # Panics
/// When the sidecar does not notice the end.
#[track_caller]
pub fn cut_frames(arena: &Arena) {
    let long = [frame(MORE, b"cut off"), frame(MORE, b""), frame(0, &[b'x'; 300])].concat();
    let short = [frame(MORE, b"cut off"), frame(0, b"cut off")].concat();
    let cuts = [&long[..1], &long[..5], &long[..9], &long[..10], &long[..12], &long[..15], &long[..30], &short[..short.len() - 1]];
    for place in arena.every_place() {
        for cut in cuts {
            let mut ended = place.connect();
            ended.raw().send(cut);
            ended.raw().end();
            closed(ended.raw(), place, cut);
            let mut reset = place.connect();
            reset.raw().send(cut);
            reset.into_raw().reset();
        }
        // In the handshake too.
        let greeting = [hex::bytes(GREETING), ready(place.peer_type, b"")].concat();
        for at in [1, 9, 11, 63, 64, 65, greeting.len() - 1] {
            let mut ended = RawPeer::connect(place.address);
            ended.send(&greeting[..at]);
            ended.end();
            closed(&mut ended, place, &greeting[..at]);
        }
    }
    closed_by_no_deadline(arena);
}

/// Messages without a last frame: of empty frames, of large ones, and with a command between each two.
///
/// # Panics
/// When the sidecar reads on past its bounds (1,024 frames, 8 MiB).
#[track_caller]
pub fn endless_messages(arena: &Arena) {
    let ping = command("PING", &[0, 0]);
    for place in arena.every_place() {
        for piece in [frame(MORE, b""), frame(MORE, &[b'x'; 64 << 10]), [frame(MORE, b"x"), ping.clone()].concat()] {
            let mut peer = place.connect();
            let mut sent = 0;
            // Twice the bound in bytes, and far above that in frames, is read by nobody: what is sent there fails, or is never asked for.
            while sent < 32 << 20 && peer.raw().try_send(&piece.repeat(1 + 4096 / piece.len())).is_ok() {
                sent += piece.len();
            }
            closed(peer.raw(), place, &piece[..piece.len().min(16)]);
        }
    }
    closed_by_no_deadline(arena);
}

/// A greeting that announces PLAIN or CURVE, followed by the READY of NULL; and NULL, followed by the commands of PLAIN and CURVE.
///
/// # Panics
/// When a connection stays open, or becomes a session.
#[track_caller]
pub fn wrong_mechanisms(arena: &Arena) {
    let announce = |mechanism: &[u8]| {
        let mut greeting = hex::bytes(GREETING);
        greeting[12..32].fill(0);
        greeting[12..12 + mechanism.len()].copy_from_slice(mechanism);
        greeting
    };
    for place in arena.every_place() {
        let null = ready(place.peer_type, b"");
        let mixed = [
            [announce(b"PLAIN"), null.clone()].concat(),
            [announce(b"CURVE"), null.clone()].concat(),
            [announce(b"GSSAPI"), null.clone()].concat(),
            [announce(b""), null.clone()].concat(),
            [announce(b"NULLNULLNULLNULLNULL"), null].concat(),
            [announce(b"NULL"), command("HELLO", b"\x04user\x04pass")].concat(),
            [announce(b"NULL"), command("HELLO", &[1; 194])].concat(),
            [announce(b"NULL"), command("INITIATE", &[])].concat(),
            [announce(b"NULL"), command("PING", &[0, 0])].concat(),
            [announce(b"NULL"), frame(0, b"a message")].concat(),
        ];
        for bytes in mixed {
            let mut peer = RawPeer::connect(place.address);
            peer.send(&bytes);
            closed(&mut peer, place, &bytes[10..]);
        }
    }
    closed_by_no_deadline(arena);
}

/// An HTTP request, a TLS ClientHello and a few other first words of other protocols.
///
/// # Panics
/// When a connection stays open.
#[track_caller]
pub fn foreign_protocols(arena: &Arena) {
    // The beginning of a ClientHello of TLS 1.3: record, handshake, version, random, session, two suites.
    let mut hello = hex::bytes("16 0301 00ba 01 0000b6 0303");
    hello.extend([0x5a; 32]);
    hello.extend(hex::bytes("20"));
    hello.extend([0xa5; 32]);
    hello.extend(hex::bytes("0004 1301 1302 0100"));
    hello.resize(191, 0);
    for place in arena.every_place() {
        for bytes in [
            &b"GET /health HTTP/1.1\r\nHost: agent\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n"[..],
            b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            &hello,
            b"SSH-2.0-OpenSSH_9.6\r\n",
            b"*1\r\n$4\r\nPING\r\n",
            b"CONNECT {\"verbose\":false}\r\nPING\r\n",
            // ZMTP 1 and 2.
            &hex::bytes("0100"),
            &hex::bytes("ff 0000000000000001 7f 01 05 0000"),
        ] {
            let mut peer = RawPeer::connect(place.address);
            peer.send(bytes);
            closed(&mut peer, place, bytes);
        }
    }
    closed_by_no_deadline(arena);
}

/// How many connections send noise, and from which seed.
#[derive(Debug, Clone, Copy)]
pub struct Noise {
    /// To each place, before its handshake and after it.
    pub connections: u64,
    /// The same seed makes the same bytes.
    pub seed: u64,
}

/// Random bytes, up to 4 KiB from each connection, before and after the handshake. After it some are messages; the sidecar may keep those open.
///
/// # Panics
/// When it accepts no further connection.
pub fn noise(arena: &Arena, plan: Noise) {
    let mut random = Random(plan.seed | 1);
    for place in arena.every_place() {
        for number in 0..plan.connections {
            let length = 1 + random.next() % 4096;
            let mut bytes: Vec<u8> =
                std::iter::repeat_with(|| random.next().to_le_bytes()).take(1 + length as usize / 8).flatten().collect();
            if number % 2 == 0 {
                // A signature gets further than any other first byte.
                bytes.splice(..0, hex::bytes(GREETING)[..10 + (random.next() % 54) as usize].to_vec());
            }
            let mut before = RawPeer::connect(place.address);
            before.try_send(&bytes).ok();
            let mut after = place.connect();
            // Valid flags more often than chance has them.
            bytes[0] &= 7;
            after.raw().try_send(&bytes).ok();
            drop((before, after));
        }
    }
}

/// Marsaglia's xorshift: enough to be unlike any protocol, and the same on every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[track_caller]
fn closed(peer: &mut RawPeer, place: Place, bytes: &[u8]) {
    assert!(peer.is_closed_within(PATIENCE), "{} is still open: {}", place.name, hex::text(&bytes[..bytes.len().min(80)]));
}

/// A violation ends the connection by its bytes; neither the deadline of the handshake nor a heartbeat had to.
#[track_caller]
fn closed_by_no_deadline(arena: &Arena) {
    let counted = arena.counted();
    assert!(!counted.is_empty(), "the sidecar tells nothing");
    for deadline in ["myelin_zmq_handshake_failures_total{reason=\"Timeout\"}", "myelin_zmq_disconnects_total{reason=\"Silent\"}"] {
        assert!(counted.iter().all(|line| !line.starts_with(deadline)), "{deadline}");
    }
}
