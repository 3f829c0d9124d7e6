//! A minimal blocking ZMTP 3.0 peer (NULL, tcp): the cheapest agent there can be, so that a path's own cost shows.
//!
//! Not a ZeroMQ socket: one connection, no queue, no reconnect. A full kernel buffer blocks the writer, which is
//! exactly what a blocking publisher needs.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::time::Duration;

use crate::failure::{Doing, Failure, Outcome};

/// Largest message a peer of the harness accepts.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
const READ_BYTES: usize = 64 << 10;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

/// One connection after its handshake.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    unread: Range<usize>,
}

/// One whole message in the reader's buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received<'a> {
    /// All frames as they were on the wire.
    pub(crate) packed: &'a [u8],
    /// Payload of the last frame.
    pub(crate) last: &'a [u8],
}

impl Connection {
    /// Connects and shakes hands as `socket_type` (for example "REQ").
    ///
    /// # Errors
    /// The endpoint is not `tcp://host:port`, refuses, or does not speak ZMTP 3 with NULL.
    pub(crate) fn connect(endpoint: &str, socket_type: &str) -> Outcome<Self> {
        let address = address_of(endpoint)?;
        let stream = TcpStream::connect(address).doing(|| format!("connecting to {endpoint}"))?;
        Self::greet(stream, socket_type).doing(|| format!("shaking hands with {endpoint} as {socket_type}"))
    }

    /// Shakes hands on an accepted connection.
    ///
    /// # Errors
    /// The peer does not speak ZMTP 3 with NULL.
    pub(crate) fn accept(stream: TcpStream, socket_type: &str) -> Outcome<Self> {
        Self::greet(stream, socket_type).doing(|| format!("accepting a peer as {socket_type}"))
    }

    fn greet(stream: TcpStream, socket_type: &str) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(HANDSHAKE_TIMEOUT))?;
        let mut own = Self { stream, buffer: vec![0; READ_BYTES], unread: 0..0 };
        own.stream.write_all(&greeting())?;
        let mut theirs = [0; 64];
        own.stream.read_exact(&mut theirs)?;
        if theirs[0] != 0xff || theirs[9] & 1 == 0 || theirs[10] < 3 || &theirs[12..17] != b"NULL\0" {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the peer does not speak ZMTP 3 with NULL"));
        }
        own.stream.write_all(&ready(socket_type))?;
        // The first frame after the greeting is the peer's READY; its properties do not matter here.
        while own.parse()?.is_none() {
            own.fill()?;
        }
        let (end, command, _) = own.parse()?.expect("a whole frame is buffered");
        if !command {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message came before READY"));
        }
        own.unread.start += end;
        own.stream.set_read_timeout(None)?;
        Ok(own)
    }

    /// Limits how long [`Self::receive`] may wait for bytes.
    ///
    /// # Errors
    /// The kernel refuses the option.
    pub(crate) fn set_patience(&self, timeout: Duration) -> Outcome<()> {
        self.stream.set_read_timeout(Some(timeout)).doing(|| "setting the read timeout".to_owned())
    }

    /// Blocks until a whole message is there; commands are skipped.
    ///
    /// # Errors
    /// The connection ended, timed out (`WouldBlock`), or the message is longer than a mebibyte.
    pub(crate) fn receive(&mut self) -> io::Result<Received<'_>> {
        loop {
            match self.parse()? {
                Some((end, true, _)) => self.unread.start += end,
                Some((end, false, last)) => {
                    let start = self.unread.start;
                    self.unread.start += end;
                    return Ok(Received {
                        packed: &self.buffer[start..start + end],
                        last: &self.buffer[start + last.start..start + last.end],
                    });
                }
                None => self.fill()?,
            }
        }
    }

    /// Writes bytes that are already frames; blocks while the peer does not read.
    ///
    /// # Errors
    /// The connection ended.
    pub(crate) fn send_packed(&mut self, packed: &[u8]) -> io::Result<()> {
        self.stream.write_all(packed)
    }

    /// A second handle, for a thread that only writes.
    ///
    /// # Errors
    /// Out of file descriptors.
    pub(crate) fn writer(&self) -> io::Result<TcpStream> {
        self.stream.try_clone()
    }

    fn parse(&self) -> io::Result<Option<(usize, bool, Range<usize>)>> {
        first_message(&self.buffer[self.unread.clone()], MESSAGE_BYTES_MAX)
    }

    fn fill(&mut self) -> io::Result<()> {
        if self.unread.is_empty() {
            self.unread = 0..0;
        } else if self.unread.end == self.buffer.len() {
            self.buffer.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
            if self.unread.end == self.buffer.len() {
                // One message fills the buffer; `parse` refuses it before this can pass twice the limit.
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
        }
        match self.stream.read(&mut self.buffer[self.unread.end..])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            bytes => {
                self.unread.end += bytes;
                Ok(())
            }
        }
    }
}

