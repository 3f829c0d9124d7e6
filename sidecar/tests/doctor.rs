//! `doctor` finds each seeded misconfiguration by its id, says where it is, what, why and how to mend it, and ends with 1; a sound setup
//! ends with 0.

mod support;

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::Command;

use myelin_testkit::{NatsServer, free_port, zmtp};
use serde_json::Value as Json;
use support::{Ran, Scratch, free_ports_toml};

/// What `doctor --json` finds: the ids, and the findings themselves.
fn examine(scratch: &Scratch, arguments: &[&str]) -> (Ran, Vec<Json>) {
    let ran = scratch.run(&[&["doctor", "--json"], arguments].concat());
    let findings = ran.json()["findings"].as_array().expect("a list").clone();
    (ran, findings)
}

/// Asserts that `toml`, on ports of its own, has exactly this problem, and returns the finding.
#[track_caller]
fn finds(id: &str, toml: &str) -> Json {
    finds_in(id, &Scratch::with_free_ports(toml))
}

#[track_caller]
fn finds_in(id: &str, scratch: &Scratch) -> Json {
    let (ran, findings) = examine(scratch, &[]);
    let ids: Vec<_> = findings.iter().map(|finding| finding["id"].as_str().expect("an id")).collect();
    assert_eq!(ids, [id], "{findings:#?}");
    assert_eq!(ran.code, Some(1));
    let finding = findings[0].clone();
    for part in ["where", "what", "why", "fix", "severity"] {
        assert!(finding[part].as_str().is_some_and(|text| !text.is_empty()), "{part}: {finding}");
    }
    finding
}

#[track_caller]
fn says(finding: &Json, part: &str, text: &str) {
    assert!(finding[part].as_str().is_some_and(|said| said.contains(text)), "{part} does not say {text:?}: {finding}");
}

#[test]
fn a_sound_setup_has_no_findings() {
    let scratch = Scratch::with_free_ports("");
    let (ran, findings) = examine(&scratch, &[]);
    assert_eq!((ran.code, findings), (Some(0), Vec::new()));
    let ran = scratch.run(&["doctor"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "checked: myelin.toml\nnothing found\n"));
    assert_eq!(std::fs::read_dir(scratch.path()).expect("readable").count(), 1, "nothing was left behind");
}

#[test]
fn a_state_directory_that_cannot_be_written() {
    let scratch = Scratch::with_config(&free_ports_toml().replace("\"state\"", "\"file/state\""));
    scratch.write("file", "not a directory");
    let finding = finds_in("state-dir", &scratch);
    says(&finding, "what", "serve.state_dir file/state");
    says(&finding, "where", "myelin.toml:4");
}

fn pipeline(settings: &str) -> String {
    let [producers, consumers] = [(); 2].map(|()| free_port());
    format!(
        "[[route]]\nname = \"jobs\"\nkind = \"pipeline\"\nproducers = {{ bind = \"tcp://127.0.0.1:{producers}\" }}\nconsumers = {{ bind = \"tcp://127.0.0.1:{consumers}\" }}\n{settings}\n"
    )
}

#[test]
fn a_durable_pipeline_without_a_store_is_refused_by_the_setting() {
    let scratch = Scratch::with_free_ports(&format!("[store]\nenabled = false\n{}", pipeline("durable = true")));
    let finding = finds_in("pipeline-without-store", &scratch);
    says(&finding, "what", "route \"jobs\".durable");
    says(&finding, "severity", "error");
    let ran = scratch.run(&["serve"]);
    assert_eq!(ran.code, Some(64));
    assert!(ran.stderr.contains("route \"jobs\".durable"), "{}", ran.stderr);
}

#[test]
fn settings_of_a_pipeline_that_mean_nothing_or_hold_no_message() {
    let finding = finds("pipeline-setting-unused", &pipeline("durable = false\nack_wait = \"5s\""));
    says(&finding, "what", "route \"jobs\".ack_wait");
    let finding = finds("pipeline-bytes-too-few", &pipeline("bytes_max = \"8MiB\""));
    says(&finding, "what", "route \"jobs\".bytes_max");
}

