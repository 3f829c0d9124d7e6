//! Asks a ZeroMQ socket what it is: the greeting and the READY command tell, before any message.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::local;

/// What was found at an address.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A ZeroMQ socket of this type.
    Socket(String),
    /// A ZeroMQ socket that asks for this mechanism, and says no more to us.
    Secured(String),
    /// It answers, and not in ZMTP 3.
    Stranger,
    /// It accepts and stays silent.
    Silent,
    /// Nobody accepts; the reason.
    Refused(String),
}

/// Time to connect, and again for the handshake.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Signature, version 3.1, mechanism NULL, as client, padding: 64 bytes.
fn greeting() -> [u8; 64] {
    let mut greeting = [0; 64];
    greeting[0] = 0xff;
    greeting[9] = 0x7f;
    greeting[10] = 3;
    greeting[11] = 1;
    greeting[12..16].copy_from_slice(b"NULL");
    greeting
}

/// A stream whose reads can be given up.
trait Timed: Read + Write {
    fn set_read_timeout(&self, timeout: Duration) -> io::Result<()>;
}

impl Timed for TcpStream {
    fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(timeout))
    }
}

impl Timed for UnixStream {
    fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.set_read_timeout(Some(timeout))
    }
}

/// Connects, shakes hands as a socket of type `ours`, and hangs up. Blocks for at most two seconds.
pub(super) fn probe(address: SocketAddr, ours: &str) -> Found {
    greet(TcpStream::connect_timeout(&address, TIMEOUT), ours)
}

/// As [`probe`], for a Unix domain socket of this name.
pub(super) fn probe_local(name: &str, ours: &str) -> Found {
    greet(local::connect(name), ours)
}

fn greet(connected: io::Result<impl Timed>, ours: &str) -> Found {
    match connected {
        Ok(mut stream) => shake_hands(&mut stream, ours).unwrap_or(Found::Silent),
        Err(error) => Found::Refused(crate::config::reason(&error)),
    }
}

fn shake_hands(stream: &mut impl Timed, ours: &str) -> io::Result<Found> {
    let deadline = Instant::now() + TIMEOUT;
    stream.write_all(&greeting())?;
    let mut theirs = [0; 64];
    // The first byte comes alone: a server of another protocol may never send 64.
    read_until(stream, &mut theirs[..1], deadline)?;
    if theirs[0] != 0xff {
        return Ok(Found::Stranger);
    }
    read_until(stream, &mut theirs[1..], deadline)?;
    if theirs[10] < 3 {
        return Ok(Found::Stranger);
    }
    let mechanism = String::from_utf8_lossy(&theirs[12..32]);
    let mechanism = mechanism.trim_end_matches('\0');
    if mechanism != "NULL" {
        return Ok(Found::Secured(mechanism.to_lowercase()));
    }
    stream.write_all(&ready(ours))?;
    let mut header = [0; 2];
    read_until(stream, &mut header, deadline)?;
    let mut command = vec![0; usize::from(header[1])];
    read_until(stream, &mut command, deadline)?;
    Ok(socket_type(&command).map_or(Found::Stranger, Found::Socket))
}

/// A READY command with our socket type.
fn ready(ours: &str) -> Vec<u8> {
    const NAME: &[u8] = b"Socket-Type";
    let length = u8::try_from(ours.len()).expect("socket type names are short");
    let mut body = b"\x05READY".to_vec();
    body.push(NAME.len() as u8);
    body.extend_from_slice(NAME);
    body.extend_from_slice(&[0, 0, 0, length]);
    body.extend_from_slice(ours.as_bytes());
    let mut command = vec![0x04, u8::try_from(body.len()).expect("well below 255")];
    command.extend_from_slice(&body);
    command
}

/// The value of `Socket-Type` in a READY command.
fn socket_type(command: &[u8]) -> Option<String> {
    let mut properties = command.strip_prefix(b"\x05READY")?;
    while let Some((&name_len, rest)) = properties.split_first() {
        let (name, rest) = rest.split_at_checked(usize::from(name_len))?;
        let (value_len, rest) = rest.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*value_len) as usize)?;
        if name.eq_ignore_ascii_case(b"socket-type") {
            return String::from_utf8(value.to_vec()).ok();
        }
        properties = rest;
    }
    None
}

/// Fills `buffer` before the deadline, however slowly the bytes trickle.
fn read_until(stream: &mut impl Timed, buffer: &mut [u8], deadline: Instant) -> io::Result<()> {
    let mut filled = 0;
    while filled < buffer.len() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(left)?;
        match stream.read(&mut buffer[filled..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => filled += read,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_command_is_what_libzmq_sends() {
        // Captured from libzmq 4.3.5: a REP socket announces itself with exactly these bytes.
        let captured = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x03REP";
        assert_eq!(ready("REP"), captured);
        assert_eq!(socket_type(&captured[2..]).as_deref(), Some("REP"));
    }

    #[test]
    fn damaged_commands_are_no_panic() {
        let whole = ready("ROUTER");
        for end in 2..whole.len() {
            assert_eq!(socket_type(&whole[2..end]), None);
        }
        assert_eq!(socket_type(b"\x05READY\xff\x00"), None);
        assert_eq!(socket_type(b"\x05READY\x01a\xff\xff\xff\xff"), None);
    }
}
