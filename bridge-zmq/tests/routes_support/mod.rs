//! Routes on an embedded bus, and pyzmq programs as their peers.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use myelin_bridge_zmq::front::{Endpoint, Front, FrontConfig, IdentityPolicy};
use myelin_bridge_zmq::metrics::Metrics;
use myelin_bridge_zmq::routes::{RouteContext, RouteMetrics};
use myelin_bus::{Bus, EmbeddedConfig};

/// Longer than anything here takes on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A bus and a front of their own.
pub(crate) fn context() -> RouteContext {
    RouteContext {
        bus: Bus::embedded(EmbeddedConfig::default()),
        front: Front::new(FrontConfig::default(), Metrics::default()),
        metrics: RouteMetrics::default(),
        health: None,
    }
}

/// The same for callers that all announce one identity.
pub(crate) fn sharing_context() -> RouteContext {
    let context = context();
    let config = FrontConfig { identity: IdentityPolicy::Share, ..context.front.config().clone() };
    RouteContext { front: context.front.with_config(config), ..context }
}

pub(crate) fn any_port() -> Endpoint {
    "tcp://127.0.0.1:0".parse().unwrap()
}

pub(crate) fn at(address: SocketAddr) -> Endpoint {
    Endpoint::from(address)
}

/// A Python program with `zmq` and `ctx` at hand; its output is read line by line. Killed on drop.
pub(crate) struct Program {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Program {
    pub(crate) fn start(code: &str) -> Self {
        let prelude = "import zmq, sys, time, threading\nctx = zmq.Context()\ndef say(*a): print(*a, flush=True)\n";
        let mut child = Command::new("python3")
            .args(["-u", "-c", &format!("{prelude}{code}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 with pyzmq: pip install pyzmq");
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    /// The next line, within the deadline. Blocks, so tests run on a multi-threaded runtime.
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(DEADLINE).expect("the program says something (is pyzmq installed? pip install pyzmq)")
    }

    /// A line that is there already.
    pub(crate) fn try_line(&self) -> Option<String> {
        self.lines.recv_timeout(Duration::from_millis(5)).ok()
    }

    /// The rest of its output, once it has ended.
    pub(crate) fn finish(mut self) -> Vec<String> {
        let deadline = Instant::now() + DEADLINE;
        let mut all = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            all.push(line);
        }
        assert!(self.child.wait().unwrap().success(), "the program failed; it said {all:?}");
        all
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits until `state` holds.
pub(crate) async fn until(what: &str, mut state: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !state() {
        assert!(tokio::time::Instant::now() < deadline, "never happened: {what}");
        tokio::task::yield_now().await;
    }
}
