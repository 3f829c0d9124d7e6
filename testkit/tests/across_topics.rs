//! Messages of topics cross only while somebody on the other machine listens, measured on its cable, and then all of them, byte for byte.

mod across;

use std::time::{Duration, Instant};

use across::Machines;
use myelin_testkit::zmtp::Peer;
use myelin_testkit::{Agent, PATIENCE, eventually};

/// Publishes a second's worth and tells how much of it left the host.
fn flow(machines: &Machines, publisher: &mut Peer) -> u64 {
    let before = machines.hosts[0].cable().traffic();
    let began = Instant::now();
    let body = [b'x'; 1000];
    while began.elapsed() < Duration::from_secs(1) {
        for _ in 0..10 {
            publisher.send(&[&b"news"[..], &body]);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    (machines.hosts[0].cable().traffic() - before).bytes_out
}

fn publisher(machines: &Machines) -> Peer {
    let mut publisher = machines.peer(0, machines.sidecars[0].publishers(), "PUB");
    // The hub subscribes to everything.
    drop(publisher.recv(PATIENCE));
    publisher
}

/// Publishes until the listener has heard something.
fn heard(publisher: &mut Peer, listener: &mut Peer) {
    eventually("the other machine hears", PATIENCE, || {
        publisher.send(&[b"news"]);
        listener.try_message(Duration::from_millis(20)).ok()
    });
    while listener.try_message(across::SILENCE).is_ok() {}
}

#[test]
fn the_flow_stops_when_the_last_listener_has_gone() {
    let Some(machines) = Machines::start(["", ""]) else { return };
    let mut publisher = publisher(&machines);
    let idle = flow(&machines, &mut publisher);
    assert!(idle < 10_000, "nobody listens elsewhere, {idle} bytes crossed");

    let mut listener = machines.peer(1, machines.sidecars[1].subscribers(), "SUB");
    listener.subscribe(b"");
    heard(&mut publisher, &mut listener);
    for number in 0..500 {
        publisher.send(&[b"news".to_vec(), Vec::new(), vec![0, 255], vec![number as u8; 3000]]);
    }
    for number in 0..500 {
        assert_eq!(listener.message(), [b"news".to_vec(), Vec::new(), vec![0, 255], vec![number as u8; 3000]], "message {number}");
    }
    assert!(flow(&machines, &mut publisher) > 300_000, "all of it crosses");

    drop(listener);
    let left = Instant::now();
    let quiet = eventually("the flow stops", PATIENCE, || {
        let before = machines.hosts[0].cable().traffic();
        for _ in 0..100 {
            publisher.send(&[&b"news"[..], &[b'x'; 1000]]);
        }
        std::thread::sleep(Duration::from_millis(100));
        ((machines.hosts[0].cable().traffic() - before).bytes_out < 20_000).then(|| left.elapsed())
    });
    assert!(quiet < Duration::from_millis(2_100), "the flow went on for {quiet:?}");
}

#[test]
fn the_flow_stops_when_the_other_host_dies() {
    let Some(machines) = Machines::start(["", ""]) else { return };
    let mut publisher = publisher(&machines);
    let mut listener = machines.peer(1, machines.sidecars[1].subscribers(), "SUB");
    listener.subscribe(b"");
    heard(&mut publisher, &mut listener);
    assert!(flow(&machines, &mut publisher) > 300_000);
    machines.hosts[1].power_off();
    let died = Instant::now();
    let quiet = eventually("the flow stops", PATIENCE, || {
        let before = machines.hosts[0].cable().traffic();
        for _ in 0..100 {
            publisher.send(&[&b"news"[..], &[b'x'; 1000]]);
        }
        std::thread::sleep(Duration::from_millis(100));
        ((machines.hosts[0].cable().traffic() - before).bytes_out < 20_000).then(|| died.elapsed())
    });
    assert!(quiet < Duration::from_millis(2_100), "the flow went on for {quiet:?}");
}

#[test]
fn a_pyzmq_subscriber_hears_a_pyzmq_publisher_of_the_other_machine() {
    let Some(machines) = Machines::start(["", ""]) else { return };
    let subscribers = machines.sidecars[1].subscribers_endpoint();
    let sub = Agent::script("sub_agent").arg("--connect", subscribers).flag("--digest").on(&machines.hosts[1]).start();
    let publishers = machines.sidecars[0].publishers_endpoint();
    let _pub = Agent::script("pub_agent").arg("--connect", publishers).arg("--kind", "audio").on(&machines.hosts[0]).start();
    assert_eq!(sub.event("message")["size"], 38_701);
}
