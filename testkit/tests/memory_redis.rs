//! Memory in a real Redis: sidecars share it, one that starts while Redis is away serves everything else and finds it by itself, wrong settings
//! are named, and the endless lists of a fleet become windows.

mod memory;

use memory::{json_of, refused, run};
use myelin_testkit as testkit;
use serde_json::json;
use testkit::{PATIENCE, RedisOptions, RedisServer, Sidecar, SidecarBuilder, eventually};

fn with(server: &str, more: &str) -> SidecarBuilder {
    Sidecar::builder().section("memory", &format!("engine = \"redis\"\nservers = [\"{server}\"]\n{more}"))
}

#[test]
fn sidecars_share_what_a_redis_remembers() {
    let redis = RedisServer::start();
    let (one, other) = (with(&redis.url(), "").start(), with(&redis.url(), "near_bytes = 0").start());
    run(&one, &["mem", "set", "fleet", "plan", "first"]);
    assert_eq!(run(&other, &["mem", "get", "fleet", "plan"]), "first\n");
    assert_eq!(run(&one, &["mem", "get", "fleet", "plan"]), "first\n");
    run(&other, &["mem", "set", "fleet", "plan", "second"]);
    eventually("the near cache is told", PATIENCE, || (run(&one, &["mem", "get", "fleet", "plan"]) == "second\n").then_some(()));
    run(&one, &["mem", "append", "fleet", "log", "a"]);
    run(&other, &["mem", "append", "fleet", "log", "b"]);
    assert_eq!(run(&one, &["mem", "recent", "fleet", "log"]), "a\nb\n");
    assert_eq!(json_of(&one, &["mem", "stats"])["engine"], "redis");
    assert!(one.metric("myelin_memory_near_bytes").is_some() && other.metric("myelin_memory_near_bytes").is_none());
}

#[test]
fn a_redis_that_is_away_keeps_nobody_from_starting_and_is_found() {
    let mut redis = RedisServer::start();
    let url = redis.url();
    redis.kill();
    let mut sidecar = with(&url, "").start();
    let (code, told) = refused(&sidecar, &["mem", "get", "fleet", "plan"]);
    assert!(code == 1 && told.contains("not available"), "{told}");
    assert_eq!(sidecar.metric("myelin_memory_reachable"), Some(0.0));
    let doctor = sidecar.command(&["doctor", "--json"]).output().expect("the binary starts");
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("memory-unreachable"), "{doctor:?}");
    // Everything else is served meanwhile.
    run(&sidecar, &["stream", "create", "orders", "--subject", "orders.>"]);
    redis.restart();
    eventually("Redis is found", PATIENCE, || {
        sidecar.command(&["mem", "set", "fleet", "plan", "there"]).output().expect("the binary starts").status.success().then_some(())
    });
    assert_eq!(run(&sidecar, &["mem", "get", "fleet", "plan"]), "there\n");
    assert_eq!(sidecar.metric("myelin_memory_reachable"), Some(1.0));
    assert_eq!(sidecar.terminate(), 0);
}

#[test]
fn a_wrong_password_is_named_at_the_start_and_the_right_one_is_not_shown() {
    let user = Some(("agents".to_owned(), "s3cret-word".to_owned()));
    let redis = RedisServer::start_with(RedisOptions { user, ..RedisOptions::default() });
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("password");
    let settings = format!("user = \"agents\"\npassword_file = \"{}\"", file.display());
    std::fs::write(&file, "s3cret-word\n").expect("written");
    let mut sidecar = with(&redis.url(), &settings).start();
    run(&sidecar, &["mem", "set", "fleet", "plan", "secret"]);
    assert!(!run(&sidecar, &["config", "show"]).contains("s3cret-word"));
    assert_eq!(sidecar.terminate(), 0);
    std::fs::write(&file, "wrong-word\n").expect("written");
    let (code, told) = refused(&sidecar, &["serve"]);
    assert!(code != 0 && told.contains("memory.user") && !told.contains("wrong-word"), "{told}");
}

#[test]
fn endless_lists_become_windows_and_the_saving_is_told() {
    let redis = RedisServer::start();
    for agent in ["agent-1", "agent-2"] {
        for index in 0..300 {
            let message = format!("{{\"index\": {index}, \"role\": \"user\", \"content\": \"{}\"}}", "the same words again ".repeat(20));
            redis.command(&["RPUSH", &format!("messages:{agent}"), &message]);
        }
    }
    redis.command(&["SET", "messages:no-list", "x"]);
    let sidecar = Sidecar::start();
    let import = ["mem", "import", "--redis", &redis.url(), "--space", "fleet", "--entries-max", "50"];
    let planned = json_of(&sidecar, &[&import[..], &["--dry-run"]].concat());
    assert_eq!((&planned["lists"], &planned["entries"], &planned["kept_entries"]), (&json!(2), &json!(600), &json!(100)));
    assert_eq!(run(&sidecar, &["mem", "scan", "fleet.agent-1", "--windows"]), "");
    let done = json_of(&sidecar, &import);
    assert_eq!((&done["kept_entries"], &done["skipped_lists"]), (&json!(100), &json!(0)));
    assert!(done["saved_percent"].as_f64().expect("a share") > 80.0, "{done}");
    let kept = run(&sidecar, &["mem", "recent", "fleet.agent-2", "messages"]);
    assert_eq!(kept.lines().count(), 50);
    assert!(kept.lines().next().is_some_and(|line| line.contains("\"index\": 250")), "{kept}");
    assert!(kept.lines().last().is_some_and(|line| line.contains("\"index\": 299")), "{kept}");
}
