//! `[security]`: nothing that other machines reach is open by accident, and what a mechanism lacks is named before anything is bound.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;

use myelin_testkit::free_port;
use support::{PATIENCE, Scratch};

/// The first 64 bytes that a ZMTP listener says.
fn greeting(at: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(at).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(b"\xff\0\0\0\0\0\0\0\x01\x7f\x03").expect("written");
    let mut greeting = vec![0; 64];
    stream.read_exact(&mut greeting).expect("a greeting");
    greeting
}

#[test]
fn an_address_for_everybody_needs_a_mechanism_or_a_word() {
    let open = format!(
        "\n[[route]]\nname = \"r\"\nkind = \"topic\"\nsubscribers = {{ bind = [\"tcp://*:{}\"] }}\npublishers = {{ bind = [\"tcp://127.0.0.1:{}\"] }}\n",
        free_port(),
        free_port()
    );
    let ran = Scratch::with_free_ports(&open).run(&["serve"]);
    assert_eq!(ran.code, Some(64), "{}", ran.stderr);
    assert!(ran.stderr.contains("route \"r\".subscribers") && ran.stderr.contains("security.insecure = true"), "{}", ran.stderr);
    let scratch = Scratch::with_free_ports(&format!("\n[security]\ninsecure = true\n{open}"));
    let (mut process, _) = scratch.serve();
    assert_eq!(process.terminate(PATIENCE).code(), Some(0));
}

#[test]
fn a_mechanism_holds_for_every_socket_and_names_the_file_it_lacks() {
    let scratch = Scratch::with_free_ports("\n[security]\nmechanism = \"plain\"\nusers = \"users\"\n");
    let ran = scratch.run(&["serve"]);
    assert!(ran.code == Some(64) && ran.stderr.contains("security.users: cannot read users"), "{}", ran.stderr);
    scratch.write("users", "agent:secret\nother;secret\n");
    let ran = scratch.run(&["serve"]);
    assert!(ran.stderr.contains("security.users") && ran.stderr.contains("line 2") && !ran.stderr.contains("other"), "{}", ran.stderr);
    scratch.write("users", "agent:secret\n");
    let (mut process, ready) = scratch.serve();
    for url in [&ready["discovery"], &ready["hub"]["publishers"], &ready["hub"]["subscribers"]] {
        let greeting = greeting(url.as_str().and_then(|url| url.strip_prefix("tcp://")).expect("an endpoint"));
        assert_eq!(&greeting[12..18], b"PLAIN\0");
    }
    assert_eq!(process.terminate(PATIENCE).code(), Some(0));

    let ran = Scratch::with_free_ports("\n[security]\nmechanism = \"curve\"\n").run(&["serve"]);
    assert!(ran.code == Some(64) && ran.stderr.contains("curve needs a file in security.key"), "{}", ran.stderr);
}
