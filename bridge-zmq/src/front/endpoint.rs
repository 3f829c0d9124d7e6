//! Where a socket listens or connects: `tcp://host:port`, `ipc://path`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

const SCHEME: &str = "tcp://";
const IPC_SCHEME: &str = "ipc://";

/// Longest name of a Unix domain socket, without the room for the `~` of a file that is being bound.
const LOCAL_BYTES_MAX: usize = 106;

/// Longest host name that DNS allows.
const HOST_BYTES_MAX: usize = 253;

/// An endpoint as ZeroMQ writes it: `tcp://127.0.0.1:5559`, `tcp://[::1]:5559`, `tcp://agent-7.local:5559`, and to listen also `tcp://*:5559`
/// (every IPv4 interface) and `tcp://127.0.0.1:*` (any free port). On this machine also `ipc:///run/agent.sock` and, without a file,
/// `ipc://@agent`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    host: Host,
    port: u16,
}

/// The host of an [`Endpoint`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// `*`: every IPv4 interface. Only to listen.
    Any,
    /// An address.
    Address(IpAddr),
    /// A name, resolved at each attempt to bind or connect.
    Name(Box<str>),
    /// A Unix domain socket: the path of its file, or an abstract name behind `@`. It has no port.
    Local(Box<str>),
}

impl Endpoint {
    /// The endpoint of an address.
    #[must_use]
    pub const fn new(address: IpAddr, port: u16) -> Self {
        Self { host: Host::Address(address), port }
    }

    /// The host.
    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The port; 0 for `*`, which lets the system choose.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// What the resolver takes: host and port.
    pub(super) fn target(&self) -> (String, u16) {
        let host = match &self.host {
            Host::Any => Ipv4Addr::UNSPECIFIED.to_string(),
            Host::Address(address) => address.to_string(),
            Host::Name(name) | Host::Local(name) => name.to_string(),
        };
        (host, self.port)
    }

    /// The name of a Unix domain socket as the system takes it.
    pub(super) fn socket_name(name: &str) -> PathBuf {
        match name.strip_prefix('@') {
            Some(name) => format!("\0{name}").into(),
            None => name.into(),
        }
    }
}

impl From<std::net::SocketAddr> for Endpoint {
    fn from(address: std::net::SocketAddr) -> Self {
        Self::new(address.ip(), address.port())
    }
}

/// What is wrong with the text of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// It does not start with `tcp://` or `ipc://`.
    #[error("endpoint {text:?} does not start with \"tcp://\" or \"ipc://\"")]
    Scheme {
        /// The text.
        text: Box<str>,
    },
    /// The path of a socket file, or the abstract name, is empty or longer than 106 bytes.
    #[error("endpoint {text:?} has no valid path")]
    Path {
        /// The text.
        text: Box<str>,
    },
    /// The host is empty or not one.
    #[error("endpoint {text:?} has no valid host")]
    Host {
        /// The text.
        text: Box<str>,
    },
    /// The port is missing, not a number, or above 65535.
    #[error("endpoint {text:?} has no valid port")]
    Port {
        /// The text.
        text: Box<str>,
    },
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(name) = text.strip_prefix(IPC_SCHEME) {
            let is_valid = !matches!(name, "" | "@" | "*") && name.len() <= LOCAL_BYTES_MAX && !name.contains('\0');
            let host = Host::Local(name.into());
            return if is_valid { Ok(Self { host, port: 0 }) } else { Err(EndpointError::Path { text: text.into() }) };
        }
        let rest = text.strip_prefix(SCHEME).ok_or_else(|| EndpointError::Scheme { text: text.into() })?;
        let (host, port) = rest.rsplit_once(':').ok_or_else(|| EndpointError::Port { text: text.into() })?;
        let host = parse_host(host).ok_or_else(|| EndpointError::Host { text: text.into() })?;
        let port = match port {
            "*" => 0,
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| EndpointError::Port { text: text.into() })?
            }
            _ => return Err(EndpointError::Port { text: text.into() }),
        };
        Ok(Self { host, port })
    }
}

fn parse_host(host: &str) -> Option<Host> {
    if host == "*" {
        return Some(Host::Any);
    }
    if let Some(inner) = host.strip_prefix('[') {
        return inner.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(|address| Host::Address(address.into()));
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Some(Host::Address(address.into()));
    }
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (!host.is_empty() && host.len() <= HOST_BYTES_MAX && host.bytes().all(legal)).then(|| Host::Name(host.into()))
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Host::Local(name) = &self.host {
            return write!(f, "{IPC_SCHEME}{name}");
        }
        f.write_str(SCHEME)?;
        match &self.host {
            Host::Any => f.write_str("*")?,
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}")?,
            Host::Name(name) | Host::Local(name) => f.write_str(name)?,
        }
        match self.port {
            0 => f.write_str(":*"),
            port => write!(f, ":{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_survives_a_round_trip() {
        for text in [
            "tcp://127.0.0.1:5559",
            "tcp://*:7120",
            "tcp://[::1]:80",
            "tcp://agent-7.local:65535",
            "tcp://127.0.0.1:*",
            "ipc:///run/a.sock",
            "ipc://@name",
        ] {
            assert_eq!(text.parse::<Endpoint>().map(|endpoint| endpoint.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn the_error_names_the_part() {
        use EndpointError::{Host, Path, Port, Scheme};
        let parse = |text: &str| text.parse::<Endpoint>().expect_err(text);
        assert!(matches!(parse("udp://host:1"), Scheme { .. }));
        for text in ["ipc://", "ipc://@", "ipc://*", "ipc://a\0b", &format!("ipc:///{}", "x".repeat(106))] {
            assert!(matches!(parse(text), Path { .. }));
        }
        assert!(matches!(parse("127.0.0.1:5559"), Scheme { .. }));
        assert!(matches!(parse("tcp://:5559"), Host { .. }));
        assert!(matches!(parse("tcp://[::1:5559"), Host { .. }));
        assert!(matches!(parse("tcp://a b:5559"), Host { .. }));
        assert!(matches!(parse("tcp://host"), Port { .. }));
        assert!(matches!(parse("tcp://host:"), Port { .. }));
        assert!(matches!(parse("tcp://host:+1"), Port { .. }));
        assert!(matches!(parse("tcp://host:65536"), Port { .. }));
    }
}
