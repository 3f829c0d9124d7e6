//! What a client asks the registry of the sidecar, over a REQ made of bytes.

use crate::wait::PATIENCE;
use crate::zmtp::Peer;
use serde_json::{Value, json};
use std::net::SocketAddr;

/// A client of the discovery port; each question goes through a fresh socket, as the agents do it.
#[derive(Debug, Clone, Copy)]
pub struct Registry {
    address: SocketAddr,
}

impl Registry {
    /// A client of the registry at this address.
    #[must_use]
    pub const fn at(address: SocketAddr) -> Self {
        Self { address }
    }

    /// One question, one answer.
    ///
    /// # Panics
    /// When there is no answer, or it is not one frame of JSON.
    #[must_use]
    #[track_caller]
    pub fn ask(&self, question: &Value) -> Value {
        let mut socket = Peer::connect(self.address, "REQ");
        socket.send(&[b"".as_slice(), question.to_string().as_bytes()]);
        let answer = socket.message();
        assert_eq!(answer.len(), 2, "one frame behind the delimiter");
        match serde_json::from_slice(&answer[1]) {
            Ok(value) => value,
            Err(error) => panic!("{error} in {}", String::from_utf8_lossy(&answer[1])),
        }
    }

    /// Where `get_agent_endpoint` leads, at once and without a second try.
    ///
    /// # Panics
    /// When the agent is not found.
    #[must_use]
    #[track_caller]
    pub fn endpoint(&self, name: &str) -> SocketAddr {
        let answer = self.ask(&json!({"action": "get_agent_endpoint", "agent_name": name}));
        assert_eq!(answer["status"], "success", "{name}: {answer}");
        address(&answer["host"], &answer["port"])
    }

    /// Where the health port of an agent leads.
    ///
    /// # Panics
    /// When the agent is not found.
    #[must_use]
    #[track_caller]
    pub fn health_endpoint(&self, name: &str) -> SocketAddr {
        let answer = self.ask(&json!({"action": "get_agent_endpoint", "agent_name": name}));
        assert_eq!(answer["status"], "success", "{name}: {answer}");
        address(&answer["host"], &answer["health_check_port"])
    }

    /// Where `DISCOVER` leads.
    ///
    /// # Panics
    /// When the agent is not found.
    #[must_use]
    #[track_caller]
    pub fn discover(&self, name: &str) -> SocketAddr {
        let answer = self.ask(&json!({"command": "DISCOVER", "payload": {"name": name}}));
        assert_eq!(answer["status"], "SUCCESS", "{name}: {answer}");
        address(&answer["payload"]["ip"], &answer["payload"]["port"])
    }
}

/// Calls a service through a fresh REQ and returns the frames behind the delimiter.
///
/// # Panics
/// When there is no reply.
#[must_use]
#[track_caller]
pub fn call(address: SocketAddr, body: &[u8]) -> Vec<Vec<u8>> {
    let mut socket = Peer::connect(address, "REQ");
    socket.send(&[b"".as_slice(), body]);
    match socket.try_message(PATIENCE) {
        Ok(mut frames) => {
            assert_eq!(frames.remove(0), b"", "the delimiter comes first");
            frames
        }
        Err(error) => panic!("no reply from {address}: {error}"),
    }
}

#[track_caller]
fn address(host: &Value, port: &Value) -> SocketAddr {
    let port = port.as_u64().and_then(|port| u16::try_from(port).ok());
    match (host.as_str().and_then(|host| host.parse().ok()), port) {
        (Some(host), Some(port)) => SocketAddr::new(host, port),
        _ => panic!("not an address and a port: {host} {port:?}"),
    }
}
