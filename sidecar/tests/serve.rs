//! `serve` says when it is ready, answers for its health, and refuses a taken port with one line and 64.

mod support;

use std::net::{SocketAddr, TcpListener, TcpStream};

use myelin_testkit::{Process, eventually, free_port, http};
use serde_json::Value as Json;
use support::{PATIENCE, Scratch};

fn address(ready: &Json, key: &str) -> SocketAddr {
    let url = ready[key].as_str().expect("a URL");
    let (_, address) = url.split_once("://").expect("a scheme");
    address.parse().expect("an address")
}

#[test]
fn ready_means_that_everything_answers() {
    let scratch = Scratch::with_free_ports("");
    let (mut process, ready) = scratch.serve();
    assert_eq!(ready["state"], "ready");
    assert_eq!(ready["pid"], process.pid());
    let health = address(&ready, "http");
    for (path, body) in [("/livez", "alive\n"), ("/readyz", "ready\n")] {
        let answer = http::get(health, path, PATIENCE).expect(path);
        assert_eq!((answer.status, answer.body.as_str()), (200, body));
    }
    let metrics = http::get(health, "/metrics", PATIENCE).expect("metrics");
    for name in
        ["myelin_build_info", "myelin_bus_published_messages_total", "myelin_bus_listener_connections", "process_resident_memory_bytes"]
    {
        assert!(metrics.body.contains(name), "{name} is missing");
    }
    let index = http::get(health, "/", PATIENCE).expect("a page");
    assert!(index.body.contains("/readyz") && index.body.contains(ready["nats"].as_str().expect("a URL")), "{}", index.body);
    for url in [&ready["discovery"], &ready["hub"]["publishers"], &ready["hub"]["subscribers"]] {
        let address = url.as_str().and_then(|url| url.strip_prefix("tcp://")).expect("an endpoint");
        TcpStream::connect(address).expect("it listens");
    }
    assert_eq!(process.terminate(PATIENCE).code(), Some(0));
}

