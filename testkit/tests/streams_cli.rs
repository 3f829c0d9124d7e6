//! Streams from the command line against a real sidecar: what is stored stays, workers finish it, and what nobody can handle is looked at and
//! sent on its way again. Every answer is read as a script would read it.

use std::process::Output;

use myelin_testkit as testkit;
use serde_json::{Value, json};

/// Runs a command that succeeds and returns what it printed.
#[track_caller]
fn run(sidecar: &testkit::Sidecar, arguments: &[&str]) -> String {
    let output = sidecar.command(arguments).output().expect("the binary starts");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[track_caller]
fn json_of(sidecar: &testkit::Sidecar, arguments: &[&str]) -> Value {
    let text = run(sidecar, &[arguments, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
}

#[track_caller]
fn lines_of(sidecar: &testkit::Sidecar, arguments: &[&str]) -> Vec<Value> {
    let text = run(sidecar, &[arguments, &["--json"]].concat());
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

#[track_caller]
fn refused(sidecar: &testkit::Sidecar, arguments: &[&str]) -> (i32, String) {
    let Output { status, stderr, .. } = sidecar.command(arguments).output().expect("the binary starts");
    (status.code().expect("an exit code"), String::from_utf8(stderr).expect("text"))
}

fn orders(sidecar: &testkit::Sidecar) {
    run(sidecar, &["stream", "create", "orders", "--subject", "orders.>", "--retention", "work_queue"]);
    run(sidecar, &["consumer", "create", "orders", "workers", "--deliveries-max", "1"]);
}

#[test]
fn what_is_stored_survives_kill_9_and_is_worked_on_once() {
    let mut sidecar = testkit::Sidecar::start();
    orders(&sidecar);
    let receipt = json_of(&sidecar, &["stream", "pub", "orders.new", "first", "--id", "a"]);
    assert_eq!(receipt, json!({ "stream": "orders", "sequence": 1, "duplicate": false }));
    run(&sidecar, &["stream", "pub", "orders.new", "--frame", "two", "--frame", "frames"]);
    sidecar.kill9();
    sidecar.restart();
    assert_eq!(json_of(&sidecar, &["stream", "pub", "orders.new", "first", "--id", "a"])["duplicate"], true);
    let taken = lines_of(&sidecar, &["consumer", "next", "orders", "workers", "--count", "5"]);
    let bodies: Vec<&Value> =
        taken.iter().map(|message| if message["body"].is_null() { &message["frames"] } else { &message["body"] }).collect();
    assert_eq!(bodies, [&json!({ "text": "first" }), &json!([{ "text": "two" }, { "text": "frames" }])]);
    assert_eq!(json_of(&sidecar, &["stream", "info", "orders"])["messages"], 0);
    assert_eq!(refused(&sidecar, &["consumer", "next", "orders", "workers"]).0, 1, "none is left");
    assert_eq!(sidecar.terminate(), 0);
}

#[test]
fn a_letter_is_listed_shown_exported_replayed_and_purged() {
    let sidecar = testkit::Sidecar::start();
    orders(&sidecar);
    for body in ["a", "b", "c"] {
        run(&sidecar, &["stream", "pub", "orders.new", body]);
    }
    // One delivery is allowed: given back once, they are dead when they come again.
    lines_of(&sidecar, &["consumer", "next", "orders", "workers", "--count", "3", "--no-ack"]);
    assert_eq!(refused(&sidecar, &["consumer", "next", "orders", "workers"]).0, 1);
    let letters = lines_of(&sidecar, &["dlq", "list", "--stream", "orders", "--reason", "max_deliver"]);
    assert_eq!(letters.iter().map(|letter| &letter["stream_sequence"]).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(lines_of(&sidecar, &["dlq", "list", "--older-than", "1h"]).is_empty());
    assert!(run(&sidecar, &["dlq", "list"]).contains("worker gone"));
    assert_eq!(json_of(&sidecar, &["dlq", "show", "2"])["body"], json!({ "text": "b" }));
    assert_eq!(run(&sidecar, &["dlq", "show", "2", "--raw"]), "b\n");
    assert_eq!(sidecar.metric("myelin_dead_letters"), Some(3.0));

    let exported = lines_of(&sidecar, &["dlq", "export", "--all"]);
    assert_eq!((exported.len(), &exported[2]["body"]), (3, &json!({ "text": "c" })));
    let planned = run(&sidecar, &["dlq", "replay", "--stream", "orders", "--dry-run"]);
    assert_eq!(planned.lines().count(), 3, "{planned}");
    assert_eq!(refused(&sidecar, &["dlq", "replay"]).0, 64, "everything is asked for in so many letters");
    assert_eq!(refused(&sidecar, &["dlq", "replay", "1", "--to", "nobody.stores.this"]).0, 1);
    assert_eq!(run(&sidecar, &["dlq", "replay", "--subject", "orders.*", "--rate", "1000"]), "3 letters replayed\n");
    assert!(lines_of(&sidecar, &["dlq", "list"]).is_empty());
    let again = lines_of(&sidecar, &["consumer", "next", "orders", "workers", "--count", "3"]);
    let headers = again[0]["headers"].as_array().expect("headers");
    assert!(headers.contains(&json!(["Myelin-Replay-Of", "orders.workers.1"])), "{headers:?}");
    assert!(headers.contains(&json!(["Myelin-Replay-Count", "1"])), "{headers:?}");

    run(&sidecar, &["stream", "pub", "orders.new", "d"]);
    lines_of(&sidecar, &["consumer", "next", "orders", "workers", "--no-ack"]);
    assert_eq!(refused(&sidecar, &["consumer", "next", "orders", "workers"]).0, 1);
    assert_eq!(json_of(&sidecar, &["dlq", "purge", "--reason", "max_deliver"]), json!({ "purged": 1 }));
}

#[test]
fn what_no_stream_keeps_is_a_letter_and_is_shown_as_text_too() {
    let sidecar = testkit::Sidecar::start();
    let create = ["stream", "create", "orders", "--subject", "orders.>", "--retention", "work_queue", "--message-bytes-max", "8"];
    run(&sidecar, &[&create[..], &["--dead-letter-expired"]].concat());
    run(&sidecar, &["consumer", "create", "orders", "workers", "--filter", "orders.new"]);
    run(&sidecar, &["stream", "pub", "orders.new", "unread", "--ttl", "50ms"]);
    run(&sidecar, &["pub", "orders.new", "nine byte"]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let letters = loop {
        let letters = lines_of(&sidecar, &["dlq", "list"]);
        if letters.len() == 2 {
            break letters;
        }
        assert!(std::time::Instant::now() < deadline, "{letters:?}");
    };
    let mut reasons: Vec<_> = letters.iter().map(|letter| (&letter["reason"], &letter["consumer"])).collect();
    reasons.sort_by_key(|(reason, _)| reason.to_string());
    assert_eq!(reasons, [(&json!("expired"), &json!("workers")), (&json!("too_large"), &json!("capture"))]);
    let too_large = lines_of(&sidecar, &["dlq", "list", "--reason", "too_large", "--consumer", "capture"]);
    let number = too_large[0]["sequence"].to_string();
    let text = run(&sidecar, &["dlq", "show", &number]);
    assert!(
        text.contains("too_large") && text.contains("payload of 9 bytes is larger than 8") && text.ends_with("\nnine byte\n"),
        "{text}"
    );
    assert_eq!(refused(&sidecar, &["dlq", "show", "99"]).0, 1);
    assert_eq!(refused(&sidecar, &["dlq", "list", "--reason", "tired"]).0, 64);
    let (code, text) = refused(&sidecar, &["stream", "create", "orders", "--retention", "limits"]);
    assert_eq!((code, text.contains("retention")), (1, true), "{text}");
}

#[test]
fn a_stream_is_changed_listed_purged_and_deleted() {
    let sidecar = testkit::Sidecar::start();
    assert_eq!(refused(&sidecar, &["stream", "create", "audit"]).0, 64, "a new stream needs subjects");
    run(&sidecar, &["stream", "create", "audit", "--subject", "audit.>", "--messages-max", "2"]);
    // Plain publishes on its subjects are stored too.
    run(&sidecar, &["req", "audit.x", "plain"]);
    run(&sidecar, &["stream", "pub", "audit.y", "second"]);
    let (code, text) = refused(&sidecar, &["stream", "pub", "audit.y", "third"]);
    assert_eq!((code, text.contains("is full: 2 messages")), (1, true), "{text}");
    run(&sidecar, &["stream", "create", "audit", "--messages-max", "3", "--age-max", "1h"]);
    let info = json_of(&sidecar, &["stream", "info", "audit"]);
    assert_eq!((&info["config"]["subjects"], &info["config"]["age_max_ms"]), (&json!(["audit.>"]), &json!(3_600_000)));
    assert_eq!(json_of(&sidecar, &["stream", "get", "audit", "1"])["body"], json!({ "text": "plain" }));
    assert!(run(&sidecar, &["stream", "list"]).contains("audit.>"));
    assert_eq!(sidecar.metric("myelin_stream_messages"), Some(2.0));
    assert_eq!(json_of(&sidecar, &["stream", "purge", "audit", "--filter", "audit.y"]), json!({ "purged": 1 }));
    run(&sidecar, &["stream", "delete", "audit"]);
    assert_eq!(refused(&sidecar, &["stream", "info", "audit"]).0, 1);
}

#[test]
fn a_sidecar_without_a_store_says_so() {
    let sidecar = testkit::Sidecar::builder().section("store", "enabled = false").start();
    let (code, text) = refused(&sidecar, &["stream", "list"]);
    assert_eq!((code, text.contains("store.enabled")), (1, true), "{text}");
}

#[test]
fn a_store_that_another_sidecar_has_open_is_named_and_damage_is_a_finding() {
    let sidecar = testkit::Sidecar::start();
    let store = sidecar.state_dir().join("store");
    let named = format!("store.directory={}", store.display());
    let (code, text) = refused(&sidecar, &["serve", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--set", &named]);
    assert_eq!((code, text.contains("store.directory") && text.contains("another process has it open")), (64, true), "{text}");
    let entry = json!({ "found_ms": 1, "stream": "orders", "what": "message 7 is missing" });
    std::fs::write(store.join("damage.json"), format!("{entry}\n")).expect("the store's directory");
    let output = sidecar.command(&["doctor", "--json"]).output().expect("the binary starts");
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let finding = found["findings"].as_array().expect("findings").iter().find(|finding| finding["id"] == "store-damage");
    assert!(finding.expect("the finding")["what"].as_str().expect("text").contains("message 7 is missing"), "{found}");
}
