//! The store in a Redis: one server, or a Redis Cluster.
//!
//! Where to read: [`Redis::open`] → [`store`] (what each method of a store sends) → [`call`] (which node, what is repeated) → [`link`] (a
//! connection that many share). Beside it: [`topology`] (who has which slot), [`tracking`] (who tells us what changed), and
//! [`nearby`] (what is kept here until then).
//!
//! # Invariants
//! - **One slot.** Every key of a namespace has the namespace as its hash tag, so each script works on keys of one slot of one node.
//! - **One step.** Each write is one script. What a script wrote is replicated as one transaction.
//! - **Never twice.** The connections below repeat nothing. A call is repeated by [`call`] only when the server's answer proves that it did not run,
//!   or when running twice is harmless; otherwise its caller hears `Unknown`.
//! - **No round trip to check out.** A checkout lends a clone of a connection that is open as far as anybody knows.

mod address;
mod call;
mod changes;
mod clock;
mod config;
mod dial;
mod entries;
mod fate;
mod link;
mod nearby;
mod node;
mod open;
mod quick;
mod reply;
mod script;
mod store;
mod topology;
mod tracking;
mod windows;

pub use config::{NearConfig, RedisConfig, RedisTls, Secret};
pub use open::RedisOpenError;
pub(crate) use store::Redis;
