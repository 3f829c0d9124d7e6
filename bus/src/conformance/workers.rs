//! "A worker that dies mid-message is noticed by its connection."

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::fixture::{Doomed, Fixture, within};
use super::orders::{job, jobs, sequences};
use super::{PATIENCE, QUIET};
use crate::streams::Outcome;

/// Far beyond the patience of a case: what comes again does so because somebody noticed.
const LONG: Duration = Duration::from_secs(600);

/// "Dropped without a word, it is taken for a worker that died, and delivered again at once."
pub async fn a_dropped_job_comes_again_at_once(on: &Fixture) {
    on.orders(|_| {}).await;
    on.store("orders.new", "a").await;
    let worker = on.workers(|config| config.ack_wait = LONG).await;
    let elsewhere = on.workers_elsewhere(on.second()).await;
    drop(job(&worker).await);
    let again = job(&elsewhere).await;
    assert_eq!((again.sequence(), again.deliveries()), (1, 2));
    assert_eq!(again.attempts().iter().map(|attempt| attempt.outcome).collect::<Vec<_>>(), [Outcome::WorkerGone]);
}

/// A task that panics or is aborted drops what it has in hand, with all that was fetched and not begun.
pub async fn a_worker_that_is_aborted_gives_everything_back(on: &Fixture) {
    on.orders(|_| {}).await;
    for _ in 0..10 {
        on.store("orders.new", "x").await;
    }
    let worker = on.workers(|config| config.ack_wait = LONG).await;
    let (has, told) = oneshot::channel();
    let doomed = on.workers_elsewhere(on.second()).await;
    let working = tokio::spawn(async move {
        let jobs = jobs(&doomed, 10).await;
        has.send(()).unwrap();
        std::future::pending::<()>().await;
        drop(jobs);
    });
    within("the worker has them", told).await.unwrap();
    working.abort();
    let mut again = sequences(&jobs(&worker, 10).await);
    again.sort_unstable();
    assert_eq!(again, (1..=10).collect::<Vec<_>>());
}

/// "A worker that dies mid-message is noticed by its connection (embedded and attached clients; on plain NATS it is `ack_wait`)."
pub async fn a_worker_whose_connection_ends_is_noticed(on: &Fixture) {
    on.orders(|_| {}).await;
    for _ in 0..3 {
        on.store("orders.new", "x").await;
    }
    let worker = on.workers(|config| config.ack_wait = LONG).await;
    let Doomed { bus, cut } = on.doomed().await;
    let doomed = on.workers_elsewhere(&bus).await;
    let lost = jobs(&doomed, 3).await;
    let started = Instant::now();
    // Its process ends: nothing of what follows reaches anybody.
    drop(cut);
    let again = jobs(&worker, 3).await;
    assert!(started.elapsed() < PATIENCE);
    for job in again {
        assert_eq!((job.deliveries(), job.attempts()[0].outcome), (2, Outcome::WorkerGone));
        job.ack().await.unwrap();
    }
    drop((lost, doomed, bus));
}

/// Who waits for a message and goes gets none that somebody else could have had.
pub async fn a_waiting_worker_that_goes_takes_no_message_along(on: &Fixture) {
    on.orders(|_| {}).await;
    let worker = on.workers(|config| config.ack_wait = LONG).await;
    let Doomed { bus, cut } = on.doomed().await;
    let doomed = on.workers_elsewhere(&bus).await;
    let mut waiting = Box::pin(doomed.next());
    assert!(timeout(QUIET, &mut waiting).await.is_err(), "there is nothing");
    drop(cut);
    on.store("orders.new", "a").await;
    assert_eq!(job(&worker).await.sequence(), 1);
}
