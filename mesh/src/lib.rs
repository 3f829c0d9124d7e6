//! The memory mesh of Myelin: what agents remember, with an end to it.
//!
//! **This crate is a documented shell.** It fixes the terms that the rest of the project uses; no store is implemented yet, and nothing in it can be
//! called. The sidecar links it so that the arrows between the crates are checked from the beginning.
//!
//! # What it will be
//! A handle `Mesh`, a plain `Clone` struct over one of two stores: embedded (local disk, bounded memory) or Redis (single node or Cluster).
//!
//! | term | meaning |
//! |---|---|
//! | namespace | the prefix of a fleet or an agent; all keys of one agent share a hash slot, so that work on several of them is legal on a cluster |
//! | entry | opaque bytes with a content type, a revision and a TTL; living for ever has to be asked for |
//! | revision | an opaque token, unique per write; not a counter, because a failover could hand out a counter twice |
//! | window | the latest entries of a list, bounded by count *and* age, trimmed as it is appended to |
//! | watch | a snapshot and then every change, with a marker wherever a gap may have been |
//! | near cache | values kept in this process, bounded by bytes and entries, invalidated by the server |
//!
//! # What it is not
//! No database of its own making, no consensus, no sharding, and no user of the bus: `mesh` and `bus` never name each other.

#[allow(dead_code)]
mod near;
