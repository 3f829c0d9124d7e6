//! Proves that discovery answers on a real ROUTER socket: to bytes as libzmq sends them, to REQ and DEALER callers of the real pyzmq, and
//! to everybody at the same time, however slow one answer is.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails; the lint spares only the bodies of test functions")]

mod front_support;

use std::future::pending;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use front_support::{Python, Raw, any_port, front};
use myelin_bridge_zmq::discovery::attach::{Attached, Attacher};
use myelin_bridge_zmq::discovery::metrics::DiscoveryMetrics;
use myelin_bridge_zmq::discovery::{Discovery, DiscoveryConfig};
use myelin_bridge_zmq::front::{Front, Listener, SocketType};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

struct Fixture {
    _dir: TempDir,
    _front: Front,
    token: CancellationToken,
    tracker: TaskTracker,
    listener: Listener,
}

impl Fixture {
    /// Attaching `Stuck` never ends, everybody else gets ports at once.
    async fn new(configure: impl FnOnce(&mut DiscoveryConfig)) -> Self {
        let (dir, front) = (TempDir::new().unwrap(), front());
        let (tracker, token) = (TaskTracker::new(), CancellationToken::new());
        let attacher = Attacher::new(
            |attachment| async move {
                if attachment.name.as_str() == "Stuck" {
                    pending::<()>().await;
                }
                let health_port = attachment.health.map(|_| 21_000);
                Ok(Attached { service_port: 20_000, health_port })
            },
            |_name, _endpoint| async {},
        );
        let mut config = DiscoveryConfig::new(dir.path());
        configure(&mut config);
        let discovery = Discovery::start(config, attacher, DiscoveryMetrics::default(), &tracker, token.clone()).await.unwrap();
        let listener = front.listen(&any_port(), SocketType::Router, discovery.handler()).await.unwrap();
        Self { _dir: dir, _front: front, token, tracker, listener }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    async fn stop(self) {
        self.token.cancel();
        self.tracker.close();
        tokio::time::timeout(front_support::PATIENCE, self.tracker.wait()).await.expect("every task ends");
    }
}

/// Runs a raw caller on a thread of its own.
async fn raw<T: Send + 'static>(address: SocketAddr, socket: &'static str, talk: impl FnOnce(&mut Raw) -> T + Send + 'static) -> T {
    let talk = move || talk(&mut Raw::shake(address, 1, socket, None).0);
    tokio::task::spawn_blocking(talk).await.unwrap()
}

/// Sends one REQ body and expects one answer, byte for byte as on the wire.
fn exchange(raw: &mut Raw, body: &[u8], answer: &str) {
    raw.send(&wire(body));
    let expected = wire(answer.as_bytes());
    let received = raw.receive(expected.len());
    assert_eq!(String::from_utf8_lossy(&received), String::from_utf8_lossy(&expected));
}

/// A delimiter and a body, framed as libzmq does it.
fn wire(body: &[u8]) -> Vec<u8> {
    let mut wire = vec![1, 0];
    match u8::try_from(body.len()) {
        Ok(short) => wire.extend([0, short]),
        Err(_) => {
            wire.push(2);
            wire.extend((body.len() as u64).to_be_bytes());
        }
    }
    wire.extend(body);
    wire
}

