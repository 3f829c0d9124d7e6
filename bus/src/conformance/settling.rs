//! What a worker says about a message, or does not say: "ack / nak(delay) / term(reason) / in-progress, `max_deliver`, `backoff` that never
//! shortens `ack_wait`".

use std::time::Duration;

use tokio::time::Instant;

use super::QUIET;
use super::fixture::{Fixture, text};
use super::orders::{job, jobs, rests, rests_for, sequences, work};
use crate::streams::{ConsumeError, Outcome, Retention};

/// As short as a busy machine allows, where a worker is silent.
const SILENCE: Duration = Duration::from_secs(1);

/// Long enough for no worker to be late.
const LONG: Duration = Duration::from_secs(60);

/// Times are rounded on their way.
fn about(time: Duration) -> Duration {
    time * 9 / 10
}

/// "An acknowledged ack" is for good: neither silence nor another worker brings the message back.
pub async fn what_is_acked_never_comes_again(on: &Fixture) {
    on.orders(|_| {}).await;
    on.store("orders.new", "a").await;
    let worker = on.workers(|config| config.ack_wait = SILENCE).await;
    assert_eq!(work(&worker).await, "a");
    rests_for(&worker, SILENCE + QUIET).await;
    let info = on.workers_info().await;
    assert_eq!((info.waiting, info.in_flight, info.oldest_pending), (0, 0, None));
}

/// "`ack_wait`": silence for so long, and the message is delivered again; the attempt that ended in silence is `ack_wait expired`.
pub async fn silence_past_ack_wait_brings_a_message_again(on: &Fixture) {
    on.orders(|_| {}).await;
    on.store("orders.new", "a").await;
    let worker = on.workers(|config| config.ack_wait = SILENCE).await;
    let started = Instant::now();
    let silent = job(&worker).await;
    let again = job(&worker).await;
    assert!(started.elapsed() >= about(SILENCE), "{:?}", started.elapsed());
    assert_eq!((again.sequence(), again.deliveries(), text(again.body())), (1, 2, "a".to_owned()));
    assert_eq!(again.attempts().iter().map(|attempt| attempt.outcome).collect::<Vec<_>>(), [Outcome::AckWaitExpired]);
    again.ack().await.unwrap();
    drop(silent);
    rests(&worker).await;
}

/// "nak": the message comes again at once, and its next worker sees why.
pub async fn a_nak_brings_a_message_again_with_its_reason(on: &Fixture) {
    on.orders(|_| {}).await;
    on.store("orders.new", "a").await;
    let worker = on.workers(|config| config.ack_wait = LONG).await;
    for (deliveries, error) in [(1, "first"), (2, "second")] {
        let job = job(&worker).await;
        assert_eq!(job.deliveries(), deliveries);
        job.nak(None, error).await.unwrap();
    }
    let again = job(&worker).await;
    let attempts: Vec<_> = again.attempts().iter().map(|attempt| (attempt.outcome, &*attempt.error)).collect();
    assert_eq!((again.deliveries(), &attempts[..]), (3, &[(Outcome::Nak, "first"), (Outcome::Nak, "second")][..]));
    assert!(again.attempts()[0].at_ms <= again.attempts()[1].at_ms);
}

/// "nak(delay)": not before its delay, and nobody else waits for it.
pub async fn a_nak_with_a_delay_holds_back_its_message_only(on: &Fixture) {
    on.orders(|_| {}).await;
    for body in ["a", "b"] {
        on.store("orders.new", body).await;
    }
    let worker = on.workers(|config| config.ack_wait = LONG).await;
    let started = Instant::now();
    job(&worker).await.nak(Some(SILENCE), "later").await.unwrap();
    assert_eq!(work(&worker).await, "b");
    let again = job(&worker).await;
    assert!(started.elapsed() >= about(SILENCE), "{:?}", started.elapsed());
    assert_eq!((again.sequence(), again.deliveries()), (1, 2));
}

/// "in-progress": a worker that says so keeps its message past `ack_wait`.
pub async fn a_worker_that_says_it_is_at_it_keeps_its_message(on: &Fixture) {
    on.orders(|_| {}).await;
    on.store("orders.new", "a").await;
    let ack_wait = 2 * SILENCE;
    let worker = on.workers(|config| config.ack_wait = ack_wait).await;
    let job = job(&worker).await;
    let started = Instant::now();
    while started.elapsed() < ack_wait + SILENCE {
        job.in_progress().await.unwrap();
        rests(&worker).await;
    }
    job.ack().await.unwrap();
    rests(&worker).await;
}

