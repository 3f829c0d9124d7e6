//! The NATS cluster of `deploy/`, as its script starts it on three hosts: its configuration is valid, three nodes become one cluster with
//! JetStream, a stranger is no client and no node, and a password of digits is a password.

use myelin_testkit::{Host, Hosts, PATIENCE, Process, eventually};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Both would be numbers if they were not in quotes, and not these.
const SECRETS: [(&str, &str); 2] = [("nats-password", "12k"), ("nats-route-password", "0777")];
const CLIENTS: u16 = 4222;
const MONITOR: u16 = 8222;

fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(path)
}

struct Cluster {
    hosts: Hosts,
    home: TempDir,
}

impl Cluster {
    fn on(hosts: Hosts) -> Self {
        let home = TempDir::new().expect("a temporary directory");
        for (name, password) in SECRETS {
            std::fs::write(home.path().join(name), format!("{password}\n")).expect("it can be written");
        }
        Self { hosts, home }
    }

    /// The script on a host, with these arguments for the server.
    fn run(&self, number: usize, secrets: &Path, arguments: &[&str]) -> Process {
        let store = self.home.path().join(number.to_string());
        let peers: Vec<_> = self.hosts.all().iter().map(|host| format!("{}:6222", host.address())).collect();
        let mut start = Command::new("sh");
        start.arg(deploy("nats/start.sh")).env("SECRETS", secrets).env("NATS_CONFIG", deploy("nats/nats.conf")).env("NATS_STORE", store);
        start.env("NATS_NAME", format!("nats-{number}")).env("NATS_PEERS", peers.join(" ")).args(arguments);
        self.hosts[number].spawn("nats-server", &mut start)
    }

    fn node(&self, number: usize) -> Process {
        let node = self.run(number, self.home.path(), &[]);
        node.wait_line("readiness", PATIENCE, |line| line.contains("Server is ready").then_some(()));
        node
    }
}

/// A page of the monitor, which only the host itself reaches.
fn page(host: &Host, path: &str) -> Option<Value> {
    let mut socket = host.connect((Ipv4Addr::LOCALHOST, MONITOR).into()).expect("it listens");
    // An older client is answered in one piece.
    socket.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).expect("it reads");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("it answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    head.contains(" 200 ").then(|| serde_json::from_str(body).expect("JSON"))
}

/// What the server says to a client with this password, line by line.
fn client(from: &Host, to: &Host, password: &str) -> (TcpStream, BufReader<TcpStream>) {
    let mut socket = from.connect(to.at(CLIENTS)).expect("it listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket has a timeout");
    let mut lines = BufReader::new(socket.try_clone().expect("a socket can be cloned"));
    assert!(line(&mut lines).starts_with("INFO "));
    let connect = format!("CONNECT {{\"verbose\":false,\"user\":\"myelin\",\"pass\":\"{password}\"}}\r\nPING\r\n");
    socket.write_all(connect.as_bytes()).expect("it reads");
    (socket, lines)
}

fn line(lines: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    lines.read_line(&mut line).expect("it answers");
    line.trim_end().to_owned()
}

#[test]
fn three_nodes_become_one_cluster_with_jetstream() {
    let Some(hosts) = Hosts::start(3) else { return };
    let cluster = Cluster::on(hosts);
    let nodes: Vec<_> = (0..3).map(|number| cluster.node(number)).collect();
    for host in cluster.hosts.all() {
        // What the health check of the container asks.
        eventually("it is healthy", PATIENCE, || page(host, "/healthz?js-server-only=true"));
        let jetstream = eventually("JetStream knows three nodes", PATIENCE, || {
            page(host, "/jsz").filter(|page| page["meta_cluster"]["cluster_size"] == 3 && page["meta_cluster"]["leader"].is_string())
        });
        assert_eq!(jetstream["config"]["sync_always"], true, "{jetstream}");
        assert_eq!(page(host, "/varz").expect("a page")["max_payload"], 9 << 20);
    }
    // Its leader counts the others in once they have caught up; before, there is no room for three copies.
    eventually("the leader has two followers", PATIENCE, || {
        let pages = cluster.hosts.all().iter().filter_map(|host| page(host, "/jsz"));
        let followers = pages
            .filter_map(|page| Some(page["meta_cluster"]["replicas"].as_array()?.iter().filter(|peer| peer["current"] == true).count()));
        followers.max().filter(|followers| *followers == 2)
    });
    // One is enough for a stream with three copies, asked for over any other.
    let (mut socket, mut lines) = client(&cluster.hosts[0], &cluster.hosts[2], SECRETS[0].1);
    assert_eq!(line(&mut lines), "PONG");
    let body = r#"{"name":"T","subjects":["t"],"num_replicas":3,"storage":"file"}"#;
    let ask = format!("SUB inbox 1\r\nPUB $JS.API.STREAM.CREATE.T inbox {}\r\n{body}\r\n", body.len());
    socket.write_all(ask.as_bytes()).expect("it reads");
    assert!(line(&mut lines).starts_with("MSG inbox 1 "));
    let created: Value = serde_json::from_str(&line(&mut lines)).expect("JSON");
    assert_eq!(created["config"]["num_replicas"], 3, "{created}");
    drop(nodes);
}

#[test]
fn strangers_are_neither_clients_nor_nodes() {
    let Some(hosts) = Hosts::start(2) else { return };
    let cluster = Cluster::on(hosts);
    let _node = cluster.node(0);
    let (_socket, mut lines) = client(&cluster.hosts[1], &cluster.hosts[0], "12000");
    assert_eq!(line(&mut lines), "-ERR 'Authorization Violation'");

    let other = TempDir::new().expect("a temporary directory");
    for (name, _) in SECRETS {
        std::fs::write(other.path().join(name), "guessed").expect("it can be written");
    }
    let stranger = cluster.run(1, other.path(), &[]);
    stranger.wait_line("refusal", PATIENCE, |line| line.contains("Authorization Violation").then_some(()));
    assert_eq!(page(&cluster.hosts[0], "/routez").expect("a page")["num_routes"], 0);
    assert!(cluster.hosts[1].connect(cluster.hosts[0].at(MONITOR)).is_err(), "the monitor is for its own host");
}

#[test]
fn the_configuration_is_valid_for_the_server_itself() {
    let Some(hosts) = Hosts::start(1) else { return };
    let cluster = Cluster::on(hosts);
    let mut check = cluster.run(0, cluster.home.path(), &["-t"]);
    let status = check.wait_end(PATIENCE);
    assert!(status.success(), "{}", check.tail());
}