/// Binds a port of the kernel's choice on loopback; returns the endpoint next to the listener.
///
/// # Errors
/// No port is free.
pub(crate) fn listen() -> Outcome<(TcpListener, String)> {
    let listener = TcpListener::bind("127.0.0.1:0").doing(|| "binding a loopback port".to_owned())?;
    let port = listener.local_addr().doing(|| "reading the bound port".to_owned())?.port();
    Ok((listener, format!("tcp://127.0.0.1:{port}")))
}

/// The `host:port` of a tcp endpoint.
///
/// # Errors
/// Another transport.
pub(crate) fn address_of(endpoint: &str) -> Outcome<&str> {
    endpoint.strip_prefix("tcp://").ok_or_else(|| Failure::new(format!("{endpoint:?} is not a tcp:// endpoint")))
}

/// Length of the first whole message in `bytes`, whether it is a command, and where its last payload stands.
///
/// # Errors
/// It declares a frame over `bytes_max`.
pub(crate) fn first_message(bytes: &[u8], bytes_max: usize) -> io::Result<Option<(usize, bool, Range<usize>)>> {
    let mut at = 0;
    loop {
        let Some(&flags) = bytes.get(at) else { return Ok(None) };
        let (head, length) = if flags & LONG == 0 {
            let Some(&length) = bytes.get(at + 1) else { return Ok(None) };
            (2, usize::from(length))
        } else {
            let Some(long) = bytes.get(at + 1..at + 9).and_then(|long| long.first_chunk::<8>()) else {
                return Ok(None);
            };
            (9, usize::try_from(u64::from_be_bytes(*long)).unwrap_or(usize::MAX))
        };
        if length > bytes_max || at > bytes_max {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("message over {bytes_max} bytes")));
        }
        let payload = at + head..at + head + length;
        if payload.end > bytes.len() {
            return Ok(None);
        }
        at = payload.end;
        if flags & MORE == 0 {
            return Ok(Some((at, flags & COMMAND != 0, payload)));
        }
    }
}

/// Appends one frame.
pub(crate) fn push_frame(out: &mut Vec<u8>, more: bool, payload: &[u8]) {
    let more = u8::from(more) * MORE;
    match u8::try_from(payload.len()) {
        Ok(length) => out.extend_from_slice(&[more, length]),
        Err(_) => {
            out.push(more | LONG);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

/// What a peer with NULL security says first.
pub(crate) fn greeting() -> [u8; 64] {
    let mut bytes = [0; 64];
    bytes[0] = 0xff;
    bytes[8] = 1;
    bytes[9] = 0x7f;
    // 3.0: subscriptions travel as messages, which is one case less to handle here.
    bytes[10] = 3;
    bytes[12..16].copy_from_slice(b"NULL");
    bytes
}

/// The READY of a peer without an identity.
pub(crate) fn ready(socket_type: &str) -> Vec<u8> {
    let mut body = b"\x05READY".to_vec();
    for (name, value) in [("Socket-Type", socket_type), ("Identity", "")] {
        body.push(u8::try_from(name.len()).expect("property names are short"));
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(&u32::try_from(value.len()).expect("property values are short").to_be_bytes());
        body.extend_from_slice(value.as_bytes());
    }
    let mut frame = vec![COMMAND, u8::try_from(body.len()).expect("READY is short")];
    frame.extend_from_slice(&body);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn two_peers_exchange_short_long_and_multipart_messages() {
        let (listener, endpoint) = listen().unwrap();
        let echo = thread::spawn(move || {
            let mut peer = Connection::accept(listener.accept().unwrap().0, "REP").unwrap();
            let mut copy = Vec::new();
            while let Ok(message) = peer.receive() {
                copy.clear();
                copy.extend_from_slice(message.packed);
                peer.send_packed(&copy).unwrap();
            }
        });
        let mut caller = Connection::connect(&endpoint, "REQ").unwrap();
        for length in [0, 64, 255, 256, 200_000] {
            let body = vec![7; length];
            let mut packed = Vec::new();
            push_frame(&mut packed, true, b"");
            push_frame(&mut packed, false, &body);
            caller.send_packed(&packed).unwrap();
            let reply = caller.receive().unwrap();
            assert_eq!(reply.packed, packed);
            assert_eq!(reply.last, body);
        }
        drop(caller);
        echo.join().unwrap();
    }

    #[test]
    fn a_peer_that_speaks_http_is_refused() {
        let (listener, endpoint) = listen().unwrap();
        let server = thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            stream.write_all(&[b'H'; 64]).unwrap();
            let mut rest = Vec::new();
            drop(stream.read_to_end(&mut rest));
        });
        assert!(Connection::connect(&endpoint, "REQ").is_err());
        server.join().unwrap();
    }

    #[test]
    fn a_declared_giant_is_refused_before_it_is_allocated() {
        let (listener, endpoint) = listen().unwrap();
        let server = thread::spawn(move || {
            let mut peer = Connection::accept(listener.accept().unwrap().0, "PUB").unwrap();
            peer.send_packed(&[LONG, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).unwrap();
            peer
        });
        let mut caller = Connection::connect(&endpoint, "SUB").unwrap();
        assert_eq!(caller.receive().unwrap_err().kind(), io::ErrorKind::InvalidData);
        drop(server.join().unwrap());
    }
}
