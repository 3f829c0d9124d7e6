//! An asynchronous ZMTP peer with NULL security: a connection in two halves, so that one task can wait for both. A PULL speaks 3.1, since durable
//! pipelines ask it what it took; all others speak 3.0.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::zmtp::{first_message, greeting, push_frame, ready};

/// Largest message a peer accepts; the largest that is sent is half of it.
const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// What an empty reader holds: a thousand of them are small.
const BUFFER_BYTES: usize = 4 << 10;
/// A peer that leaves politely waits this long for the other end to have read everything.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(20);

/// Where the greeting has the minor version.
const MINOR_AT: usize = 11;
/// What the body of a PING begins with; a time of two bytes and the context follow.
const PING: &[u8] = b"\x04PING";

/// How a peer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Farewell {
    /// Its last byte is followed by the end of the stream, and it stays until that was read.
    Close,
    /// With a RST: what the other end has not read is lost.
    Reset,
}

/// A connection after its handshake.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
}

/// The receiving half.
#[derive(Debug)]
pub(crate) struct Reader {
    stream: OwnedReadHalf,
    buffer: Vec<u8>,
    unread: Range<usize>,
}

/// The sending half.
#[derive(Debug)]
pub(crate) struct Writer {
    stream: OwnedWriteHalf,
    packed: Vec<u8>,
}

/// One whole message in the reader's buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received<'a> {
    /// All frames as they were on the wire.
    pub(crate) packed: &'a [u8],
    /// Payload of the last frame.
    pub(crate) last: &'a [u8],
}

impl Peer {
    /// Connects and shakes hands.
    ///
    /// # Errors
    /// The endpoint refuses, closes, or does not speak ZMTP.
    pub(crate) async fn connect(address: &str, socket_type: &str) -> io::Result<Self> {
        Self::greet(TcpStream::connect(address).await?, socket_type).await
    }

    /// As [`Peer::connect`], with the smallest receive buffer that the kernel gives: whoever does not read is seen to soon.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn connect_narrow(address: &str, socket_type: &str) -> io::Result<Self> {
        let address: SocketAddr = address.parse().map_err(io::Error::other)?;
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(BUFFER_BYTES as u32)?;
        Self::greet(socket.connect(address).await?, socket_type).await
    }

    /// Shakes hands on an open stream.
    ///
    /// # Errors
    /// The other end closes or does not speak ZMTP.
    pub(crate) async fn greet(stream: TcpStream, socket_type: &str) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let (read, write) = stream.into_split();
        let mut reader = Reader { stream: read, buffer: vec![0; BUFFER_BYTES], unread: 0..0 };
        let mut writer = Writer { stream: write, packed: Vec::new() };
        let mut ours = greeting();
        ours[MINOR_AT] = u8::from(socket_type == "PULL");
        writer.stream.write_all(&ours).await?;
        let mut theirs = [0; 64];
        reader.stream.read_exact(&mut theirs).await?;
        if theirs[0] != 0xff || theirs[10] < 3 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not ZMTP 3"));
        }
        writer.stream.write_all(&ready(socket_type)).await?;
        match reader.entry().await? {
            (_, true, _) => Ok(Self { reader, writer }),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "a message came before READY")),
        }
    }

    /// The next message of a PULL; the PINGs before it are answered: what came before them was taken.
    ///
    /// # Errors
    /// As [`Reader::next`].
    ///
    /// # Cancel safety
    /// No message is lost; half an answer may have been written.
    pub(crate) async fn take(&mut self) -> io::Result<Received<'_>> {
        loop {
            let (packed, is_command, last) = self.reader.entry().await?;
            if !is_command {
                return Ok(Received { packed: &self.reader.buffer[packed], last: &self.reader.buffer[last] });
            }
            if let Some(context) = self.reader.buffer[last].strip_prefix(PING).and_then(|rest| rest.get(2..)) {
                let length = u8::try_from(PING.len() + context.len()).map_err(io::Error::other)?;
                let pong = [&[0x04, length], &b"\x04PONG"[..], context].concat();
                self.writer.stream.write_all(&pong).await?;
            }
        }
    }

    /// Leaves.
    pub(crate) async fn leave(mut self, farewell: Farewell) {
        match farewell {
            Farewell::Close => {
                // Whatever still comes is read, as a closing ZeroMQ socket does not do: unread bytes would turn the close into a RST.
                let flushed = async {
                    self.writer.stream.shutdown().await?;
                    while self.reader.next().await.is_ok() {}
                    io::Result::Ok(())
                };
                timeout(FAREWELL_TIMEOUT, flushed).await.ok();
            }
            Farewell::Reset => {
                self.writer.stream.as_ref().set_zero_linger().ok();
            }
        }
    }
}

impl Reader {
    /// The next message; commands are skipped.
    ///
    /// # Errors
    /// The connection ended, or a message is longer than 8 MiB.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub(crate) async fn next(&mut self) -> io::Result<Received<'_>> {
        loop {
            let (packed, is_command, last) = self.entry().await?;
            if !is_command {
                return Ok(Received { packed: &self.buffer[packed], last: &self.buffer[last] });
            }
        }
    }

    /// The next message or command: where it stands, which it is, and where its last payload stands.
    async fn entry(&mut self) -> io::Result<(Range<usize>, bool, Range<usize>)> {
        loop {
            if let Some((end, is_command, last)) = first_message(&self.buffer[self.unread.clone()], MESSAGE_BYTES_MAX)? {
                let start = self.unread.start;
                self.unread.start += end;
                return Ok((start..start + end, is_command, start + last.start..start + last.end));
            }
            if self.unread.is_empty() {
                self.unread = 0..0;
                if self.buffer.len() > 16 * BUFFER_BYTES {
                    self.buffer = vec![0; BUFFER_BYTES];
                }
            } else if self.unread.end == self.buffer.len() {
                self.buffer.copy_within(self.unread.clone(), 0);
                self.unread = 0..self.unread.len();
                if self.unread.end == self.buffer.len() {
                    self.buffer.resize(self.buffer.len() * 2, 0);
                }
            }
            match self.stream.read(&mut self.buffer[self.unread.end..]).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                bytes => self.unread.end += bytes,
            }
        }
    }
}

impl Writer {
    /// Sends one message.
    ///
    /// # Errors
    /// The connection ended.
    ///
    /// # Cancel safety
    /// None: half a message may have been written.
    pub(crate) async fn send(&mut self, frames: &[&[u8]]) -> io::Result<()> {
        self.packed.clear();
        for (at, frame) in frames.iter().enumerate() {
            push_frame(&mut self.packed, at + 1 < frames.len(), frame);
        }
        self.stream.write_all(&self.packed).await?;
        self.packed.shrink_to(BUFFER_BYTES);
        Ok(())
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// The connection ended.
    ///
    /// # Cancel safety
    /// None.
    pub(crate) async fn send_packed(&mut self, packed: &[u8]) -> io::Result<()> {
        self.stream.write_all(packed).await
    }
}
