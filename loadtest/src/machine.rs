//! The facts without which a figure means nothing.

use std::fs;
use std::time::{Duration, Instant};

use serde::Serialize;

/// What a benchmark ran on.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) memory_mib: u64,
    /// Runnable processes over the last minute, before the run: what else the machine was doing.
    pub(crate) load_1m: f64,
    pub(crate) libzmq: String,
    pub(crate) profile: &'static str,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let load = read("/proc/loadavg");
        Self {
            cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or("unknown").to_owned(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            memory_mib: field(&read("/proc/meminfo"), "MemTotal").and_then(kib).unwrap_or(0) / 1_024,
            load_1m: load.split(' ').next().and_then(|one| one.parse().ok()).unwrap_or(f64::NAN),
            libzmq: libzmq_version(),
            profile: if cfg!(debug_assertions) { "debug: the figures mean nothing" } else { "release" },
        }
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

fn kib(value: &str) -> Option<u64> {
    value.split(' ').next()?.parse().ok()
}

/// How much of the machine went to others while a scenario ran: what its figures have to be doubted by.
#[derive(Debug)]
pub(crate) struct Neighbours {
    started: Instant,
    busy: Duration,
    own: Duration,
}

impl Neighbours {
    /// Starts watching.
    pub(crate) fn watch() -> Self {
        Self { started: Instant::now(), busy: machine_busy(), own: own_cpu() }
    }

    /// Their share of all cores since [`Self::watch`], 0 to 1. Counts children only once they have ended.
    pub(crate) fn share(&self) -> f64 {
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
        let theirs = machine_busy().saturating_sub(self.busy).saturating_sub(own_cpu().saturating_sub(self.own));
        theirs.as_secs_f64() / (self.started.elapsed().as_secs_f64() * cores)
    }
}

/// The unit of CPU times in `/proc`; the kernel has told user space 100 Hz on every architecture we run on.
const TICK_MS: u64 = 10;

/// Time that all cores together were not idle, including what a hypervisor took.
fn machine_busy() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = stat.lines().next().unwrap_or_default().split_ascii_whitespace().skip(1);
    // user nice system idle iowait irq softirq steal; guest times are part of user time.
    let busy = fields.take(8).enumerate().filter(|(at, _)| !matches!(at, 3 | 4));
    ticks(busy.map(|(_, value)| value))
}

/// CPU of this process and of its children that have ended.
fn own_cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may contain anything; utime is the twelfth field behind it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_ascii_whitespace();
    ticks(fields.skip(11).take(4))
}

fn ticks<'a>(values: impl Iterator<Item = &'a str>) -> Duration {
    Duration::from_millis(values.filter_map(|value| value.parse::<u64>().ok()).sum::<u64>() * TICK_MS)
}

#[cfg(feature = "libzmq")]
fn libzmq_version() -> String {
    let (major, minor, patch) = zmq::version();
    format!("{major}.{minor}.{patch}")
}

#[cfg(not(feature = "libzmq"))]
fn libzmq_version() -> String {
    "not built in".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_never_use_less_than_nothing() {
        let neighbours = Neighbours::watch();
        assert!(machine_busy() > own_cpu());
        assert!(neighbours.share() >= 0.0);
    }

    #[test]
    fn fields_are_found_by_name() {
        let text = "processor\t: 0\nmodel name\t: A Fast One\nMemTotal:       16384 kB\n";
        assert_eq!(field(text, "model name"), Some("A Fast One"));
        assert_eq!(field(text, "MemTotal").and_then(kib), Some(16_384));
        assert_eq!(field(text, "absent"), None);
    }
}
