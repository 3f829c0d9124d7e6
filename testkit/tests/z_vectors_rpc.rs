//! Z03, Z04, Z05, Z10, Z12, Z20, Z27, Z28, Z29: requests and replies pass byte for byte, delimiter included, between a
//! REQ or DEALER made of bytes and a pyzmq agent that registered itself.

use myelin_testkit::registry::{Registry, call};
use myelin_testkit::zmtp::{Options, Peer, frame, message};
use myelin_testkit::{Agent, Sidecar, frames, free_port, hex, text};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::net::SocketAddr;

struct Service {
    _sidecar: Sidecar,
    _agent: Agent,
    address: SocketAddr,
}

/// One sidecar and one registered REP agent with these options.
#[track_caller]
fn service(options: &[(&str, &str)]) -> Service {
    let sidecar = Sidecar::start();
    let builder = Agent::rep("Agent").arg("--register", sidecar.discovery_endpoint());
    let agent = options.iter().fold(builder, |builder, (option, value)| match *value {
        "" => builder.flag(option),
        value => builder.arg(option, value),
    });
    let agent = agent.start();
    agent.event("registered");
    let address = Registry::at(sidecar.discovery()).endpoint("Agent");
    Service { _sidecar: sidecar, _agent: agent, address }
}

/// Sends hex on a fresh REQ and compares the whole reply.
#[track_caller]
fn exchange(service: &Service, request: &str, reply: &[u8]) {
    let mut socket = Peer::connect(service.address, "REQ");
    socket.raw().send_hex(request);
    socket.raw().expect(&message(&[b"".as_slice(), reply]));
}

