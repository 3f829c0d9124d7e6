//! Memory from the command line against a real sidecar: what is remembered survives `kill -9` and a stop, windows let go of what is old, a watch
//! tells what happens, and what is exported can be imported. Every answer is read as a script would read it.

mod memory;

use std::process::Stdio;

use memory::{json_of, lines_of, refused, run};
use myelin_testkit as testkit;
use serde_json::json;
use testkit::{PATIENCE, Process};

#[test]
fn what_is_remembered_survives_kill_9_and_a_stop() {
    let mut sidecar = testkit::Sidecar::start();
    let revision = json_of(&sidecar, &["mem", "set", "fleet.planner", "mood", "curious"])["revision"].clone();
    run(&sidecar, &["mem", "append", "fleet.planner", "messages", "first"]);
    sidecar.kill9();
    sidecar.restart();
    let entry = json_of(&sidecar, &["mem", "get", "fleet.planner", "mood"]);
    assert_eq!(
        (&entry["revision"], &entry["body"], &entry["content_type"]),
        (&revision, &json!({ "text": "curious" }), &json!("text/plain"))
    );
    assert_eq!(run(&sidecar, &["mem", "recent", "fleet.planner", "messages"]), "first\n");
    run(&sidecar, &["mem", "append", "fleet.planner", "messages", "second"]);
    assert_eq!(sidecar.terminate(), 0);
    sidecar.restart();
    assert_eq!(run(&sidecar, &["mem", "recent", "fleet.planner", "messages"]), "first\nsecond\n");
    assert_eq!(sidecar.metric("myelin_memory_reachable"), Some(1.0));
}

/// Most sidecars are never asked: they make no store. What is wrong with a directory, or with a store in it, is told at the start all the same.
#[test]
fn a_store_is_made_when_it_is_wanted_and_a_wrong_one_stops_the_start() {
    let mut sidecar = testkit::Sidecar::start();
    let store = sidecar.state_dir().join("memory/memory.redb");
    assert_eq!(sidecar.metric("myelin_memory_reachable"), Some(1.0));
    assert!(store.parent().expect("a directory").is_dir() && !store.exists());
    run(&sidecar, &["mem", "set", "s", "k", "v"]);
    assert!(store.exists());
    assert_eq!(sidecar.terminate(), 0);
    std::fs::write(&store, "no store of ours").expect("written");
    let (code, told) = refused(&sidecar, &["serve"]);
    assert!(code == 64 && told.contains("memory.redb"), "{code}: {told}");
    std::fs::remove_dir_all(store.parent().expect("a directory")).expect("removed");
    std::fs::write(store.parent().expect("a directory"), "a file where a directory is needed").expect("written");
    let (code, told) = refused(&sidecar, &["serve"]);
    assert!(code == 64 && told.contains("serve.state_dir"), "{code}: {told}");
}

#[test]
fn every_verb_does_what_its_help_says() {
    let sidecar = testkit::Sidecar::start();
    let first = run(&sidecar, &["mem", "set", "s", "a", "one", "--ttl", "1h"]).trim().to_owned();
    run(&sidecar, &["mem", "set", "s", "b", "two", "--forever"]);
    assert_eq!(run(&sidecar, &["mem", "get", "s", "a", "b"]), "a  one\nb  two\n");
    assert_eq!(json_of(&sidecar, &["mem", "get", "s", "b"])["ttl_ms"], json!(null));
    assert_eq!(refused(&sidecar, &["mem", "get", "s", "nothing"]).0, 1);
    run(&sidecar, &["mem", "touch", "s", "b", "--ttl", "1m"]);
    assert!(json_of(&sidecar, &["mem", "get", "s", "b"])["ttl_ms"].as_u64().expect("a time") <= 60_000);

    let (code, told) = refused(&sidecar, &["mem", "cas", "s", "a", "mine", "--absent"]);
    assert!(code == 1 && told.contains(&first), "{told}");
    run(&sidecar, &["mem", "cas", "s", "a", "mine", "--revision", &first]);
    assert_eq!(refused(&sidecar, &["mem", "cas", "s", "a", "late", "--revision", &first]).0, 1);
    assert_eq!(run(&sidecar, &["mem", "get", "s", "a", "--raw"]), "mine\n");
    assert_eq!(run(&sidecar, &["mem", "scan", "s"]), "a\nb\n");
    assert_eq!(run(&sidecar, &["mem", "scan", "s", "--prefix", "b"]), "b\n");
    assert_eq!(json_of(&sidecar, &["mem", "del", "s", "a", "c"]), json!({ "deleted": 1 }));

    for text in ["1", "2", "3", "4"] {
        run(&sidecar, &["mem", "append", "s", "w", text, "--entries-max", "3"]);
    }
    assert_eq!(run(&sidecar, &["mem", "recent", "s", "w"]), "2\n3\n4\n");
    assert_eq!(run(&sidecar, &["mem", "recent", "s", "w", "--last", "1"]), "4\n");
    let positions = lines_of(&sidecar, &["mem", "recent", "s", "w"]);
    assert_eq!(run(&sidecar, &["mem", "recent", "s", "w", "--after", positions[1]["position"].as_str().expect("a place")]), "4\n");
    assert_eq!(run(&sidecar, &["mem", "scan", "s", "--windows"]), "w\n");
    let stats = json_of(&sidecar, &["mem", "stats", "s"]);
    assert_eq!((&stats["engine"], &stats["space"]["entries"], &stats["space"]["windows"]), (&json!("embedded"), &json!(1), &json!(1)));
    assert_eq!(json_of(&sidecar, &["mem", "clear", "s", "w"]), json!({ "cleared": true }));

    let (code, told) = refused(&sidecar, &["mem", "set", "no space", "k", "v"]);
    assert!(code == 64 && told.contains("space"), "{told}");
    assert_eq!(refused(&sidecar, &["mem", "set", "s", "k", "v", "--ttl", "0s"]).0, 64);
    assert_eq!(sidecar.metric("myelin_memory_appended_entries_total"), Some(4.0));
    assert!(sidecar.metric("myelin_memory_requests_total") >= Some(20.0));
}

