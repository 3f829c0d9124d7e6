//! `myelin zmq` shows who is connected and who failed to be; a pair route ties two PAIRs; a stop tells what it could not deliver.

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use myelin_testkit::{Process, eventually, free_port, hex, zmtp};
use serde_json::Value as Json;
use support::{PATIENCE, Scratch};

fn loopback(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn listed(scratch: &Scratch, arguments: &[&str], peers: usize) -> Json {
    eventually("the peers are listed", PATIENCE, || {
        let reply = scratch.run(&[&["zmq", "--json"], arguments].concat()).json();
        (reply["peers"].as_array().map(Vec::len) == Some(peers)).then_some(reply)
    })
}

#[test]
fn a_pair_carries_frames_and_its_peers_are_listed_with_failed_handshakes() {
    let (a, b) = (free_port(), free_port());
    let scratch = Scratch::with_free_ports(&format!(
        "[[route]]\nname = \"line\"\nkind = \"pair\"\na = {{ bind = \"tcp://127.0.0.1:{a}\" }}\nb = {{ bind = \"tcp://127.0.0.1:{b}\" }}\n"
    ));
    let (_process, ready) = scratch.serve();
    let listens = ready["listens"].as_array().expect("a list");
    assert!(listens.iter().any(|listen| listen["who"] == "the PAIR agent at side a of pair \"line\""), "{ready}");
    let (mut at_a, mut at_b) = (zmtp::Peer::connect(loopback(a), "PAIR"), zmtp::Peer::connect(loopback(b), "PAIR"));
    at_a.send(&[&b"x"[..], b"", b"y"]);
    assert_eq!(at_b.message(), [b"x".to_vec(), b"".to_vec(), b"y".to_vec()]);
    at_b.send(&[&b"z"[..]]);
    assert_eq!(at_a.message(), [b"z".to_vec()]);
    let mut stream = TcpStream::connect(loopback(a)).expect("it listens");
    stream.write_all(b"GET /health HTTP/1.1\r\n\r\n").expect("it reads");

    let reply = eventually("the failure is listed", PATIENCE, || {
        let reply = listed(&scratch, &[], 2);
        (reply["failures"].as_array().map(Vec::len) == Some(1)).then_some(reply)
    });
    let peer = &reply["peers"][0];
    assert_eq!((&peer["route"], &peer["socket"], &peer["mechanism"]), (&"line".into(), &"PAIR".into(), &"NULL".into()), "{peer}");
    assert_eq!((&peer["received"]["messages"], &peer["queued"]["messages"], &peer["dropped"]), (&1.into(), &0.into(), &0.into()), "{peer}");
    let failure = &reply["failures"][0];
    assert_eq!((&failure["route"], &failure["side"]), (&"line".into(), &"a".into()));
    assert!(failure["reason"].as_str().is_some_and(|reason| reason.contains("HTTP")), "{failure}");
    assert_eq!(reply["queued_bytes_max"], 256 << 20);

    assert_eq!(listed(&scratch, &["--route", "other"], 0)["failures"], Json::Array(Vec::new()));
    let table = scratch.run(&["zmq"]).stdout;
    assert!(table.starts_with("ROUTE") && table.contains("line") && table.contains("peer speaks HTTP"), "{table}");
    let mut watch = Process::spawn("zmq", &mut scratch.command(&["zmq", "--watch", "--interval", "100ms", "--json"]));
    for _ in 0..2 {
        watch.wait_line("a list", PATIENCE, |line| line.contains("\"peers\"").then_some(()));
    }
    assert!(watch.ended().is_none());
}

#[test]
fn whoever_speaks_another_protocol_is_told_apart_by_name() {
    let port = free_port();
    let scratch =
        Scratch::with_free_ports(&format!("[[route]]\nname = \"line\"\nkind = \"pair\"\na = {{ bind = \"tcp://127.0.0.1:{port}\" }}\n"));
    let (_process, _) = scratch.serve();
    // A ClientHello of TLS 1.3: record, handshake, version, random, session, suites.
    let client_hello = [&hex::bytes("16 0301 0031 01 00002d 0303")[..], &[0x5a; 32], &hex::bytes("00 0004 1301 1302 0100 0000")].concat();
    for (bytes, name) in [(&client_hello[..], "peer speaks TLS"), (b"PATCH /agents HTTP/1.1\r\n\r\n", "peer speaks HTTP")] {
        for in_one_piece in [true, false] {
            let mut stream = TcpStream::connect(loopback(port)).expect("it listens");
            let (first, rest) = bytes.split_at(if in_one_piece { 0 } else { 1 });
            stream.write_all(first).expect("it reads");
            if !in_one_piece {
                // One byte could still become anything: we are greeted.
                stream.read_exact(&mut [0; 64]).expect("a greeting");
            }
            stream.write_all(rest).expect("it still reads");
            stream.read_to_end(&mut Vec::new()).expect("it closes");
        }
        eventually(name, PATIENCE, || {
            let reply = listed(&scratch, &[], 0);
            let failures = reply["failures"].as_array().expect("a list");
            let named = failures.iter().filter(|failure| failure["reason"].as_str().is_some_and(|reason| reason.contains(name)));
            (named.count() == 2).then_some(())
        });
    }
}

#[test]
fn a_stop_tells_what_a_stalled_subscriber_did_not_get() {
    let port = free_port();
    let scratch = Scratch::with_free_ports(&format!(
        "[[route]]\nname = \"feed\"\nkind = \"topic\"\nsubscribers = {{ bind = \"tcp://127.0.0.1:{port}\" }}\n[limits]\nqueue_bytes = \"2MiB\"\nqueued_bytes = \"16MiB\"\n"
    ));
    let (mut process, _) = scratch.serve();
    let mut subscriber = zmtp::Peer::connect(loopback(port), "SUB");
    subscriber.subscribe(b"");
    let large = "x".repeat(1 << 20);
    scratch.write("payload", &large);
    eventually("the queue of the subscriber is full", PATIENCE, || {
        assert_eq!(scratch.run(&["pub", "zmq.topic.feed", "--file", "payload", "--count", "4"]).code, Some(0));
        let reply = listed(&scratch, &["--route", "feed"], 1);
        (reply["peers"][0]["dropped"].as_u64() > Some(0)).then_some(())
    });
    let killed = Command::new("kill").args(["-TERM", &process.pid().to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    process.wait_line("what was not delivered", PATIENCE, |line| {
        (line.contains("not delivered") && line.contains("feed") && line.contains("messages=")).then_some(())
    });
    process.wait_line("the summary", PATIENCE, |line| (line.contains("stopped") && line.contains("undelivered_messages=")).then_some(()));
    assert_eq!(process.wait_end(PATIENCE).code(), Some(0), "a peer that does not read is no fault of the stop");
}
