//! Z01, Z02, Z22, Z25, Z26: what happens on the wire before and beside messages, on every port the sidecar listens on
//! and on the connections it makes itself. The bytes were captured from libzmq 4.3.5.

use myelin_testkit::zmtp::{GREETING, Listener, Options, Peer, RawPeer, Received, Version};
use myelin_testkit::{Agent, PATIENCE, Sidecar, flow, free_port, hex, http, registry::Registry, registry::call};
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;

const READY_REQ: &str = "0426 05 5245414459 0b 536f636b65742d54797065 00000003 524551 08 4964656e74697479 00000000";
const READY_REP: &str = "0419 05 5245414459 0b 536f636b65742d54797065 00000003 524550";
const READY_PUB: &str = "0419 05 5245414459 0b 536f636b65742d54797065 00000003 505542";
const READY_SUB: &str = "0419 05 5245414459 0b 536f636b65742d54797065 00000003 535542";
const READY_PUSH: &str = "041a 05 5245414459 0b 536f636b65742d54797065 00000004 50555348";
const READY_PULL: &str = "041a 05 5245414459 0b 536f636b65742d54797065 00000004 50554c4c";
const READY_ROUTER: &str = "0429 05 5245414459 0b 536f636b65742d54797065 00000006 524f55544552 08 4964656e74697479 00000000";
const PING: &str = "{\"action\": \"ping\"}";

/// A sidecar with one registered agent and one pipeline: every kind of port it can listen on.
struct Ports {
    sidecar: Sidecar,
    _agent: Agent,
    service: SocketAddr,
    producers: SocketAddr,
    consumers: SocketAddr,
}

impl Ports {
    #[track_caller]
    fn open() -> Self {
        let [producers, consumers] = [free_port(), free_port()];
        let sidecar = Sidecar::builder()
            .routes(&format!(
                "[[route]]\nname = \"jobs\"\nkind = \"pipeline\"\n\
                 producers = {{ bind = [\"tcp://127.0.0.1:{producers}\"] }}\n\
                 consumers = {{ bind = [\"tcp://127.0.0.1:{consumers}\"] }}\n"
            ))
            .start();
        let agent = Agent::registered("Agent", &sidecar.discovery_endpoint());
        let service = Registry::at(sidecar.discovery()).endpoint("Agent");
        let [producers, consumers] = [producers, consumers].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        Self { sidecar, _agent: agent, service, producers, consumers }
    }

