//! A sidecar between a client and a libzmq program changes no frame: random conversations of REQ, DEALER, PUSH and SUB clients, cut anywhere, give
//! the same frames at both ends with it and without it.

mod conversations;

#[test]
fn random_conversations_give_the_same_frames_as_libzmq() {
    conversations::run(30);
}
