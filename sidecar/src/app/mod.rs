//! The running sidecar: built in one place, run through named phases, stopped by one deadline.
//!
//! [`App::build`] (in `build.rs`) binds and connects everything and fails naming the setting; [`App::run`] (in `run.rs`)
//! goes through the phases. Between the two nothing is left that can fail.

mod agents;
mod api;
mod bridge;
mod build;
mod damage;
mod error;
mod fleet;
mod listens;
mod memory;
mod nats;
mod phase;
mod pipelines;
mod routes;
mod run;
mod security;
mod store;
mod traffic;
mod undelivered;
mod zmq;

pub(crate) use agents::{AgentEntry, AgentsReply};
pub(crate) use api::{AGENTS_LIST, PING, TRAFFIC, ZMQ_PEERS};
pub(crate) use build::App;
pub(crate) use damage::{DamageEntry, read as damage};
pub(crate) use listens::Listens;
pub(crate) use phase::Phase;
pub(crate) use pipelines::PipelineEntry;
pub(crate) use routes::{AWAY, HUB};
pub(crate) use run::Outcome;
pub(crate) use security::{SettingFault, unreadable};
pub(crate) use traffic::{TrafficEntry, TrafficReply, TrafficRequest};
pub(crate) use zmq::{FailureEntry, PeerEntry, PeersReply, PeersRequest, unix_ms};
