//! Z18, Z19: pyzmq publishers that connect to the sidecar, and pyzmq publishers that bind their own endpoint.

use myelin_testkit::{Agent, PATIENCE, Sidecar, frames, free_port, text};
use serde_json::Value;

#[track_caller]
fn sequence(message: &Value) -> u64 {
    let document: Value = serde_json::from_str(&text(message)).expect("bare JSON");
    document["seq"].as_u64().expect("a number")
}

#[test]
fn z18_a_pub_that_connects_loses_at_most_its_first_message() {
    let sidecar = Sidecar::start();
    let sub = Agent::script("sub_agent").arg("--connect", sidecar.subscribers_endpoint()).start();
    // The subscriber is in place when it hears an earlier publisher, of two frames, which are told apart below.
    let earlier = Agent::script("pub_agent").arg("--connect", sidecar.publishers_endpoint()).arg("--kind", "two").start();
    sub.event("message");
    drop(earlier);
    let publisher = Agent::script("pub_agent")
        .arg("--connect", sidecar.publishers_endpoint())
        .arg("--kind", "json")
        .arg("--interval", 0.4)
        .arg("--count", 4)
        .start();
    for _ in 0..4 {
        publisher.event("sent");
    }
    let mut got = Vec::new();
    while got.last() != Some(&3) {
        let message = sub.event("message");
        if frames(&message).len() == 1 {
            got.push(sequence(&message));
        }
    }
    assert!(got.ends_with(&[1, 2, 3]), "libzmq loses number 0, nobody loses another: {got:?}");
}

/// A topic route whose publishers bind: the sidecar connects to them and owns none of their endpoints.
fn topic(publisher: u16, subscribers: u16) -> Sidecar {
    Sidecar::builder()
        .routes(&format!(
            "[[route]]\nname = \"status\"\nkind = \"topic\"\n\
             publishers = {{ connect = [\"tcp://127.0.0.1:{publisher}\"] }}\n\
             subscribers = {{ bind = [\"tcp://127.0.0.1:{subscribers}\"] }}\n"
        ))
        .start()
}

#[test]
fn z19_a_pub_that_binds_is_connected_to_and_again_after_its_restart() {
    let [publisher, subscribers] = [free_port(), free_port()];
    let sidecar = topic(publisher, subscribers);
    let sub = Agent::script("sub_agent").arg("--connect", format!("tcp://127.0.0.1:{subscribers}")).start();
    // The endpoint is free: the agent can bind it although the sidecar was first. And so can the next one.
    for (kind, start) in [("json", "{"), ("word", "health")] {
        let _agent = Agent::script("pub_agent").arg("--bind", format!("tcp://127.0.0.1:{publisher}")).arg("--kind", kind).start();
        // Messages of the agent before may still arrive.
        let mine = || loop {
            let message = text(&sub.event("message"));
            if message.starts_with(start) {
                let document: Value = serde_json::from_str(&message[message.find('{').expect("JSON")..]).expect("JSON");
                return document["seq"].as_u64().expect("a number");
            }
        };
        let first = mine();
        assert_eq!([mine(), mine(), mine()], [first + 1, first + 2, first + 3], "from the first one on, each");
    }
    assert!(sidecar.is_ready());
}

#[test]
fn z17_the_error_bus_in_three_dialects_binding_and_connecting() {
    let [publisher, subscribers] = [free_port(), free_port()];
    let sidecar = topic(publisher, subscribers);
    let bound = format!("tcp://127.0.0.1:{publisher}");
    let hub = sidecar.publishers_endpoint();
    let behind_bound = format!("tcp://127.0.0.1:{subscribers}");
    let behind_hub = sidecar.subscribers_endpoint();
    for (option, endpoint, from) in [("--bind", &bound, &behind_bound), ("--connect", &hub, &behind_hub)] {
        for (dialect, frame_count, narrow) in [("one", 1, true), ("two", 2, false), ("two-colon", 2, true)] {
            let _agent = Agent::script("error_bus_agent").arg("--dialect", dialect).arg(option, endpoint).start();
            let wide = Agent::script("sub_agent").arg("--connect", from).arg("--prefix", "ERROR").start();
            let got = frames(&wide.event("message"));
            assert_eq!(got.len(), frame_count, "{dialect} {option}");
            assert!(got.concat().ends_with(b"}"), "{dialect} {option}");
            if narrow {
                let narrow = Agent::script("sub_agent").arg("--connect", from).arg("--prefix", "ERROR:").start();
                narrow.event("message");
            }
        }
    }
}

