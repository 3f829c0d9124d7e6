//! The Redis Cluster of `deploy/`, as its scripts start it on six hosts: it forms, however often and from wherever that is asked for,
//! asks everybody for a password, keeps serving when a node dies, and is left alone then.

use myelin_testkit::{Host, Hosts, PATIENCE, Process, eventually};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const SECRETS: [(&str, &str); 2] = [("redis-password", "1e5"), ("redis-replica-password", "0777")];

struct Cluster {
    hosts: Hosts,
    nodes: Vec<Process>,
    home: TempDir,
}

fn deploy(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(path)
}

impl Cluster {
    /// Six nodes that do not know each other.
    fn start() -> Option<Self> {
        let hosts = Hosts::start(6)?;
        let home = TempDir::new().expect("a temporary directory");
        for (name, password) in SECRETS {
            std::fs::write(home.path().join(name), format!("{password}\n")).expect("it can be written");
        }
        let mut cluster = Self { hosts, nodes: Vec::new(), home };
        cluster.nodes = cluster.hosts.all().iter().map(|host| cluster.node(host)).collect();
        Some(cluster)
    }

    fn node(&self, host: &Host) -> Process {
        let data = self.home.path().join(host.address().to_string());
        std::fs::create_dir_all(&data).expect("it can be made");
        let mut start = Command::new("sh");
        start.arg(deploy("redis/start.sh")).env("SECRETS", self.home.path()).env("REDIS_CONFIG", deploy("redis/redis.conf"));
        let node = host.spawn("redis", start.env("REDIS_DATA", data));
        node.wait_line("readiness", PATIENCE, |line| line.contains("Ready to accept connections").then_some(()));
        node
    }

    /// The script, run beside a node as its container would.
    fn form(&self, deadline: u8) -> Process {
        let nodes: Vec<_> = self.hosts.all().iter().map(|host| format!("{}:6379", host.address())).collect();
        let mut script = Command::new("sh");
        script.arg(deploy("redis/form-cluster.sh")).env("SECRETS", self.home.path()).env("REDIS_NODES", nodes.join(" "));
        self.hosts[5].spawn("form-cluster", script.env("DEADLINE", deadline.to_string()))
    }

    /// `redis-cli -c`, from a host, as the user of the sidecars.
    fn ask(&self, host: usize, command: &[&str]) -> String {
        let mut cli = Command::new("redis-cli");
        cli.args(["-c", "--user", "myelin", "-h", &self.hosts[host].address().to_string()]).args(command);
        let output = self.hosts[host].enter(|| cli.env("REDISCLI_AUTH", SECRETS[0].1).output()).expect("redis-cli runs");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Which node serves what, as a node sees it.
    fn shares(&self, host: usize) -> Vec<(String, String)> {
        let nodes = self.ask(host, &["cluster", "nodes"]);
        let share = |line: &str| line.split_once(" connected ").map(|(node, slots)| (node[..40].to_owned(), slots.to_owned()));
        let mut shares: Vec<_> = nodes.lines().filter_map(share).collect();
        shares.sort();
        assert_eq!(shares.len(), 3, "{nodes}");
        shares
    }

    /// How many nodes a node knows to serve keys, and how many to be copies; failed ones are neither.
    fn roles(&self, host: usize) -> (usize, usize) {
        let nodes = self.ask(host, &["cluster", "nodes"]);
        let count = |role: &str| nodes.lines().filter(|line| line.contains(role) && !line.contains("fail")).count();
        (count("master"), count("slave"))
    }
}

#[test]
fn it_forms_stays_and_survives_a_node() {
    let Some(mut cluster) = Cluster::start() else { return };
    // The first try is interrupted when the nodes have just begun to talk.
    let mut interrupted = cluster.form(60);
    eventually("two know each other", PATIENCE, || {
        (!cluster.ask(0, &["cluster", "info"]).contains("cluster_known_nodes:1\r")).then_some(())
    });
    interrupted.kill9();
    let whole = |cluster: &Cluster| {
        let mut script = cluster.form(60);
        let status = script.wait_end(PATIENCE * 4);
        assert!(status.success(), "{}", script.tail());
    };
    whole(&cluster);
    for host in 0..6 {
        eventually("three serve and three are copies", PATIENCE, || (cluster.roles(host) == (3, 3)).then_some(()));
    }
    for key in ["a", "b", "c", "d", "e", "f"] {
        assert_eq!(cluster.ask(5, &["set", key, key]), "OK");
    }
    let before = cluster.shares(0);
    whole(&cluster);
    assert_eq!(cluster.shares(0), before, "a whole cluster stays as it is");

    // One that serves keys dies; its copy takes over, with what it had.
    cluster.nodes[0].kill9();
    eventually("the copy serves", PATIENCE, || (cluster.roles(1) == (3, 2)).then_some(()));
    for key in ["a", "b", "c", "d", "e", "f"] {
        eventually("every key is there", PATIENCE, || (cluster.ask(1, &["get", key]) == key).then_some(()));
    }
    // It comes back as the copy of its copy, and nobody makes it serve again.
    cluster.nodes[0] = cluster.node(&cluster.hosts[0]);
    eventually("it is back", PATIENCE, || (cluster.roles(1) == (3, 3)).then_some(()));
    whole(&cluster);
    assert_eq!(cluster.ask(0, &["role"]).lines().next(), Some("slave"));
}

#[test]
fn nobody_is_served_without_a_password_and_copies_can_only_follow() {
    let Some(cluster) = Cluster::start() else { return };
    let as_user = |arguments: &[&str]| {
        let mut cli = Command::new("redis-cli");
        cli.args(["-h", &cluster.hosts[0].address().to_string()]).args(arguments).env_remove("REDISCLI_AUTH");
        String::from_utf8_lossy(&cluster.hosts[1].enter(|| cli.output()).expect("redis-cli runs").stdout).into_owned()
    };
    assert!(as_user(&["ping"]).contains("NOAUTH"));
    assert!(as_user(&["--user", "myelin", "--pass", "wrong", "ping"]).contains("NOAUTH"));
    assert!(as_user(&["--user", "replica", "--pass", SECRETS[1].1, "--no-auth-warning", "get", "a"]).contains("NOPERM"));
    assert_eq!(as_user(&["--user", "myelin", "--pass", SECRETS[0].1, "--no-auth-warning", "ping"]), "PONG\n");
    for node in &cluster.nodes {
        let line = std::fs::read_to_string(format!("/proc/{}/cmdline", node.pid())).expect("it runs");
        assert!(line.starts_with("redis-server") && !line.contains(SECRETS[0].1), "{line}");
    }
}

#[test]
fn a_cluster_that_cannot_form_is_said_within_the_deadline() {
    let Some(mut cluster) = Cluster::start() else { return };
    cluster.nodes[2].kill9();
    let mut script = cluster.form(1);
    assert_eq!(script.wait_end(PATIENCE).code(), Some(1), "{}", script.tail());
    assert!(script.tail().contains("gave up waiting"), "{}", script.tail());
}
