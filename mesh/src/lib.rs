//! The memory mesh of Myelin: what agents remember, with an end to it.
//!
//! A handle [`Mesh`] over one of the stores: embedded (local disk, bounded memory) or Redis (single node or Cluster). [`Mesh::space`] is the memory of
//! one [`Namespace`]: entries with a time to live, and windows of the latest entries of a list.
//!
//! | term | meaning |
//! |---|---|
//! | namespace | whose memory: a fleet or an agent; all its keys lie together, so that work on several of them is legal on a cluster |
//! | entry | opaque bytes with a content type, a revision and a time to live; living for ever has to be asked for |
//! | revision | an opaque token, unique per write; not a counter, because a failover could hand out a counter twice |
//! | window | the latest entries of a list, bounded by count *and* age, trimmed as it is appended to |
//! | watch | a snapshot and then every change, with a marker wherever a gap may have been |
//!
//! The path of a read, in four hops: [`Space::get`] → `access::Shared::entries` (the one place where entries are read) → `store::Store::read` of the
//! store in use → `record::decode`. That of a write: [`Space::set`] → `admission` (sizes) → `record::Encoder` → `access::Shared::change` →
//! `store::Store::write`. In the embedded store, behind that: `embedded::writer` (one commit for what gathered) → `embedded::core`.
//!
//! # What it promises
//! - **Time** is that of the store. What is past its time is never read: an entry from its write (or touch) plus its time to live on, an entry of a
//!   window from its append plus the window's age on. Watchers are told of an expiry within 2 s, on a machine that is not overloaded.
//! - **A call is one step**, over all its keys: all are written or none, and several are read as they were at one moment.
//! - **Of several that compare-and-set the same, one succeeds.**
//! - **Acknowledged is kept**: embedded, it survives `kill -9` and a power cut ([`Durability`] names a weaker mode).
//! - **What may have happened is called that**: a write whose fate nobody knows is [`Unknown`](error::WriteError::Unknown), and nothing of ours
//!   repeats it unless doing it twice is the same. Every error answers `is_retryable` and `may_have_happened`.
//! - **A watch misses nothing, or says so**: a copy that follows [`WatchEvent`] becomes the same as the store.
//!
//! # Limits
//! All of them, with reasons, are in [`limits`]. A namespace has 128 bytes, a key 512, a value 1 MiB (16 MiB at most), a call 256 keys and 32 MiB,
//! its answer 16 MiB, a window 10,000 entries, an answer of [`Space::recent`] 1,024 entries and 4 MiB as stored. An entry that names no time lives a
//! day. The embedded store has 1 GiB, of which 32 MiB are in memory.
//!
//! # What it is not
//! No database of its own making, no consensus, no sharding, and no user of the bus: `mesh` and `bus` never name each other. No place for what must
//! be processed once: that is a stream of the bus. A watch tells what entries become and not each content in between; windows are not watched.

mod access;
mod admission;
mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
mod embedded;
mod entry;
pub mod error;
pub mod limits;
mod mesh;
mod metrics;
mod names;
mod near;
mod record;
mod redis;
mod revision;
mod space;
mod store;
mod ttl;
mod typed;
mod value;
mod watch;
mod window;
mod windows;

pub use config::{Durability, EmbeddedConfig, MeshConfig};
pub use entry::{Entry, Expected, Page, SpaceStats};
pub use mesh::Mesh;
pub use metrics::{Counts, Metrics};
pub use names::{Key, NameError, Namespace, Prefix};
pub use redis::{NearConfig, RedisConfig, RedisOpenError, RedisTls, Secret};
pub use revision::{Revision, RevisionParseError};
pub use space::Space;
pub use ttl::Ttl;
pub use value::{ContentType, ContentTypeError, Value};
pub use watch::{Change, Changed, Watch, WatchEvent, WatchPosition, WatchPositionParseError};
pub use window::{Position, PositionParseError, Recent, Window, WindowEntry, WindowOptions, WindowPage};
