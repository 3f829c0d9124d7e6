//! Starts what Myelin's tests talk to: the real `myelin` binary, real pyzmq agents, `nats-server`, `redis-server`,
//! and peers that speak ZMTP byte by byte. Everything started here is killed on drop.
//!
//! Where to read: [`Sidecar`] (the binary under test) → [`Agent`] (a Python agent that prints JSON lines) →
//! [`Process`] (what both are) → [`zmtp`] (peers made of bytes, for vectors and for load) → [`Hosts`] (several machines on one).
//!
//! What this is **not**: it names no crate of ours, so it sees exactly what a user sees. It has no async runtime,
//! and it never retries a step that failed.
//!
//! A failure here is the failure of the test: functions that wait panic, with the caller's line, what was awaited
//! and the last lines the process printed. Functions named `try_…` return instead.
//!
//! Limits: 16,384 lines or 32 MiB of output are kept per process, lines are cut at 4 MiB; ports come from
//! 10,000..32,000, below the range the kernel gives to outgoing connections, so that a port stays ours across restarts.

mod agent;
mod binary;
pub mod crash;
pub mod failures;
pub mod fleet;
pub mod flow;
pub mod hex;
pub mod hostile;
mod hosts;
pub mod http;
pub mod load;
mod memory;
mod nats;
mod output;
mod ports;
mod process;
mod python;
mod redis;
pub mod registry;
mod servers;
mod sidecar;
mod wait;
pub mod zmtp;

pub use agent::{Agent, AgentBuilder, frames, text};
pub use binary::{loadtest_binary, myelin_binary, older_binary};
pub use hosts::{Cable, Host, Hosts, NoNetem, Traffic};
pub use memory::Memory;
pub use nats::{NatsCluster, NatsServer};
pub use ports::{free_port, free_ports};
pub use process::Process;
pub use python::python;
pub use redis::{Cutter, RedisCluster, RedisError, RedisOptions, RedisReply, RedisServer};
pub use sidecar::{Sidecar, SidecarBuilder};
pub use wait::{PATIENCE, eventually, holds_for};
