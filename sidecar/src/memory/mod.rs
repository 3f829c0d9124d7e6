//! Memory over the bus: what other processes ask of the mesh of this sidecar, on subjects under `$MYELIN.API.MEM.` (docs/memory.md).
//!
//! ```text
//! MEM.{GET,GET_MANY,SET,SET_MANY,DELETE,TOUCH,CAS,SCAN}   entries
//! MEM.{APPEND,RECENT,CLEAR}                               windows
//! MEM.{WATCH,STATS}                                       MEM.EVENTS.<id>: what a watch tells
//! ```
//!
//! Bodies are MessagePack. A request on its way through: [`server`] (who may be at work at once) → [`request`] (bytes to a verb with its
//! arguments) → [`answer`] (the verb to its answer, by the mesh) → [`wire`] (what it looks like). What goes wrong is a [`refusal`]. A watch
//! goes on in [`watches`].

mod answer;
mod metrics;
mod refusal;
mod request;
mod server;
mod store;
mod watches;
pub(crate) mod wire;

pub(crate) use metrics::MemoryMetrics;
pub(crate) use refusal::Refusal;
pub(crate) use server::{MemoryServer, ServerSettings};
pub(crate) use store::{Opened, Store, Unmade};

/// What every request begins with; the verb follows.
pub(crate) const API: &str = "$MYELIN.API.MEM.";

/// What every subject begins with on which a watch tells; the id that the watcher chose follows.
pub(crate) const EVENTS: &str = "$MYELIN.API.MEM.EVENTS.";

/// How often a watch that has nothing to tell asks its watcher whether it is still there.
pub(crate) const HEARTBEAT: std::time::Duration = std::time::Duration::from_secs(5);

/// MessagePack of an answer or a request, fields by their names.
pub(crate) fn pack(value: &impl serde::Serialize) -> Vec<u8> {
    // Texts, numbers, bytes and lists, written to memory: there is nothing in them that has no form.
    rmp_serde::to_vec_named(value).expect("every message has a form in MessagePack")
}
