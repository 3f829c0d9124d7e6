//! Proves what registrations and lookups lead to: agents are attached, moved, verified before they are served, and back
//! after a restart with the ports they had.
//!
//! Agents are plain TCP listeners; what the routes would do is recorded.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails; the lint spares only the bodies of test functions")]

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

use myelin_bridge_zmq::discovery::agent::Agent;
use myelin_bridge_zmq::discovery::attach::{AttachError, Attached, Attacher, Attachment};
use myelin_bridge_zmq::discovery::dialect::{Dialect, decode};
use myelin_bridge_zmq::discovery::json::{Json, read_str};
use myelin_bridge_zmq::discovery::metrics::DiscoveryMetrics;
use myelin_bridge_zmq::discovery::{Caller, Discovery, DiscoveryConfig, answer};
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const REGISTERED: &str = r#"{"status": "success"}"#;
const LOCAL: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// What the routes were asked to do.
#[derive(Default)]
struct Routes {
    attached: Mutex<Vec<Attachment>>,
    detached: Mutex<Vec<(String, SocketAddr)>>,
    next_port: AtomicU16,
    broken: AtomicBool,
}

impl Routes {
    fn attacher(self: &Arc<Self>) -> Attacher {
        let (attaching, detaching) = (Arc::clone(self), Arc::clone(self));
        Attacher::new(
            move |attachment| {
                let routes = Arc::clone(&attaching);
                async move { routes.attach(attachment) }
            },
            move |name, endpoint| {
                detaching.detached.lock().push((name.as_str().to_owned(), endpoint));
                async {}
            },
        )
    }

    fn attach(&self, attachment: Attachment) -> Result<Attached, AttachError> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(AttachError { reason: "no port is free".to_owned() });
        }
        // Below the range from which the system gives ports to the listeners of these tests.
        let fresh = || Attached {
            service_port: 20_000 + self.next_port.fetch_add(1, Ordering::Relaxed),
            health_port: attachment.health.map(|_| 30_000 + self.next_port.fetch_add(1, Ordering::Relaxed)),
        };
        let ports = attachment.preferred.unwrap_or_else(fresh);
        self.attached.lock().push(attachment);
        Ok(ports)
    }
}

struct Fixture {
    dir: TempDir,
    routes: Arc<Routes>,
    tracker: TaskTracker,
    token: CancellationToken,
    discovery: Discovery,
}

impl Fixture {
    async fn new() -> Self {
        Self::in_dir(TempDir::new().unwrap(), |_| {}).await
    }

    async fn in_dir(dir: TempDir, configure: impl FnOnce(&mut DiscoveryConfig)) -> Self {
        let (routes, tracker, token) = (Arc::new(Routes::default()), TaskTracker::new(), CancellationToken::new());
        let mut config = DiscoveryConfig::new(dir.path());
        // Verdicts that count for no time make every lookup look.
        config.connect_trusted = Duration::ZERO;
        configure(&mut config);
        let metrics = DiscoveryMetrics::default();
        let discovery = Discovery::start(config, routes.attacher(), metrics, &tracker, token.clone()).await.unwrap();
        Self { dir, routes, tracker, token, discovery }
    }

    async fn ask(&self, body: &str) -> String {
        self.ask_from("127.0.0.1", "127.0.0.1", body).await
    }

    async fn ask_from(&self, peer: &str, local: &str, body: &str) -> String {
        let caller = Caller { peer: peer.parse().unwrap(), local: SocketAddr::new(local.parse().unwrap(), 7120) };
        match decode(body.as_bytes()) {
            (dialect, Ok(request)) => self.discovery.answer(dialect, request, caller).await,
            (dialect, Err(malformed)) => answer::failed(dialect, &malformed.text()),
        }
    }

    async fn register(&self, name: &str, port: u16) -> String {
        self.ask(&registration(name, port)).await
    }

    /// The port a lookup answers.
    async fn find(&self, name: &str) -> Result<u16, String> {
        let answer = self.ask(&lookup(name)).await;
        let port = read_str(&answer).unwrap().get("port").and_then(Json::as_u64);
        port.map(|port| u16::try_from(port).unwrap()).ok_or(answer)
    }

    /// Stops everything in order, and gives back the state directory.
    async fn stop(self) -> TempDir {
        self.token.cancel();
        self.tracker.close();
        in_time(self.tracker.wait()).await;
        self.dir
    }
}

async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(10), future).await.expect("in time")
}

fn registration(name: &str, port: u16) -> String {
    format!(
        r#"{{"action": "register_agent", "agent_name": "{name}", "registration_data":
            {{"agent_id": "{name}", "host": "localhost", "port": {port}, "health_check_port": {}}}}}"#,
        port.wrapping_add(1).max(1)
    )
}

