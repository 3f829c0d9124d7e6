//! A PULL agent that is killed with 1 MiB unread in the buffers of its TCP connection: everything that it had not confirmed by a PONG reaches the
//! next PULL. Duplicates are allowed, and counted.

mod pipelines;

use std::collections::BTreeSet;

use myelin_testkit::{PATIENCE, eventually, frames};
use pipelines::Pipeline;
use serde_json::Value;

const SMALL: usize = 64 * 1024;
const LARGE: usize = 512 * 1024;

#[test]
fn everything_not_ponged_reaches_the_next_pull() {
    let pipeline = Pipeline::start("");
    // Its library takes one message, its program none: the rest stays in the buffers of the connection.
    let mut agent = pipeline.pull_agent().arg("--rcvhwm", 1).arg("--take", 0).start();
    let consumer = || {
        let peers = pipeline.json(&["zmq", "--route", "jobs"])[0]["peers"].as_array().expect("peers").clone();
        peers.into_iter().find(|peer| peer["side"] == "consumers")
    };
    eventually("the agent is connected", PATIENCE, consumer);
    let mut push = pipeline.push();
    // 15 small ones are less than what one consumer may have, so a large one goes with them.
    let mut sizes = vec![SMALL; 15];
    sizes.extend([LARGE, LARGE, SMALL, SMALL]);
    for (number, size) in sizes.iter().enumerate() {
        push.send(&[number.to_string().into_bytes(), vec![b'x'; *size]]);
    }
    // All of a consumer's share left our queue, and at most two small messages of it are in the agent: 1 MiB and more is in the buffers between.
    let unread = eventually("the buffers are full", PATIENCE, || {
        let peer = consumer()?;
        let (sent, queued) = (peer["sent"]["bytes"].as_u64()?, peer["queued"]["bytes"].as_u64()?);
        (peer["queued"] == serde_json::json!({ "bytes": 0, "messages": 0 }) && sent >= (15 * SMALL + LARGE) as u64)
            .then(|| sent - queued - 2 * SMALL as u64)
    });
    assert!(unread >= 1 << 20, "{unread} bytes unread");
    eventually("everything is stored", PATIENCE, || (pipeline.counter("stored") == sizes.len() as u64).then_some(()));
    let ponged = pipeline.counter("acked") as usize;
    assert!(ponged <= 2, "{ponged} confirmed");
    agent.kill9();

    let next = pipeline.pull_agent().start();
    let mut came: Vec<usize> = Vec::new();
    let wanted: BTreeSet<usize> = (ponged..sizes.len()).collect();
    while !wanted.iter().all(|number| came.contains(number)) {
        let event: Value = next.event("message");
        let message = frames(&event);
        let number: usize = String::from_utf8_lossy(&message[0]).parse().expect("a number");
        assert_eq!(message[1].len(), sizes[number]);
        came.push(number);
    }
    pipeline.wait_stored(0);
    let doubled = came.len() - came.iter().collect::<BTreeSet<_>>().len();
    assert_eq!(doubled, 0, "the killed agent's program read nothing, so nothing came twice");
    assert!(pipeline.counter("redelivered") >= 16 - ponged as u64, "what the killed agent had was delivered again, and counted");
}
