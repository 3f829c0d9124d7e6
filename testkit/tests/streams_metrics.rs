//! What an alert on durable streams is made of, read from `/metrics` as a scraper reads it: how old the oldest message is that a consumer has
//! not settled, and how old the oldest dead letter. Both grow while nobody does anything, and are 0 when there is nothing.

use std::time::{Duration, Instant};

use myelin_testkit as testkit;

const BACKLOG: &str = "myelin_consumer_oldest_age_seconds";
const LETTERS: &str = "myelin_dead_letters";
const WRITTEN: &str = "myelin_dead_letters_written_total";
const OLDEST_LETTER: &str = "myelin_dead_letters_oldest_age_seconds";

#[track_caller]
fn run(sidecar: &testkit::Sidecar, arguments: &[&str]) {
    let output = sidecar.command(arguments).output().expect("the binary starts");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

#[track_caller]
fn metric(sidecar: &testkit::Sidecar, name: &str) -> f64 {
    sidecar.metric(name).unwrap_or_else(|| panic!("no {name}"))
}

/// The age grows past a second, as time does.
#[track_caller]
fn grows(sidecar: &testkit::Sidecar, name: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut last = 0.0;
    while last <= 1.0 {
        let age = metric(sidecar, name);
        assert!(age >= last, "{name} went from {last} to {age}");
        assert!(Instant::now() < deadline, "{name} stays at {age}");
        last = age;
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_age_of_a_backlog_and_of_the_oldest_dead_letter_tell_when_to_look() {
    let sidecar = testkit::Sidecar::start();
    run(&sidecar, &["stream", "create", "orders", "--subject", "orders.>", "--retention", "work_queue"]);
    run(&sidecar, &["consumer", "create", "orders", "workers", "--deliveries-max", "1"]);
    assert_eq!((metric(&sidecar, BACKLOG), metric(&sidecar, LETTERS), metric(&sidecar, OLDEST_LETTER)), (0.0, 0.0, 0.0));

    run(&sidecar, &["stream", "pub", "orders.new", "a"]);
    grows(&sidecar, BACKLOG);
    run(&sidecar, &["consumer", "next", "orders", "workers"]);
    assert_eq!(metric(&sidecar, BACKLOG), 0.0);

    run(&sidecar, &["stream", "pub", "orders.new", "b"]);
    run(&sidecar, &["consumer", "next", "orders", "workers", "--no-ack"]);
    let nothing = sidecar.command(&["consumer", "next", "orders", "workers"]).output().expect("the binary starts");
    assert!(!nothing.status.success(), "dead instead of delivered again");
    assert_eq!((metric(&sidecar, LETTERS), metric(&sidecar, WRITTEN)), (1.0, 1.0));
    grows(&sidecar, OLDEST_LETTER);
    assert_eq!(metric(&sidecar, BACKLOG), 0.0);
    run(&sidecar, &["dlq", "purge", "--all"]);
    assert_eq!((metric(&sidecar, LETTERS), metric(&sidecar, OLDEST_LETTER)), (0.0, 0.0));
    assert_eq!(metric(&sidecar, WRITTEN), 1.0, "a counter, for a rate");
}