/// "`backoff`": the waits between deliveries; the last one repeats.
pub async fn backoff_is_the_wait_after_a_nak(on: &Fixture) {
    on.orders(|_| {}).await;
    on.store("orders.new", "a").await;
    let backoff = [Duration::from_millis(300), Duration::from_millis(900)];
    let worker = on.workers(|config| {
        config.ack_wait = LONG;
        config.backoff = backoff.to_vec();
    });
    let worker = worker.await;
    let mut taken = job(&worker).await;
    for wait in [backoff[0], backoff[1], backoff[1]] {
        let started = Instant::now();
        taken.nak(None, "").await.unwrap();
        taken = job(&worker).await;
        assert!(started.elapsed() >= about(wait), "{:?} instead of {wait:?}", started.elapsed());
    }
    assert_eq!(taken.deliveries(), 4);
    taken.nak(Some(Duration::ZERO), "the worker knows better").await.unwrap();
    assert_eq!(job(&worker).await.deliveries(), 5);
}

/// "`backoff` that never shortens `ack_wait`".
pub async fn backoff_never_shortens_ack_wait(on: &Fixture) {
    on.orders(|_| {}).await;
    on.store("orders.new", "a").await;
    let worker = on.workers(|config| {
        config.ack_wait = 2 * SILENCE;
        config.backoff = vec![Duration::from_millis(100)];
    });
    let worker = worker.await;
    let started = Instant::now();
    let silent = job(&worker).await;
    assert_eq!(job(&worker).await.deliveries(), 2);
    assert!(started.elapsed() >= about(2 * SILENCE), "{:?}", started.elapsed());
    assert_eq!(on.workers_info().await.config.ack_wait, 2 * SILENCE);
    drop(silent);
}

/// "Whose ack settles a message does not matter: work that was done is done."
pub async fn a_late_ack_counts(on: &Fixture) {
    on.orders(|config| config.retention = Retention::WorkQueue).await;
    on.store("orders.new", "a").await;
    let worker = on.workers(|config| config.ack_wait = SILENCE).await;
    let slow = job(&worker).await;
    let quick = job(&worker).await;
    slow.ack().await.unwrap();
    assert_eq!(on.info().await.messages, 0);
    drop(quick);
    rests_for(&worker, SILENCE + QUIET).await;
}

/// "The embedded engine can tell a late worker so": who says something about a message that is settled learns it.
pub async fn who_is_too_late_is_told(on: &Fixture) {
    on.orders(|_| {}).await;
    on.store("orders.new", "a").await;
    let worker = on.workers(|config| config.ack_wait = SILENCE).await;
    let elsewhere = on.workers_elsewhere(on.second()).await;
    let (acks, naks) = (job(&worker).await, job(&elsewhere).await);
    let extends = job(&worker).await;
    job(&elsewhere).await.ack().await.unwrap();
    let stale = || Err(ConsumeError::Stale { sequence: 1 });
    assert_eq!(extends.in_progress().await, stale());
    assert_eq!(acks.ack().await, stale());
    assert_eq!(naks.nak(None, "late").await, stale());
    assert_eq!(extends.term("late").await, stale());
    rests(&worker).await;
}

/// What one worker says about its delivery does not end the delivery that another has.
pub async fn a_late_nak_ends_nobody_elses_delivery(on: &Fixture) {
    on.orders(|_| {}).await;
    on.store("orders.new", "a").await;
    let worker = on.workers(|config| config.ack_wait = 2 * SILENCE).await;
    let slow = job(&worker).await;
    let quick = job(&worker).await;
    assert_eq!(slow.nak(None, "late").await, Err(ConsumeError::Stale { sequence: 1 }));
    rests(&worker).await;
    quick.ack().await.unwrap();
    rests(&worker).await;
}

/// A message that comes again comes before those that were not delivered yet: nothing waits behind all that is new.
pub async fn what_comes_again_is_not_behind_what_is_new(on: &Fixture) {
    on.orders(|_| {}).await;
    for number in 0..10 {
        on.store("orders.new", number.to_string()).await;
    }
    let worker = on.workers(|config| config.ack_wait = LONG).await;
    let mut taken = jobs(&worker, 2).await;
    taken.remove(0).nak(None, "").await.unwrap();
    let next = jobs(&worker, 3).await;
    assert!(sequences(&next).contains(&1), "{:?}", sequences(&next));
}
