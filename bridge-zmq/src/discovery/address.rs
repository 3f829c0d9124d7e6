//! Which address a registration may name.
//!
//! Whoever may register an address can make us connect to it and send other agents' requests there. So a registration
//! may name only the address it came from; loopback, unspecified and `localhost` all mean that address. More must be
//! allowed by the operator.

use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;

/// The operator's exceptions. The default has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressRule {
    allowed: Vec<AllowedHost>,
}

/// One exception: `10.1.2.3`, `10.1.0.0/16`, or a host name such as `MainPC`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// Any peer may register addresses in this network.
    Network { base: IpAddr, prefix: u32 },
    /// A word by which agents call their own machine. It stands for the peer's address and is never resolved: a lookup
    /// would block, and would hand the decision to whoever answers it.
    Name(Box<str>),
}

/// A text that is neither an address, a network nor a host name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("allowed host {text:?} is not an address, a network (address/prefix) or a host name")]
pub struct AllowedHostError {
    text: String,
}

/// Why a registration's address was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// It is an address of some other machine.
    #[error("host {host} is neither the caller's address {peer} nor allowed")]
    Foreign {
        /// The address named.
        host: IpAddr,
        /// The address it was named from.
        peer: IpAddr,
    },
    /// It is a name, and not one that is allowed.
    #[error("host {host:?} is a name, which is not allowed")]
    Name {
        /// The name, shortened to 64 characters.
        host: String,
    },
}

impl AddressRule {
    /// A rule with these exceptions.
    pub fn new(allowed: Vec<AllowedHost>) -> Self {
        Self { allowed }
    }

    /// The address that a registration means.
    ///
    /// `ours` tells whether an address belongs to this machine; it is asked only for peers on loopback, which share that
    /// machine and so all of its addresses.
    ///
    /// # Errors
    /// When it names an address that it may not.
    pub fn resolve(&self, host: Option<&str>, peer: IpAddr, ours: impl FnOnce(IpAddr) -> bool) -> Result<IpAddr, AddressError> {
        let peer = peer.to_canonical();
        let host = host.unwrap_or_default().trim();
        if host.is_empty() || host == "*" || host.eq_ignore_ascii_case("localhost") {
            return Ok(peer);
        }
        let Ok(address) = host.parse::<IpAddr>() else {
            return self.resolve_name(host, peer);
        };
        let address = address.to_canonical();
        // On this machine every loopback address is somebody's own; from elsewhere the word can only mean the sender.
        if address.is_loopback() && peer.is_loopback() {
            return Ok(address);
        }
        if address.is_loopback() || address.is_unspecified() || address == peer {
            return Ok(peer);
        }
        if self.allows(address) || (peer.is_loopback() && ours(address)) {
            return Ok(address);
        }
        Err(AddressError::Foreign { host: address, peer })
    }

    fn resolve_name(&self, host: &str, peer: IpAddr) -> Result<IpAddr, AddressError> {
        let known = self.allowed.iter().any(|allowed| match &allowed.0 {
            Kind::Name(name) => name.eq_ignore_ascii_case(host),
            Kind::Network { .. } => false,
        });
        if known { Ok(peer) } else { Err(AddressError::Name { host: host.chars().take(64).collect() }) }
    }

    fn allows(&self, address: IpAddr) -> bool {
        self.allowed.iter().any(|allowed| match &allowed.0 {
            Kind::Network { base, prefix } => in_network(address, *base, *prefix),
            Kind::Name(_) => false,
        })
    }
}

impl FromStr for AllowedHost {
    type Err = AllowedHostError;

    fn from_str(text: &str) -> Result<Self, AllowedHostError> {
        let wrong = || AllowedHostError { text: text.to_owned() };
        let (base, prefix) = text.split_once('/').map_or((text, None), |(base, prefix)| (base, Some(prefix)));
        if let Ok(base) = base.parse::<IpAddr>() {
            let bits = if base.is_ipv4() { 32 } else { 128 };
            let prefix = prefix.map_or(Ok(bits), |prefix| prefix.parse().map_err(|_| wrong()))?;
            return if prefix <= bits { Ok(Self(Kind::Network { base, prefix })) } else { Err(wrong()) };
        }
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if prefix.is_none() && !text.is_empty() && text.len() <= 253 && text.bytes().all(legal) {
            return Ok(Self(Kind::Name(text.into())));
        }
        Err(wrong())
    }
}

