//! Peers are processes that follow their stdin: they serve while it is open and are gone when it ends. Proved with the
//! real binary and its raw peers, which need no libzmq.

#![allow(clippy::unwrap_used, reason = "a peer that cannot be set up is a failed test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

struct Peer {
    child: Child,
    orders: Option<ChildStdin>,
    events: BufReader<ChildStdout>,
}

impl Peer {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_myelin-loadtest"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = child.stdin.take();
        let events = BufReader::new(child.stdout.take().unwrap());
        Self { child, orders, events }
    }

    fn next(&mut self, event: &str) -> Value {
        let mut line = String::new();
        self.events.read_line(&mut line).unwrap();
        let told: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(told["event"], event, "{told}");
        told
    }

    fn order(&mut self, order: &str) {
        writeln!(self.orders.as_mut().unwrap(), "{order}").unwrap();
    }

    /// Closes its stdin and waits until it is gone.
    fn release(&mut self) -> Option<i32> {
        self.orders = None;
        // Its stdout ends with it: no need to poll for the state.
        let mut rest = Vec::new();
        self.events.read_to_end(&mut rest).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn a_caller_measures_an_agent_and_the_agent_ends_with_its_stdin() {
    let mut rep = Peer::start(&["peer", "rep", "--wire", "raw"]);
    let ready = rep.next("ready");
    let endpoint = ready["endpoint"].as_str().unwrap();
    let mut req = Peer::start(&["peer", "req", "--wire", "raw", "--endpoint", endpoint, "--count", "100", "--warm-up", "10"]);
    req.next("ready");
    req.order("go");
    let result = req.next("result");
    assert_eq!(result["latency"]["count"], 100);
    assert!(result["latency"]["p50_us"].as_f64().unwrap() > 0.0);
    assert_eq!(req.release(), Some(0));
    assert_eq!(rep.release(), Some(0));
}

#[test]
fn a_held_program_ends_with_its_holder() {
    let mut hold = Peer::start(&["hold", "--", "sleep", "600"]);
    let pid = hold.next("spawned")["pid"].as_u64().unwrap();
    let proc = std::path::PathBuf::from(format!("/proc/{pid}"));
    assert!(proc.exists());
    assert_eq!(hold.release(), Some(0));
    assert!(!proc.exists(), "the held program outlived its holder");
}

#[test]
fn a_peer_whose_orders_end_before_it_began_is_gone_too() {
    let mut rep = Peer::start(&["peer", "rep", "--wire", "raw"]);
    let mut req = {
        let endpoint = rep.next("ready")["endpoint"].as_str().unwrap().to_owned();
        Peer::start(&["peer", "req", "--wire", "raw", "--endpoint", &endpoint])
    };
    req.next("ready");
    let asked = Instant::now();
    assert_eq!(req.release(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5));
}
