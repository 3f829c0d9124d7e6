//! The bounds and timings of a listener.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::ListenerMetrics;
use crate::outlet::Budget;
use crate::wire::limits;

/// Where a listener listens and how much it takes. Everything has a default.
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    /// Address to listen on; default `127.0.0.1:4222`, port 0 takes a free one.
    pub address: SocketAddr,
    /// Name that clients are told; default `myelin`.
    pub server_name: String,
    /// Most connections; default 16,384. Another is told `maximum connections exceeded` and closed.
    pub connections_max: usize,
    /// Largest payload with its headers, in bytes; default 8 MiB. The bus's own limit holds as well.
    pub payload_bytes_max: usize,
    /// Most subscriptions of one connection; default 65,536. Another is refused with `maximum subscriptions exceeded`.
    pub subscriptions_max: usize,
    /// Bytes that may wait for one client; default 8 MiB. A client with more waiting is a slow consumer: it is told so and closed. From three
    /// quarters on, publishers are held back a little, see [`stall`](Self::stall).
    pub queue_bytes_max: usize,
    /// Messages that may wait for one client; default 65,536. As for bytes.
    pub queue_messages_max: usize,
    /// What all clients, and whoever else shares the budget, may have waiting; default 256 MiB of their own. Publishers are held
    /// back for a client beyond its share of it, and at twice its share it is a slow consumer as well.
    pub budget: Budget,
    /// How long a publisher waits for a client whose queue is three quarters full, per 64 KiB published; default 10 ms, zero never waits. A client
    /// that reads slower than 6.4 MiB/s therefore holds a fast publisher back for a third of a second in total before it is cut off.
    pub stall: Duration,
    /// How long a closing connection may take to read what waits for it; default 2 s.
    pub close_grace: Duration,
    /// How long a client may be silent before it is asked whether it is there; default 2 min.
    pub ping_interval: Duration,
    /// Unanswered questions after which a connection counts as stale; default 2.
    pub pings_missed_max: u32,
    /// Where the listener counts; default: nowhere that anybody reads.
    pub metrics: ListenerMetrics,
}

impl Default for ListenerConfig {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 4222)),
            server_name: "myelin".to_owned(),
            connections_max: limits::CONNECTIONS_MAX,
            payload_bytes_max: limits::PAYLOAD_BYTES_DEFAULT,
            subscriptions_max: 65_536,
            queue_bytes_max: limits::QUEUE_BYTES_MAX,
            queue_messages_max: limits::QUEUE_MESSAGES_MAX,
            budget: Budget::default(),
            stall: Duration::from_millis(10),
            close_grace: Duration::from_secs(2),
            ping_interval: Duration::from_secs(120),
            pings_missed_max: 2,
            metrics: ListenerMetrics::default(),
        }
    }
}
