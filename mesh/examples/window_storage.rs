//! What a fleet's history costs in a Redis: an unbounded list of JSON per agent, as fleets keep it today, against windows. `MEMORY USAGE` of every key,
//! by a real server that this program starts; the effects of encoding, trimming and time reported one by one.
//!
//! `cargo run --release -p myelin-mesh --example window_storage -- 1000 1000` (agents, messages of each; the defaults are a tenth of that each;
//! `--strict` fails when a goal is missed)
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program for the terminal; a failed step is a failed measurement")]

use myelin_mesh::{Key, Mesh, MeshConfig, Namespace, RedisConfig, Value, Window};
use myelin_testkit::{RedisReply, RedisServer};
use std::process::ExitCode;
use std::time::Duration;

#[tokio::main]
async fn main() -> ExitCode {
    let (flags, numbers): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|text| text == "--strict");
    let mut numbers = numbers.iter().map(|text| text.parse::<usize>().expect("a number"));
    let (agents, messages) = (numbers.next().unwrap_or(100), numbers.next().unwrap_or(100));
    let server = RedisServer::start();
    let endpoint = RedisConfig { near: None, ..RedisConfig::single(format!("127.0.0.1:{}", server.port())) };
    let plain = Mesh::redis(endpoint.clone(), MeshConfig { compress_from_bytes: usize::MAX, ..MeshConfig::default() }).await.unwrap();
    let mesh = Mesh::redis(endpoint, MeshConfig::default()).await.unwrap();
    let bytes: usize = (0..messages).map(|number| message(0, number).len()).sum();
    println!("{agents} agents, {messages} messages of each, {} bytes of JSON each in the mean\n", bytes / messages);

    let list = lists(&server, agents, messages);
    let row = |what: &str, bytes: u64, entries: usize| {
        let saved = saved(bytes, list);
        let each = if entries == 0 { String::new() } else { format!("{:>6.0} bytes per entry", bytes as f64 / (agents * entries) as f64) };
        println!("{what:<56} {bytes:>13} bytes  {saved:>6.1} % less  {each}");
    };
    row("unbounded list of JSON", list, messages);
    let kept = Window::new(Key::new("messages").unwrap()).entries_max(100_000);
    row("windows with every entry, nothing compressed", fill(&server, &plain, &kept, agents, messages).await, messages);
    let encoded = fill(&server, &mesh, &kept, agents, messages).await;
    row("windows with every entry, encoded as by default", encoded, messages);
    let (trimmed, left) = (Window::new(Key::new("messages").unwrap()), messages.min(100));
    row("windows of 100 entries or 1 h, nothing compressed", fill(&server, &plain, &trimmed, agents, messages).await, left);
    let total = fill(&server, &mesh, &trimmed, agents, messages).await;
    row("windows of 100 entries or 1 h, encoded as by default", total, left);
    // The window's age and the minute by which its index outlives it, without waiting for an hour.
    let short = trimmed.age_max(Duration::from_millis(500));
    fill(&server, &mesh, &short, agents, messages).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    row("the same when nobody wrote for the age of the window", memory(&server), 0);

    println!();
    let goals = [("everything together", total, TOTAL_GOAL), ("encoding alone", encoded, ENCODING_GOAL)];
    let mut holds = true;
    for (what, bytes, goal) in goals {
        let saved = saved(bytes, list);
        holds &= saved >= goal;
        println!("  {} {what}: {saved:.1} % less  goal >= {goal} %", if saved >= goal { "PASS" } else { "MISS" });
    }
    if holds || flags.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Percent of an endless list that windows with trimming and encoding save, and that encoding alone saves.
const TOTAL_GOAL: f64 = 90.0;
const ENCODING_GOAL: f64 = 40.0;

fn saved(bytes: u64, list: u64) -> f64 {
    100.0 - bytes as f64 / list as f64 * 100.0
}

/// Messages of agents to agents: the same fields each time, other contents.
fn message(agent: usize, number: usize) -> String {
    let mut random = fastrand::Rng::with_seed((agent * 1_000_003 + number) as u64);
    let words = [
        "please", "check", "the", "logs", "of", "service", "restart", "failed", "after", "deploy", "memory", "usage", "is", "high", "agent",
    ];
    let mut text = String::new();
    while text.len() < 210 {
        text.push_str(random.choice(&words).unwrap());
        text.push(' ');
    }
    format!(
        r#"{{"id": "{:016x}", "from": "agent-{}", "to": "agent-{agent}", "type": "task", "status": "{}", "timestamp": {}.{:03}, "content": "{}", "metadata": {{"priority": {}, "attempt": {}, "model": "llama3:8b", "tokens": {}}}, "health_status": "HEALTHY"}}"#,
        random.u64(..),
        random.usize(..1000),
        random.choice(["pending", "done", "failed"]).unwrap(),
        1_763_748_000 + number,
        random.u32(..1000),
        text.trim_end(),
        random.u8(..5),
        random.u8(..3),
        random.u16(..4096),
    )
}

fn lists(server: &RedisServer, agents: usize, messages: usize) -> u64 {
    server.command(&["FLUSHALL"]);
    for agent in 0..agents {
        let list = format!("messages:{agent}");
        for begin in (0..messages).step_by(200) {
            let some: Vec<_> = (begin..messages.min(begin + 200)).map(|number| message(agent, number)).collect();
            let mut command = vec!["RPUSH", &list];
            command.extend(some.iter().map(String::as_str));
            server.command(&command);
        }
    }
    memory(server)
}

async fn fill(server: &RedisServer, mesh: &Mesh, window: &Window, agents: usize, messages: usize) -> u64 {
    server.command(&["FLUSHALL"]);
    for agent in 0..agents {
        let space = mesh.space(Namespace::new(&format!("agent-{agent}")).unwrap());
        for begin in (0..messages).step_by(200) {
            let some: Vec<_> = (begin..messages.min(begin + 200)).map(|number| Value::json(message(agent, number))).collect();
            space.append_many(window, &some).await.unwrap();
        }
    }
    memory(server)
}

/// All keys, the indexes among them.
fn memory(server: &RedisServer) -> u64 {
    let RedisReply::Array(keys) = server.command(&["KEYS", "*"]) else { return 0 };
    let usage = |key: &RedisReply| server.command(&["MEMORY", "USAGE", &key.text(), "SAMPLES", "0"]).integer();
    keys.iter().filter_map(usage).map(|bytes| u64::try_from(bytes).unwrap()).sum()
}
