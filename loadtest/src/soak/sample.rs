//! What the sidecar holds: as the kernel counts it, as its `/metrics` say it, and as `myelin zmq` shows it.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::failure::{Doing, Failure, Outcome};
use crate::sidecar::Sidecar;

/// One look at the sidecar.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Seconds since the load began.
    pub(crate) at: f64,
    /// Resident memory, and the parts of it that are no file's and that are its alone, in KiB.
    pub(crate) resident_kib: u64,
    pub(crate) anonymous_kib: u64,
    pub(crate) proportional_kib: u64,
    /// Without the segments of streams, which come and go with what is stored.
    pub(crate) descriptors: u64,
    pub(crate) threads: u64,
    /// Of ZeroMQ peers: established, and in their handshake.
    pub(crate) connections: u64,
    pub(crate) pending: u64,
    /// Of NATS clients.
    pub(crate) clients: u64,
    /// As `myelin zmq --json` lists them.
    pub(crate) peers: u64,
    /// Bytes that wait for peers.
    pub(crate) queued: u64,
}

impl Sample {
    /// Looks, `at` seconds after the beginning.
    ///
    /// # Errors
    /// The sidecar has ended or does not answer.
    pub(crate) fn take(sidecar: &Sidecar, binary: &Path, at: f64) -> Outcome<Self> {
        let pid = sidecar.pid();
        let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).doing(|| format!("reading /proc/{pid}/{name}"));
        // Before the questions, whose own connections would be counted.
        let open = fs::read_dir(format!("/proc/{pid}/fd")).doing(|| format!("reading /proc/{pid}/fd"))?;
        let descriptors = open.flatten().filter(|descriptor| !is_segment(&descriptor.path())).count() as u64;
        let metrics = sidecar.metrics()?;
        let metric = |name: &str| metrics.get(name).copied().ok_or_else(|| Failure::new(format!("/metrics has no {name}")));
        let (status, rollup) = (read("status")?, read("smaps_rollup")?);
        let zmq = peers(sidecar, binary)?;
        Ok(Self {
            at,
            resident_kib: number(&status, "VmRSS"),
            anonymous_kib: number(&status, "RssAnon"),
            proportional_kib: number(&rollup, "Pss"),
            descriptors,
            threads: number(&status, "Threads"),
            connections: metric("myelin_zmq_connections")? as u64,
            pending: metric("myelin_zmq_handshakes_pending")? as u64,
            clients: metric("myelin_bus_listener_connections")? as u64,
            peers: zmq["peers"].as_array().map_or(0, |peers| peers.len() as u64),
            queued: zmq["queued_bytes"].as_u64().ok_or_else(|| Failure::new("myelin zmq tells no queued_bytes"))?,
        })
    }

    /// Descriptors that no connection explains.
    pub(crate) fn unexplained(&self) -> i64 {
        self.descriptors as i64 - self.connections as i64 - self.pending as i64 - self.clients as i64
    }
}

/// One that has been closed meanwhile was of a connection.
fn is_segment(descriptor: &Path) -> bool {
    fs::read_link(descriptor).is_ok_and(|file| file.extension().is_some_and(|extension| extension == "seg"))
}

fn peers(sidecar: &Sidecar, binary: &Path) -> Outcome<Value> {
    let server = format!("nats://{}", sidecar.nats());
    let output = Command::new(binary).args(["zmq", "--json", "--server", &server]).output().doing(|| "running myelin zmq".to_owned())?;
    if !output.status.success() {
        return Err(Failure::new(format!("myelin zmq: {}", String::from_utf8_lossy(&output.stderr).trim())));
    }
    serde_json::from_slice(&output.stdout).doing(|| "reading what myelin zmq printed".to_owned())
}

/// The number of a line `name: number …`; zero where there is none.
pub(super) fn number(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_their_whole_name() {
        let text = "Pss_Dirty:   7 kB\nPss:        12 kB\nThreads:\t4\n";
        assert_eq!((number(text, "Pss"), number(text, "Threads"), number(text, "Rss")), (12, 4, 0));
    }
}
