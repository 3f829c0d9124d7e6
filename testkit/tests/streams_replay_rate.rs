//! `myelin dlq replay --rate`: workers that could not handle messages before are not run over by them. Against a real sidecar.

use std::time::{Duration, Instant};

use myelin_testkit as testkit;

const LETTERS: usize = 6;

/// Runs a command that succeeds and returns what it printed.
#[track_caller]
fn run(sidecar: &testkit::Sidecar, arguments: &[&str]) -> String {
    let output = sidecar.command(arguments).output().expect("the binary starts");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn letters_are_replayed_no_faster_than_they_are_asked_to_be() {
    let mut sidecar = testkit::Sidecar::start();
    run(&sidecar, &["stream", "create", "orders", "--subject", "orders.>", "--retention", "work_queue"]);
    run(&sidecar, &["consumer", "create", "orders", "workers", "--deliveries-max", "1"]);
    for _ in 0..LETTERS {
        run(&sidecar, &["stream", "pub", "orders.new", "x"]);
    }
    let count = LETTERS.to_string();
    run(&sidecar, &["consumer", "next", "orders", "workers", "--count", &count, "--no-ack"]);
    // They are dead when they come again.
    let next = sidecar.command(&["consumer", "next", "orders", "workers"]).output().expect("the binary starts");
    assert_eq!(next.status.code(), Some(1), "{next:?}");

    let started = Instant::now();
    let told = run(&sidecar, &["dlq", "replay", "--stream", "orders", "--rate", "4"]);
    let took = started.elapsed();
    assert_eq!(told, format!("{LETTERS} letters replayed\n"));
    // Five waits of a quarter of a second lie between six letters.
    assert!(took >= Duration::from_millis(1_200), "{took:?}");
    run(&sidecar, &["consumer", "next", "orders", "workers", "--count", &count]);
    assert_eq!(sidecar.terminate(), 0);
}