#[test]
fn z03_ping_z04_unknown_action_and_z05_errors_are_byte_exact() {
    let service = service(&[]);
    let document = call(service.address, &hex::bytes("7b22616374696f6e223a202270696e67227d"));
    let document: Value = serde_json::from_slice(&document[0]).unwrap();
    assert_eq!(document["ready"], true);
    let unknown = r#"{"status": "error", "error": "Unknown action: nope"}"#;
    assert_eq!(unknown.len(), 0x34);
    exchange(&service, "0100 0012 7b22616374696f6e223a20226e6f7065227d", unknown.as_bytes());
    let invalid = br#"{"status": "error", "error": "Invalid JSON request"}"#;
    exchange(&service, "0100 0008 6e6f74206a736f6e", invalid);
    exchange(&service, "0100 0003 fffe00", br#"{"status": "error", "error": "Invalid UTF-8 request"}"#);
    exchange(&service, "0100 0005 5b312c325d", br#"{"status": "error", "error": "'list' object has no attribute 'get'"}"#);
    exchange(&service, "0100 0000", invalid);
}

#[test]
fn z03_every_kind_of_ping_reply_passes() {
    for (kind, reply) in [
        ("pong", r#"{"status": "success", "message": "pong"}"#),
        ("ok", r#"{"status": "ok"}"#),
        ("bool", r#"{"success": true}"#),
        ("text", r#""pong""#),
        ("healthy", r#"{"status": "HEALTHY", "timestamp": 0}"#),
    ] {
        let service = service(&[("--ping-reply", kind)]);
        exchange(&service, "0100 0012 7b22616374696f6e223a202270696e67227d", reply.as_bytes());
    }
}

#[test]
fn z10_long_frames() {
    let service = service(&[("--health-size", "599")]);
    let mut socket = Peer::connect(service.address, "REQ");
    socket.raw().send_hex("0100 0012 7b22616374696f6e223a202270696e67227d");
    socket.raw().expect_hex("0100 02 0000000000000257");
    assert_eq!(socket.raw().recv(599, myelin_testkit::PATIENCE).unwrap()[0], b'{');
    for size in [255, 256, 38_701, 1 << 20] {
        let expected: Vec<u8> = (0..size).map(|index| u8::try_from(index % 251).unwrap()).collect();
        let got = call(service.address, json!({"action": "bytes", "size": size}).to_string().as_bytes());
        assert!(got == [expected], "{size} bytes");
    }
    // The same size on the way to the agent: an image in base64.
    let image = json!({"action": "echo", "image": "QUJD".repeat(1 << 18)}).to_string();
    assert!(call(service.address, image.as_bytes()) == [image.as_bytes()], "1 MiB there and back");
}

#[test]
fn z12_plain_strings_pass() {
    let service = service(&[]);
    exchange(&service, "0100 0004 70696e67", b"pong");
    exchange(&service, "0100 000e 6765745f73756767657374696f6e", b"no suggestion");
}

#[test]
fn z27_json_keeps_every_byte() {
    let service = service(&[("--echo", "")]);
    let body = br#"{"a": 1.0, "b": NaN, "u": "caf\u00e9", "a": 2}"#;
    let request = message(&[b"".as_slice(), body]);
    let mut socket = Peer::connect(service.address, "REQ");
    socket.raw().send(&request);
    socket.raw().expect(&request);
}

#[test]
fn frames_keep_their_number_order_and_content() {
    let service = service(&[("--echo", "")]);
    let mut socket = Peer::connect(service.address, "REQ");
    let pickle =
        hex::bytes("8004952d000000000000007d94288c0474797065948c09696e74657272757074948c0974696d657374616d70944741da24814007df3b752e");
    let requests: [Vec<Vec<u8>>; 3] = [
        vec![vec![], pickle, vec![], b"tail".to_vec()],
        vec![vec![], vec![], vec![0; 300]],
        std::iter::once(vec![]).chain((0..200_u8).map(|byte| vec![byte])).collect(),
    ];
    for request in requests {
        socket.send(&request);
        assert!(socket.message() == request, "{} frames", request.len());
    }
}

#[test]
fn a_dealer_keeps_its_envelope() {
    let service = service(&[("--echo", "")]);
    let mut dealer = Peer::connect_with(service.address, "DEALER", &Options { identity: b"agent1".to_vec(), ..Options::default() });
    // Proxies put their own frames before the delimiter; a REP agent sends them back untouched.
    let request: [&[u8]; 4] = [b"hop1", b"hop2", b"", b"{\"a\":1}"];
    dealer.send(&request);
    assert_eq!(dealer.message(), request);
    // Several requests on the way at once: a DEALER may do that, and gets the replies in order.
    for number in 0..20 {
        dealer.send(&["".to_owned(), format!("{{\"n\":{number}}}")]);
    }
    for number in 0..20 {
        assert_eq!(dealer.message()[1], format!("{{\"n\":{number}}}").as_bytes());
    }
}

/// A ROUTER agent behind a configured route, on the callers' port of the route.
#[track_caller]
fn router(options: &[(&str, &str)]) -> (Sidecar, Agent, SocketAddr) {
    let [callers, agent] = [free_port(), free_port()];
    let sidecar = Sidecar::builder()
        .routes(&format!(
            "[[route]]\nname = \"router\"\nkind = \"service\"\n\
             callers = {{ bind = [\"tcp://127.0.0.1:{callers}\"] }}\n\
             agents = {{ connect = [\"tcp://127.0.0.1:{agent}\"] }}\n"
        ))
        .start();
    let builder = Agent::script("router_agent").arg("--bind", format!("tcp://127.0.0.1:{agent}"));
    let agent = options.iter().fold(builder, |builder, (option, value)| builder.arg(option, value)).start();
    (sidecar, agent, ([127, 0, 0, 1], callers).into())
}

#[test]
fn z20_a_router_agent_sees_identity_empty_body_and_answers_the_same_client() {
    let (_sidecar, agent, address) = router(&[("--hold", "2")]);
    let mut first = Peer::connect(address, "REQ");
    let mut second = Peer::connect(address, "REQ");
    // The agent holds both and answers the last one first.
    first.send(&["", "one"]);
    second.send(&["", "two"]);
    let seen = [agent.event("request"), agent.event("request")];
    assert_ne!(seen[0]["identity"], seen[1]["identity"], "two clients");
    assert!(seen.iter().all(|request| frames(request).len() == 2 && frames(request)[0].is_empty()));
    assert_eq!(first.message(), [b"".as_slice(), br#"{"reply": 0, "to": "one"}"#]);
    assert_eq!(second.message(), [b"".as_slice(), br#"{"reply": 0, "to": "two"}"#]);
}

#[test]
fn z20_a_dealer_reaches_a_router_agent_and_gets_every_reply() {
    let (_sidecar, agent, address) = router(&[("--replies", "3")]);
    let mut dealer = Peer::connect(address, "DEALER");
    dealer.raw().send_hex("0100 0007 7b2261223a317d");
    let request = agent.event("request");
    assert_eq!(frames(&request), [b"".as_slice(), b"{\"a\":1}"]);
    for number in 0..3 {
        assert_eq!(dealer.message()[1], format!(r#"{{"reply": {number}, "to": "{{\"a\":1}}"}}"#).as_bytes());
    }
    // Without a delimiter: that is between the two programs.
    dealer.raw().send(&frame(0, b"bare"));
    assert_eq!(frames(&agent.event("request")), [b"bare"]);
}

#[test]
fn z20_a_router_agent_sees_the_identity_its_client_chose() {
    let (_sidecar, agent, address) = router(&[]);
    let mut dealer = Peer::connect_with(address, "DEALER", &Options { identity: b"agent1".to_vec(), ..Options::default() });
    dealer.send(&["", "x"]);
    assert_eq!(agent.event("request")["identity"], hex::text(b"agent1"));
    assert_eq!(dealer.message().len(), 2);
}

#[test]
fn z28_a_hundred_requests_on_one_req_and_on_a_hundred() {
    let service = service(&[]);
    let mut client = Agent::script("client").start();
    let endpoint = format!("tcp://{}", service.address);
    for (round, kept) in [json!("kept"), Value::Null].iter().enumerate() {
        for number in 0..100 {
            let token = format!("{round}-{number}");
            let body = json!({"action": "token", "token": token}).to_string();
            let reply = client.ask(&json!({"endpoint": endpoint, "send": [hex::text(body.as_bytes())], "socket": kept}), "reply");
            assert_eq!(text(&reply), format!(r#"{{"status": "success", "agent": "Agent", "token": "{token}"}}"#));
        }
    }
}

#[test]
fn z29_memory_rpc() {
    let service = service(&[]);
    let body = br#"{"action": "add_memory", "data": {"content": "the sky is blue", "memory_type": "knowledge_fact", "memory_tier": "short", "importance": 0.7, "created_by": "MemoryClient", "tags": ["a"]}}"#;
    assert_eq!(body.len(), 185);
    let mut ids = HashSet::new();
    for _ in 0..3 {
        let reply = String::from_utf8(call(service.address, body).remove(0)).unwrap();
        assert_eq!(reply.len(), 78, "{reply}");
        assert!(reply.starts_with(r#"{"status": "success", "memory_id": "mem-"#), "{reply}");
        ids.insert(reply);
    }
    assert_eq!(ids.len(), 3, "each call ran once, and none was answered from memory");
}
