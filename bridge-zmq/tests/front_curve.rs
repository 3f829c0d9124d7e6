//! Promise: CURVE as libzmq speaks it, both ways: listed keys are served on their routes and nobody else, frames and commands pass unchanged,
//! and what was changed or repeated on the way ends the connection.

#![allow(clippy::unwrap_used, reason = "tests")]

mod front_support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use front_support::{Python, Raw, Recorder, Seen, frames, front_with, greeting, hex, listen, ready};
use myelin_bridge_zmq::front::{
    ClientSecurity, Clients, CurveClient, CurveServer, Front, FrontConfig, KeyPair, PeerHandler, Security, ServerSecurity, SocketType,
    SubscriptionChange,
};
use myelin_bridge_zmq::metrics::HandshakeFailure;

/// A server for `clients`, on the route `echo`.
fn serving(keys: &KeyPair, clients: &str) -> Front {
    let server = CurveServer { keys: keys.clone(), clients: Clients::parse(clients).unwrap() };
    let security = Security { listen: ServerSecurity::Curve(Arc::new(server)), ..Security::default() };
    front_with(FrontConfig { security, ..FrontConfig::default() }).for_route("echo")
}

fn connecting(keys: &KeyPair, server: &KeyPair) -> FrontConfig {
    let client = CurveClient { keys: keys.clone(), server: server.public() };
    let security = Security { connect: ClientSecurity::Curve(Arc::new(client)), ..Security::default() };
    FrontConfig { security, ..FrontConfig::default() }
}

/// Python's options for a client.
fn options(name: &str, keys: &KeyPair, server: &KeyPair) -> String {
    format!(
        "def {name}(kind):\n    s = ctx.socket(kind); s.linger = 0; s.rcvtimeo = 5000; s.curve_publickey = {:?}.encode(); s.curve_secretkey = {:?}.encode(); s.curve_serverkey = {:?}.encode(); return s\n",
        keys.public().to_string(),
        keys.secret_z85(),
        server.public().to_string()
    )
}

