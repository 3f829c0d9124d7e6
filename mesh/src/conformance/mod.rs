//! The behaviour suite: what a mesh does, whichever store is behind it.
//!
//! Each case is a function over a [`Fixture`], which has two handles of one memory and namespaces that no other case has, so that cases may share a
//! server. [`conformance_tests!`](crate::conformance_tests) makes a test of each case for one store; the number of tests is the same on every store,
//! and nothing is skipped.
//!
//! Time is the store's own, so it cannot be paused. A case that needs time to pass waits for a state that only passed time brings about (an entry
//! of a few hundred milliseconds that is gone), with a deadline. What is written by one handle and read by the other is waited for, since a handle
//! may remember for a while what it read.

#![allow(clippy::unwrap_used, reason = "all of this is tests")]

pub mod compare;
pub mod ends;
pub mod entries;
pub mod expiry;
mod fixture;
mod list;
pub mod refused;
pub mod scans;
pub mod watches;
pub mod windows;

use std::time::Duration;

pub use self::fixture::Fixture;
pub use self::list::CASES;

/// How long anything may take that has an end.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A short time to live. Long enough to be seen alive on a busy machine, short enough to be waited for.
pub const SHORT: Duration = Duration::from_millis(400);

/// Runs a case, with an end to it.
pub async fn run(case: &str, body: impl Future<Output = ()>) {
    fixture::within(case, body).await;
}

/// Holds that the tests of a store are the cases of the list.
pub fn check(stamped: &[&str]) {
    assert_eq!(stamped, CASES, "every store runs every case");
}
