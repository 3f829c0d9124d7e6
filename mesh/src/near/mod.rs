//! The near cache: values kept in this process until the server says that they changed.
//!
//! Synchronous, and time is an argument; the shell that owns sockets and clocks is [`crate::redis`]. Where to read: [`Near::get`] (the hit) →
//! [`Near::begin`] (one of many readers fills) → [`Fill::finish`] (which may come too late) → [`Near::invalidate`].
//!
//! # Invariants
//! - **Bounds.** Never more than `bytes_max` bytes of keys, values and overhead, never more than `entries_max` entries: an entry weighs at least
//!   `bytes_max / entries_max`, so the bound on weight is both.
//! - **An invalidation that races a fill wins.** A fill holds a ticket from before its read is sent until its value is kept. An invalidation of the
//!   key, or of everything, voids the ticket under the lock that keeping takes, so a value read before the invalidation is not kept after it.
//! - **No lease, no hit.** A value is served only before the end of a lease that is renewed by hearing from every server. A runtime that is too busy to
//!   notice silence serves no stale value either, because the end is compared on each hit. After a lapse everything is emptied before the next hit.
//! - **One fill per key.** Readers that miss while a fill runs wait for it. A fill that is dropped wakes them, and one of them fills instead.

mod cache;
mod counts;
mod flight;
#[cfg(test)]
mod model;

pub(crate) use cache::{Millis, Near, NearLimits};
pub(crate) use counts::Counts;
pub(crate) use flight::Begin;
#[cfg(test)]
pub(crate) use flight::Fill;
