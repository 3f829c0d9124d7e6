//! Discovery: the registry that agents already ask for, answered by the sidecar.
//!
//! Agents register themselves here and look each other up, in either of the two dialects their own registries speak. A
//! registration attaches the agent: its service is put onto the bus, and from then on a lookup answers an address and a
//! port of *ours* that leads there.
//!
//! The path of a request, in five hops: `handler.rs` takes it from the caller's connection, [`dialect`] makes it a typed
//! request, `service` decides, [`registry`] remembers, [`answer`] prints. Beside it, [`store`] keeps the registry on
//! disk (behind `saver.rs`), `reach.rs` finds out who still listens, and [`attach`] is the way out to the routes.
//!
//! What is registered on other machines is known by `elsewhere`: their sidecars say so, and a lookup answers a port of ours all the same.
//!
//! What it is not: a health checker, one registry for all machines (each keeps its own), or a resolver of host names.
//!
//! Invariants:
//! - *verified*: an address is answered only for an agent that accepted a connection within the last second.
//! - *durable*: a registration is answered with success after it is on disk (or the disk has failed, which the health
//!   document and the log say).
//! - *stable*: a name keeps its ports across restarts of the sidecar as long as they can be bound, and when it moves to another machine or here.
//! - *own address*: a registration leads only to the machine it came from, see [`address`].

pub mod address;
pub mod agent;
pub mod answer;
pub mod attach;
pub mod config;
pub mod dialect;
mod elsewhere;
mod handler;
pub mod json;
pub mod metrics;
mod ports;
mod reach;
mod record;
pub mod registry;
mod saver;
mod service;
pub mod store;

pub use config::DiscoveryConfig;
pub use elsewhere::ElsewhereConfig;
pub use handler::DiscoveryHandler;
pub use service::{Caller, Discovery, StartError};

/// Feeds arbitrary bytes to everything that reads a request, and checks what must hold for any of them.
///
/// # Panics
/// When it does not hold.
#[doc(hidden)]
pub fn fuzz_dialect(data: &[u8]) {
    let (dialect, request) = dialect::decode(data);
    let answer = match request {
        Ok(dialect::Request::Lookup { name }) => answer::not_found(dialect, &name),
        Ok(_) => answer::registered(dialect),
        Err(malformed) => answer::failed(dialect, &malformed.text()),
    };
    let reread = json::read_str(&answer).expect("answers are JSON");
    assert_eq!(json::render(&reread), answer, "answers are canonical");
    if let Ok(value) = json::read(data) {
        let printed = json::render(&value);
        assert!(printed.is_ascii(), "printed values are ASCII");
        let again = json::read_str(&printed).expect("printed values can be read");
        assert_eq!(json::render(&again), printed, "printing is canonical");
    }
}
