//! A pyzmq REQ with HEARTBEAT_IVL 200 ms keeps its connection while nothing is said, because its PINGs are answered.

use myelin_testkit::registry::Registry;
use myelin_testkit::{Agent, Sidecar};
use serde_json::json;

#[test]
fn heartbeats_keep_an_idle_connection() {
    let sidecar = Sidecar::start();
    let _agent = Agent::registered("Agent", &sidecar.discovery_endpoint());
    let endpoint = format!("tcp://{}", Registry::at(sidecar.discovery()).endpoint("Agent"));
    let mut client = Agent::script("heartbeat_agent").arg("--connect", endpoint).start();
    client.ask(&json!({"send": {"action": "ping"}}), "reply");
    // Several times the 400 ms after which libzmq drops a connection without PONG.
    let idle = client.ask(&json!({"idle_ms": 1500}), "idle");
    assert_eq!((&idle["lost"], &idle["made"]), (&json!(0), &json!(1)), "the first handshake and no other");
    client.ask(&json!({"send": {"action": "ping"}}), "reply");
}

#[test]
fn the_test_would_see_a_peer_without_pong() {
    // A peer made of bytes that leaves PING unanswered: libzmq must drop it, or the test above proves nothing.
    let listener = myelin_testkit::zmtp::Listener::bind(myelin_testkit::free_port());
    let mut client = Agent::script("heartbeat_agent").arg("--connect", format!("tcp://{}", listener.address())).start();
    let mut peer = listener.accept("REP", &myelin_testkit::zmtp::Options::default());
    peer.ignore_pings();
    client.command(&json!({"idle_ms": 1500}));
    peer.raw().expect_closed(myelin_testkit::PATIENCE);
    assert_ne!(client.event("idle")["lost"], 0);
}
