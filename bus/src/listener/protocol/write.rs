//! What is said to a client.

use std::net::IpAddr;

use serde_json::json;

/// Answer to an operation of a client that asked for `verbose`.
pub(in crate::listener) const OK: &[u8] = b"+OK\r\n";

/// Asks whether a client is still there.
pub(in crate::listener) const PING: &[u8] = b"PING\r\n";

/// Answer to a client's `PING`.
pub(in crate::listener) const PONG: &[u8] = b"PONG\r\n";

/// The header block of the message that tells a client that nobody is there to answer its request.
pub(in crate::listener) const NO_RESPONDERS_BLOCK: &[u8] = b"NATS/1.0 503\r\n\r\n";

/// The `-ERR` line with one of the texts that clients know.
pub(in crate::listener) fn error_line(text: &str) -> Vec<u8> {
    format!("-ERR '{text}'\r\n").into_bytes()
}

/// What a server tells of itself.
#[derive(Debug, Clone)]
pub(in crate::listener) struct Info<'a> {
    pub(in crate::listener) server_id: &'a str,
    pub(in crate::listener) server_name: &'a str,
    pub(in crate::listener) host: IpAddr,
    pub(in crate::listener) port: u16,
    pub(in crate::listener) payload_bytes_max: usize,
    pub(in crate::listener) client_id: u64,
    pub(in crate::listener) client_ip: IpAddr,
    /// The server is about to end; clients with another server to go to should go.
    pub(in crate::listener) is_draining: bool,
}

impl Info<'_> {
    /// The `INFO` line. There is no nonce, because there is no authentication.
    pub(in crate::listener) fn to_line(&self) -> Vec<u8> {
        let mut members = json!({
            "server_id": self.server_id,
            "server_name": self.server_name,
            // The level of the protocol we speak, not the release of nats-server: clients switch features on by it. 2.10 is the
            // newest whose core protocol is complete here, and JetStream is not offered.
            "version": "2.10.0",
            "proto": 1,
            "host": self.host.to_string(),
            "port": self.port,
            "headers": true,
            "max_payload": self.payload_bytes_max,
            "jetstream": false,
            "client_id": self.client_id,
            "client_ip": self.client_ip.to_string(),
            "myelin": env!("CARGO_PKG_VERSION"),
        });
        if self.is_draining {
            members["ldm"] = true.into();
        }
        format!("INFO {members} \r\n").into_bytes()
    }
}

/// The control line of messages to one subscription: everything but the lengths is written once per batch.
#[derive(Debug, Default)]
pub(in crate::listener) struct MessageHead {
    line: Vec<u8>,
    stem: usize,
}

impl MessageHead {
    /// Starts the lines `MSG subject sid [reply] …`, or `HMSG …`.
    pub(in crate::listener) fn start(&mut self, word: &[u8], subject: &str, sid: &[u8], reply: Option<&str>) {
        self.line.clear();
        for part in [word, b" ", subject.as_bytes(), b" ", sid, b" "] {
            self.line.extend_from_slice(part);
        }
        if let Some(reply) = reply {
            self.line.extend_from_slice(reply.as_bytes());
            self.line.push(b' ');
        }
        self.stem = self.line.len();
    }

    /// The line of a message without headers.
    pub(in crate::listener) fn plain(&mut self, payload_bytes: usize) -> &[u8] {
        self.line.truncate(self.stem);
        self.number(payload_bytes);
        self.line.extend_from_slice(b"\r\n");
        &self.line
    }

    /// The line of a message with headers, and the header block after it.
    pub(in crate::listener) fn with_headers(&mut self, block: &[u8], payload_bytes: usize) -> &[u8] {
        self.line.truncate(self.stem);
        self.number(block.len());
        self.line.push(b' ');
        self.number(block.len() + payload_bytes);
        self.line.extend_from_slice(b"\r\n");
        self.line.extend_from_slice(block);
        &self.line
    }

    fn number(&mut self, mut value: usize) {
        let mut digits = [0_u8; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (value % 10) as u8;
            value /= 10;
            if value == 0 {
                break;
            }
        }
        self.line.extend_from_slice(&digits[at..]);
    }
}
