//! `GET /health` at the port of an agent of another machine, as containers and hubs ask it, is answered with the agent's last document.

mod health;

use std::time::Duration;

use health::{BOUND, Machines, far, health_place, registered};
use myelin_testkit::http::{self, Answer};
use myelin_testkit::{PATIENCE, eventually};
use serde_json::{Value, json};

fn get(machines: &Machines, place: std::net::SocketAddr) -> Option<Answer> {
    machines.hosts[1].enter(|| http::get(place, "/health", health::POLL))
}

#[test]
fn the_status_is_the_agents() {
    let Some(machines) = Machines::start(["", ""]) else { return };
    let mut agent = registered(far(&machines));
    let place = health_place(&machines, "far");
    let answer = |status: u16| {
        eventually("the status is told", PATIENCE, || {
            std::thread::sleep(Duration::from_millis(100));
            get(&machines, place).filter(|answer| answer.status == status)
        })
    };
    let document: Value = serde_json::from_str(&answer(200).body).expect("the document is JSON");
    assert_eq!(document["message"], "far is running");
    agent.ask(&json!({"ready": false}), "ready_set");
    answer(503);

    agent.freeze();
    std::thread::sleep(BOUND);
    assert!(get(&machines, place).is_none(), "nothing is known any more");
}