#[test]
fn a_watch_tells_what_is_there_and_what_happens() {
    let sidecar = testkit::Sidecar::start();
    run(&sidecar, &["mem", "set", "s", "job/1", "there"]);
    run(&sidecar, &["mem", "set", "s", "other", "not watched"]);
    let mut command = sidecar.command(&["mem", "watch", "s", "--prefix", "job/", "--count", "5", "--json"]);
    let mut watch = Process::spawn("watch", command.stdin(Stdio::null()));
    watch.wait_line("the watch is live", PATIENCE, |line| line.contains("\"live\"").then_some(()));
    assert_eq!(json_of(&sidecar, &["mem", "stats"])["watches"], 1);
    run(&sidecar, &["mem", "set", "s", "job/2", "new", "--ttl", "500ms"]);
    run(&sidecar, &["mem", "del", "s", "job/1"]);
    assert!(watch.wait_end(PATIENCE).success(), "{}", watch.tail());
    let told: Vec<_> = watch.lines().iter().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()).collect();
    let told: Vec<_> = told.iter().map(|event| (event["event"].as_str().expect("a word"), event["key"].as_str().unwrap_or(""))).collect();
    assert_eq!(told, [("put", "job/1"), ("live", ""), ("put", "job/2"), ("deleted", "job/1"), ("expired", "job/2")]);
    testkit::eventually("the watch is let go of", PATIENCE, || (json_of(&sidecar, &["mem", "stats"])["watches"] == 0).then_some(()));
}

#[test]
fn what_is_exported_can_be_imported_by_another_sidecar() {
    let (from, to) = (testkit::Sidecar::start(), testkit::Sidecar::start());
    let file = from.state_dir().join("space.jsonl");
    let path = file.to_str().expect("text");
    std::fs::write(from.state_dir().join("binary"), [0xff, 0, 0x80]).expect("written");
    run(&from, &["mem", "set", "s", "binary", "--file", "state/binary", "--forever"]);
    for index in 0..9 {
        run(&from, &["mem", "append", "s", "w", &format!("entry {index}")]);
    }
    let done = json_of(&from, &["mem", "export", "s", "--output", path]);
    assert_eq!(done, json!({ "entries": 1, "windows": 1, "window_entries": 9 }));
    let planned = json_of(&to, &["mem", "import", "--file", path, "--dry-run"]);
    assert_eq!(planned, json!({ "entries": 1, "window_entries": 9, "dry_run": true }));
    assert_eq!(run(&to, &["mem", "scan", "s"]), "");
    run(&to, &["mem", "import", "--file", path]);
    let (was, is) = (json_of(&from, &["mem", "get", "s", "binary"]), json_of(&to, &["mem", "get", "s", "binary"]));
    assert_eq!((&is["body"], &is["ttl_ms"]), (&json!({ "hex": "ff0080" }), &was["ttl_ms"]));
    assert_eq!(run(&to, &["mem", "recent", "s", "w"]), run(&from, &["mem", "recent", "s", "w"]));
}