#[test]
fn two_routes_on_one_port() {
    let port = free_port();
    let route = |name: &str, host: &str| {
        format!(
            "[[route]]\nname = \"{name}\"\nkind = \"pipeline\"\nproducers = {{ bind = \"tcp://{host}:{port}\" }}\nconsumers = {{ bind = \"tcp://127.0.0.1:{}\" }}\n",
            free_port()
        )
    };
    let finding = finds("bind-twice", &(route("a", "127.0.0.1") + &route("b", "127.0.0.1")));
    says(&finding, "what", "route \"a\".producers and route \"b\".producers");
    says(&finding, "severity", "error");
}

#[test]
fn one_route_name_twice() {
    let route = || {
        format!(
            "[[route]]\nname = \"jobs\"\nkind = \"pipeline\"\nproducers = {{ bind = \"tcp://127.0.0.1:{}\" }}\nconsumers = {{ bind = \"tcp://127.0.0.1:{}\" }}\n",
            free_port(),
            free_port()
        )
    };
    let finding = finds("route-name-twice", &(route() + &route()));
    says(&finding, "what", "route \"jobs\" is already defined at myelin.toml:10");
}

#[test]
fn a_route_that_connects_to_its_own_bind() {
    let port = free_port();
    let toml = format!(
        "[[route]]\nname = \"tts\"\nkind = \"service\"\ncallers = {{ bind = \"tcp://127.0.0.1:{port}\" }}\nagents = {{ connect = \"tcp://localhost:{port}\" }}\n"
    );
    let finding = finds("route-loop", &toml);
    says(&finding, "what", "which is our own route \"tts\".callers");
}

#[test]
fn a_port_that_another_process_holds() {
    let taken = TcpListener::bind(("127.0.0.1", free_port())).expect("a free port");
    let address = taken.local_addr().expect("bound");
    let toml = format!(
        "[[route]]\nname = \"jobs\"\nkind = \"pipeline\"\nproducers = {{ bind = \"tcp://{address}\" }}\nconsumers = {{ bind = \"tcp://127.0.0.1:{}\" }}\n",
        free_port()
    );
    let finding = finds("port-in-use", &toml);
    says(&finding, "what", &format!("route \"jobs\".producers tcp://{address} is already used by "));
    if cfg!(target_os = "linux") {
        says(&finding, "what", &format!("(pid {})", std::process::id()));
    }
}

#[test]
fn a_nats_server_where_we_want_to_listen() {
    let server = NatsServer::start();
    let address = server.url().strip_prefix("nats://").expect("a URL").to_owned();
    let scratch = Scratch::with_free_ports("");
    let (ran, findings) = examine(&scratch, &["--listen", &address]);
    assert_eq!((ran.code, findings.len()), (Some(1), 1), "{findings:#?}");
    assert_eq!(findings[0]["id"], "nats-server-on-listen");
    says(&findings[0], "what", &format!("serve.listen {address} already belongs to the NATS server"));
    says(&findings[0], "where", "flag --listen");
}

#[test]
fn a_bind_that_others_can_reach() {
    let port = free_port();
    let scratch = Scratch::with_config(&format!("{}\n", free_ports_toml().replacen("http = \"127.0.0.1", "http = \"0.0.0.0", 1)));
    let finding = finds_in("bind-not-loopback", &scratch);
    says(&finding, "what", "serve.http listens on every interface (0.0.0.0:");
    says(&finding, "severity", "warning");
    let (ran, findings) = examine(&scratch, &["--allow", "bind-not-loopback"]);
    assert_eq!((ran.code, findings.len()), (Some(0), 0), "port {port}");
    assert_eq!(ran.json()["accepted"].as_array().map(Vec::len), Some(1));
}

#[test]
fn localhost_as_the_advertised_host() {
    let scratch = Scratch::with_free_ports("");
    let (ran, findings) = examine(&scratch, &["--advertise", "localhost"]);
    assert_eq!((ran.code, findings.len()), (Some(1), 1), "{findings:#?}");
    assert_eq!(findings[0]["id"], "advertise-localhost");
    says(&findings[0], "where", "flag --advertise");
}

