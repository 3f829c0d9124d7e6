//! The write half of a socket, over TCP or on this machine.

use std::io::{self, IoSlice};

use tokio::net::{tcp, unix};

/// The write half of one connection's socket.
#[derive(Debug)]
pub enum Writer {
    /// A TCP connection.
    Tcp(tcp::OwnedWriteHalf),
    /// A Unix domain socket.
    Unix(unix::OwnedWriteHalf),
}

impl Writer {
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.try_write(bytes),
            Self::Unix(socket) => socket.try_write(bytes),
        }
    }

    pub(super) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.try_write_vectored(slices),
            Self::Unix(socket) => socket.try_write_vectored(slices),
        }
    }

    pub(super) async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.writable().await,
            Self::Unix(socket) => socket.writable().await,
        }
    }
}

impl From<tcp::OwnedWriteHalf> for Writer {
    fn from(socket: tcp::OwnedWriteHalf) -> Self {
        Self::Tcp(socket)
    }
}

impl From<unix::OwnedWriteHalf> for Writer {
    fn from(socket: unix::OwnedWriteHalf) -> Self {
        Self::Unix(socket)
    }
}
