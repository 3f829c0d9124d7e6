//! What it costs to turn a read buffer into messages: our framer, and for comparison the data path of `omq-proto`, which does our handshakes.
//!
//! `cargo bench -p myelin-benches --bench framer`. One iteration is one read of 64 KiB (of 256 KiB for the large messages): its bytes are copied
//! into the buffer as a socket would do it, every message in it is taken and dropped. Both sides pay the copy. Figures are per read; criterion
//! prints messages per second.

use std::hint::black_box;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use myelin_bridge_zmq::codec::{Codec, CodecLimits, FramesLimit, Handshake, MessageLimit, Role, SocketType, Upstream};
use myelin_bus::wire::Frames;
use omq_proto::proto::connection::{Connection, ConnectionConfig, Event, Role as OmqRole};

const KIB: usize = 1024;

/// A name, the payload sizes of one message's frames, and the bytes of one read.
const CASES: [(&str, &[usize], usize); 6] = [
    ("one message of 64 B", &[64], 66),
    ("64 B", &[64], 64 * KIB),
    ("request of 64 B", &[0, 64], 64 * KIB),
    ("256 B", &[256], 64 * KIB),
    ("1 KiB", &[KIB], 64 * KIB),
    ("38 KiB", &[38 * KIB], 256 * KIB),
];

fn framer(c: &mut Criterion) {
    let mut group = c.benchmark_group("framer");
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    for (name, parts, read) in CASES {
        let message = Frames::from_parts(parts.iter().map(|len| vec![7u8; *len])).expect("a case has frames");
        let count = (read / message.packed().len()).max(1);
        let bytes = message.packed().repeat(count);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(BenchmarkId::new("ours", name), &bytes, |b, bytes| {
            let limits = CodecLimits { message: MessageLimit::default(), frames: FramesLimit::default() };
            let mut codec = Codec::new(limits, Upstream::Messages);
            let (mut input, mut messages, mut commands) = (BytesMut::new(), Vec::new(), Vec::new());
            b.iter(|| {
                input.reserve(bytes.len());
                input.extend_from_slice(bytes);
                codec.handle(&mut input, &mut messages, &mut commands).expect("the bytes are valid");
                assert_eq!(messages.len(), count);
                black_box(&mut messages).clear();
            });
        });
        group.bench_with_input(BenchmarkId::new("omq-proto", name), &bytes, |b, bytes| {
            let mut connection = established();
            let mut input = BytesMut::new();
            b.iter(|| {
                input.reserve(bytes.len());
                input.extend_from_slice(bytes);
                connection.handle_input(input.split().freeze()).expect("the bytes are valid");
                let mut taken = 0;
                while let Some(message) = connection.poll_message() {
                    black_box(message);
                    taken += 1;
                }
                assert_eq!(taken, count);
            });
        });
    }
    group.finish();
}

/// A connection of `omq-proto` whose handshake is over; our own handshake plays the peer.
fn established() -> Connection {
    let mut connection = Connection::new(ConnectionConfig::new(OmqRole::Server, omq_proto::SocketType::Router).max_message_size(8 << 20));
    let mut peer = Handshake::new(Role::Connected, SocketType::Dealer, Bytes::new());
    let mut from_connection = BytesMut::new();
    for _ in 0..2 {
        connection.handle_input(peer.output()).expect("the peer is valid");
        let sent = connection.poll_transmit();
        connection.advance_transmit(sent.len());
        from_connection.extend_from_slice(&sent);
        let session = peer.advance(&mut from_connection).expect("the connection is valid");
        drop(session);
    }
    connection.handle_input(peer.output()).expect("the peer is valid");
    assert!(matches!(connection.poll_event(), Some(Event::HandshakeSucceeded { .. })));
    connection
}

criterion_group!(benches, framer);
criterion_main!(benches);
