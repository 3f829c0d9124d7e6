//! What it costs to seal and to open messages under CURVE: the data phase between two ends that have shaken hands.
//!
//! `cargo bench -p myelin-benches --bench curve`. One iteration seals or opens one write: a single message, or 64 KiB of them. Opening includes the
//! framer, and the copy of the bytes into the read buffer as a socket would do it. Figures are per write; criterion prints messages per second.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use myelin_bridge_zmq::codec::curve::{Clients, CurveClient, CurveServer, KeyPair, Transform};
use myelin_bridge_zmq::codec::{
    ClientSecurity, Codec, CodecLimits, FramesLimit, Handshake, MessageLimit, ServerSecurity, SocketType, Upstream,
};
use myelin_bus::wire::Frames;

const KIB: usize = 1024;

/// A name, the payload bytes of a message, and how many go into one write.
const CASES: [(&str, usize, usize); 6] = [
    ("one of 64 B", 64, 1),
    ("one of 1 KiB", KIB, 1),
    ("one of 64 KiB", 64 * KIB, 1),
    ("many of 64 B", 64, 1000),
    ("many of 256 B", 256, 250),
    ("many of 1 KiB", KIB, 64),
];

fn curve(c: &mut Criterion) {
    let mut group = c.benchmark_group("curve");
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    for (name, len, count) in CASES {
        let message = Frames::from_parts([vec![7u8; len]]).expect("one frame");
        let plain = message.packed().repeat(count);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(BenchmarkId::new("seal", name), &plain, |b, plain| {
            let [_, mut client] = established();
            let mut out = BytesMut::new();
            b.iter(|| {
                out.clear();
                client.sealer.seal(plain, &mut out);
                black_box(&out);
            });
        });
        group.bench_with_input(BenchmarkId::new("open", name), &plain, |b, plain| {
            let [server, mut client] = established();
            let limits = CodecLimits { message: MessageLimit::default(), frames: FramesLimit::default() };
            let mut codec = Codec::sealed(limits, Upstream::Messages, server.opener);
            let (mut input, mut messages, mut commands) = (BytesMut::new(), Vec::new(), Vec::new());
            // A box opens once, so each iteration needs one of its own; sealing it is not measured.
            b.iter_batched(
                || {
                    let mut sealed = BytesMut::new();
                    client.sealer.seal(plain, &mut sealed);
                    sealed
                },
                |sealed| {
                    input.reserve(sealed.len());
                    input.extend_from_slice(&sealed);
                    codec.handle(&mut input, &mut messages, &mut commands).expect("sealed by its peer");
                    assert_eq!(messages.len(), count);
                    messages.clear();
                    sealed
                },
                criterion::BatchSize::NumIterations(1),
            );
        });
    }
    group.finish();
}

/// Both ends of a connection whose handshake is over: the server's, then the client's.
fn established() -> [Transform; 2] {
    let (server, client) = (KeyPair::generate(), KeyPair::generate());
    let clients = Clients::parse(&format!("{} bench *", client.public())).expect("one client");
    let known = ClientSecurity::Curve(Arc::new(CurveClient { keys: client, server: server.public() }));
    let serves = ServerSecurity::Curve(Arc::new(CurveServer { keys: server, clients }));
    let mut server = Handshake::accepted(SocketType::Router, &serves, &"bench".into());
    let mut client = Handshake::connected(SocketType::Dealer, Bytes::new(), &known);
    let (mut to_server, mut to_client) = (BytesMut::new(), BytesMut::new());
    // A session ends the taking of bytes: what follows it belongs to the codec.
    let (mut served, mut connected) = (false, false);
    while !(served && connected) {
        to_server.extend_from_slice(&client.output());
        served = served || server.advance(&mut to_server).expect("the client is valid").is_some();
        to_client.extend_from_slice(&server.output());
        connected = connected || client.advance(&mut to_client).expect("the server is valid").is_some();
    }
    [server, client].map(|mut end| end.transform().expect("CURVE seals"))
}

criterion_group!(benches, curve);
criterion_main!(benches);
