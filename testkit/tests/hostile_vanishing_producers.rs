//! Producers that push at a full pipeline and vanish leave no more in memory than its bounds, and everything that they sent whole arrives.

use myelin_testkit::Sidecar;
use myelin_testkit::hostile::{self, Arena, Kind};
use std::time::Duration;

/// What a neighbour may wait while this goes on, on a machine that keeps nobody waiting; the proof asks for less.
const NEIGHBOURS_WAIT_MAX: Duration = Duration::from_secs(1);

/// Of the 200 MiB that are pushed: a queue of 8 MiB or 2 MiB on the way to the disk, what was stored last, and of whoever was being read when there
/// was no more room a part of a message. The bound of all that is incomplete is 256 MiB, and holds nothing that is whole.
const MEMORY_MAX: u64 = 128 << 20;

/// Jobs that were read and are not stored: 1 MiB that is being stored, as much that gathers, and what each thread had just read.
const UNSTORED_MAX: u64 = 8;

#[test]
fn at_a_durable_pipeline() {
    let arena = Arena::with_jobs(Sidecar::builder(), "messages_max = 8\n");
    let mut jobs = Vec::new();
    let served = arena.served_while(|| jobs = hostile::vanishing_producers(&arena, Kind::Durable, 200, 1 << 20));
    served.check(NEIGHBOURS_WAIT_MAX, MEMORY_MAX);
    let unstored = arena.unstored("other-jobs");
    assert!((1..=UNSTORED_MAX).contains(&unstored), "{unstored} messages are in memory");
    let served = arena.served_while(|| hostile::all_come(&arena, Kind::Durable, &jobs));
    served.check(NEIGHBOURS_WAIT_MAX, MEMORY_MAX);
}

#[test]
fn at_a_pipeline_in_memory() {
    let arena = Arena::open();
    let mut jobs = Vec::new();
    let served = arena.served_while(|| jobs = hostile::vanishing_producers(&arena, Kind::InMemory, 200, 1 << 20));
    served.check(NEIGHBOURS_WAIT_MAX, MEMORY_MAX);
    let served = arena.served_while(|| hostile::all_come(&arena, Kind::InMemory, &jobs));
    served.check(NEIGHBOURS_WAIT_MAX, MEMORY_MAX);
}
