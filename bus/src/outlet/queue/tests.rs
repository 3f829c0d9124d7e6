//! Random traffic against a list of messages: what comes out is what went in, whole, in order, minus what the policy says.

use std::collections::VecDeque;

use bytes::Bytes;
use proptest::prelude::*;

use super::{Admission, COMMIT_BYTES, Queue, RETAINED_BYTES_MAX, RETAINED_ENTRIES_MAX, Wire};
use crate::Overflow;
use crate::outlet::OutletConfig;
use crate::outlet::budget::{Allowance, Budget};

#[derive(Debug, Clone)]
enum Step {
    Push { head: usize, body: usize },
    Write { bytes: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..12usize, prop_oneof![4 => 0..200usize, 1 => 4000..9000usize]).prop_map(|(head, body)| Step::Push { head, body }),
        1 => (1..20_000usize).prop_map(|bytes| Step::Write { bytes }),
    ];
    prop::collection::vec(step, 1..120)
}

/// A message whose every byte names it, so that a torn or reordered one is seen.
fn message(number: u8, head: usize, body: usize) -> (Vec<u8>, Bytes) {
    (vec![number; head], Bytes::from(vec![number; body]))
}

/// A budget that nobody else uses.
fn plenty() -> Allowance {
    Budget::default().allowance(0)
}

fn run(overflow: Overflow, steps: Vec<Step>) {
    let config = OutletConfig { bytes_max: 20_000, messages_max: 20, overflow };
    let mut queue = Queue::new(config);
    let mut wire = Wire::default();
    let mut written = Vec::new();
    let mut committed: Vec<u8> = Vec::new();
    let mut waiting: VecDeque<Vec<u8>> = VecDeque::new();
    let mut number = 0u8;

    for step in steps {
        match step {
            Step::Push { head, body } => {
                number = number.wrapping_add(1);
                let (head, body) = message(number, head, body);
                let whole = [&head[..], &body[..]].concat();
                match queue.offer(&head, &body, &[], wire.remaining(), plenty()) {
                    Admission::Accepted { evicted } => {
                        assert!(evicted == 0 || overflow == Overflow::DropOldest);
                        waiting.drain(..evicted);
                        waiting.push_back(whole);
                    }
                    Admission::Dropped => assert_eq!(overflow, Overflow::DropNewest),
                    Admission::Disconnect { .. } => {
                        assert_eq!(overflow, Overflow::Disconnect);
                        return;
                    }
                }
                if overflow != Overflow::Block {
                    assert!(waiting.len() <= config.messages_max);
                    assert!(waiting.len() == 1 || queue.bytes() + wire.remaining() <= config.bytes_max);
                }
            }
            Step::Write { bytes } => {
                if wire.remaining() == 0 {
                    wire.recycle();
                    let before = queue.bytes();
                    queue.commit(&mut wire);
                    assert!(wire.remaining() <= COMMIT_BYTES || wire.messages() == 1);
                    assert_eq!(before, queue.bytes() + wire.remaining());
                    committed.extend(waiting.drain(..wire.messages()).flatten());
                }
                let taken: Vec<u8> = wire.with_slices(|slices| slices.iter().flat_map(|slice| slice.to_vec()).take(bytes).collect());
                wire.advance(taken.len());
                written.extend(taken);
            }
        }
        assert_eq!(queue.messages(), waiting.len());
        assert_eq!(queue.bytes(), waiting.iter().map(Vec::len).sum::<usize>());
    }
    assert_eq!(written, committed[..committed.len() - wire.remaining()]);
}

proptest! {
    #[test]
    fn block_keeps_everything(steps in steps()) { run(Overflow::Block, steps); }

    #[test]
    fn drop_newest_keeps_what_was_first(steps in steps()) { run(Overflow::DropNewest, steps); }

    #[test]
    fn drop_oldest_keeps_what_was_last(steps in steps()) { run(Overflow::DropOldest, steps); }

    #[test]
    fn disconnect_gives_up_at_the_bound(steps in steps()) { run(Overflow::Disconnect, steps); }
}

#[test]
fn an_empty_queue_takes_a_message_above_its_bound() {
    let mut queue = Queue::new(OutletConfig { bytes_max: 10, messages_max: 1, overflow: Overflow::DropNewest });
    assert_eq!(queue.offer(&[], &Bytes::from(vec![0; 100]), &[], 0, plenty()), Admission::Accepted { evicted: 0 });
    assert_eq!(queue.offer(&[], &Bytes::from_static(b"x"), &[], 0, plenty()), Admission::Dropped);
}

#[test]
fn protocol_bytes_go_first_and_survive_every_policy() {
    let mut queue = Queue::new(OutletConfig { bytes_max: 4, messages_max: 1, overflow: Overflow::DropOldest });
    assert_eq!(queue.offer(&[], &Bytes::from_static(b"old"), &[], 0, plenty()), Admission::Accepted { evicted: 0 });
    queue.control(b"PONG");
    assert_eq!(queue.offer(&[], &Bytes::from_static(b"new"), &[], 0, plenty()), Admission::Accepted { evicted: 1 });
    let mut wire = Wire::default();
    queue.commit(&mut wire);
    assert_eq!(wire.with_slices(|slices| slices.iter().flat_map(|slice| slice.to_vec()).collect::<Vec<u8>>()), b"PONGnew");
}

/// Fills the queue with small messages and writes them out in pieces.
fn burst(bytes: usize, overflow: Overflow) -> (Queue, Wire) {
    let mut queue = Queue::new(OutletConfig { bytes_max: bytes, messages_max: usize::MAX, overflow });
    let mut wire = Wire::default();
    for _ in 0..bytes / 100 {
        queue.offer(b"head", &Bytes::from(vec![0; 96]), &[], 0, plenty());
    }
    while !queue.is_empty() {
        queue.commit(&mut wire);
        while wire.remaining() > 0 {
            wire.advance(wire.remaining().min(10_007));
        }
        wire.recycle();
    }
    (queue, wire)
}

#[test]
fn a_burst_does_not_stay_allocated() {
    for bytes in [COMMIT_BYTES, 8 << 20] {
        let (mut queue, mut wire) = burst(bytes, Overflow::Block);
        assert!(!queue.tail.try_reclaim(RETAINED_BYTES_MAX + 1), "the tail keeps a burst of {bytes}");
        assert!(!wire.buffer.try_reclaim(RETAINED_BYTES_MAX + 1), "the wire keeps a burst of {bytes}");
        assert!(queue.lens.capacity() <= RETAINED_ENTRIES_MAX && wire.segments.capacity() <= RETAINED_ENTRIES_MAX);
    }
}

#[test]
fn dropping_the_oldest_does_not_cut_the_rest_to_pieces() {
    let mut queue = Queue::new(OutletConfig { bytes_max: 100_000, messages_max: 1_000, overflow: Overflow::DropOldest });
    for _ in 0..10_000 {
        queue.offer(&[], &Bytes::from_static(&[7; 10]), &[], 0, plenty());
    }
    assert_eq!((queue.messages(), queue.bytes()), (1_000, 10_000));
    assert!(queue.segments.iter().count() <= 2, "{} segments: one write takes 64", queue.segments.iter().count());
}
