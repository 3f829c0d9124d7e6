//! What connects a host with all others: it can be cut, mended, made slow, and it counts.

use super::namespace::Namespace;
use std::fs;
use std::net::Ipv4Addr;
use std::ops::Sub;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// The cable between a host and the router.
#[derive(Debug)]
pub struct Cable {
    router: Arc<Namespace>,
    host: Arc<Namespace>,
    /// The interface of the router into which it is plugged.
    port: String,
    address: Ipv4Addr,
}

/// The interface of a host into which its cable is plugged.
pub(super) const HOST_PORT: &str = "eth0";

/// What went over a cable since it was plugged in, with the headers of Ethernet (14 bytes per packet), IP and TCP. What was sent
/// while it was cut counts for the sender: the router drops it behind the counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes that the host sent.
    pub bytes_out: u64,
    /// Packets that the host sent; one TCP segment is one packet.
    pub packets_out: u64,
    /// Bytes that the host received.
    pub bytes_in: u64,
    /// Packets that the host received.
    pub packets_in: u64,
}

/// The kernel cannot delay or lose packets on purpose (it lacks `sch_netem`).
#[derive(Debug, thiserror::Error)]
#[error("no netem: {0}")]
pub struct NoNetem(String);

impl Cable {
    pub(super) const fn new(router: Arc<Namespace>, host: Arc<Namespace>, port: String, address: Ipv4Addr) -> Self {
        Self { router, host, port, address }
    }

    /// Cuts it: from now on, nothing arrives in either direction, and nobody is told. Cutting a cut cable changes nothing.
    ///
    /// # Panics
    /// When the router cannot be changed.
    #[track_caller]
    pub fn cut(&self) {
        // What the host sends is dropped where forwarding is off, and a blackhole takes what is sent to it; both without ICMP.
        self.forward("0");
        self.ip(&format!("route replace blackhole {}/32\n", self.address));
    }

    /// Connects it again. What was sent meanwhile is lost; TCP sends it again when its timers say so, which may take as long
    /// as the cut did. Mending a whole cable changes nothing.
    ///
    /// # Panics
    /// As [`Cable::cut`].
    #[track_caller]
    pub fn mend(&self) {
        // Both at once: flush says nothing when there is none.
        self.ip(&format!("route flush type blackhole {}/32\n", self.address));
        self.forward("1");
    }

    /// What went over it until now.
    ///
    /// # Panics
    /// When the kernel does not show it.
    #[must_use]
    #[track_caller]
    pub fn traffic(&self) -> Traffic {
        let table = self.router.enter(|| fs::read_to_string("/proc/thread-self/net/dev")).expect("the kernel shows its counters");
        let line = table.lines().find_map(|line| line.trim_start().strip_prefix(&self.port)?.strip_prefix(':'));
        let Some(line) = line else { panic!("no {} in:\n{table}", self.port) };
        // Eight columns of what the interface received, then eight of what it sent.
        let columns: Vec<u64> = line.split_whitespace().map(|number| number.parse().expect("counters are numbers")).collect();
        Traffic { bytes_out: columns[0], packets_out: columns[1], bytes_in: columns[8], packets_in: columns[9] }
    }

    /// Makes it slow and unreliable: `delay` each way, and so many percent of the packets lost. Replaces what was set before; no
    /// delay and no loss is a good cable again.
    ///
    /// # Errors
    /// When the kernel has no netem.
    pub fn impair(&self, delay: Duration, loss_percent: u8) -> Result<(), NoNetem> {
        let (delay, loss) = (format!("{}us", delay.as_micros()), format!("{loss_percent}%"));
        // An interface shapes what it sends: each end has one direction.
        for (end, port) in [(&self.router, self.port.as_str()), (&self.host, HOST_PORT)] {
            let mut tc = Command::new("tc");
            tc.args(["qdisc", "replace", "dev", port, "root", "netem", "delay", &delay, "loss", &loss]);
            let ended = end.enter(|| tc.output()).map_err(|error| NoNetem(format!("tc: {error}")))?;
            if !ended.status.success() {
                return Err(NoNetem(String::from_utf8_lossy(&ended.stderr).trim().to_owned()));
            }
        }
        Ok(())
    }

    #[track_caller]
    fn forward(&self, value: &str) {
        let set = self.router.set(&format!("net/ipv4/conf/{}/forwarding", self.port), value);
        set.unwrap_or_else(|problem| panic!("{problem:?}"));
    }

    #[track_caller]
    fn ip(&self, command: &str) {
        self.router.ip(command).unwrap_or_else(|problem| panic!("{problem:?}"));
    }
}

impl Sub for Traffic {
    type Output = Self;

    /// What went over it between two looks, the later one first.
    fn sub(self, earlier: Self) -> Self {
        Self {
            bytes_out: self.bytes_out - earlier.bytes_out,
            packets_out: self.packets_out - earlier.packets_out,
            bytes_in: self.bytes_in - earlier.bytes_in,
            packets_in: self.packets_in - earlier.packets_in,
        }
    }
}