#[tokio::test(flavor = "multi_thread")]
async fn z04_to_z09_byte_for_byte() {
    let fixture = Fixture::new(|_| {}).await;
    let agent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = agent.local_addr().unwrap().port();
    raw(fixture.address(), "REQ", move |raw| {
        exchange(raw, br#"{"action": "nope"}"#, r#"{"status": "error", "error": "Unknown action: nope"}"#);
        exchange(raw, b"not json", r#"{"status": "error", "error": "Invalid JSON request"}"#);
        exchange(raw, b"\xff\xfe\x00", r#"{"status": "error", "error": "Invalid UTF-8 request"}"#);
        exchange(raw, b"[1,2]", r#"{"status": "error", "error": "'list' object has no attribute 'get'"}"#);
        exchange(raw, b"", r#"{"status": "error", "error": "Invalid JSON request"}"#);
        let lookup = br#"{"action": "get_agent_endpoint", "agent_name": "Y"}"#;
        exchange(raw, lookup, r#"{"status": "error", "error": "Agent Y not found"}"#);
        let register = format!(r#"{{"command": "REGISTER", "payload": {{"name": "Y", "port": {port}, "status": "online"}}}}"#);
        exchange(raw, register.as_bytes(), r#"{"status": "SUCCESS"}"#);
        let discover = br#"{"command": "DISCOVER", "payload": {"name": "Y"}}"#;
        exchange(raw, discover, r#"{"status": "SUCCESS", "payload": {"ip": "127.0.0.1", "port": 20000}}"#);
        exchange(raw, br#"{"action": "list_agents"}"#, r#"{"status": "success", "agents": ["Y"]}"#);
    })
    .await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn real_callers_of_both_kinds() {
    let fixture = Fixture::new(|_| {}).await;
    let script = r#"
rep = ctx.socket(zmq.REP); port = rep.bind_to_random_port('tcp://127.0.0.1')
def ask(request):
    req = ctx.socket(zmq.REQ); req.setsockopt(zmq.LINGER, 0); req.setsockopt(zmq.RCVTIMEO, 5000); req.connect(ADDR)
    req.send_string(json.dumps(request)); answer = req.recv_string(); req.close()
    assert answer == json.dumps(json.loads(answer)), answer
    return json.loads(answer)
assert ask({'action': 'get_agent_endpoint', 'agent_name': 'TTS'}) == {'status': 'error', 'error': 'Agent TTS not found'}
metadata = {'started': 1.5e-7, 'name': 'café', 'nested': [1, None, True, {'x': 10**30}]}
data = {'agent_id': 'TTS', 'agent_type': 'tts', 'host': 'localhost', 'port': port, 'health_check_port': 6001,
        'capabilities': ['speak'], 'dependencies': [], 'metadata': metadata}
assert ask({'action': 'register_agent', 'agent_name': 'TTS', 'registration_data': data}) == {'status': 'success'}
found = ask({'action': 'get_agent_endpoint', 'agent_name': 'TTS'})
assert (found['host'], found['port'], found['health_check_port']) == ('127.0.0.1', 20000, 21000), found
assert found['metadata'] == metadata and found['capabilities'] == ['speak'] and found['agent_type'] == 'tts', found
assert ask({'action': 'list_agents'}) == {'status': 'success', 'agents': ['TTS']}
health = ask({'action': 'health_check'})
assert health['ready'] and health['health_details']['agents'] == 1, health
dealer = ctx.socket(zmq.DEALER); dealer.setsockopt(zmq.IDENTITY, b'd'); dealer.connect(ADDR)
ping = json.dumps({'action': 'nope'}).encode()
for envelope in ([b''], [b'a', b'b', b''], []):
    dealer.send_multipart(envelope + [ping]); got = dealer.recv_multipart()
    assert got[:-1] == envelope and b'Unknown action: nope' in got[-1], got
for n in range(16):
    dealer.send_multipart([b'%d' % n, b'', json.dumps({'action': 'get_agent_endpoint', 'agent_name': 'x%d' % n}).encode()])
answers = sorted(int(dealer.recv_multipart()[0]) for n in range(16))
assert answers == list(range(16)), answers
print('done')
"#;
    assert_eq!(Python::spawn(fixture.address().port(), script).finish().await, "done\n");
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stuck_agent_holds_up_nobody_and_too_many_requests_are_refused() {
    let fixture = Fixture::new(|config| {
        config.requests_max = 4;
        config.requests_per_caller_max = 3;
        config.attach_timeout = Duration::from_secs(600);
    })
    .await;
    let address = fixture.address();
    raw(address, "DEALER", move |greedy| {
        let register = br#"{"command": "REGISTER", "payload": {"name": "Stuck", "port": 5000}}"#;
        for _ in 0..4 {
            greedy.send(&wire(register));
        }
        let busy = wire(br#"{"status": "ERROR", "message": "registry is busy, try again"}"#);
        assert_eq!(greedy.receive(busy.len()), busy, "the fourth of one caller");

        let mut other = Raw::shake(address, 1, "REQ", None).0;
        let lookup = br#"{"action": "get_agent_endpoint", "agent_name": "Y"}"#;
        exchange(&mut other, lookup, r#"{"status": "error", "error": "Agent Y not found"}"#);
        let mut third = Raw::shake(address, 1, "REQ", None).0;
        other.send(&wire(register));
        // Until the fourth is under way, lookups succeed.
        loop {
            third.send(&wire(lookup));
            let found = wire(br#"{"status": "error", "error": "Agent Y not found"}"#);
            let busy = wire(br#"{"status": "error", "error": "registry is busy, try again"}"#);
            let answer = third.receive(found.len());
            if answer != found {
                assert_eq!([answer, third.receive(busy.len() - found.len())].concat(), busy, "the fifth of all");
                break;
            }
        }
        // What needs no waiting is answered even then.
        exchange(&mut third, br#"{"action": "list_agents"}"#, r#"{"status": "success", "agents": ["Stuck"]}"#);
    })
    .await;
    fixture.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_reads_nothing_is_not_read_and_hurts_nobody() {
    let fixture = Fixture::new(|_| {}).await;
    let address = fixture.address();
    let flood = tokio::task::spawn_blocking(move || {
        let mut flooding = Raw::shake(address, 1, "DEALER", None).0;
        flooding.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let request = wire(&[br#"{"action": ""#.as_slice(), &[b'x'; 60_000], br#""}"#].concat());
        // The answers are as long as the requests. Writing must stop for good long before a gigabyte.
        let taken = (0..16_384).take_while(|_| flooding.stream.write_all(&request).is_ok()).count();
        assert!(taken < 16_384, "{taken} requests were taken");
        let mut other = Raw::shake(address, 1, "REQ", None).0;
        exchange(&mut other, br#"{"action": "nope"}"#, r#"{"status": "error", "error": "Unknown action: nope"}"#);
        drain(&mut flooding.stream);
    });
    flood.await.unwrap();
    fixture.stop().await;
}

/// Reads something, to show that the connection was only held back.
fn drain(stream: &mut TcpStream) {
    let mut bytes = vec![0; 1 << 20];
    stream.read_exact(&mut bytes).unwrap();
}
