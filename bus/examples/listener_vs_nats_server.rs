//! Compares the embedded listener with nats-server: the same clients, both servers in processes of their own, rounds interleaved.
//!
//! ```text
//! cargo run --release -p myelin-bus --example listener_vs_nats_server -- [messages] [bytes] [rounds]
//! ```
//!
//! Closed loop: one publisher as fast as it can, one subscriber that has to get everything. `raw` clients write and read prepared bytes, so that
//! the servers do most of the work; `async-nats` is what a program sees. CPU is what the server process used, from `/proc`. Read the ratios, not
//! the numbers: they are from one machine at one time.

#![allow(clippy::print_stdout, reason = "the table is the product")]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use async_nats::ConnectOptions;
use bytes::Bytes;
use futures_util::StreamExt;
use myelin_bus::listener::{Listener, ListenerConfig};
use myelin_bus::{Bus, EmbeddedConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const REQUESTS: usize = 10_000;

/// A server in a process of its own, ended on drop.
struct Server {
    name: &'static str,
    address: String,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already is ended as well.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Server {
    async fn start(name: &'static str, command: &mut Command, port: u16) -> Self {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the server starts");
        let server = Self { name, address: format!("127.0.0.1:{port}"), child };
        while TcpStream::connect(&server.address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        server
    }

    /// Seconds of CPU the process has used, at 100 ticks per second.
    fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("the server runs");
        let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields after the name").split(' ').collect();
        let ticks = |at: usize| fields[at].parse::<f64>().expect("a number");
        (ticks(11) + ticks(12)) / 100.0
    }

    fn url(&self) -> String {
        format!("nats://{}", self.address)
    }
}

#[derive(Default)]
struct Results {
    raw_rate: Vec<f64>,
    raw_cpu: Vec<f64>,
    rate: Vec<f64>,
    cpu: Vec<f64>,
    request_us: Vec<f64>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|argument| argument == "--serve") {
        return serve(arguments[1].parse().expect("a port")).await;
    }
    let number = |at: usize, default: usize| arguments.get(at).map_or(default, |text| text.parse().expect("a number"));
    let (messages, bytes, rounds) = (number(0, 1_000_000), number(1, 64), number(2, 5));

    let (port, other_port) = (myelin_testkit::free_port(), myelin_testkit::free_port());
    let own = std::env::current_exe().expect("this program has a path");
    let ours = Server::start("myelin", Command::new(own).args(["--serve", &port.to_string()]), port).await;
    let args = ["--addr", "127.0.0.1", "--port", &other_port.to_string()];
    let theirs = Server::start("nats-server", Command::new("nats-server").args(args), other_port).await;
    let servers = [ours, theirs];
    let mut results = [Results::default(), Results::default()];
    for _ in 0..rounds {
        for (server, results) in servers.iter().zip(&mut results) {
            let (rate, cpu) = raw_throughput(server, messages, bytes).await;
            results.raw_rate.push(rate);
            results.raw_cpu.push(cpu);
            let (rate, cpu) = throughput(server, messages, bytes).await;
            results.rate.push(rate);
            results.cpu.push(cpu);
            results.request_us.push(request_p50(server).await);
        }
    }
    println!("{messages} messages of {bytes} B, {rounds} rounds, medians");
    println!("{:<34}{:>14}{:>14}{:>8}", "", servers[0].name, servers[1].name, "ratio");
    let [ours, theirs] = &mut results;
    for (what, ours, theirs) in [
        ("raw clients, messages/s", &mut ours.raw_rate, &mut theirs.raw_rate),
        ("raw clients, server CPU s/million", &mut ours.raw_cpu, &mut theirs.raw_cpu),
        ("async-nats, messages/s", &mut ours.rate, &mut theirs.rate),
        ("async-nats, server CPU s/million", &mut ours.cpu, &mut theirs.cpu),
        ("async-nats, request p50 in us", &mut ours.request_us, &mut theirs.request_us),
    ] {
        let (ours, theirs) = (median(ours), median(theirs));
        println!("{what:<34}{ours:>14.2}{theirs:>14.2}{:>8.2}", ours / theirs);
    }
}

async fn serve(port: u16) {
    let config = ListenerConfig { address: ([127, 0, 0, 1], port).into(), ..ListenerConfig::default() };
    let _listener = Listener::bind(Bus::embedded(EmbeddedConfig::default()), config).await.expect("a free port");
    std::future::pending().await
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

async fn raw_client(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(&server.address).await.expect("the server listens");
    while stream.read_u8().await.expect("INFO") != b'\n' {}
    stream.write_all(b"CONNECT {\"verbose\":false,\"pedantic\":false}\r\n").await.expect("connected");
    stream
}

async fn raw_throughput(server: &Server, messages: usize, bytes: usize) -> (f64, f64) {
    let (mut publisher, mut subscriber) = (raw_client(server).await, raw_client(server).await);
    subscriber.write_all(b"SUB bench 1\r\nPING\r\n").await.expect("connected");
    while subscriber.read_u8().await.expect("PONG") != b'\n' {}
    let message = [format!("PUB bench {bytes}\r\n").as_bytes(), &vec![b'x'; bytes], b"\r\n"].concat();
    let per_write = (32 * 1024 / message.len()).max(1);
    let batch = message.repeat(per_write);
    let expected = messages / per_write * per_write * (format!("MSG bench 1 {bytes}\r\n").len() + bytes + 2);
    let (started, cpu) = (Instant::now(), server.cpu());
    let sending = tokio::spawn(async move {
        for _ in 0..messages / per_write {
            publisher.write_all(&batch).await.expect("connected");
        }
        publisher
    });
    let (mut buffer, mut read) = (vec![0; 256 * 1024], 0);
    while read < expected {
        match subscriber.read(&mut buffer).await.expect("connected") {
            0 => panic!("{} cut the subscriber off", server.name),
            count => read += count,
        }
    }
    let rate = messages as f64 / started.elapsed().as_secs_f64();
    drop(sending.await.expect("sent"));
    (rate, (server.cpu() - cpu) / messages as f64 * 1e6)
}

async fn throughput(server: &Server, messages: usize, bytes: usize) -> (f64, f64) {
    let publisher = async_nats::connect(server.url()).await.expect("the server listens");
    let options = ConnectOptions::new().subscription_capacity(messages);
    let receiver = options.connect(server.url()).await.expect("the server listens");
    let mut subscriber = receiver.subscribe("bench").await.expect("subscribed");
    receiver.publish("bench", Bytes::new()).await.expect("published");
    subscriber.next().await.expect("not ended");
    let payload = Bytes::from(vec![b'x'; bytes]);
    let (started, cpu) = (Instant::now(), server.cpu());
    let sending = tokio::spawn(async move {
        for _ in 0..messages {
            publisher.publish("bench", payload.clone()).await.expect("published");
        }
        publisher.flush().await.expect("connected");
        publisher
    });
    for _ in 0..messages {
        subscriber.next().await.expect("not ended");
    }
    let rate = messages as f64 / started.elapsed().as_secs_f64();
    drop(sending.await.expect("sent"));
    (rate, (server.cpu() - cpu) / messages as f64 * 1e6)
}

async fn request_p50(server: &Server) -> f64 {
    let requester = async_nats::connect(server.url()).await.expect("the server listens");
    let responder = async_nats::connect(server.url()).await.expect("the server listens");
    let mut requests = responder.subscribe("echo").await.expect("subscribed");
    responder.publish("echo", Bytes::new()).await.expect("published");
    requests.next().await.expect("not ended");
    let answering = tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            responder.publish(request.reply.expect("a request"), request.payload).await.expect("published");
        }
    });
    let mut times = Vec::with_capacity(REQUESTS);
    for _ in 0..REQUESTS {
        let asked = Instant::now();
        requester.request("echo", Bytes::from_static(b"x")).await.expect("a reply");
        times.push(asked.elapsed().as_secs_f64() * 1e6);
    }
    answering.abort();
    median(&mut times)
}
