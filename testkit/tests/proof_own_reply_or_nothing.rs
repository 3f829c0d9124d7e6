//! 100,000 requests over 64 callers, and 2,000 over 20 agents with their pause, while agents restart: own reply or nothing.
//!
//! The long form of `own_reply_or_nothing.rs`, run by `cargo xtask proof own-reply-or-nothing`.

mod own_reply;

use own_reply::Size;

#[test]
#[ignore = "a proof: half a minute each, with a report"]
fn many_callers_against_agents_without_a_pause() {
    own_reply::many_callers_against_agents_without_a_pause(Size { requests: 100_000, restarts: 8 });
}

#[test]
#[ignore = "a proof: half a minute each, with a report"]
fn fresh_sockets_against_twenty_agents_with_their_pause() {
    own_reply::fresh_sockets_against_twenty_agents_with_their_pause(Size { requests: 2_000, restarts: 8 });
}
