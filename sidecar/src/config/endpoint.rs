//! ZeroMQ endpoints in a configuration: the bridge's own type, and what only a configuration asks of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

use myelin_bridge_zmq::front::Host;

pub(crate) use myelin_bridge_zmq::front::Endpoint;

/// Reads an endpoint; a bare `host:port` is taken as tcp.
pub(crate) fn parse(text: &str) -> Option<Endpoint> {
    if text.contains("://") { text.parse().ok() } else { format!("tcp://{text}").parse().ok() }
}

/// Whether one can connect to it: a wildcard host or port says only where to bind.
pub(crate) fn is_reachable(endpoint: &Endpoint) -> bool {
    local_name(endpoint).is_some() || (*endpoint.host() != Host::Any && endpoint.port() != 0)
}

/// Whether one can bind it: an address that is known without a resolver, or a Unix domain socket.
pub(crate) fn is_bindable(endpoint: &Endpoint) -> bool {
    local_name(endpoint).is_some() || bind_addr(endpoint).is_some()
}

/// The name of a Unix domain socket: the path of its file, or `@` and an abstract name.
pub(crate) fn local_name(endpoint: &Endpoint) -> Option<&str> {
    match endpoint.host() {
        Host::Local(name) => Some(name),
        Host::Any | Host::Address(_) | Host::Name(_) => None,
    }
}

/// Whether both are one Unix domain socket, also where one path is relative.
pub(crate) fn is_same_local(a: &Endpoint, b: &Endpoint) -> bool {
    let whole = |name: &str| match name.strip_prefix('@') {
        Some(_) => name.into(),
        None => std::path::absolute(name).unwrap_or_else(|_| name.into()),
    };
    matches!((local_name(a), local_name(b)), (Some(a), Some(b)) if whole(a) == whole(b))
}

/// The address to bind: a name never stands for an interface, except `localhost`.
pub(crate) fn bind_addr(endpoint: &Endpoint) -> Option<SocketAddr> {
    Some(SocketAddr::new(known_address(endpoint.host())?, endpoint.port()))
}

/// The address of a host, as far as it is known without asking a resolver.
pub(crate) fn known_address(host: &Host) -> Option<IpAddr> {
    match host {
        Host::Local(_) => None,
        Host::Any => Some(Ipv4Addr::UNSPECIFIED.into()),
        Host::Address(address) => Some(*address),
        Host::Name(name) => name.eq_ignore_ascii_case("localhost").then_some(Ipv4Addr::LOCALHOST.into()),
    }
}

/// The addresses to connect to over TCP. Blocks on the resolver: for `doctor`, not for async code.
pub(crate) fn resolve(endpoint: &Endpoint) -> Vec<SocketAddr> {
    match endpoint.host() {
        Host::Name(name) => (&**name, endpoint.port()).to_socket_addrs().map(Iterator::collect).unwrap_or_default(),
        Host::Any | Host::Address(_) | Host::Local(_) => bind_addr(endpoint).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_address_is_tcp_and_other_schemes_are_refused() {
        assert_eq!(parse("127.0.0.1:1").map(|endpoint| endpoint.to_string()).as_deref(), Some("tcp://127.0.0.1:1"));
        for text in ["", "tcp://", "tcp://host", "tcp://:5", "tcp://h:99999", "udp://h:5", "ipc://"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn only_addresses_bind() {
        let bound = |text: &str| parse(text).as_ref().and_then(bind_addr);
        assert_eq!(bound("tcp://*:5"), "0.0.0.0:5".parse().ok());
        assert_eq!(bound("localhost:5"), "127.0.0.1:5".parse().ok());
        assert_eq!(bound("tcp://example:5"), None);
    }

    #[test]
    fn wildcards_are_not_reachable() {
        let reachable = |text: &str| parse(text).is_some_and(|endpoint| is_reachable(&endpoint));
        assert!(reachable("tcp://agent:5"));
        assert!(!reachable("tcp://*:5") && !reachable("tcp://127.0.0.1:*"));
        assert!(reachable("ipc://@agent"));
    }

    #[test]
    fn one_socket_has_several_spellings() {
        let here = std::env::current_dir().expect("a directory").join("a.sock");
        let same = |a: &str, b: &str| is_same_local(&parse(a).expect(a), &parse(b).expect(b));
        assert!(same("ipc://a.sock", &format!("ipc://{}", here.display())));
        assert!(same("ipc://@a", "ipc://@a"));
        assert!(!same("ipc://@a", "ipc://a") && !same("ipc://a", "tcp://a:1"));
    }
}
