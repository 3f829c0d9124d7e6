//! Consumers of the second durable pipeline that do not answer as they should, beside one that does: no job is lost, and what is held for them is
//! bounded.

use super::arena::Arena;
use super::jobs::{Stop, Taken, expect_all, push};
use crate::wait::PATIENCE;
use crate::zmtp::{Peer, command};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A send to a sidecar that does not read waits so long; the attackers look at the clock in between.
const SEND_SLICE: Duration = Duration::from_millis(50);

/// Bytes of a small job.
const SMALL: usize = 64;

/// A consumer that reads and never answers a PING, while `jobs` come in the course of `span`. Returns how many of them it got: none before the
/// sidecar knows that it answers no PING, which takes as long as a handshake may; at most once after that.
///
/// # Panics
/// When a job comes to nobody.
#[must_use]
#[track_caller]
pub fn mute_consumer(arena: &Arena, jobs: u64, span: Duration) -> u64 {
    let places = arena.places();
    let mut mute = Peer::connect(places.other_consumers, "PULL");
    mute.ignore_pings();
    let other = Peer::connect(places.other_consumers, "PULL");
    let (by_mute, by_other, stop) = (Taken::default(), Taken::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        scope.spawn(|| by_mute.take(mute, &stop));
        scope.spawn(|| by_other.take(other, &stop));
        push(places.other_producers, 0..jobs, SMALL, span / u32::try_from(jobs).expect("few enough"));
        expect_all(&[&by_mute, &by_other], 0..jobs);
    });
    by_mute.count()
}

/// A consumer that answers its first PING and then none, and reads nothing either; it vanishes after `stall`. Another one gets every job.
///
/// # Panics
/// When a job does not come, or the one that hung never had any.
#[track_caller]
pub fn hung_consumer(arena: &Arena, jobs: u64, stall: Duration) {
    let places = arena.places();
    let mut hung = Peer::connect(places.other_consumers, "PULL");
    hung.answer_ping();
    let other = Peer::connect(places.other_consumers, "PULL");
    let (by_other, stop) = (Taken::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        scope.spawn(|| by_other.take(other, &stop));
        let begin = Instant::now();
        push(places.other_producers, 0..jobs, SMALL, stall / 2 / u32::try_from(jobs).expect("few enough"));
        std::thread::sleep(stall.saturating_sub(begin.elapsed()));
        hung.into_raw().reset();
        expect_all(&[&by_other], 0..jobs);
    });
    assert!(arena.sidecar.metric("myelin_zmq_pipeline_messages_redelivered_total") > Some(0.0), "it had some of them");
}

/// A consumer that answers every PING there could be before it has read any, for `span`, while `jobs` of `bytes` each wait. Then it reads on, and
/// another one comes: each job is with one of them.
///
/// # Panics
/// When one is not.
#[track_caller]
pub fn early_pongs(arena: &Arena, jobs: u64, bytes: usize, span: Duration) {
    let places = arena.places();
    let mut liar = Peer::connect(places.other_consumers, "PULL");
    liar.answer_ping();
    liar.raw().set_send_timeout(SEND_SLICE);
    let lies: Vec<u8> = (1..=4096).flat_map(|number| pong(&barrier(number))).collect();
    let (by_liar, by_other, stop) = (Taken::default(), Taken::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        scope.spawn(|| push(places.other_producers, 0..jobs, bytes, Duration::ZERO));
        repeat(&mut liar, &lies, span);
        scope.spawn(|| by_liar.take(liar, &stop));
        scope.spawn(|| by_other.take(Peer::connect(places.other_consumers, "PULL"), &stop));
        expect_all(&[&by_liar, &by_other], 0..jobs);
    });
}

/// A consumer that sends PONGs without end, with contexts of every kind that answer nothing, for `span`; it is served, as another one is.
///
/// # Panics
/// When a job comes to nobody, or the consumer is closed.
#[track_caller]
pub fn foreign_pongs(arena: &Arena, jobs: u64, span: Duration) {
    let places = arena.places();
    let mut noisy = Peer::connect(places.other_consumers, "PULL");
    noisy.answer_ping();
    noisy.raw().set_send_timeout(SEND_SLICE);
    let contexts = [vec![], b"x".to_vec(), vec![0; 16], b"pipeline".to_vec(), barrier(0), barrier(1), barrier(1 << 40), barrier(u64::MAX)];
    let noise: Vec<u8> = contexts.iter().flat_map(|context| pong(context)).collect::<Vec<_>>().repeat(512);
    let other = Peer::connect(places.other_consumers, "PULL");
    let (by_noisy, by_other, stop) = (Taken::default(), Taken::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        scope.spawn(|| by_other.take(other, &stop));
        let pause = span / u32::try_from(jobs).expect("few enough");
        scope.spawn(move || push(places.other_producers, 0..jobs, SMALL, pause));
        repeat(&mut noisy, &noise, span);
        scope.spawn(|| by_noisy.take(noisy, &stop));
        expect_all(&[&by_noisy, &by_other], 0..jobs);
    });
}

/// A consumer comes, takes a job, and vanishes with the PING behind it unanswered, `times` in a row. Another one gets every job.
///
/// # Panics
/// When a job does not come, or one of those that vanish never had its turn.
#[track_caller]
pub fn vanishing_consumers(arena: &Arena, times: usize) {
    let places = arena.places();
    let other = Peer::connect(places.other_consumers, "PULL");
    let (by_other, stop, is_enough, jobs) = (Taken::default(), AtomicBool::new(false), AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let (_stop, _enough) = (Stop(&stop), Stop(&is_enough));
        scope.spawn(|| by_other.take(other, &stop));
        let pushing = scope.spawn(|| {
            let mut producer = Peer::connect(places.other_producers, "PUSH");
            while !is_enough.load(Ordering::Relaxed) {
                producer.raw().send(&super::jobs::job(jobs.fetch_add(1, Ordering::Relaxed), SMALL));
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        for number in 0..times {
            let mut peer = Peer::connect(places.other_consumers, "PULL");
            peer.answer_ping();
            peer.ignore_pings();
            assert!(peer.try_message(PATIENCE).is_ok(), "consumer {number} never had its turn");
            peer.into_raw().reset();
        }
        is_enough.store(true, Ordering::Relaxed);
        pushing.join().expect("a producer is not closed");
        expect_all(&[&by_other], 0..jobs.load(Ordering::Relaxed));
    });
}

/// The context of a PING behind messages, as the sidecar makes them.
fn barrier(number: u64) -> Vec<u8> {
    [&b"pipeline"[..], &number.to_be_bytes()].concat()
}

fn pong(context: &[u8]) -> Vec<u8> {
    command("PONG", context)
}

/// Sends the same again and again for `span`, whole.
#[track_caller]
fn repeat(peer: &mut Peer, bytes: &[u8], span: Duration) {
    let begin = Instant::now();
    let mut at = 0;
    while begin.elapsed() < span || at > 0 {
        at += peer.raw().send_some(&bytes[at..]).expect("it is not closed for it");
        at %= bytes.len();
    }
}
