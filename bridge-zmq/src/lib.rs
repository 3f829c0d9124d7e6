//! The ZeroMQ bridge: agents that speak ZMTP connect to it unchanged.
//!
//! The hot path, in five lines:
//! 1. `front::conversation` reads a batch of bytes from an agent;
//! 2. [`codec::Codec`] slices it into messages, byte for byte as they came;
//! 3. the route behind the socket, a [`front::PeerHandler`], publishes them on the bus;
//! 4. the bus calls the route at the other side in the same task;
//! 5. [`front::Peer::send`] writes them to that agent's socket.
//!
//! It decodes no payload, retries no request, and answers for no agent but what it just heard
//! from it ([`health`]). tcp and ipc; NULL, PLAIN and CURVE; ZMTP 3.0 and 3.1. Limits: 64 MiB and 1,024
//! frames per message, 16,384 connections.

pub mod attendance;
pub mod codec;
pub mod discovery;
pub mod front;
pub mod health;
pub mod meter;
pub mod metrics;
pub mod routes;
