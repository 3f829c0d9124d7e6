//! A ZeroMQ endpoint as it is written in a configuration: `tcp://host:port`, `tcp://*:port` or `ipc:///path`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

/// Where a socket binds or connects. Names are kept as written and resolved when they are used, because agents move.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Endpoint {
    /// A host (a name, an address, or `*` for every interface) and a port.
    Tcp { host: String, port: u16 },
    /// A Unix domain socket.
    Ipc(PathBuf),
}

impl Endpoint {
    /// Reads an endpoint; a bare `host:port` is taken as tcp.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("ipc://") {
            return (!path.is_empty()).then(|| Self::Ipc(path.into()));
        }
        let rest = text.strip_prefix("tcp://").unwrap_or(text);
        let (host, port) = rest.rsplit_once(':')?;
        let port = if port == "*" { 0 } else { port.parse().ok()? };
        let host_is_fine = match host.strip_prefix('[') {
            Some(rest) => rest
                .strip_suffix(']')
                .is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok()),
            None => !host.is_empty() && !host.contains([':', '/', '[', ']', ' ', '@']),
        };
        host_is_fine.then(|| Self::Tcp {
            host: host.to_owned(),
            port,
        })
    }

    /// Whether one can connect to it: a wildcard host or port says only where to bind.
    pub(crate) fn is_reachable(&self) -> bool {
        !matches!(self, Self::Tcp { host, port } if host == "*" || *port == 0)
    }

    /// The port of a tcp endpoint; 0 means that the system chooses.
    pub(crate) fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp { port, .. } => Some(*port),
            Self::Ipc(_) => None,
        }
    }

    /// The address to bind: a name never stands for an interface, except `localhost` and `*`.
    pub(crate) fn bind_addr(&self) -> Option<SocketAddr> {
        let Self::Tcp { host, port } = self else {
            return None;
        };
        let ip = match host.as_str() {
            "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            other => other.trim_matches(['[', ']']).parse().ok()?,
        };
        Some(SocketAddr::new(ip, *port))
    }

    /// The addresses to connect to. Blocks on the resolver: for `doctor`, not for async code.
    pub(crate) fn resolve(&self) -> Vec<SocketAddr> {
        match self {
            Self::Tcp { host, port } => (host.trim_matches(['[', ']']), *port)
                .to_socket_addrs()
                .map(Iterator::collect)
                .unwrap_or_default(),
            Self::Ipc(_) => Vec::new(),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Ipc(path) => write!(f, "ipc://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_parse_and_come_back() {
        for text in [
            "tcp://127.0.0.1:5555",
            "tcp://*:5555",
            "tcp://agent-7.local:80",
            "tcp://[::1]:5555",
            "ipc:///tmp/a.sock",
        ] {
            assert_eq!(Endpoint::parse(text).expect(text).to_string(), text);
        }
        assert_eq!(
            Endpoint::parse("127.0.0.1:1").expect("bare").to_string(),
            "tcp://127.0.0.1:1"
        );
        for text in [
            "",
            "tcp://",
            "tcp://host",
            "tcp://:5",
            "tcp://h:99999",
            "udp://h:5",
            "tcp://::1:5",
            "ipc://",
            "tcp://[zz]:5",
        ] {
            assert_eq!(Endpoint::parse(text), None, "{text}");
        }
    }

    #[test]
    fn only_addresses_bind() {
        assert_eq!(
            Endpoint::parse("tcp://*:5").and_then(|e| e.bind_addr()),
            "0.0.0.0:5".parse().ok()
        );
        assert_eq!(
            Endpoint::parse("localhost:5").and_then(|e| e.bind_addr()),
            "127.0.0.1:5".parse().ok()
        );
        assert_eq!(
            Endpoint::parse("tcp://example:5").and_then(|e| e.bind_addr()),
            None
        );
    }
}
