//! What a version leaves on its disk, made by one and checked by another. The content is described in `fixtures/state/README.md`.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::net::SocketAddr;

use myelin_testkit::registry::Registry;
use myelin_testkit::zmtp::Peer;
use myelin_testkit::{PATIENCE, Sidecar, SidecarBuilder, eventually, free_ports};
use serde_json::{Value, json};

/// A sidecar with the pipeline `jobs`.
pub(crate) struct Left {
    pub(crate) sidecar: Sidecar,
    producers: SocketAddr,
    consumers: SocketAddr,
}

impl Left {
    #[track_caller]
    pub(crate) fn start(change: impl FnOnce(SidecarBuilder) -> SidecarBuilder) -> Self {
        let [producers, consumers] = free_ports();
        let builder = Sidecar::builder().routes(&format!(
            "[[route]]\nname = \"jobs\"\nkind = \"pipeline\"\n\
             producers = {{ bind = [\"tcp://127.0.0.1:{producers}\"] }}\nconsumers = {{ bind = [\"tcp://127.0.0.1:{consumers}\"] }}\n"
        ));
        Self {
            sidecar: change(builder).start(),
            producers: ([127, 0, 0, 1], producers).into(),
            consumers: ([127, 0, 0, 1], consumers).into(),
        }
    }

    /// Leaves what the fixtures hold.
    #[track_caller]
    pub(crate) fn make(&self) {
        let mut push = Peer::connect(self.producers, "PUSH");
        for job in 0..3 {
            push.send(&job_of(job));
        }
        eventually("the jobs are stored", PATIENCE, || (self.json(&["stream", "info", "PIPELINE_jobs"])["messages"] == 3).then_some(()));
        let answer = Registry::at(self.sidecar.discovery()).ask(&json!({
            "action": "register_agent", "agent_name": "planner", "agent_type": "x", "host": "127.0.0.1", "port": 26460,
            "health_check_port": 26461, "capabilities": ["plan"]
        }));
        assert_eq!(answer["status"], "success");
        let limits = ["--messages-max", "2", "--on-full", "drop_oldest", "--dead-letter-evicted"];
        self.run(&[&["stream", "create", "orders", "--subject", "orders.>"], &limits[..]].concat());
        self.run(&["consumer", "create", "orders", "billing"]);
        for order in 1..=3 {
            self.run(&["stream", "pub", "orders.new", &format!("order {order}"), "--id", &format!("id-{order}")]);
        }
        assert_eq!(self.json(&["consumer", "next", "orders", "billing"])["body"], json!({"text": "order 2"}));
        eventually("the evicted order is a letter", PATIENCE, || (!self.run(&["dlq", "list", "--json"]).is_empty()).then_some(()));
    }

    /// All of it is there, whoever wrote it.
    #[track_caller]
    pub(crate) fn check(&self) {
        let mut pull = Peer::connect(self.consumers, "PULL");
        for job in 0..3 {
            assert_eq!(pull.message(), job_of(job), "jobs come in order, frame for frame");
        }
        let letter = self.json(&["dlq", "show", "1"]);
        assert_eq!((&letter["body"], &letter["reason"]), (&json!({"text": "order 1"}), &json!("evicted")));
        assert_eq!(self.json(&["consumer", "next", "orders", "billing"])["body"], json!({"text": "order 3"}), "order 2 was acked");
        let receipt = self.json(&["stream", "pub", "orders.new", "order 4", "--id", "id-4"]);
        assert_eq!((&receipt["sequence"], &receipt["duplicate"]), (&json!(4), &json!(false)));
        let agents = self.json(&["agents"]);
        let planner = &agents["agents"][0];
        assert_eq!((&planner["name"], &planner["endpoints"][0]), (&json!("planner"), &json!("tcp://127.0.0.1:26460")));
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> String {
        let output = self.sidecar.command(arguments).output().expect("the binary starts");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let text = self.run(&[arguments, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    }
}

fn job_of(number: u8) -> Vec<Vec<u8>> {
    vec![b"job".to_vec(), number.to_string().into_bytes(), vec![0, 255]]
}
