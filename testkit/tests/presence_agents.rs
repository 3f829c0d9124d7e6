//! A ZeroMQ agent that knows of nothing is present as soon as it has registered and answers, dead within a second of its end, and alive again when it is
//! back: in another life.

mod presence;

use std::time::Duration;

use myelin_testkit::{Agent, PATIENCE, Sidecar, free_port};
use presence::{Watch, shown};

#[test]
fn an_agent_is_present_from_its_registration_to_its_end_and_again() {
    let sidecar = Sidecar::start();
    let watch = Watch::start(&sidecar);
    let port = free_port();
    let start = || Agent::script("rep_agent").arg("--name", "Phoenix").arg("--port", port);
    let mut agent = start().arg("--register", sidecar.discovery_endpoint()).start();
    agent.event("registered");
    let (first, _) = watch.until("Phoenix", "alive", PATIENCE);
    assert_eq!((&first["reason"], &first["reachable"], &first["ready"]), (&"announced".into(), &true.into(), &true.into()));
    assert_eq!(first["capabilities"], serde_json::json!(["health_check", "ping", "echo"]));
    let entry = shown(&sidecar, "Phoenix");
    assert_eq!((&entry["state"], &entry["presence"]["state"]), (&"connected".into(), &"alive".into()));
    assert_eq!(entry["presence"]["metadata"][0][0], "version");

    agent.kill9();
    let (dead, after) = watch.until("Phoenix", "dead", PATIENCE);
    println!("dead after {after:?}");
    assert!(after <= Duration::from_millis(1_000), "a connection loss is seen in a second: {after:?}");
    assert_eq!((&dead["reason"], &dead["reachable"], &dead["ready"]), (&"connection lost".into(), &false.into(), &false.into()));

    let _again = start().start();
    let (second, _) = watch.until("Phoenix", "alive", PATIENCE);
    assert!(second["incarnation"].as_u64() > first["incarnation"].as_u64(), "{first} {second}");
}

#[test]
fn what_is_known_is_shown_to_people() {
    let sidecar = Sidecar::start();
    let watch = Watch::start(&sidecar);
    let _agent = Agent::registered("TTS", &sidecar.discovery_endpoint());
    watch.until("TTS", "alive", PATIENCE);
    let text = |arguments: &[&str]| {
        let output = sidecar.command(arguments).output().expect("the command runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let table = text(&["agents"]);
    let row = table.lines().find(|line| line.starts_with("TTS ")).unwrap_or_else(|| panic!("{table}"));
    for part in ["alive", "here", "announced", "health_check ping echo", "zmq.service.TTS"] {
        assert!(row.contains(part), "{part} is missing in {row:?}");
    }
    let shown = text(&["agents", "show", "TTS"]);
    for part in ["state         alive, since ", "ready         yes", "capabilities  health_check ping echo", "metadata      version: 1.0.0"]
    {
        assert!(shown.contains(part), "{part:?} is missing in {shown}");
    }
    let output = sidecar.command(&["agents", "show", "nobody"]).output().expect("the command runs");
    assert_eq!(output.status.code(), Some(1));
}
