//! Real Redis: one `redis-server`, a cluster of three primaries with a replica each, and a proxy that loses answers.
//!
//! Where to read: [`RedisServer`] → [`RedisCluster`] (six of them that know each other) → [`Cutter`] (a connection that breaks after the server has
//! executed, the case that makes clients execute twice).

mod cluster;
mod cutter;
mod resp;
mod server;

pub use cluster::RedisCluster;
pub use cutter::Cutter;
pub use resp::{RedisError, RedisReply};
pub use server::{RedisOptions, RedisServer};
