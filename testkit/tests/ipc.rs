//! Agents of pyzmq over `ipc://`, by socket file and by abstract name: services with REP and ROUTER agents, topics, the hub, and discovery.

use myelin_testkit::registry::call;
use myelin_testkit::{Agent, PATIENCE, Sidecar, eventually, frames, free_port};
use serde_json::Value;
use tempfile::TempDir;

/// What `interop_agent.py` says and expects.
const FRAMES: [&[u8]; 2] = [b"hello", b"\x00\xff"];

fn peer(socket: &str, attach: &str, endpoint: &str) -> Agent {
    Agent::script("interop_agent").arg("--type", socket).arg("--attach", attach).arg("--endpoint", endpoint).start()
}

fn route(name: &str, kind: &str, first: &str, second: &str) -> String {
    format!("[[route]]\nname = \"{name}\"\nkind = \"{kind}\"\n{first}\n{second}\n")
}

#[track_caller]
fn got(agent: &Agent) {
    assert_eq!(frames(&agent.event("got")), FRAMES);
}

#[test]
fn services_and_topics_by_file_and_by_name() {
    let home = TempDir::new().expect("a temporary directory");
    let file = |name: &str| format!("ipc://{}/{name}.sock", home.path().display());
    let abstract_name = format!("ipc://@myelin-test-{}", free_port());
    let mut sidecar = Sidecar::builder()
        .routes(&route(
            "rep",
            "service",
            &format!("callers = {{ bind = {:?} }}", file("rep-callers")),
            &format!("agents = {{ connect = {:?}, bind = {:?} }}", file("rep"), file("rep-agents")),
        ))
        .routes(&route(
            "router",
            "service",
            &format!("callers = {{ bind = {abstract_name:?} }}"),
            &format!("agents = {{ connect = {:?} }}", file("router")),
        ))
        .routes(&route(
            "status",
            "topic",
            &format!("publishers = {{ bind = {:?} }}", file("publishers")),
            &format!("subscribers = {{ bind = {:?} }}", file("subscribers")),
        ))
        .start();
    let _rep = peer("REP", "bind", &file("rep"));
    got(&peer("REQ", "connect", &file("rep-callers")));

    let _router = peer("ROUTER", "bind", &file("router"));
    got(&peer("REQ", "connect", &abstract_name));
    // A second caller: each has a connection of its own to a ROUTER.
    got(&peer("REQ", "connect", &abstract_name));

    let _publisher = peer("PUB", "connect", &file("publishers"));
    got(&peer("SUB", "connect", &file("subscribers")));

    assert_eq!(sidecar.terminate(), 0);
    for name in ["rep-callers", "rep-agents", "publishers", "subscribers"] {
        assert!(!home.path().join(format!("{name}.sock")).exists(), "{name}");
    }
}

#[test]
fn agents_that_connect_over_ipc_serve_too() {
    let home = TempDir::new().expect("a temporary directory");
    let file = |name: &str| format!("ipc://{}/{name}.sock", home.path().display());
    let _sidecar = Sidecar::builder()
        .routes(&route(
            "rep",
            "service",
            &format!("callers = {{ bind = {:?} }}", file("callers")),
            &format!("agents = {{ bind = {:?} }}", file("agents")),
        ))
        .start();
    let _rep = peer("REP", "connect", &file("agents"));
    got(&peer("REQ", "connect", &file("callers")));
}

#[test]
fn the_hub_and_discovery_over_ipc() {
    let home = TempDir::new().expect("a temporary directory");
    let file = |name: &str| format!("ipc://{}/{name}.sock", home.path().display());
    let sidecar = Sidecar::builder()
        .env("MYELIN_DISCOVERY_LISTEN", &file("discovery"))
        .env("MYELIN_HUB_PUBLISHERS", &file("publishers"))
        .env("MYELIN_HUB_SUBSCRIBERS", &file("subscribers"))
        .start();
    let _publisher = peer("PUB", "connect", &file("publishers"));
    got(&peer("SUB", "connect", &file("subscribers")));

    // Its answers name ports, which agents have always been given.
    let _agent = Agent::registered("Local", &file("discovery"));
    let port = eventually("it is attached", PATIENCE, || {
        let listed = sidecar.command(&["agents", "--json"]).output().ok()?;
        let listed: Value = serde_json::from_slice(&listed.stdout).ok()?;
        let agent = listed["agents"].as_array()?.iter().find(|agent| agent["name"] == "Local" && agent["state"] == "connected")?.clone();
        u16::try_from(agent["local_port"].as_u64()?).ok()
    });
    let reply = call(([127, 0, 0, 1], port).into(), br#"{"action": "ping"}"#);
    let reply: Value = serde_json::from_slice(&reply[0]).expect("a document");
    assert_eq!(reply["ready"], true);
}
