//! The behaviour suite: what a bus does, whichever engine is behind it.
//!
//! Each case is a function over a [`Fixture`], which has two handles of one bus and names that no other case has, so that cases may share a
//! server. [`conformance_tests!`](crate::conformance_tests) makes a test of each case for one engine; the number of tests is the same on every
//! engine. In what an engine differs is a field of [`Capabilities`]: a case that needs it says so in the list of cases (`list`), and an engine
//! that has it not names the case where it asks for the tests. Nothing is skipped that is not written down there.
//!
//! Cases wait for states, with a deadline, and never for an exact time: servers round times up, and machines are busy. What has to stay away is
//! waited for a while ([`QUIET`]).

#![allow(clippy::unwrap_used, reason = "all of this is tests")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

pub mod capture;
pub mod consumers;
mod cut;
mod fixture;
pub mod letters;
pub mod limits;
mod list;
mod orders;
pub mod overflow;
pub mod presence;
pub mod publish;
pub mod receipts;
pub mod replays;
pub mod requests;
pub mod settling;
pub mod streams;
pub mod workers;

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};

pub use self::cut::Cut;
pub use self::fixture::{Doomed, Fixture};
pub use self::list::CASES;
use crate::Capabilities;
pub use crate::streams::Step;

/// How long anything may take that has an end.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// For how long nothing has to come where nothing may.
pub const QUIET: Duration = Duration::from_millis(300);

/// One case by its name.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// The name of its function and of its tests.
    pub name: &'static str,
    /// What an engine has to have for it.
    pub need: Option<Need>,
}

/// A field of [`Capabilities`].
#[derive(Debug, Clone, Copy)]
pub struct Need {
    /// The field's name.
    pub name: &'static str,
    /// Whether an engine has it.
    pub is_met: fn(&Capabilities) -> bool,
}

/// Runs a case, unless the engine has not what it needs: then that is told.
pub async fn run(case: &str, fixture: &Fixture, body: impl Future<Output = ()>) {
    let listed = CASES.iter().find(|listed| listed.name == case).expect("a case of the list");
    match listed.need {
        Some(need) if !(need.is_met)(&fixture.bus().capabilities()) => println!("skipped: {case} needs {}", need.name),
        _ => fixture::within(case, body).await,
    }
}

/// Lets whoever makes a dead letter in this process wait for ever as soon as it has done `step` once more than `passes` times, and calls `told`:
/// for a test that kills the process there. Everything else in the process goes on.
///
/// # Panics
/// When it is called twice.
pub fn halt(step: Step, passes: u32, told: impl Fn() + Send + Sync + 'static) {
    crate::streams::halt(step, passes, Box::new(told));
}

/// A case that runs.
pub type Running = Pin<Box<dyn Future<Output = ()>>>;

/// A case with its name.
pub type Named = (&'static str, fn() -> Running);

/// Runs cases by their names, some at once. All of them are run, whether or not others fail.
///
/// # Panics
/// When any case does; the text names those.
pub async fn run_all(at_once: usize, cases: Vec<Named>) {
    let judged = async |(name, case): Named| {
        // Nothing is used any more that a case leaves behind when it fails.
        AssertUnwindSafe(case()).catch_unwind().await.err().map(|_| name)
    };
    let count = cases.len();
    let failed: Vec<_> = futures_util::stream::iter(cases).map(judged).buffer_unordered(at_once).collect().await;
    let failed: Vec<_> = failed.into_iter().flatten().collect();
    println!("{count} run, {} failed", failed.len());
    assert!(failed.is_empty(), "{failed:?}");
}

/// Holds that the tests of an engine are the cases of the list, and that what is skipped was written down.
pub fn check(stamped: &[&str], skips: &[&str], fixture: &Fixture) {
    let listed: Vec<_> = CASES.iter().map(|case| case.name).collect();
    assert_eq!(stamped, listed, "every engine runs every case");
    let capabilities = fixture.bus().capabilities();
    let is_skipped = |case: &&Case| case.need.is_some_and(|need| !(need.is_met)(&capabilities));
    let skipped: Vec<_> = CASES.iter().filter(is_skipped).map(|case| case.name).collect();
    println!("{} cases, skipped: {skipped:?}", listed.len());
    assert_eq!(skipped, skips, "what is skipped is written down");
}
