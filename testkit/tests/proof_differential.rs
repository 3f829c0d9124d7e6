//! 5,000 random conversations of REQ, DEALER, PUSH and SUB clients give the same frames with a libzmq program as with the same program behind a sidecar.
//!
//! The long form of `differential.rs`, run by `cargo xtask proof differential`.

#![allow(clippy::print_stdout, reason = "the count is part of the proof")]

mod conversations;

#[test]
#[ignore = "a proof: minutes, with a report"]
fn many_random_conversations_give_the_same_frames_as_libzmq() {
    conversations::run(5000);
    println!("5000 conversations, no difference");
}
