//! Two machines, each with a discovery and a fleet of its own, over one bus that stands for the network: an agent that registers on one is found on the
//! other, at a port there that leads to it, wherever it moves.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod front_support;
mod routes_support;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use myelin_bridge_zmq::discovery::dialect::decode;
use myelin_bridge_zmq::discovery::json::{Json, read_str};
use myelin_bridge_zmq::discovery::metrics::DiscoveryMetrics;
use myelin_bridge_zmq::discovery::{Caller, Discovery, DiscoveryConfig, ElsewhereConfig};
use myelin_bridge_zmq::front::{Listener, SocketType};
use myelin_bridge_zmq::routes::RouteContext;
use myelin_bridge_zmq::routes::fleet::{Fleet, FleetConfig, Place};
use myelin_bridge_zmq::routes::service::ServiceConfig;
use myelin_bus::listener::{Listener as Server, ListenerConfig};
use myelin_bus::wire::{Body, Subject};
use myelin_bus::{Bus, Delivery, EmbeddedConfig, InlineSubscription};
use prometheus_client::registry::Registry;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use front_support::{Raw, Recorder, hex};
use routes_support::{DEADLINE, any_port, context, until};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

struct Machine {
    dir: TempDir,
    context: RouteContext,
    fleet: Arc<Fleet>,
    discovery: Discovery,
    metrics: Registry,
    tracker: TaskTracker,
    token: CancellationToken,
}

impl Machine {
    /// One that beats so rarely that only what is said at once counts.
    async fn new(bus: &Bus, host: &str) -> Self {
        Self::in_dir(bus, host, TempDir::new().unwrap()).await
    }

    async fn in_dir(bus: &Bus, host: &str, dir: TempDir) -> Self {
        Self::configured(bus, host, dir, |_| {}).await
    }

    async fn configured(bus: &Bus, host: &str, dir: TempDir, configure: impl FnOnce(&mut DiscoveryConfig)) -> Self {
        let context = RouteContext { bus: bus.clone(), ..context() };
        let config = FleetConfig { host: LOCAL, ports: ports(), service: ServiceConfig::default() };
        let fleet = Fleet::new(&context, config);
        let (tracker, token) = (TaskTracker::new(), CancellationToken::new());
        let metrics = DiscoveryMetrics::default();
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        // Verdicts that count for no time make every lookup look.
        let mut config = DiscoveryConfig { connect_trusted: Duration::ZERO, ..DiscoveryConfig::new(dir.path()) };
        configure(&mut config);
        let discovery = Discovery::start(config, fleet.attacher(), metrics, &tracker, token.clone()).await.unwrap();
        discovery.join(bus, ElsewhereConfig::new(host)).await.unwrap();
        Self { dir, context, fleet, discovery, metrics: registry, tracker, token }
    }

    async fn ask(&self, body: &str) -> String {
        let (dialect, request) = decode(body.as_bytes());
        let caller = Caller { peer: LOCAL, local: SocketAddr::new(LOCAL, 7120) };
        self.discovery.answer(dialect, request.unwrap(), caller).await
    }

