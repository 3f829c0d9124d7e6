//! What `sync_interval: always` of NATS costs: publishes to a JetStream stream on files, closed loop with a bounded number outstanding, on the
//! configuration of `deploy/` with that setting and with the server's default, in turns.
//!
//! ```text
//! cargo run --release -p myelin-testkit --example jetstream_sync -- [SECONDS] [ROUNDS] [BYTES] [NODES...]
//! ```
//!
//! Needs root (each node is a host of its own), `nats-server`, and a directory on the disk in question: `TMPDIR`.

use myelin_testkit::{Host, Hosts, PATIENCE, Process, eventually};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const ALWAYS: &str = "sync_interval: always";
const DEFAULT: &str = "sync_interval: 2m";
const PASSWORD: &str = "measured";
/// A confirmation that takes longer never comes.
const GIVE_UP: Duration = Duration::from_secs(5);
const CREATE: &str = "$JS.API.STREAM.CREATE.T";

/// One run: publishes per second, and how long each took.
struct Run {
    rate: f64,
    p50: Duration,
    p99: Duration,
    /// Publishes that nobody confirmed.
    lost: u64,
    /// Of the largest node, resident.
    peak: u64,
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>().expect("numbers"));
    let [seconds, rounds, bytes] = [5, 3, 128].map(|default| arguments.next().unwrap_or(default));
    let bytes = usize::try_from(bytes).expect("a size");
    say("nodes  outstanding  sync      publishes/s   p50        p99        unconfirmed  MiB of a node");
    let all: Vec<usize> = arguments.map(|nodes| usize::try_from(nodes).expect("a few")).collect();
    for &nodes in if all.is_empty() { &[1, 3][..] } else { &all } {
        for window in [1, 256] {
            for _ in 0..rounds {
                for sync in [ALWAYS, DEFAULT] {
                    let run = measure(nodes, sync, window, bytes, Duration::from_secs(seconds));
                    let name = sync.trim_start_matches("sync_interval: ");
                    say(&format!(
                        "{nodes:<6} {window:<12} {name:<9} {:<13.0} {:<10.2?} {:<10.2?} {:<12} {}",
                        run.rate,
                        run.p50,
                        run.p99,
                        run.lost,
                        run.peak >> 20
                    ));
                }
            }
        }
    }
}

fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("standard output can be written");
}

/// A new cluster of so many nodes, a stream with a copy on each, and a client beside the first.
fn measure(nodes: usize, sync: &str, window: usize, bytes: usize, span: Duration) -> Run {
    let hosts = Hosts::start(nodes).expect("network namespaces");
    let home = TempDir::new().expect("a temporary directory");
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/nats");
    let text = std::fs::read_to_string(deploy.join("nats.conf")).expect("the configuration").replace(ALWAYS, sync);
    assert!(text.contains(sync), "the configuration says {ALWAYS}");
    // A single node is no cluster.
    let text = if nodes == 1 { text.split("cluster {").next().expect("what stands before").to_owned() } else { text };
    std::fs::write(home.path().join("nats.conf"), text).expect("it can be written");
    for secret in ["nats-password", "nats-route-password"] {
        std::fs::write(home.path().join(secret), PASSWORD).expect("it can be written");
    }
    let peers: Vec<_> = hosts.all().iter().map(|host| format!("{}:6222", host.address())).collect();
    let start = |(number, host): (usize, &Host)| -> Process {
        let mut start = Command::new("sh");
        start.arg(deploy.join("start.sh")).env("SECRETS", home.path()).env("NATS_CONFIG", home.path().join("nats.conf"));
        start.env("NATS_STORE", home.path().join(number.to_string())).env("NATS_PEERS", peers.join(" "));
        // As in docker-compose.yml.
        start.env("GOMEMLIMIT", "100MiB");
        host.spawn("nats-server", start.env("NATS_NAME", format!("nats-{number}")))
    };
    let servers: Vec<_> = hosts.all().iter().enumerate().map(start).collect();
    for server in &servers {
        let ready = if nodes == 1 { "Server is ready" } else { "metadata leader" };
        server.wait_line("readiness", PATIENCE, |line| line.contains(ready).then_some(()));
    }
    let mut client = Client::connect(&hosts[0]);
    client.create(nodes);
    // What is slow only once.
    client.publish(window, bytes, Duration::from_secs(1));
    let run = client.publish(window, bytes, span);
    Run { peak: servers.iter().map(|server| server.memory().peak).max().unwrap_or(0), ..run }
}

struct Client {
    socket: TcpStream,
    lines: BufReader<TcpStream>,
    /// The number of the next publish, which its confirmation carries in the subject.
    next: u64,
}