fn in_network(address: IpAddr, base: IpAddr, prefix: u32) -> bool {
    // A shift by the full width means that no bit has to match.
    match (address, base) {
        (IpAddr::V4(address), IpAddr::V4(base)) => (address.to_bits() ^ base.to_bits()).checked_shr(32 - prefix).unwrap_or(0) == 0,
        (IpAddr::V6(address), IpAddr::V6(base)) => (address.to_bits() ^ base.to_bits()).checked_shr(128 - prefix).unwrap_or(0) == 0,
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(allowed: &[&str], host: Option<&str>, peer: &str) -> Option<String> {
        let rule = AddressRule::new(allowed.iter().map(|text| text.parse().unwrap()).collect());
        let ours = |address: IpAddr| address.to_string() == "192.168.1.5";
        rule.resolve(host, peer.parse().unwrap(), ours).ok().map(|address| address.to_string())
    }

    #[test]
    fn every_word_for_here_means_the_peer() {
        for host in [None, Some(""), Some("localhost"), Some("LOCALHOST"), Some("0.0.0.0"), Some("*"), Some("::")] {
            assert_eq!(resolve(&[], host, "127.0.0.1").as_deref(), Some("127.0.0.1"), "{host:?}");
            assert_eq!(resolve(&[], host, "10.0.0.9").as_deref(), Some("10.0.0.9"), "{host:?}");
        }
        assert_eq!(resolve(&[], Some("127.0.0.1"), "10.0.0.9").as_deref(), Some("10.0.0.9"));
        assert_eq!(resolve(&[], Some("127.0.0.1"), "::ffff:10.0.0.9").as_deref(), Some("10.0.0.9"));
        assert_eq!(resolve(&[], Some("127.0.0.7"), "127.0.0.1").as_deref(), Some("127.0.0.7"));
    }

    #[test]
    fn another_machine_must_be_allowed() {
        assert_eq!(resolve(&[], Some("10.0.0.8"), "10.0.0.9"), None);
        assert_eq!(resolve(&["10.0.0.8"], Some("10.0.0.8"), "10.0.0.9").as_deref(), Some("10.0.0.8"));
        assert_eq!(resolve(&["10.0.0.0/24"], Some("10.0.0.8"), "10.0.0.9").as_deref(), Some("10.0.0.8"));
        assert_eq!(resolve(&["10.0.0.0/24"], Some("10.0.1.8"), "10.0.0.9"), None);
        assert_eq!(resolve(&["0.0.0.0/0"], Some("10.0.1.8"), "10.0.0.9").as_deref(), Some("10.0.1.8"));
        assert_eq!(resolve(&["::/0"], Some("10.0.1.8"), "10.0.0.9"), None);
        assert_eq!(resolve(&[], Some("MainPC"), "10.0.0.9"), None);
        assert_eq!(resolve(&["MainPC"], Some("mainpc"), "10.0.0.9").as_deref(), Some("10.0.0.9"));
    }

    #[test]
    fn a_local_agent_may_name_any_address_of_its_machine() {
        assert_eq!(resolve(&[], Some("192.168.1.5"), "127.0.0.1").as_deref(), Some("192.168.1.5"));
        assert_eq!(resolve(&[], Some("192.168.1.6"), "127.0.0.1"), None);
        assert_eq!(resolve(&[], Some("192.168.1.5"), "10.0.0.9"), None);
    }

    #[test]
    fn nonsense_is_not_an_exception() {
        for text in ["", "10.0.0.0/33", "10.0.0.0/x", "a/8", "a b", "::/129"] {
            assert!(text.parse::<AllowedHost>().is_err(), "{text:?}");
        }
    }
}