    async fn register(&self, name: &str, agent: &Listener, health: Option<&Listener>) {
        let health = health.map_or_else(|| "null".to_owned(), |health| health.local_addr().port().to_string());
        let port = agent.local_addr().port();
        let body = format!(
            r#"{{"action": "register_agent", "agent_name": "{name}", "registration_data": {{"agent_type": "tts", "port": {port},
                "health_check_port": {health}, "capabilities": ["speak"], "metadata": {{"x": 1.5e-7}}}}}}"#
        );
        assert_eq!(self.ask(&body).await, r#"{"status": "success"}"#);
    }

    async fn look_up(&self, name: &str) -> Json {
        read_str(&self.ask(&format!(r#"{{"action": "get_agent_endpoint", "agent_name": "{name}"}}"#)).await).unwrap()
    }

    /// The ports that a lookup answers.
    async fn find(&self, name: &str) -> (u16, Option<u16>) {
        let answer = self.look_up(name).await;
        let port = |key: &str| answer.get(key).and_then(Json::as_u64).map(|port| u16::try_from(port).unwrap());
        (port("port").unwrap_or_else(|| panic!("no port in {answer:?}")), port("health_check_port"))
    }

    /// What a lookup says instead of an address.
    async fn refuses(&self, name: &str) -> String {
        let answer = self.look_up(name).await;
        let text = answer.get("error").and_then(Json::as_text).unwrap_or_else(|| panic!("found: {answer:?}"));
        text.decode().unwrap()
    }

    async fn list(&self) -> String {
        self.ask(r#"{"action": "list_agents"}"#).await
    }

    fn place(&self, name: &str) -> Place {
        self.fleet.members().into_iter().find(|member| member.name == name).unwrap().place
    }

    fn metric(&self, name: &str) -> u64 {
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &self.metrics).unwrap();
        let prefix = format!("myelin_zmq_fleet_{name} ");
        page.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
    }

    /// An agent's socket that answers everything with itself.
    async fn agent(&self) -> (Listener, Arc<Recorder>) {
        let echo = Recorder::echo();
        (self.context.front.listen(&any_port(), SocketType::Rep, echo.clone()).await.unwrap(), echo)
    }

    /// Stops everything in order.
    async fn stop(self) -> TempDir {
        self.token.cancel();
        self.tracker.close();
        tokio::time::timeout(DEADLINE, self.tracker.wait()).await.unwrap();
        self.dir
    }
}

/// Ports that tests which run at the same time do not take from each other between the stop of a machine and its start.
fn ports() -> std::ops::RangeInclusive<u16> {
    let first = 10_000 + u16::try_from(std::process::id() % 60).unwrap() * 100;
    first..=first + 99
}

/// Two machines that know each other.
async fn machines() -> (Machine, Machine) {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let (one, other) = (Machine::new(&bus, "main-pc").await, Machine::new(&bus, "pc2").await);
    know_each_other(&one, &other).await;
    (one, other)
}

async fn know_each_other(one: &Machine, other: &Machine) {
    until("they know each other", || one.metric("nodes") == 1 && other.metric("nodes") == 1).await;
}

async fn peer<R: Send + 'static>(play: impl FnOnce() -> R + Send + 'static) -> R {
    tokio::task::spawn_blocking(play).await.unwrap()
}

/// A REQ asks at a port of ours, and gets its own words back.
async fn is_answered(port: u16) {
    peer(move || {
        let mut raw = Raw::shake((LOCAL, port).into(), 1, "REQ", None).0;
        raw.send(&hex("0100 0002 6869"));
        assert_eq!(raw.receive(6), hex("0100 0002 6869"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_of_one_machine_is_found_on_the_other_at_a_port_that_leads_there() {
    let (one, other) = machines().await;
    let ((agent, heard), (health, health_heard)) = (one.agent().await, one.agent().await);
    assert_eq!(other.refuses("TTS").await, "Agent TTS not found");
    one.register("TTS", &agent, Some(&health)).await;
    // Others have been told by the time the registration is answered.
    assert_eq!(other.list().await, r#"{"status": "success", "agents": ["TTS"]}"#);

    let (here, there) = (one.find("TTS").await, other.find("TTS").await);
    assert_ne!(here, there, "each machine has ports of its own");
    let (here, there) = (one.look_up("TTS").await, other.look_up("TTS").await);
    for key in ["agent_type", "capabilities", "metadata", "last_registered", "host", "status"] {
        assert_eq!(here.get(key), there.get(key), "{key}");
    }
    let (port, health_port) = other.find("TTS").await;
    is_answered(port).await;
    is_answered(health_port.unwrap()).await;
    assert_eq!((heard.messages(1).await.len(), health_heard.messages(1).await.len()), (1, 1));
    let discover = other.ask(r#"{"command": "DISCOVER", "payload": {"name": "TTS"}}"#).await;
    assert_eq!(discover, format!(r#"{{"status": "SUCCESS", "payload": {{"ip": "127.0.0.1", "port": {port}}}}}"#));

    assert_eq!((one.place("TTS"), other.place("TTS")), (Place::Here, Place::Elsewhere("main-pc".to_owned())));
    assert_eq!(other.discovery.elsewhere(), [("TTS".to_owned(), "main-pc".to_owned())]);
    assert_eq!((one.metric("names"), other.metric("names")), (0, 1));
    assert!(one.metric("announcements_sent_total") >= 2 && other.metric("announcements_received_total") >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_later_learns_of_everybody() {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let one = Machine::new(&bus, "main-pc").await;
    let mut agents = Vec::new();
    for name in ["A", "B", "C"] {
        let (agent, _) = one.agent().await;
        one.register(name, &agent, None).await;
        agents.push(agent);
    }
    let other = Machine::new(&bus, "pc2").await;
    until("all are known", || other.metric("names") == 3).await;
    // And what one has it has once, wherever else it is.
    let (agent, _) = other.agent().await;
    other.register("B", &agent, None).await;
    for machine in [&one, &other] {
        assert_eq!(machine.list().await, r#"{"status": "success", "agents": ["A", "B", "C"]}"#);
    }
    assert_eq!(other.place("B"), Place::Here);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_does_not_listen_is_not_served_to_others_either() {
    let (one, other) = machines().await;
    let (agent, _) = one.agent().await;
    one.register("TTS", &agent, None).await;
    let (port, _) = other.find("TTS").await;
    agent.close().await;
    let (here, there) = (one.refuses("TTS").await, other.refuses("TTS").await);
    assert_eq!(here, "Agent TTS is registered but does not accept connections");
    assert_eq!(here, there);
    // It comes back somewhere else on its machine.
    let (agent, _) = one.agent().await;
    one.register("TTS", &agent, None).await;
    assert_eq!(other.find("TTS").await, (port, None));
    is_answered(port).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_port_of_a_remote_name_outlives_a_restart() {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let (one, other) = (Machine::new(&bus, "main-pc").await, Machine::new(&bus, "pc2").await);
    know_each_other(&one, &other).await;
    let ((agent, _), (health, _)) = (one.agent().await, one.agent().await);
    one.register("TTS", &agent, Some(&health)).await;
    let ports = other.find("TTS").await;
    let dir = other.stop().await;

    let other = Machine::in_dir(&bus, "pc2", dir).await;
    // A client that has cached the port asks nobody.
    is_answered(ports.0).await;
    until("it is known", || other.metric("names") == 1).await;
    assert_eq!(other.find("TTS").await, ports);
    assert_eq!(other.place("TTS"), Place::Elsewhere("main-pc".to_owned()));
    let dir = other.stop().await;

    // It moves here while we are away, and takes its port along.
    drop((one.stop().await, agent));
    let other = Machine::in_dir(&bus, "pc2", dir).await;
    let (agent, _) = other.agent().await;
    other.register("TTS", &agent, None).await;
    assert_eq!(other.find("TTS").await.0, ports.0);
    is_answered(ports.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_moves_keeps_its_port_on_both_machines() {
    let (one, other) = machines().await;
    let (agent, _) = one.agent().await;
    one.register("TTS", &agent, None).await;
    let ports = (one.find("TTS").await, other.find("TTS").await);
    agent.close().await;
    until("its connection has ended", || one.fleet.members()[0].connected == 0).await;
    let (agent, heard) = other.agent().await;
    other.register("TTS", &agent, None).await;
    assert_eq!((one.find("TTS").await, other.find("TTS").await), ports);
    is_answered(ports.0.0).await;
    is_answered(ports.1.0).await;
    assert_eq!(heard.messages(2).await.len(), 2);
    assert_eq!((one.place("TTS"), other.place("TTS")), (Place::Elsewhere("pc2".to_owned()), Place::Here));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_leaves_takes_its_names_along_and_their_ports_wait() {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let (one, other) = (Machine::new(&bus, "main-pc").await, Machine::new(&bus, "pc2").await);
    know_each_other(&one, &other).await;
    let ((agent, _), (both_one, _), (both_other, _)) = (one.agent().await, one.agent().await, other.agent().await);
    one.register("TTS", &agent, None).await;
    one.register("Both", &both_one, None).await;
    other.register("Both", &both_other, None).await;
    let ports = other.find("TTS").await;
    let dir = one.stop().await;
    assert_eq!((other.metric("nodes"), other.metric("names")), (0, 0), "it has said goodbye");
    assert_eq!(other.refuses("TTS").await, "Agent TTS not found");
    assert_eq!(other.list().await, r#"{"status": "success", "agents": ["Both"]}"#);
    is_answered(other.find("Both").await.0).await;
    assert_eq!(other.place("TTS"), Place::Nowhere);

    let one = Machine::in_dir(&bus, "main-pc", dir).await;
    until("it is known again", || other.metric("names") == 2).await;
    assert_eq!(other.find("TTS").await, ports);
    until("its agent is connected", || one.fleet.members().iter().all(|member| member.connected == 1)).await;
    is_answered(ports.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_the_operator_gave_to_a_route_is_not_another_machines() {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let one = Machine::new(&bus, "main-pc").await;
    let reserve = |config: &mut DiscoveryConfig| config.reserved_names = vec!["hub".to_owned()];
    let other = Machine::configured(&bus, "pc2", TempDir::new().unwrap(), reserve).await;
    know_each_other(&one, &other).await;
    let (agent, _) = one.agent().await;
    one.register("hub", &agent, None).await;
    assert_eq!(other.refuses("hub").await, "Agent hub not found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goodbye_can_be_said_before_the_end() {
    let (one, other) = machines().await;
    one.discovery.leave().await;
    assert_eq!(other.metric("nodes"), 0);
    other.discovery.greet();
    one.discovery.greet();
    drop(one.stop().await);
    assert_eq!(other.metric("nodes"), 0, "nothing follows a goodbye");
}

/// A sidecar made of bytes, which has the names A and B and answers nothing but the list of them.
struct Fake {
    bus: Bus,
    _list: InlineSubscription,
}

const FAKE: &str = r#"{"v": 1, "node": "00000000000000fa", "incarnation": 1, "host": "fake", "beat_ms": 200, "version": 3, "digest": "0000000000000001", "#;

impl Fake {
    async fn new(bus: &Bus) -> Self {
        let answering = bus.clone();
        let list = move |delivery: Delivery<'_>| {
            let page = match &delivery.bodies[0] {
                Body::Blob(asked) if asked.ends_with(b"\"A\"}") => r#""last": true, "names": [{"name": "B", "health": true}]}"#,
                _ => r#""last": false, "names": [{"name": "A", "health": false}]}"#,
            };
            delivery.reply.unwrap().respond(&answering, Body::from(format!("{FAKE}{page}")));
        };
        let subject = Subject::new("$MYELIN.FLEET.00000000000000fa.LIST").unwrap();
        Self { bus: bus.clone(), _list: bus.subscribe_inline(&subject.into(), None, list).unwrap() }
    }

    async fn say(&self, what: impl Into<Body>) {
        self.bus.publish(&Subject::new("$MYELIN.FLEET.NEWS").unwrap(), what.into()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_that_falls_silent_is_forgotten_after_three_beats() {
    let bus = Bus::embedded(EmbeddedConfig::default());
    let machine = Machine::new(&bus, "pc2").await;
    let fake = Fake::new(&bus).await;
    let said = tokio::time::Instant::now();
    fake.say(format!(r#"{FAKE}"kind": "beat"}}"#)).await;
    until("both pages are known", || machine.metric("names") == 2).await;
    assert_eq!(machine.discovery.elsewhere(), [("A".to_owned(), "fake".to_owned()), ("B".to_owned(), "fake".to_owned())]);
    // It does not say whether its agent is there.
    assert_eq!(machine.refuses("A").await, "Agent A is registered but does not accept connections");
    until("it is forgotten", || machine.metric("nodes") == 0).await;
    assert!(said.elapsed() >= Duration::from_millis(600));
    assert_eq!(machine.refuses("A").await, "Agent A not found");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_counted_and_harms_nobody() {
    let (one, other) = machines().await;
    let fake = Fake::new(&one.context.bus).await;
    for garbage in ["", "{", "[[[[", r#"{"v": 1}"#, "\u{0}\u{1}", &"[".repeat(100_000)] {
        fake.say(garbage.to_owned()).await;
    }
    fake.say(Body::Blob(vec![0xff; 70_000].into())).await;
    until("all are counted", || one.metric("messages_malformed_total") == 7 && other.metric("messages_malformed_total") == 7).await;
    let (agent, _) = one.agent().await;
    one.register("TTS", &agent, None).await;
    is_answered(other.find("TTS").await.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_away_holds_a_registration_up_for_half_a_second() {
    let config = ListenerConfig { address: (LOCAL, 0).into(), ..ListenerConfig::default() };
    let server = Server::bind(Bus::embedded(EmbeddedConfig::default()), config).await.unwrap();
    let bus = Bus::connect(&format!("nats://{}", server.local_addr())).await.unwrap();
    let machine = Machine::new(&bus, "pc2").await;
    until("hello is said", || machine.metric("announcements_sent_total") == 1).await;
    server.shutdown(DEADLINE).await;
    let (agent, _) = machine.agent().await;
    let asked = tokio::time::Instant::now();
    machine.register("TTS", &agent, None).await;
    // A flush alone would wait for five seconds.
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    machine.find("TTS").await;
}