#[test]
fn a_route_with_a_side_missing() {
    let toml = format!("[[route]]\nname = \"tts\"\nkind = \"service\"\ncallers = {{ bind = \"tcp://127.0.0.1:{}\" }}\n", free_port());
    let finding = finds("route-side-missing", &toml);
    says(&finding, "what", "route \"tts\" has no endpoint for its agents");
    says(&finding, "severity", "warning");
}

/// A service route to an agent on this port.
fn route_to(port: u16) -> String {
    format!(
        "[[route]]\nname = \"tts\"\nkind = \"service\"\ncallers = {{ bind = \"tcp://127.0.0.1:{}\" }}\nagents = {{ connect = \"tcp://127.0.0.1:{port}\" }}\n",
        free_port()
    )
}

#[test]
fn an_agent_that_is_not_there() {
    let port = free_port();
    let finding = finds("agent-silent", &route_to(port));
    says(&finding, "what", &format!("connects to tcp://127.0.0.1:{port}, where no agent answers: connection refused"));
    says(&finding, "where", "myelin.toml:14");
}

#[test]
fn a_side_of_a_pair_with_two_agents() {
    let agents = [(); 2].map(|()| zmtp::Listener::bind(free_port()));
    let [first, second] = agents.each_ref().map(|agent| agent.address());
    let toml = format!(
        "[[route]]\nname = \"line\"\nkind = \"pair\"\na = {{ connect = [\"tcp://{first}\", \"tcp://{second}\"] }}\nb = {{ bind = \"tcp://127.0.0.1:{}\" }}\n",
        free_port()
    );
    std::thread::scope(|scope| {
        for agent in &agents {
            scope.spawn(|| agent.accept("PAIR", &zmtp::Options::default()));
        }
        let finding = finds("pair-side-crowded", &toml);
        says(&finding, "what", "side a of pair \"line\" connects to 2 agents");
    });
}

#[test]
fn an_agent_that_accepts_and_stays_silent() {
    let silent = TcpListener::bind(("127.0.0.1", free_port())).expect("a free port");
    let finding = finds("agent-silent", &route_to(silent.local_addr().expect("bound").port()));
    says(&finding, "what", "never greets");
}

#[test]
fn a_publisher_where_a_service_is_expected_and_a_rep_where_it_is_right() {
    let listener = zmtp::Listener::bind(free_port());
    let toml = route_to(listener.address().port());
    std::thread::scope(|scope| {
        scope.spawn(|| listener.accept("PUB", &zmtp::Options::default()));
        let finding = finds("agent-wrong-type", &toml);
        says(&finding, "what", "where a PUB socket answers");
        says(&finding, "fix", "REP or ROUTER");
    });
    std::thread::scope(|scope| {
        scope.spawn(|| listener.accept("REP", &zmtp::Options::default()));
        let (ran, findings) = examine(&Scratch::with_free_ports(&toml), &[]);
        assert_eq!((ran.code, findings), (Some(0), Vec::new()));
    });
}

#[test]
fn fewer_files_than_connections() {
    let scratch = Scratch::with_free_ports("");
    let myelin = scratch.command(&[]);
    let mut limited = Command::new("sh");
    limited.current_dir(scratch.path()).args(["-c", "ulimit -n 256 && exec \"$0\" doctor --json"]).arg(myelin.get_program());
    let ran = Ran::of(&mut limited);
    assert_eq!(ran.code, Some(1));
    let findings = ran.json()["findings"].clone();
    assert_eq!(findings[0]["id"], "open-files", "{findings:#?}");
    says(&findings[0], "what", "limits.connections is 16384, but this process may open 256 files");
}

#[test]
fn agent_ports_among_those_of_outgoing_connections() {
    let scratch = Scratch::with_free_ports("");
    let (ran, findings) = examine(&scratch, &["--set", "discovery.port_range=1024-65535"]);
    assert_eq!((ran.code, findings.len()), (Some(1), 1), "{findings:#?}");
    assert_eq!(findings[0]["id"], "port-range-ephemeral");
}

