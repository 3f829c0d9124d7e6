//! What waits for a peer owns its memory: a message that is a small part of a read buffer does not keep the rest of it alive, or the bounds of a queue
//! would count bytes and not memory. Proved by who else holds the buffer.

#![allow(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

use std::time::Duration;

use bytes::Bytes;
use myelin_bus::Overflow;
use myelin_bus::outlet::{Outlet, OutletConfig};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(10);

/// A read as large as the front's, and the one message of it that a narrow filter lets through: too large to be copied on its way to a peer that reads.
const READ_BYTES: usize = 64 * 1024;
const MESSAGE_BYTES: usize = 5_000;

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (client, server) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (client.unwrap(), server.unwrap().0)
}

fn outlet() -> Outlet {
    Outlet::new(OutletConfig { bytes_max: 64 << 20, messages_max: 65_536, overflow: Overflow::DropNewest })
}

/// A read of which every byte is `number`.
fn read(number: u8) -> Bytes {
    Bytes::from(vec![number; READ_BYTES])
}

fn push(outlet: &Outlet, read: &Bytes) {
    assert_eq!(outlet.push(&[], &read.slice(..MESSAGE_BYTES)).accepted, 1);
}

#[tokio::test]
async fn what_waits_for_a_socket_holds_no_read_buffer() {
    let outlet = outlet();
    let read = read(1);
    push(&outlet, &read);
    assert_eq!(outlet.queued().messages, 1);
    assert!(read.is_unique(), "the queue holds the read buffer");
}

#[tokio::test]
async fn what_waits_for_a_peer_that_does_not_read_holds_no_read_buffer_and_arrives_whole() {
    let (near, mut far) = pair().await;
    let (_read, write) = near.into_split();
    let outlet = outlet();
    outlet.attach(write);

    // Until the socket has been full for a while: the message at which it filled up, and many behind it.
    let mut reads: Vec<Bytes> = Vec::new();
    while outlet.queued().messages < 20 {
        assert!(reads.len() < 10_000, "50 MB of socket buffers is more than any kernel gives");
        let read = read(reads.len() as u8);
        push(&outlet, &read);
        reads.push(read);
    }
    let held = reads.iter().filter(|read| !read.is_unique()).count();
    assert_eq!(held, 0, "{held} read buffers are held by a queue of {:?}", outlet.queued());

    let total = reads.len() * MESSAGE_BYTES;
    let reader = async {
        let mut all = vec![0; total];
        far.read_exact(&mut all).await.unwrap();
        all
    };
    let all = tokio::select! {
        all = timeout(DEADLINE, reader) => all.unwrap(),
        ended = outlet.drive() => unreachable!("{ended}"),
    };
    for (number, message) in all.chunks(MESSAGE_BYTES).enumerate() {
        assert!(message.iter().all(|byte| *byte == number as u8), "message {number} is torn or out of place");
    }
}

#[tokio::test]
async fn a_message_larger_than_a_read_is_never_copied() {
    let outlet = outlet();
    let message = Bytes::from(vec![0; READ_BYTES + 1]);
    assert_eq!(outlet.push(&[], &message).accepted, 1);
    assert!(!message.is_unique(), "it is the buffer it came in, and large enough to stay it");
}
