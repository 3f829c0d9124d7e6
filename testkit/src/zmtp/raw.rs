//! A TCP peer that sends and compares bytes.

use super::COMMAND;
use crate::hex;
use crate::wait::PATIENCE;
use socket2::SockRef;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Why nothing was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecvError {
    /// The time has passed.
    #[error("nothing within the timeout")]
    Timeout,
    /// The other side has closed or reset the connection.
    #[error("the connection is closed")]
    Closed,
}

/// A TCP connection with a read buffer.
#[derive(Debug)]
pub struct RawPeer {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// What of `buffer` has been consumed.
    taken: usize,
}

impl RawPeer {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens there.
    #[must_use]
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        match Self::try_connect(address) {
            Ok(peer) => peer,
            Err(error) => panic!("cannot connect to {address}: {error}"),
        }
    }

    /// As [`RawPeer::connect`], for places that may be down.
    ///
    /// # Errors
    /// What the system says.
    pub fn try_connect(address: SocketAddr) -> std::io::Result<Self> {
        Ok(Self::over(TcpStream::connect_timeout(&address, PATIENCE)?))
    }

    pub(super) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a TCP socket takes the option");
        // A test never blocks for ever on a peer that reads nothing.
        stream.set_write_timeout(Some(PATIENCE)).expect("the timeout is not zero");
        Self { stream, buffer: Vec::new(), taken: 0 }
    }

    /// This side's address.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.stream.local_addr().expect("a connected socket has an address")
    }

    /// Sends bytes in one write.
    ///
    /// # Errors
    /// When the other side has closed.
    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends bytes in one write.
    ///
    /// # Panics
    /// When the other side has closed.
    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        if let Err(error) = self.try_send(bytes) {
            panic!("cannot send {} bytes: {error}", bytes.len());
        }
    }

    /// Sends the bytes of a hex text.
    ///
    /// # Panics
    /// As [`RawPeer::send`].
    #[track_caller]
    pub fn send_hex(&mut self, text: &str) {
        self.send(&hex::bytes(text));
    }

    /// Sends every byte in a segment of its own.
    ///
    /// # Panics
    /// As [`RawPeer::send`].
    #[track_caller]
    pub fn send_bytewise(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.send(&[*byte]);
        }
    }

    /// Exactly `count` bytes.
    ///
    /// # Errors
    /// What has been read stays in the buffer then.
    pub fn recv(&mut self, count: usize, timeout: Duration) -> Result<Vec<u8>, RecvError> {
        self.fill(count, Instant::now() + timeout)?;
        Ok(self.take(count).to_vec())
    }

    /// Whether the next frame is a command of the protocol and no message.
    ///
    /// # Panics
    /// When nothing comes.
    #[track_caller]
    pub fn next_is_command(&mut self) -> bool {
        if let Err(error) = self.fill(1, Instant::now() + PATIENCE) {
            panic!("neither a message nor a command: {error}");
        }
        self.buffered()[0] & COMMAND != 0
    }

    /// Compares the next bytes with a hex text.
    ///
    /// # Panics
    /// When they differ or do not come; the text shows both.
    #[track_caller]
    pub fn expect_hex(&mut self, text: &str) {
        self.expect(&hex::bytes(text));
    }

    /// Compares the next bytes.
    ///
    /// # Panics
    /// As [`RawPeer::expect_hex`].
    #[track_caller]
    pub fn expect(&mut self, expected: &[u8]) {
        if let Err(error) = self.fill(expected.len(), Instant::now() + PATIENCE) {
            panic!("{error}\n expected {}\n      got {}", hex::text(expected), hex::text(self.buffered()));
        }
        let got = self.take(expected.len());
        assert!(got == expected, "other bytes\n expected {}\n      got {}", hex::text(expected), hex::text(got));
    }

    /// Whether nothing arrives for `span` while the connection stays open.
    ///
    /// # Panics
    /// When something arrives or the connection ends.
    #[track_caller]
    pub fn expect_silence(&mut self, span: Duration) {
        match self.fill(1, Instant::now() + span) {
            Err(RecvError::Timeout) => {}
            Err(RecvError::Closed) => panic!("closed, where silence was expected"),
            Ok(()) => panic!("bytes, where silence was expected: {}", hex::text(self.buffered())),
        }
    }

    /// Waits until the other side has closed; what it sends before is dropped.
    ///
    /// # Panics
    /// When it is still open at the deadline.
    #[track_caller]
    pub fn expect_closed(&mut self, deadline: Duration) {
        assert!(self.is_closed_within(deadline), "still open after {deadline:?}");
    }

    /// Whether the other side closes before the deadline; what it sends before is dropped.
    #[must_use]
    pub fn is_closed_within(&mut self, deadline: Duration) -> bool {
        let end = Instant::now() + deadline;
        loop {
            self.take(self.buffered().len());
            match self.fill(1, end) {
                Ok(()) => {}
                Err(error) => return error == RecvError::Closed,
            }
        }
    }

    /// Drops the connection with a reset, as a killed process with unread bytes does.
    pub fn close(self) {
        drop(self);
    }

    /// Says that nothing more will be sent; what the other side sends can still be read.
    pub fn end(&mut self) {
        // It may have closed already, which is an end as well.
        self.stream.shutdown(Shutdown::Write).ok();
    }

    /// Ends the connection by a reset, whatever is on its way.
    pub fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("a TCP socket takes the option");
    }

    /// How long a send may wait for a peer that does not read; [`PATIENCE`] unless set.
    ///
    /// # Panics
    /// When it is zero.
    pub fn set_send_timeout(&self, timeout: Duration) {
        self.stream.set_write_timeout(Some(timeout)).expect("the timeout is not zero");
    }

    /// Sends what the other side takes within the send timeout, and returns how many bytes that were.
    ///
    /// # Errors
    /// When the other side has closed.
    pub fn send_some(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => sent += written,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    /// What has arrived and is not consumed.
    pub(super) fn buffered(&self) -> &[u8] {
        &self.buffer[self.taken..]
    }

    pub(super) fn take(&mut self, count: usize) -> &[u8] {
        self.taken += count;
        &self.buffer[self.taken - count..self.taken]
    }

    /// Reads until `count` bytes are buffered.
    pub(super) fn fill(&mut self, count: usize, end: Instant) -> Result<(), RecvError> {
        if self.taken == self.buffer.len() {
            self.buffer.clear();
            self.taken = 0;
        }
        let mut chunk = [0; 16 << 10];
        while self.buffered().len() < count {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(RecvError::Timeout);
            }
            self.stream.set_read_timeout(Some(left)).expect("the timeout is not zero");
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(RecvError::Closed),
                Ok(read) => self.buffer.extend_from_slice(&chunk[..read]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                    _ => return Err(RecvError::Closed),
                },
            }
        }
        Ok(())
    }
}
