//! A pipeline whose producers are on one machine and whose consumers on another: each message arrives, and one that nobody takes is a dead letter that
//! both machines show.

mod across;

use across::Machines;
use myelin_testkit::{Agent, PATIENCE, eventually, free_ports, text};

#[test]
fn what_is_pushed_here_is_pulled_there() {
    let [producers, consumers]: [u16; 2] = free_ports();
    let here = format!("[[route]]\nname = \"jobs\"\nkind = \"pipeline\"\nproducers = {{ bind = [\"tcp://127.0.0.1:{producers}\"] }}\n");
    let there = format!("[[route]]\nname = \"jobs\"\nkind = \"pipeline\"\nconsumers = {{ bind = [\"tcp://127.0.0.1:{consumers}\"] }}\n");
    let Some(machines) = Machines::start([&here, &there]) else { return };
    let push = Agent::script("push_agent").arg("--connect", format!("tcp://127.0.0.1:{producers}")).arg("--count", 500);
    let _push = push.on(&machines.hosts[0]).start();
    let pull = Agent::script("pull_agent").arg("--connect", format!("tcp://127.0.0.1:{consumers}"));
    let pull = pull.on(&machines.hosts[1]).start();
    for number in 0..500 {
        assert_eq!(text(&pull.event("message")), format!("{{\"t\": {number}}}"), "each, in order");
    }
    assert!(pull.try_event("message", across::SILENCE).is_none(), "none twice");
    eventually("all are acked", PATIENCE, || {
        let listed = machines.hosts[0].enter(|| machines.sidecars[0].command(&["stream", "info", "PIPELINE_jobs", "--json"]).output());
        let listed: serde_json::Value = serde_json::from_slice(&listed.expect("it runs").stdout).ok()?;
        (listed["messages"] == 0).then_some(())
    });
}