async fn failures(front: &Front, reason: HandshakeFailure, count: u64) {
    let waited = tokio::time::timeout(front_support::PATIENCE, async {
        while front.metrics().handshake_failures(reason) < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "{reason:?}: {}", front.metrics().handshake_failures(reason));
}

#[tokio::test(flavor = "multi_thread")]
async fn listed_clients_of_libzmq_are_served_by_name_and_their_frames_pass_unchanged() {
    let (server, client) = (KeyPair::generate(), KeyPair::generate());
    let (front, handler) = (serving(&server, &format!("{} camera echo,other\n", client.public())), Recorder::echo());
    let listener = listen(&front, SocketType::Router, &handler).await;
    let script = options("client", &client, &server)
        + r#"
req = client(zmq.REQ); req.connect(ADDR)
for body in (b'', b'x', b'x' * 220, b'x' * 222, b'x' * 223, b'x' * 255, b'x' * 256, b'x' * 5000, b'\x00\xff' * 1000000):
    req.send(body); assert req.recv() == body
req.send_multipart([b'a', b'', b'b' * 70000]); assert req.recv_multipart() == [b'a', b'', b'b' * 70000]
dealer = client(zmq.DEALER); dealer.identity = b'agent1'; dealer.connect(ADDR)
for n in range(5000): dealer.send(b'%d' % n)
for n in range(5000): assert dealer.recv() == b'%d' % n
dealer.send_multipart([b''] * 1000); assert dealer.recv_multipart() == [b''] * 1000
print('done')
"#;
    assert_eq!(Python::spawn(listener.local_addr().port(), &script).finish().await, "done\n");
    let peers = handler.peers();
    assert_eq!(peers[0].mechanism(), "CURVE");
    assert!(peers.iter().all(|peer| peer.user() == Some("camera")));
    assert!(handler.seen().contains(&Seen::Connected { socket: SocketType::Dealer, identity: Bytes::from_static(b"agent1") }));
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_subscriptions_and_barriers_are_sealed_too() {
    let (server, client) = (KeyPair::generate(), KeyPair::generate());
    let front = serving(&server, &format!("{} agent *\n", client.public()));
    let (publisher, pusher) = (Recorder::new(), Recorder::new());
    let (xpub, push) = (listen(&front, SocketType::XPub, &publisher).await, listen(&front, SocketType::Push, &pusher).await);
    let script = options("client", &client, &server)
        + &format!(
            r#"
sub = client(zmq.SUB); sub.heartbeat_ivl = 50; sub.heartbeat_timeout = 300; sub.connect(ADDR); sub.subscribe(b'topic'); sub.subscribe(b'other'); sub.unsubscribe(b'other')
xsub = client(zmq.XSUB); xsub.connect(ADDR); xsub.send(b'\x01raw')
pull = client(zmq.PULL); pull.connect('tcp://127.0.0.1:{}')
monitor = sub.get_monitor_socket(zmq.EVENT_DISCONNECTED)
for s in (sub, xsub): assert s.recv_multipart() == [b'topic', b'1']
assert monitor.poll(1000) == 0, 'disconnected'
for n in range(100): assert pull.recv() == b'%d' % n
print('done'); time.sleep(1)
"#,
            push.local_addr().port()
        );
    let python = Python::spawn(xpub.local_addr().port(), &script);
    let change = |change, prefix: &'static [u8]| Seen::Subscription(change, Bytes::from_static(prefix));
    publisher
        .until("every subscription", move |seen| {
            let wanted = [
                change(SubscriptionChange::Subscribe, b"topic"),
                change(SubscriptionChange::Cancel, b"other"),
                change(SubscriptionChange::Subscribe, b"raw"),
            ];
            wanted.iter().all(|wanted| seen.contains(wanted))
        })
        .await;
    for peer in publisher.peers() {
        assert_eq!(peer.send(&frames(&[b"topic", b"1"])).accepted, 1);
    }
    let worker = pusher.connected(1).await.remove(0);
    for n in 0..100 {
        assert_eq!(worker.send(&frames(&[n.to_string().as_bytes()])).accepted, 1);
    }
    assert!(worker.barrier(b"all").is_some());
    pusher.until("the barrier", |seen| seen.contains(&Seen::Pong(Bytes::from_static(b"all")))).await;
    assert_eq!(python.finish().await, "done\n");
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_keys_other_routes_another_server_and_other_mechanisms_are_refused() {
    let [server, listed, elsewhere, unknown] = std::array::from_fn(|_| KeyPair::generate());
    let list = format!("{} agent echo\n{} elsewhere hub\n", listed.public(), elsewhere.public());
    let (front, handler) = (serving(&server, &list), Recorder::echo());
    let listener = listen(&front, SocketType::Router, &handler).await;
    let script = options("elsewhere", &elsewhere, &server)
        + &options("unknown", &unknown, &server)
        + &options("lost", &listed, &unknown)
        + r#"
def refused(s):
    monitor = s.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_SUCCEEDED)
    s.rcvtimeo = 300; s.connect(ADDR); s.send(b'x')
    try: s.recv(); return 'served'
    except zmq.Again: return 'told so' if monitor.poll(0) else 'refused'
print(refused(elsewhere(zmq.REQ)), refused(unknown(zmq.REQ)), refused(lost(zmq.REQ)), refused(ctx.socket(zmq.REQ)), flush=True)
import os; os._exit(0)
"#;
    assert_eq!(Python::spawn(listener.local_addr().port(), &script).finish().await, "told so told so refused refused\n");
    failures(&front, HandshakeFailure::Denied, 2).await;
    failures(&front, HandshakeFailure::Violation, 1).await;
    let address = listener.local_addr();
    tokio::task::spawn_blocking(move || {
        let mut announced = greeting(1);
        announced[12..17].copy_from_slice(b"CURVE");
        for command in
            [ready("REQ", None), hex("0001 61"), hex("0406 05 48454c4c4f"), [&hex("04 c8 05 48454c4c4f 01 00")[..], &[7; 192]].concat()]
        {
            let mut raw = Raw::connect(address);
            raw.send(&[&announced[..], &command].concat());
            assert_eq!(&raw.rest()[12..17], b"CURVE");
        }
        let mut raw = Raw::connect(address);
        raw.send(&[greeting(1), ready("REQ", None)].concat());
        raw.rest();
    })
    .await
    .unwrap();
    failures(&front, HandshakeFailure::Violation, 5).await;
    failures(&front, HandshakeFailure::Mechanism, 1).await;
    assert_eq!(handler.seen(), []);
    front.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_connector_knows_its_server_and_is_known_to_it() {
    let (server, ours) = (KeyPair::generate(), KeyPair::generate());
    let front = front_with(connecting(&ours, &server));
    let handler = Recorder::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let endpoint = format!("tcp://127.0.0.1:{port}").parse().unwrap();
    let connector =
        front.connect(&endpoint, SocketType::Dealer, Bytes::from_static(b"caller"), Arc::clone(&handler) as Arc<dyn PeerHandler>);
    let script = format!(
        r#"
router = ctx.socket(zmq.ROUTER); router.linger = 1000; router.curve_server = True; router.curve_secretkey = {:?}.encode(); router.bind(ADDR)
assert router.recv_multipart() == [b'caller', b'', b'question']; router.send_multipart([b'caller', b'', b'answer' * 50000])
router.close(); ctx.term()
"#,
        server.secret_z85()
    );
    let python = Python::spawn(port, &script);
    let agent = handler.connected(1).await.remove(0);
    assert_eq!(agent.mechanism(), "CURVE");
    assert_eq!(agent.send(&frames(&[b"", b"question"])).accepted, 1);
    assert_eq!(handler.messages(1).await, [[Bytes::new(), Bytes::from(b"answer".repeat(50_000))]]);
    python.finish().await;
    connector.close().await;
    front.shutdown().await;
}

/// Our two ends together, with the bytes between them in our hands.
#[tokio::test(flavor = "multi_thread")]
async fn both_our_ends_understand_each_other() {
    let (server, client) = (KeyPair::generate(), KeyPair::generate());
    let (serving, calling) = (serving(&server, &format!("{} c *", client.public())), front_with(connecting(&client, &server)));
    let (echo, caller) = (Recorder::echo(), Recorder::new());
    let listener = listen(&serving, SocketType::Router, &echo).await;
    let to = listener.local_addr().into();
    let connector = calling.connect(&to, SocketType::Dealer, Bytes::new(), Arc::clone(&caller) as Arc<dyn PeerHandler>);
    let peer = caller.connected(1).await.remove(0);
    for size in [0, 1, 2000, 300_000, 4 << 20] {
        assert_eq!(peer.send(&frames(&[b"", &vec![7; size]])).accepted, 1);
    }
    assert!(peer.barrier(b"all").is_some());
    let sizes: Vec<_> = caller.messages(5).await.iter().map(|message| message[1].len()).collect();
    assert_eq!(sizes, [0, 1, 2000, 300_000, 4 << 20]);
    caller.until("the barrier", |seen| seen.contains(&Seen::Pong(Bytes::from_static(b"all")))).await;
    connector.close().await;
    serving.shutdown().await;
    calling.shutdown().await;
}
