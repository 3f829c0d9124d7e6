//! A sidecar with one durable pipeline, and what its tests ask about it.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::net::SocketAddr;
use std::process::Output;
use std::time::Duration;

use myelin_testkit::zmtp::Peer;
use myelin_testkit::{Agent, AgentBuilder, PATIENCE, Sidecar, eventually, free_ports};
use serde_json::Value;

/// A sidecar with the pipeline `jobs`.
pub(crate) struct Pipeline {
    pub(crate) sidecar: Sidecar,
    pub(crate) producers: SocketAddr,
    pub(crate) consumers: SocketAddr,
}

/// The stream that it is kept in.
pub(crate) const STREAM: &str = "PIPELINE_jobs";

impl Pipeline {
    /// With these lines in its `[[route]]`.
    #[track_caller]
    pub(crate) fn start(settings: &str) -> Self {
        let [producers, consumers] = free_ports();
        let sidecar = Sidecar::builder()
            .routes(&format!(
                "[[route]]\nname = \"jobs\"\nkind = \"pipeline\"\n\
                 producers = {{ bind = [\"tcp://127.0.0.1:{producers}\"] }}\n\
                 consumers = {{ bind = [\"tcp://127.0.0.1:{consumers}\"] }}\n{settings}\n"
            ))
            .start();
        Self { sidecar, producers: ([127, 0, 0, 1], producers).into(), consumers: ([127, 0, 0, 1], consumers).into() }
    }

    /// A producer made of bytes.
    #[track_caller]
    pub(crate) fn push(&self) -> Peer {
        Peer::connect(self.producers, "PUSH")
    }

    /// A consumer made of bytes: it answers PINGs while it is asked for messages, and only then.
    #[track_caller]
    pub(crate) fn pull(&self) -> Peer {
        Peer::connect(self.consumers, "PULL")
    }

    /// A pyzmq producer.
    pub(crate) fn push_agent(&self) -> AgentBuilder {
        Agent::script("push_agent").arg("--connect", format!("tcp://{}", self.producers))
    }

    /// A pyzmq consumer.
    pub(crate) fn pull_agent(&self) -> AgentBuilder {
        Agent::script("pull_agent").arg("--connect", format!("tcp://{}", self.consumers))
    }

    /// Runs a command that succeeds and returns what it printed, one JSON value per line.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let Output { status, stdout, stderr } = self.sidecar.command(&[arguments, &["--json"]].concat()).output().expect("it starts");
        let stderr = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "{arguments:?}: {stderr}");
        let stdout = String::from_utf8(stdout).expect("text");
        stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    /// Messages that are stored and that nobody has acked.
    #[track_caller]
    pub(crate) fn stored(&self) -> u64 {
        self.sidecar.metric("myelin_stream_messages").unwrap_or_default() as u64
    }

    /// Waits until the sidecar has been told by its disk that so many messages of producers are stored, since it started: what it counts as being in the
    /// stream may still be on its way there.
    #[track_caller]
    pub(crate) fn wait_safe(&self, messages: u64) {
        eventually(&format!("{messages} messages are safe"), PATIENCE, || (self.counter("stored") == messages).then_some(()));
    }

    /// Waits until so many messages are stored.
    #[track_caller]
    pub(crate) fn wait_stored(&self, messages: u64) {
        eventually(&format!("{messages} messages are stored"), PATIENCE, || (self.stored() == messages).then_some(()));
    }

    /// A counter of the sidecar.
    #[track_caller]
    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.sidecar.metric(&format!("myelin_zmq_pipeline_messages_{name}_total")).unwrap_or_default() as u64
    }
}

/// Answers the PINGs of a consumer until `is_done`; no message may come.
#[track_caller]
pub(crate) fn answer_until(pull: &mut Peer, what: &str, mut is_done: impl FnMut() -> bool) {
    eventually(what, PATIENCE, || {
        if let Ok(frames) = pull.try_message(Duration::from_millis(5)) {
            panic!("{what}: a message came: {frames:?}");
        }
        is_done().then_some(())
    });
}

/// The messages `first..last`, one frame each.
#[track_caller]
pub(crate) fn send_numbers(push: &mut Peer, numbers: std::ops::Range<u32>) {
    for number in numbers {
        push.send(&[number.to_string()]);
    }
}

/// The number in a message of one frame.
pub(crate) fn number(frames: &[Vec<u8>]) -> u32 {
    let [frame] = frames else { panic!("{} frames", frames.len()) };
    String::from_utf8_lossy(frame).parse().expect("a number")
}
