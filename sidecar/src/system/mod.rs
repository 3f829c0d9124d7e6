//! What the operating system can tell: who holds a port, how many files may be open, which ports it hands out itself.
//!
//! Everything is best effort and `None` where there is no `/proc`; it makes messages better and decides nothing.

mod holder;

use std::net::SocketAddr;

pub(crate) use holder::{Holder, holder_of, holder_of_local};

/// The soft limit of open files of this process; `u64::MAX` when unlimited.
pub(crate) fn open_files_max() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    let soft = line["Max open files".len()..].split_whitespace().next()?;
    if soft == "unlimited" { Some(u64::MAX) } else { soft.parse().ok() }
}

/// Files and sockets that this process has open.
pub(crate) fn open_files() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count())
}

/// Memory of this process that is in RAM.
pub(crate) fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// First and last port that the system gives to outgoing connections.
pub(crate) fn ephemeral_ports() -> Option<(u16, u16)> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    let mut ports = range.split_whitespace().map(str::parse);
    match (ports.next(), ports.next()) {
        (Some(Ok(first)), Some(Ok(last))) => Some((first, last)),
        _ => None,
    }
}

/// Whether two listeners cannot exist together: the same port on the same or an overlapping interface.
pub(crate) fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let covers = |any: SocketAddr, other: SocketAddr| any.ip().is_unspecified() && (any.is_ipv6() || other.is_ipv4());
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || covers(a, b) || covers(b, a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_overlap_what_they_cover() {
        let at = |text: &str| text.parse::<SocketAddr>().expect("an address");
        assert!(overlap(at("127.0.0.1:5"), at("127.0.0.1:5")));
        assert!(overlap(at("0.0.0.0:5"), at("127.0.0.1:5")));
        assert!(overlap(at("127.0.0.1:5"), at("[::]:5")));
        assert!(!overlap(at("127.0.0.1:5"), at("127.0.0.2:5")));
        assert!(!overlap(at("0.0.0.0:5"), at("[::1]:5")));
        assert!(!overlap(at("127.0.0.1:5"), at("127.0.0.1:6")));
        assert!(!overlap(at("127.0.0.1:0"), at("127.0.0.1:0")), "port 0 is a different port each time");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_tells_limits_and_ports() {
        assert!(open_files_max().expect("a limit") > 0);
        let (first, last) = ephemeral_ports().expect("a range");
        assert!(first < last);
    }
}
