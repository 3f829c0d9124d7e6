//! The bound side of a byte-level peer.

use super::{Options, Peer, RawPeer};
use crate::wait::{PATIENCE, eventually};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

/// A listening TCP socket on loopback.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
}

impl Listener {
    /// Binds; take the port from [`crate::free_port`].
    ///
    /// # Panics
    /// When the port is taken.
    #[must_use]
    #[track_caller]
    pub fn bind(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let listener = listener.unwrap_or_else(|error| panic!("cannot bind port {port}: {error}"));
        // Accepting waits with a deadline, which the standard library only offers by asking again.
        listener.set_nonblocking(true).expect("a socket takes the option");
        Self { listener }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("a bound socket has an address")
    }

    /// The next connection, before any byte of the handshake.
    ///
    /// # Panics
    /// When nobody connects.
    #[must_use]
    #[track_caller]
    pub fn accept_raw(&self) -> RawPeer {
        eventually("a connection", PATIENCE, || {
            let (stream, _) = self.listener.accept().ok()?;
            stream.set_nonblocking(false).expect("a socket takes the option");
            Some(RawPeer::over(stream))
        })
    }

    /// The next connection, if one comes in time.
    ///
    /// # Panics
    /// When the system takes no option of a socket.
    #[must_use]
    pub fn try_accept_raw(&self, timeout: Duration) -> Option<RawPeer> {
        let end = Instant::now() + timeout;
        loop {
            if let Ok((stream, _)) = self.listener.accept() {
                stream.set_nonblocking(false).expect("a socket takes the option");
                return Some(RawPeer::over(stream));
            }
            if Instant::now() >= end {
                return None;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The next connection, after the handshake as a socket of this type. Connections that close before
    /// they are READY are skipped: whoever checks that a port is alive does that.
    ///
    /// # Panics
    /// When nobody finishes a handshake.
    #[must_use]
    #[track_caller]
    pub fn accept(&self, socket_type: &str, options: &Options) -> Peer {
        for _ in 0..PROBES_MAX {
            let raw = self.accept_raw();
            if let Ok(peer) = Peer::handshake(raw, socket_type, options, PATIENCE) {
                return peer;
            }
        }
        panic!("{PROBES_MAX} connections, and none finished its handshake");
    }
}

/// So many connections may come and go before one that speaks.
const PROBES_MAX: usize = 16;