impl Client {
    fn connect(host: &Host) -> Self {
        let socket = host.connect(host.at(4222)).expect("it listens");
        socket.set_nodelay(true).expect("a socket has options");
        socket.set_read_timeout(Some(GIVE_UP)).expect("a socket has a timeout");
        let lines = BufReader::with_capacity(1 << 16, socket.try_clone().expect("a socket can be cloned"));
        let mut client = Self { socket, lines, next: 0 };
        client.write(&format!("CONNECT {{\"verbose\":false,\"user\":\"myelin\",\"pass\":\"{PASSWORD}\"}}\r\nSUB inbox.* 1\r\n"));
        client
    }

    fn write(&mut self, text: &str) {
        self.socket.write_all(text.as_bytes()).expect("the server reads");
    }

    /// The next message on our inbox, with the number behind its subject; `None` when there is none in time.
    fn try_message(&mut self) -> Option<(u64, Vec<u8>)> {
        loop {
            let mut line = String::new();
            match self.lines.read_line(&mut line) {
                Err(error) if error.kind() == ErrorKind::WouldBlock && line.is_empty() => return None,
                read => read.expect("the server answers"),
            };
            let Some(head) = line.strip_prefix("MSG ") else {
                assert!(!line.starts_with("-ERR") && !line.is_empty(), "{line}");
                if line.starts_with("PING") {
                    self.write("PONG\r\n");
                }
                continue;
            };
            let number = head.strip_prefix("inbox.").and_then(|head| head.split(' ').next()?.parse().ok()).expect("a number");
            let length: usize = head.trim_end().rsplit(' ').next().and_then(|length| length.parse().ok()).expect("a length");
            let mut body = vec![0; length + 2];
            self.lines.read_exact(&mut body).expect("the server answers");
            body.truncate(length);
            return Some((number, body));
        }
    }

    /// Nodes that have just met are no peers for a copy yet, and what is asked then may be answered by nobody: it is asked again.
    fn create(&mut self, replicas: usize) {
        let stream = json!({ "name": "T", "subjects": ["t"], "num_replicas": replicas, "storage": "file", "max_bytes": 1 << 28 });
        let request = format!("PUB {CREATE} inbox.0 {}\r\n{stream}\r\n", stream.to_string().len());
        eventually("the stream is made", PATIENCE * 4, || {
            self.write(&request);
            let answer: Value = serde_json::from_slice(&self.try_message()?.1).expect("JSON");
            answer["error"].is_null().then_some(())
        });
        // Nor does every node know at once where the stream is.
        eventually("the stream confirms", PATIENCE * 4, || {
            self.write("PUB t inbox.0 1\r\nx\r\n");
            self.try_message()
        });
        self.next = 1;
    }

    /// Keeps `window` publishes outstanding; a stream with one leader confirms them in their order. What a change of the leader
    /// swallows is counted, and something else is published in its place.
    fn publish(&mut self, window: usize, bytes: usize, span: Duration) -> Run {
        let payload = "x".repeat(bytes);
        // The number of the oldest, and when each was sent.
        let (mut oldest, mut sent) = (self.next, VecDeque::new());
        let (mut took, mut lost) = (Vec::new(), 0);
        let begin = Instant::now();
        loop {
            // As many again as are confirmed already, in one write.
            if self.lines.buffer().is_empty() && begin.elapsed() < span {
                let mut text = String::new();
                for _ in sent.len()..window {
                    write!(text, "PUB t inbox.{} {bytes}\r\n{payload}\r\n", self.next).expect("a String takes everything");
                    self.next += 1;
                    sent.push_back(Instant::now());
                }
                self.write(&text);
            }
            if sent.is_empty() {
                break;
            }
            match self.try_message() {
                Some((number, answer)) if number >= oldest => {
                    assert!(answer.starts_with(b"{\"stream\""), "{}", String::from_utf8_lossy(&answer));
                    lost += number - oldest;
                    let before = sent.drain(..=usize::try_from(number - oldest).expect("at most the window")).next_back();
                    took.push(before.expect("it was sent").elapsed());
                    oldest = number + 1;
                }
                // It was given up before.
                Some(_) => {}
                None => {
                    lost += self.next - oldest;
                    sent.clear();
                    oldest = self.next;
                }
            }
        }
        let rate = took.len() as f64 / begin.elapsed().as_secs_f64();
        took.sort_unstable();
        Run { rate, p50: took[took.len() / 2], p99: took[took.len() * 99 / 100], lost, peak: 0 }
    }
}
