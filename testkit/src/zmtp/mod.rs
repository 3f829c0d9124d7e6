//! ZMTP peers made of bytes: what libzmq does on the wire, with every byte in the hands of the test.
//!
//! [`RawPeer`] sends and compares hex. [`Peer`] has done the greeting and the READY of NULL security and moves
//! frames; it is small and fast enough for load. [`Listener`] is the bound side of either.
//!
//! It is deliberately not the codec of the sidecar: two readings of the specification have to agree.

mod listener;
mod peer;
mod raw;

pub use listener::Listener;
pub use peer::{Options, Peer, Received, Version};
pub use raw::{RawPeer, RecvError};

/// The greeting libzmq 4.3.5 sends for NULL security: 64 bytes, version 3.1.
pub const GREETING: &str = "ff 0000000000000001 7f 03 01 4e554c4c 00000000000000000000000000000000 \
                            00 00000000000000000000000000000000000000000000000000000000000000";

/// Frame flag: another frame of the message follows.
pub const MORE: u8 = 1;
/// Frame flag: the length takes eight bytes.
pub const LONG: u8 = 2;
/// Frame flag: a command of the protocol, not a message.
pub const COMMAND: u8 = 4;

/// One frame as it goes on the wire.
#[must_use]
pub fn frame(flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 9);
    push_frame(&mut out, flags, payload);
    out
}

/// A whole message as it goes on the wire.
#[must_use]
pub fn message<P: AsRef<[u8]>>(frames: &[P]) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, payload) in frames.iter().enumerate() {
        let flags = if index + 1 < frames.len() { MORE } else { 0 };
        push_frame(&mut out, flags, payload.as_ref());
    }
    out
}

/// A command frame: `READY`, `SUBSCRIBE`, `PING`, …
#[must_use]
pub fn command(name: &str, body: &[u8]) -> Vec<u8> {
    let mut payload = vec![u8::try_from(name.len()).expect("command names are short")];
    payload.extend_from_slice(name.as_bytes());
    payload.extend_from_slice(body);
    frame(COMMAND, &payload)
}

/// A READY command with the properties that libzmq sends for this socket type.
#[must_use]
pub fn ready(socket_type: &str, identity: &[u8]) -> Vec<u8> {
    let mut body = property("Socket-Type", socket_type.as_bytes());
    if matches!(socket_type, "REQ" | "DEALER" | "ROUTER") {
        body.extend(property("Identity", identity));
    }
    command("READY", &body)
}

fn property(name: &str, value: &[u8]) -> Vec<u8> {
    let mut out = vec![u8::try_from(name.len()).expect("property names are short")];
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(&u32::try_from(value.len()).expect("property values are short").to_be_bytes());
    out.extend_from_slice(value);
    out
}

fn push_frame(out: &mut Vec<u8>, flags: u8, payload: &[u8]) {
    if let Ok(short) = u8::try_from(payload.len()) {
        out.extend_from_slice(&[flags, short]);
    } else {
        out.push(flags | LONG);
        out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
    }
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    /// Captured from libzmq 4.3.5.
    #[test]
    fn frames_and_commands_equal_the_captured_ones() {
        assert_eq!(hex::bytes(GREETING).len(), 64);
        assert_eq!(
            ready("REQ", b""),
            hex::bytes("0426 05 5245414459 0b 536f636b65742d54797065 00000003 524551 08 4964656e74697479 00000000")
        );
        assert_eq!(ready("REP", b""), hex::bytes("0419 05 5245414459 0b 536f636b65742d54797065 00000003 524550"));
        assert_eq!(command("SUBSCRIBE", b""), hex::bytes("040a 09 535542534352494245"));
        assert_eq!(message(&[b"ERROR:".as_slice(), b"{\"a\":1}"]), hex::bytes("0106 4552524f523a 0007 7b2261223a317d"));
        assert_eq!(frame(0, &[7; 599])[..9], hex::bytes("02 0000000000000257")[..]);
    }
}