#[test]
fn pickled_audio_arrives_whole_and_in_order() {
    let sidecar = Sidecar::start();
    let sub = Agent::script("sub_agent").arg("--connect", sidecar.subscribers_endpoint()).flag("--digest").start();
    let publisher =
        Agent::script("pub_agent").arg("--connect", sidecar.publishers_endpoint()).arg("--kind", "audio").arg("--count", 10).start();
    let first = sub.event("message");
    let mut sent = publisher.event("sent");
    while sent["digest"] != first["digest"] {
        sent = publisher.event("sent");
    }
    assert!(sent["seq"].as_u64() <= Some(2), "only what was sent before the connection stood is lost: {sent}");
    // From the first one on, each of them: two seconds of speech at 5 x 38,701 bytes.
    while sent["seq"] != 9 {
        sent = publisher.event("sent");
        let got = sub.event("message");
        assert_eq!((&got["size"], &got["digest"]), (&serde_json::json!(38_701), &sent["digest"]));
    }
}

#[test]
fn every_kind_of_status_publisher_reaches_the_empty_prefix() {
    let sidecar = Sidecar::start();
    for (kind, frame_count) in [("json", 1), ("word", 1), ("word-colon", 1), ("two", 2), ("pickle", 1)] {
        let sub = Agent::script("sub_agent").arg("--connect", sidecar.subscribers_endpoint()).start();
        let _publisher = Agent::script("pub_agent").arg("--connect", sidecar.publishers_endpoint()).arg("--kind", kind).start();
        assert_eq!(frames(&sub.event("message")).len(), frame_count, "{kind}");
    }
}

#[test]
fn pyzmq_subscribers_get_their_prefixes_and_only_those() {
    let sidecar = Sidecar::start();
    let endpoint = sidecar.subscribers_endpoint();
    let mut sub = Agent::script("sub_agent").arg("--connect", &endpoint).arg("--prefix", "alpha").arg("--prefix", "beta").start();
    let mut publisher = Agent::script("pub_agent").arg("--connect", sidecar.publishers_endpoint()).start();
    let hex = |text: &str| serde_json::json!([myelin_testkit::hex::text(text.as_bytes())]);
    // `beta` was subscribed last, so when it arrives both are in effect.
    myelin_testkit::eventually("the first message", PATIENCE, || {
        publisher.ask(&serde_json::json!({"send": [hex("beta-probe")]}), "sent");
        sub.try_event("message", std::time::Duration::from_millis(50))
    });
    let round = |publisher: &mut Agent, sub: &Agent, end: &str| {
        let texts = ["alphabet", "gamma", "beta", "alph", end];
        publisher.ask(&serde_json::json!({"send": texts.map(hex)}), "sent");
        let mut got = Vec::new();
        loop {
            let message = text(&sub.event("message"));
            if message == end {
                got.retain(|text| text != "beta-probe");
                return got;
            }
            got.push(message);
        }
    };
    assert_eq!(round(&mut publisher, &sub, "alpha-end"), ["alphabet", "beta"]);
    sub.write_line("unsubscribe alpha");
    sub.event("changed");
    sub.write_line("subscribe gam");
    sub.event("changed");
    myelin_testkit::eventually("the new subscription", PATIENCE, || {
        publisher.ask(&serde_json::json!({"send": [hex("gam-probe")]}), "sent");
        sub.try_event("message", std::time::Duration::from_millis(50)).filter(|message| text(message) == "gam-probe")
    });
    let mut got = round(&mut publisher, &sub, "gam-end");
    got.retain(|text| text != "gam-probe");
    assert_eq!(got, ["gamma", "beta"]);
}
