//! The bytes of one connection: over TCP, or on this machine through a Unix domain socket.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::BytesMut;
use myelin_bus::outlet::Writer;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpStream, UnixStream, tcp, unix};

/// Idle time before TCP probes a peer: dead machines are noticed also where nobody sends heartbeats.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// Wakes for the end of what a peer says, and not for more of it. Elsewhere there is no such interest: only a connection that failed is noticed.
#[cfg(any(target_os = "linux", target_os = "android"))]
const END: Interest = Interest::PRIORITY;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const END: Interest = Interest::ERROR;

/// What stands for the address of a peer that came through a Unix domain socket: it is on this machine, and has no port.
pub(super) const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

#[derive(Debug)]
pub(super) enum Reader {
    Tcp(tcp::OwnedReadHalf),
    Unix(unix::OwnedReadHalf),
}

impl Stream {
    /// The peer's address and ours.
    pub(super) fn addresses(&self) -> io::Result<(SocketAddr, SocketAddr)> {
        match self {
            Self::Tcp(stream) => Ok((stream.peer_addr()?, stream.local_addr()?)),
            Self::Unix(_) => Ok((HERE, HERE)),
        }
    }

    /// Sends small messages at once, and notices a machine that is gone.
    pub(super) fn tune(&self) -> io::Result<()> {
        let Self::Tcp(stream) = self else { return Ok(()) };
        stream.set_nodelay(true)?;
        SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL))
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.readable().await,
            Self::Unix(stream) => stream.readable().await,
        }
    }

    pub(super) async fn read_buf(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read_buf(buffer).await,
            Self::Unix(stream) => stream.read_buf(buffer).await,
        }
    }

    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes).await,
            Self::Unix(stream) => stream.write_all(bytes).await,
        }
    }

    pub(super) fn into_split(self) -> (Reader, Writer) {
        match self {
            Self::Tcp(stream) => {
                let (read, write) = stream.into_split();
                (Reader::Tcp(read), write.into())
            }
            Self::Unix(stream) => {
                let (read, write) = stream.into_split();
                (Reader::Unix(read), write.into())
            }
        }
    }
}

impl Reader {
    pub(super) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.readable().await,
            Self::Unix(stream) => stream.readable().await,
        }
    }

    pub(super) async fn read_buf(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read_buf(buffer).await,
            Self::Unix(stream) => stream.read_buf(buffer).await,
        }
    }

    /// Waits until the peer has closed its side or the connection has failed, and reads nothing. What came before may still be unread,
    /// as far as it fits into the socket's buffer: an end behind more than that does not reach us.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing; the end stays known.
    pub(super) async fn ended(&self) {
        // A readiness that cannot be had is no end: the next read tells.
        let known = match self {
            Self::Tcp(stream) => stream.ready(END).await,
            Self::Unix(stream) => stream.ready(END).await,
        };
        if known.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Ends both directions, also while others hold the write half.
    pub(super) fn shutdown(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => SockRef::from(stream.as_ref()).shutdown(std::net::Shutdown::Both),
            Self::Unix(stream) => SockRef::from(stream.as_ref()).shutdown(std::net::Shutdown::Both),
        }
    }
}