fn lookup(name: &str) -> String {
    format!(r#"{{"action": "get_agent_endpoint", "agent_name": "{name}"}}"#)
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind((LOCAL, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A port on which nobody listens. Kept bound, so that nobody will.
fn dead_port() -> (tokio::net::TcpSocket, u16) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((LOCAL, 0).into()).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

#[tokio::test]
async fn z07_a_registered_agent_is_found_at_a_port_of_ours() {
    let fixture = Fixture::new().await;
    let (_agent, port) = listen().await;
    assert_eq!(fixture.find("A").await, Err(r#"{"status": "error", "error": "Agent A not found"}"#.to_owned()));
    assert_eq!(fixture.register("A", port).await, REGISTERED);
    let attached = fixture.routes.attached.lock().clone();
    assert_eq!(attached.len(), 1);
    assert_eq!(attached[0].endpoint, (LOCAL, port).into());
    assert_eq!(attached[0].health, Some((LOCAL, port.wrapping_add(1).max(1)).into()));

    let answer = fixture.ask(&lookup("A")).await;
    assert!(answer.starts_with(r#"{"host": "127.0.0.1", "port": 20000, "health_check_port": 30001, "#), "{answer}");
    assert!(answer.ends_with(r#", "status": "success"}"#), "{answer}");
    let discover = r#"{"command": "DISCOVER", "payload": {"name": "A"}}"#;
    let found = r#"{"status": "SUCCESS", "payload": {"ip": "127.0.0.1", "port": 20000}}"#;
    assert_eq!(fixture.ask(discover).await, found);
    assert_eq!(fixture.ask(r#"{"action": "list_agents"}"#).await, r#"{"status": "success", "agents": ["A"]}"#);
}

#[tokio::test]
async fn answers_name_the_address_the_caller_reached() {
    let fixture = Fixture::new().await;
    let (_agent, port) = listen().await;
    fixture.register("A", port).await;
    let discover = r#"{"command": "DISCOVER", "payload": {"name": "A"}}"#;
    assert!(fixture.ask_from("10.0.0.9", "10.0.0.1", discover).await.contains(r#""ip": "10.0.0.1""#));
    assert!(fixture.ask_from("10.0.0.9", "::ffff:10.0.0.1", discover).await.contains(r#""ip": "10.0.0.1""#));

    let dir = fixture.stop().await;
    let fixture = Fixture::in_dir(dir, |config| config.advertise = Some("192.0.2.7".parse().unwrap())).await;
    assert!(fixture.ask_from("10.0.0.9", "10.0.0.1", discover).await.contains(r#""ip": "192.0.2.7""#));
}

#[tokio::test]
async fn an_agent_that_does_not_listen_is_not_served_and_callers_may_retry() {
    let fixture = Fixture::new().await;
    let (socket, port) = dead_port();
    assert_eq!(fixture.register("A", port).await, REGISTERED);
    for body in [lookup("A"), r#"{"command": "DISCOVER", "payload": {"name": "A"}}"#.to_owned()] {
        let answer = fixture.ask(&body).await;
        assert!(!answer.contains("not found") && !answer.contains("not registered"), "{answer}");
        assert!(!answer.to_lowercase().contains("success"), "{answer}");
    }
    let _listener = socket.listen(8).unwrap();
    assert!(fixture.find("A").await.is_ok());
}

#[tokio::test]
async fn an_agent_that_moved_keeps_the_port_of_ours() {
    let fixture = Fixture::new().await;
    let (agent, port) = listen().await;
    fixture.register("A", port).await;
    let ours = fixture.find("A").await.unwrap();
    drop(agent);
    let (_agent, moved) = listen().await;
    fixture.register("A", moved).await;
    assert_eq!(fixture.find("A").await, Ok(ours));
    assert_eq!(*fixture.routes.detached.lock(), [("A".to_owned(), SocketAddr::from((LOCAL, port)))]);
}

#[tokio::test]
async fn a_second_living_process_is_a_replica() {
    let fixture = Fixture::new().await;
    let ((_one, first), (_two, second)) = (listen().await, listen().await);
    fixture.register("A", first).await;
    fixture.register("A", second).await;
    assert!(fixture.routes.detached.lock().is_empty());
    let endpoints: Vec<_> = fixture.discovery.agents()[0].replicas.iter().map(|it| it.endpoint.port()).collect();
    assert_eq!(endpoints, [first, second]);
    assert!(fixture.routes.attached.lock().iter().any(|it| it.endpoint.port() == second));
}

#[tokio::test]
async fn a_foreign_address_is_refused_unless_allowed() {
    let fixture = Fixture::new().await;
    let body = r#"{"command": "REGISTER", "payload": {"name": "A", "ip": "10.0.0.8", "port": 5000}}"#;
    let answer = fixture.ask_from("10.0.0.9", "10.0.0.1", body).await;
    assert!(answer.starts_with(r#"{"status": "ERROR", "message": "host 10.0.0.8 "#), "{answer}");
    assert!(fixture.discovery.agents().is_empty());
    assert!(fixture.routes.attached.lock().is_empty());
    assert_eq!(fixture.ask_from("10.0.0.8", "10.0.0.1", body).await, r#"{"status": "SUCCESS"}"#);
}

#[tokio::test]
async fn our_own_port_is_refused() {
    let fixture = Fixture::new().await;
    assert!(fixture.register("A", 7120).await.contains("port 7120"));
    assert!(fixture.discovery.agents().is_empty());
}

#[tokio::test]
async fn an_agent_that_could_not_be_attached_is_attached_by_the_next_lookup() {
    let fixture = Fixture::new().await;
    let (_agent, port) = listen().await;
    fixture.routes.broken.store(true, Ordering::Relaxed);
    assert!(fixture.register("A", port).await.contains("no port is free"));
    let answer = fixture.find("A").await.unwrap_err();
    assert!(answer.contains("no port is free") && !answer.contains("not found"), "{answer}");
    fixture.routes.broken.store(false, Ordering::Relaxed);
    assert!(fixture.find("A").await.is_ok());
}

#[tokio::test]
async fn a_killed_sidecar_comes_back_with_the_same_ports() {
    let fixture = Fixture::new().await;
    let mut agents = Vec::new();
    for index in 0..20 {
        let (listener, port) = listen().await;
        assert_eq!(fixture.register(&format!("agent-{index}"), port).await, REGISTERED);
        agents.push((listener, port));
    }
    let before = fixture.discovery.agents();
    // No stop: what was answered must be on disk already.
    let copy = TempDir::new().unwrap();
    std::fs::copy(fixture.dir.path().join("discovery.json"), copy.path().join("discovery.json")).unwrap();

    let again = Fixture::in_dir(copy, |_| {}).await;
    let kept = |agents: &[Arc<Agent>]| -> Vec<_> {
        agents.iter().map(|agent| (agent.name.clone(), agent.replicas.clone(), agent.ports, agent.attached)).collect()
    };
    assert_eq!(kept(&again.discovery.agents()), kept(&before));
    assert_eq!(again.routes.attached.lock().len(), 20);
    for agent in before {
        assert_eq!(again.find(agent.name.as_str()).await, Ok(agent.ports.unwrap().service_port));
    }
}

#[tokio::test]
async fn a_damaged_file_is_rewritten_and_never_stops_the_start() {
    let fixture = Fixture::new().await;
    let ((_one, first), (_two, second)) = (listen().await, listen().await);
    fixture.register("A", first).await;
    fixture.register("B", second).await;
    let dir = fixture.stop().await;
    let path = dir.path().join("discovery.json");
    let text = std::fs::read_to_string(&path).unwrap().replacen("\"name\": \"A\"", "\"name\": \"C\"", 1);
    std::fs::write(&path, &text).unwrap();

    let fixture = Fixture::in_dir(dir, |_| {}).await;
    assert_eq!(fixture.ask(r#"{"action": "list_agents"}"#).await, r#"{"status": "success", "agents": ["B"]}"#);
    let dir = fixture.stop().await;
    assert_ne!(std::fs::read_to_string(&path).unwrap(), text);
    assert_eq!(std::fs::read_to_string(path.with_extension("json.damaged")).unwrap(), text);
    drop(dir);
}

#[tokio::test]
async fn a_disk_that_fails_costs_neither_agents_nor_answers() {
    let dir = TempDir::new().unwrap();
    let fixture = Fixture::in_dir(dir, |config| config.persist_patience = Duration::from_secs(60)).await;
    let (_agent, port) = listen().await;
    // A directory in the way of the file that is written beside.
    let obstacle = fixture.dir.path().join("discovery.json.new");
    std::fs::create_dir(&obstacle).unwrap();
    assert_eq!(in_time(fixture.register("A", port)).await, REGISTERED);
    assert!(fixture.find("A").await.is_ok());
    assert!(!fixture.discovery.health().persisted);
    std::fs::remove_dir(&obstacle).unwrap();
    in_time(fixture.register("A", port)).await;
    assert!(fixture.discovery.health().persisted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seventy_three_agents_at_once_are_all_found() {
    let fixture = Arc::new(Fixture::new().await);
    let mut agents = Vec::new();
    let mut registering = tokio::task::JoinSet::new();
    for index in 0..73 {
        let (listener, port) = listen().await;
        let fixture = Arc::clone(&fixture);
        registering.spawn(async move { fixture.register(&format!("agent-{index}"), port).await });
        agents.push(listener);
    }
    let answers = in_time(registering.join_all()).await;
    assert!(answers.iter().all(|answer| answer == REGISTERED));
    let mut ports = std::collections::BTreeSet::new();
    for index in 0..73 {
        ports.insert(fixture.find(&format!("agent-{index}")).await.unwrap());
    }
    assert_eq!(ports.len(), 73);
    assert_eq!(fixture.discovery.health().attached, 73);
    let health = fixture.ask(r#"{"action": "ping"}"#).await;
    assert!(health.contains(r#""agents": 73, "attached": 73"#), "{health}");
    assert_eq!(decode(b"{}").0, Dialect::Action);
}
