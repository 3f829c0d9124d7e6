//! Random traffic against a list of messages: what comes out is what went in, whole, in order, minus what the policy says.

use std::collections::VecDeque;

use bytes::Bytes;
use proptest::prelude::*;

use super::{Admission, COMMIT_BYTES, Queue, Wire};
use crate::Overflow;
use crate::outlet::OutletConfig;

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
                match queue.offer(&head, &body, &[], wire.remaining()) {
                    Admission::Accepted { evicted } => {
                        assert!(evicted == 0 || overflow == Overflow::DropOldest);
                        waiting.drain(..evicted);
                        waiting.push_back(whole);
                    }
                    Admission::Dropped => assert_eq!(overflow, Overflow::DropNewest),
                    Admission::Disconnect => {
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
    assert_eq!(queue.offer(&[], &Bytes::from(vec![0; 100]), &[], 0), Admission::Accepted { evicted: 0 });
    assert_eq!(queue.offer(&[], &Bytes::from_static(b"x"), &[], 0), Admission::Dropped);
}

#[test]
fn protocol_bytes_go_first_and_survive_every_policy() {
    let mut queue = Queue::new(OutletConfig { bytes_max: 4, messages_max: 1, overflow: Overflow::DropOldest });
    assert_eq!(queue.offer(&[], &Bytes::from_static(b"old"), &[], 0), Admission::Accepted { evicted: 0 });
    queue.control(b"PONG");
    assert_eq!(queue.offer(&[], &Bytes::from_static(b"new"), &[], 0), Admission::Accepted { evicted: 1 });
    let mut wire = Wire::default();
    queue.commit(&mut wire);
    assert_eq!(wire.with_slices(|slices| slices.iter().flat_map(|slice| slice.to_vec()).collect::<Vec<u8>>()), b"PONGnew");
}