    /// Each port with the READY of a peer that belongs there, and the socket types that may answer it.
    fn all(&self) -> [(SocketAddr, &'static str, &'static [&'static str]); 6] {
        [
            (self.sidecar.discovery(), READY_REQ, &["ROUTER", "REP"]),
            (self.service, READY_REQ, &["ROUTER", "REP"]),
            (self.sidecar.publishers(), READY_PUB, &["SUB", "XSUB"]),
            (self.sidecar.subscribers(), READY_SUB, &["PUB", "XPUB"]),
            (self.producers, READY_PUSH, &["PULL"]),
            (self.consumers, READY_PULL, &["PUSH"]),
        ]
    }
}

/// Sends the greeting of libzmq and reads ours, which [`z01_greeting_on_every_port`] compares.
#[track_caller]
fn greet(raw: &mut RawPeer) {
    raw.send_hex(GREETING);
    raw.recv(64, PATIENCE).expect("a greeting");
}

/// Reads a READY command and checks that it announces one of these types.
#[track_caller]
fn expect_ready(raw: &mut RawPeer, types: &[&str]) {
    let head = raw.recv(2, PATIENCE).expect("a frame header");
    assert_eq!(head[0], 4, "a short command");
    let body = raw.recv(usize::from(head[1]), PATIENCE).expect("a whole command");
    assert!(body.starts_with(b"\x05READY"), "{}", hex::text(&body));
    let announced = |socket_type: &&str| {
        let mut property = b"\x0bSocket-Type\0\0\0".to_vec();
        property.push(u8::try_from(socket_type.len()).expect("a short name"));
        property.extend_from_slice(socket_type.as_bytes());
        body.windows(property.len()).any(|window| window.eq_ignore_ascii_case(&property))
    };
    assert!(types.iter().any(announced), "none of {types:?} in {}", String::from_utf8_lossy(&body));
}

#[test]
fn z01_greeting_on_every_port() {
    let ports = Ports::open();
    for (address, ..) in ports.all() {
        let mut raw = RawPeer::connect(address);
        raw.send_hex(GREETING);
        raw.expect_hex(GREETING);
    }
}

#[test]
fn z01_any_length_byte_and_any_split() {
    let ports = Ports::open();
    for (address, ready, types) in ports.all() {
        // A DEALER with the identity `agent1` puts its length plus one into the signature.
        let mut greeting = hex::bytes(GREETING);
        greeting[..10].copy_from_slice(&hex::bytes("ff 0000000000000007 7f"));
        let mut raw = RawPeer::connect(address);
        // libzmq sends the signature alone and goes on when it has seen ours.
        raw.send(&greeting[..10]);
        raw.recv(10, PATIENCE).unwrap();
        raw.send_bytewise(&greeting[10..]);
        raw.recv(54, PATIENCE).unwrap();
        raw.send_bytewise(&hex::bytes(ready));
        expect_ready(&mut raw, types);
    }
}

#[test]
fn z02_ready_on_every_port() {
    let ports = Ports::open();
    for (address, ready, types) in ports.all() {
        let mut raw = RawPeer::connect(address);
        greet(&mut raw);
        raw.send_hex(ready);
        expect_ready(&mut raw, types);
    }
}

#[test]
fn z02_ready_of_agents_that_the_sidecar_connects_to() {
    let listeners = [(); 4].map(|()| Listener::bind(free_port()));
    let places = listeners.each_ref().map(|listener| format!("connect = [\"tcp://{}\"]", listener.address()));
    let unused = [(); 4].map(|()| format!("bind = [\"tcp://127.0.0.1:{}\"]", free_port()));
    let _sidecar = Sidecar::builder()
        .routes(&format!("[[route]]\nname = \"a\"\nkind = \"service\"\ncallers = {{ {} }}\nagents = {{ {} }}", unused[0], places[0]))
        .routes(&format!("[[route]]\nname = \"b\"\nkind = \"service\"\ncallers = {{ {} }}\nagents = {{ {} }}", unused[1], places[1]))
        .routes(&format!("[[route]]\nname = \"c\"\nkind = \"topic\"\npublishers = {{ {} }}\nsubscribers = {{ {} }}", places[2], unused[2]))
        .routes(&format!("[[route]]\nname = \"d\"\nkind = \"pipeline\"\nproducers = {{ {} }}\nconsumers = {{ {} }}", unused[3], places[3]))
        .start();
    let expected: [(&str, &[&str]); 4] =
        [(READY_REP, &["DEALER", "REQ"]), (READY_ROUTER, &["DEALER", "REQ"]), (READY_PUB, &["SUB", "XSUB"]), (READY_PULL, &["PUSH"])];
    for (listener, (ready, types)) in listeners.iter().zip(expected) {
        let mut raw = listener.accept_raw();
        greet(&mut raw);
        raw.send_hex(ready);
        expect_ready(&mut raw, types);
    }
}

#[test]
fn z22_ping_is_answered_and_its_context_echoed() {
    let ports = Ports::open();
    for (address, ready, types) in ports.all() {
        let mut raw = RawPeer::connect(address);
        greet(&mut raw);
        raw.send_hex(ready);
        expect_ready(&mut raw, types);
        if types.contains(&"XSUB") || types.contains(&"SUB") {
            // The subscription to everything comes first.
            raw.expect_hex("040a 09 535542534352494245");
        }
        if types.contains(&"PUSH") {
            // A durable pipeline asks first whether its consumer answers: a PING with a time and 16 bytes of its own.
            raw.expect_hex("0417 04 50494e47");
            raw.recv(2 + 16, PATIENCE).expect("the rest of the PING");
        }
        raw.send_hex("0407 04 50494e47 0032");
        raw.expect_hex("0405 04 504f4e47");
        // The same with the context `agent`.
        raw.send_hex("040c 04 50494e47 0032 6167656e74");
        raw.expect_hex("040a 04 504f4e47 6167656e74");
    }
}

#[test]
fn a_peer_of_version_3_0_is_answered_without_commands_it_does_not_know() {
    let ports = Ports::open();
    let mut old = Peer::connect_with(ports.service, "REQ", &Options { version: Version::V30, ..Options::default() });
    old.send(&["", PING]);
    assert_eq!(old.recv(PATIENCE).map(|got| matches!(got, Received::Message(frames) if frames.len() == 2)), Ok(true));
    // A PUB of version 3.0 is subscribed to by a message, not by a command.
    let options = Options { version: Version::V30, ..Options::default() };
    let mut publisher = Peer::connect_with(ports.sidecar.publishers(), "PUB", &options);
    publisher.raw().expect_hex("0001 01");
}

#[test]
fn z25_req_on_a_port_of_publishers_or_subscribers_gets_nothing() {
    let ports = Ports::open();
    for address in [ports.sidecar.publishers(), ports.sidecar.subscribers(), ports.producers, ports.consumers] {
        let mut client = Agent::script("client").start();
        let endpoint = format!("tcp://{address}");
        client.ask(&json!({"endpoint": endpoint, "send": [hex::text(PING.as_bytes())], "timeout_ms": 400}), "silence");
    }
    assert!(ports.sidecar.is_ready());
    let mut publisher = Peer::connect(ports.sidecar.publishers(), "PUB");
    let mut subscriber = Peer::connect(ports.sidecar.subscribers(), "SUB");
    subscriber.subscribe(b"");
    flow::open(&mut publisher, &mut subscriber, "probe");
    assert_eq!(call(ports.service, PING.as_bytes()).len(), 1);
}

#[test]
fn z26_http_bytes_never_wedge_a_listener() {
    let ports = Ports::open();
    for (address, ready, types) in ports.all() {
        // Some leave at once, as `curl -f` with a timeout does; others stay and say nothing more.
        let mut waiting: Vec<_> = (0..20).map(|_| RawPeer::connect(address)).collect();
        for raw in &mut waiting {
            raw.send(format!("GET /health HTTP/1.1\r\nHost: {address}\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n").as_bytes());
        }
        let answer = http::get(address, "/health", PATIENCE);
        assert!(answer.as_ref().is_none_or(|answer| answer.status == 200), "neither closed nor 200: {answer:?}");
        let mut raw = RawPeer::connect(address);
        greet(&mut raw);
        raw.send_hex(ready);
        expect_ready(&mut raw, types);
    }
    assert_eq!(call(ports.service, PING.as_bytes()).len(), 1);
}

#[test]
fn half_open_connections_do_not_delay_a_healthy_agent() {
    let ports = Ports::open();
    let _silent: Vec<_> = (0..300).map(|_| RawPeer::connect(ports.service)).collect();
    let began = std::time::Instant::now();
    assert_eq!(call(ports.service, PING.as_bytes()).len(), 1);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}