#[test]
fn the_error_bus_of_the_agents() {
    let toml = "[[route]]\nname = \"errors\"\nkind = \"topic\"\npublishers = { bind = \"tcp://127.0.0.1:7150\" }\nsubscribers = { bind = \"tcp://127.0.0.1:";
    let finding = finds("error-bus-bound", &format!("{toml}{}\" }}\n", free_port()));
    says(&finding, "fix", "connect instead");
}

#[test]
fn a_configuration_that_cannot_be_read_is_a_finding_too() {
    let finding = finds_in("config", &Scratch::with_config("[serve]\nlisen = \"x\"\n"));
    says(&finding, "where", "myelin.toml:2");
    says(&finding, "what", "did you mean listen?");
}

#[test]
fn a_running_sidecar_is_no_surprise_to_its_own_doctor() {
    let scratch = Scratch::with_free_ports("");
    let (_process, _) = scratch.serve();
    let (ran, findings) = examine(&scratch, &[]);
    assert_eq!((ran.code, findings), (Some(0), Vec::new()));
}

#[test]
fn text_shows_where_why_and_fix_and_counts() {
    let scratch = Scratch::with_free_ports("");
    let ran = scratch.run(&["doctor", "--advertise", "localhost"]);
    assert_eq!(ran.code, Some(1));
    for part in
        ["warning [advertise-localhost] discovery.advertise is", "  where: flag --advertise", "  why: ", "  fix: ", "0 errors, 1 warnings"]
    {
        assert!(ran.stdout.contains(part), "{part} is missing in\n{}", ran.stdout);
    }
}

#[test]
fn a_mechanism_without_its_files_and_files_without_a_mechanism() {
    let finding = finds("security-file-missing", "[security]\nconnect_mechanism = \"plain\"\n");
    says(&finding, "what", "needs a file in security.connect_login");
    let finding = finds("security-unused", "[security]\nusers = \"users\"\n");
    says(&finding, "what", "security.users is set, and no mechanism reads it");
    let finding = finds("security-file", "[security]\nmechanism = \"plain\"\nusers = \"absent\"\n");
    says(&finding, "what", "security.users: cannot read absent");
}

#[test]
fn an_address_that_serve_would_refuse_to_open() {
    let toml = format!(
        "[[route]]\nname = \"r\"\nkind = \"pipeline\"\nproducers = {{ bind = \"tcp://*:{}\" }}\nconsumers = {{ bind = \"tcp://127.0.0.1:{}\" }}\n",
        free_port(),
        free_port()
    );
    let finding = finds("bind-insecure", &toml);
    says(&finding, "fix", "security.insecure = true");
    let finding = finds("bind-not-loopback", &format!("{toml}security = {{ insecure = true }}\n"));
    says(&finding, "why", "nothing authenticates a peer");
}

#[test]
fn sockets_of_this_machine_are_looked_at_too() {
    let scratch = Scratch::with_free_ports("");
    let socket = |name: &str| scratch.path().join(name);
    let _taken = UnixListener::bind(socket("taken")).expect("bound");
    // What a process that was killed leaves behind is replaced.
    drop(UnixListener::bind(socket("stale")).expect("bound"));
    let toml = std::fs::read_to_string(socket("myelin.toml")).expect("readable");
    let there = format!("bind = \"tcp://127.0.0.1:{}\"", free_port());
    for (bind, consumers, id, what) in [
        ("ipc://taken", &*there, "socket-in-use", "route \"r\".producers ipc://taken is already used by "),
        ("ipc://absent/a", &there, "bind-refused", "cannot bind ipc://absent/a: no such file"),
        ("ipc://myelin.toml", &there, "bind-refused", "a file of this name is no socket"),
        ("ipc://stale", "connect = \"ipc://nobody\"", "agent-silent", "connects to ipc://nobody, where no agent answers: no such file"),
        ("ipc://stale", "connect = \"ipc://./stale\"", "route-loop", "which is our own route \"r\".producers"),
    ] {
        let route =
            format!("[[route]]\nname = \"r\"\nkind = \"pipeline\"\nproducers = {{ bind = \"{bind}\" }}\nconsumers = {{ {consumers} }}\n");
        scratch.write("myelin.toml", &format!("{toml}{route}"));
        let finding = finds_in(id, &scratch);
        says(&finding, "what", what);
    }
}
