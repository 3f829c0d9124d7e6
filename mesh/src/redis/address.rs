//! Where a node is, and which slot a namespace has.

use crate::Namespace;
use std::fmt;
use std::sync::Arc;

pub(super) const SLOTS: u16 = 16_384;

/// A host and a port.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Address {
    pub(super) host: Arc<str>,
    pub(super) port: u16,
}

impl Address {
    pub(super) fn new(host: &str, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// `host:port`; a host of IPv6 may stand in brackets.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() { None } else { Some(Self::new(host, port.parse().ok()?)) }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The slot of all keys of a namespace: its hash tag is the namespace, which has no brace in it.
pub(super) fn slot_of(space: &Namespace) -> u16 {
    crc16(space.as_str().as_bytes()) % SLOTS
}

/// CRC-16/XMODEM, as Redis Cluster has it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        let mut crc = crc ^ (u16::from(*byte) << 8);
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
        }
        crc
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        // The check value of CRC-16/XMODEM, which the specification of Redis Cluster gives.
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot_of(&Namespace::new("foo").unwrap()), 12_182);
    }

    #[test]
    fn an_address_is_read_as_people_write_it() {
        assert_eq!(Address::parse("localhost:6379"), Some(Address::new("localhost", 6379)));
        assert_eq!(Address::parse("[::1]:6379"), Some(Address::new("::1", 6379)));
        assert_eq!(Address::parse("::1:6379"), Some(Address::new("::1", 6379)), "as MOVED writes it");
        for text in ["", "localhost", ":6379", "localhost:", "localhost:70000", "localhost:x"] {
            assert_eq!(Address::parse(text), None, "{text:?}");
        }
    }
}