#[test]
fn the_greeting_names_every_address_and_what_to_try_in_few_lines() {
    let scratch = Scratch::with_free_ports("");
    let mut process = Process::spawn("myelin", &mut scratch.command(&["serve", "--log", "off"]));
    process.wait_line("last line", PATIENCE, |line| line.contains("myelin doctor").then_some(()));
    process.terminate(PATIENCE);
    let lines = process.lines();
    assert!(lines.len() <= 15, "{lines:?}");
    let text = lines.join("\n");
    for part in ["is ready", "nats://127.0.0.1:", "http://127.0.0.1:", "export MYELIN_SERVER=nats://", "myelin pub", "state"] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

/// Threads of the pools for work that blocks have the same name: a few, and only at the start.
#[cfg(target_os = "linux")]
#[test]
fn as_many_workers_as_it_is_told() {
    let threads = |arguments: &[&str]| {
        let scratch = Scratch::with_free_ports("");
        let mut process = Process::spawn("myelin", &mut scratch.command(&[&["serve", "--json"], arguments].concat()));
        process.wait_line("line of JSON", PATIENCE, |line| serde_json::from_str::<Json>(line).ok());
        let tasks = std::fs::read_dir(format!("/proc/{}/task", process.pid())).expect("a running process has tasks");
        let count = tasks.count();
        assert_eq!(process.terminate(PATIENCE).code(), Some(0));
        count
    };
    let (one, forty) = (threads(&["--threads", "1"]), threads(&["--set", "serve.threads=40"]));
    assert!(one < 30, "{one} threads with one worker");
    assert!(forty >= 40, "{forty} threads with forty workers");
}

#[test]
fn quiet_prints_nothing() {
    let scratch = Scratch::with_free_ports("");
    let health = config_port(&scratch, "http");
    let mut process = Process::spawn("myelin", &mut scratch.command(&["serve", "--quiet", "--log", "warn"]));
    eventually("it is ready", PATIENCE, || http::get(health, "/readyz", PATIENCE).filter(|answer| answer.status == 200));
    assert_eq!(process.terminate(PATIENCE).code(), Some(0));
    assert_eq!(process.lines(), Vec::<String>::new());
}

/// The address of a key of `[serve]` in the scratch configuration.
fn config_port(scratch: &Scratch, key: &str) -> SocketAddr {
    let shown = scratch.run(&["config", "show", "--json"]).json();
    let settings = shown["settings"].as_array().expect("a list").clone();
    let setting = settings.iter().find(|setting| setting["key"] == format!("serve.{key}")).expect("the key");
    setting["value"].as_str().expect("text").parse().expect("an address")
}

#[test]
fn a_taken_port_is_one_line_with_setting_address_and_holder() {
    for (setting, key) in [("serve.listen", "listen"), ("serve.http", "http")] {
        let taken = TcpListener::bind(("127.0.0.1", free_port())).expect("a free port");
        let address = taken.local_addr().expect("bound");
        let scratch = Scratch::with_free_ports("");
        let ran = scratch.run(&["serve", &format!("--{key}"), &address.to_string()]);
        assert_eq!(ran.code, Some(64), "{ran:?}");
        let expected = format!("myelin: flag --{key}: {setting}: {address} is already in use by ");
        assert!(ran.error_line().starts_with(&expected), "{ran:?}");
        if cfg!(target_os = "linux") {
            assert!(ran.error_line().contains(&format!("(pid {})", std::process::id())), "{ran:?}");
        }
    }
}

#[test]
fn a_taken_port_of_discovery_the_hub_or_a_route_is_named_as_well() {
    let taken = TcpListener::bind(("127.0.0.1", free_port())).expect("a free port");
    let endpoint = format!("tcp://{}", taken.local_addr().expect("bound"));
    for key in ["discovery.listen", "hub.publishers", "hub.subscribers"] {
        let ran = Scratch::with_free_ports("").run(&["serve", "--set", &format!("{key}={endpoint}")]);
        assert_eq!(ran.code, Some(64), "{ran:?}");
        assert!(ran.error_line().contains(&format!(": {key}: {endpoint} is already in use by ")), "{ran:?}");
    }
    let route = format!("[[route]]\nname = \"jobs\"\nkind = \"pipeline\"\nproducers = {{ bind = \"{endpoint}\" }}\n");
    let ran = Scratch::with_free_ports(&route).run(&["serve"]);
    assert_eq!(ran.code, Some(64), "{ran:?}");
    assert!(ran.error_line().contains(&format!("route \"jobs\".producers: {endpoint} is already in use by ")), "{ran:?}");
}

#[test]
fn a_state_directory_that_cannot_be_used_is_named() {
    let scratch = Scratch::with_free_ports("");
    scratch.write("file", "not a directory");
    let ran = scratch.run(&["serve", "--state-dir", "file/state"]);
    assert_eq!(ran.code, Some(64), "{ran:?}");
    assert!(ran.error_line().starts_with("myelin: flag --state-dir: serve.state_dir: file/state: "), "{ran:?}");
}

#[test]
fn state_is_made_in_the_state_directory_and_restarts_find_it() {
    let scratch = Scratch::with_free_ports("");
    for _ in 0..2 {
        let (mut process, _) = scratch.serve();
        assert_eq!(process.terminate(PATIENCE).code(), Some(0));
    }
    assert!(scratch.path().join("state").is_dir());
}

#[test]
fn silent_connections_to_the_health_port_do_not_hide_it() {
    let scratch = Scratch::with_free_ports("");
    let (_process, ready) = scratch.serve();
    let health = address(&ready, "http");
    let _silent: Vec<_> = (0..200).map(|_| TcpStream::connect(health).expect("it listens")).collect();
    assert_eq!(http::get(health, "/livez", PATIENCE).map(|answer| answer.status), Some(200));
}
