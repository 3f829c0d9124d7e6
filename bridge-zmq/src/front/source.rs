//! Whose connections they are, as far as nobody can choose it at will.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::stream::Stream;

/// Where connections come from that count together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// An IPv4 address, or the 64 bits of an IPv6 address that are not its owner's to choose. All of loopback is one: nothing tells the processes
    /// behind it apart.
    Network(IpAddr),
    /// A process of this machine that came through a Unix domain socket; the system vouches for it.
    Process(i32),
}

impl Source {
    pub(super) fn of(stream: &Stream, remote: SocketAddr) -> Self {
        let process = match stream {
            Stream::Tcp(_) => None,
            Stream::Unix(stream) => stream.peer_cred().ok().and_then(|peer| peer.pid()),
        };
        process.map_or_else(|| Self::from(remote.ip()), Self::Process)
    }
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            address if address.is_loopback() => Self::Network(Ipv6Addr::LOCALHOST.into()),
            IpAddr::V6(address) => Self::Network(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into()),
            address => Self::Network(address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(address: &str) -> Source {
        Source::from(address.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn addresses_of_one_owner_are_one_source() {
        assert_eq!(source("2001:db8:1:2::3"), source("2001:db8:1:2:ffff::4"));
        assert_ne!(source("2001:db8:1:2::3"), source("2001:db8:1:3::3"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        assert_eq!(source("192.0.2.1"), source("::ffff:192.0.2.1"));
        assert_eq!(source("127.0.0.1"), source("127.0.0.2"));
        assert_eq!(source("127.0.0.1"), source("::1"));
    }
}
