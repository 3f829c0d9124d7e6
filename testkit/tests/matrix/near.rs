//! The other side of the route: peers made of bytes, with NULL security whatever the foreign side proves.

use super::{Attach, Mechanism};
use myelin_testkit::free_port;
use myelin_testkit::zmtp::{Listener, Options, Peer};
use std::net::SocketAddr;
use std::time::Duration;

/// Time for one handshake, reconnecting included.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);

/// Where our own peers are. What a sidecar asks where it binds says nothing about where it connects, so beside a secured place of its own it has
/// to connect to them.
#[derive(Debug)]
pub(crate) enum Near {
    Calls(SocketAddr),
    Listens(Listener),
}

impl Near {
    pub(crate) fn beside(sidecar: Mechanism, foreign: Attach) -> Self {
        if foreign == Attach::Connect && sidecar != Mechanism::Null {
            Self::Listens(Listener::bind(free_port()))
        } else {
            Self::Calls(SocketAddr::from(([127, 0, 0, 1], free_port())))
        }
    }

    /// The side of the route that leads here.
    pub(crate) fn side(&self) -> String {
        match self {
            Self::Calls(place) => format!("{{ bind = [\"tcp://{place}\"] }}"),
            Self::Listens(listener) => format!("{{ connect = [\"tcp://{}\"] }}", listener.address()),
        }
    }

    /// A peer of this type that is ready.
    pub(crate) fn peer(&self, socket_type: &str) -> Result<Peer, String> {
        let options = Options::default();
        let peer = match self {
            Self::Calls(place) => Peer::try_connect(*place, socket_type, &options, HANDSHAKE_WITHIN),
            Self::Listens(listener) => {
                let raw = listener.try_accept_raw(HANDSHAKE_WITHIN).ok_or("the sidecar does not connect to our side")?;
                Peer::handshake(raw, socket_type, &options, HANDSHAKE_WITHIN)
            }
        };
        peer.map_err(|error| format!("no handshake of our {socket_type}: {error}"))
    }
}
