//! The facts without which a figure means nothing.

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
    fn fields_are_found_by_name() {
        let text = "processor\t: 0\nmodel name\t: A Fast One\nMemTotal:       16384 kB\n";
        assert_eq!(field(text, "model name"), Some("A Fast One"));
        assert_eq!(field(text, "MemTotal").and_then(kib), Some(16_384));
        assert_eq!(field(text, "absent"), None);
    }
}
