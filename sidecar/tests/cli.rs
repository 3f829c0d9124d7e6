//! The client verbs against a running sidecar: every payload arrives, everything is shown safely, and what fails says what to do.

mod support;

use std::io::Write;
use std::process::Stdio;

use myelin_testkit::{Process, free_port, zmtp};
use serde_json::{Value as Json, json};
use support::{PATIENCE, Ran, Scratch};

/// A running sidecar and the directory in which every command finds it by `myelin.toml`.
struct Running {
    scratch: Scratch,
    process: Process,
}

fn running(extra: &str) -> Running {
    let scratch = Scratch::with_free_ports(extra);
    let (process, _) = scratch.serve();
    Running { scratch, process }
}

impl Running {
    fn run(&self, arguments: &[&str]) -> Ran {
        self.scratch.run(arguments)
    }

    /// Starts a verb that subscribes, and waits until it has.
    fn subscribed(&self, arguments: &[&str]) -> Process {
        let process = Process::spawn(arguments[0], &mut self.scratch.command(&[arguments, &["--json"]].concat()));
        process.wait_line("line that says it has subscribed", PATIENCE, |line| line.contains("\"subscribed\"").then_some(()));
        process
    }
}

fn next_json(process: &Process) -> Json {
    process.wait_line("line of JSON", PATIENCE, |line| serde_json::from_str(line).ok())
}

#[test]
fn what_is_published_is_seen_in_order_and_whole() {
    let myelin = running("");
    let mut sub = myelin.subscribed(&["sub", "demo.>", "--count", "4"]);
    assert_eq!(myelin.run(&["pub", "demo.text", "hello \"world\""]).code, Some(0));
    assert_eq!(myelin.run(&["pub", "demo.frames", "--frame", "ERROR:", "--frame", "", "--frame", "{}"]).code, Some(0));
    myelin.scratch.write("payload", "from a file");
    assert_eq!(myelin.run(&["pub", "demo.file", "--file", "payload"]).code, Some(0));
    let mut piped = myelin.scratch.command(&["pub", "demo.bin", "-"]);
    let mut child = piped.stdin(Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("piped").write_all(b"\x80\x04\xff").expect("it reads");
    assert!(child.wait().expect("it ends").success());

    assert_eq!(next_json(&sub), json!({ "subject": "demo.text", "body": { "text": "hello \"world\"" } }));
    let frames = json!([{ "text": "ERROR:" }, { "text": "" }, { "text": "{}" }]);
    assert_eq!(next_json(&sub), json!({ "subject": "demo.frames", "frames": frames }));
    assert_eq!(next_json(&sub), json!({ "subject": "demo.file", "body": { "text": "from a file" } }));
    assert_eq!(next_json(&sub), json!({ "subject": "demo.bin", "body": { "hex": "8004ff" } }));
    assert_eq!(sub.wait_end(PATIENCE).code(), Some(0), "--count ends it");
}

#[test]
fn a_terminal_shows_subject_and_escapes_and_raw_does_not() {
    let myelin = running("");
    let reply = myelin.subscribed(&["reply", "demo.echo", "--echo"]);
    let ran = myelin.run(&["req", "demo.echo", "a\u{1b}[31m\nb"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "a\\u{1b}[31m\\nb\n"));
    let ran = myelin.run(&["req", "demo.echo", "--raw", "a\nb"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "a\nb\n"));
    let ran = myelin.run(&["req", "demo.echo", "--frame", "x", "--frame", "y"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "(2 frames)\n  1: x\n  2: y\n"));
    drop(reply);
}

#[test]
fn replies_come_from_a_text_or_from_a_command() {
    let myelin = running("");
    let _fixed = myelin.subscribed(&["reply", "demo.fixed", "hi there"]);
    let ran = myelin.run(&["req", "demo.fixed", "--json"]);
    assert_eq!((ran.code, ran.json()["body"].clone()), (Some(0), json!({ "text": "hi there" })));

    let _command = myelin.subscribed(&["reply", "demo.up.*", "--command", "echo \"$MYELIN_SUBJECT:\"; tr a-z A-Z"]);
    let ran = myelin.run(&["req", "demo.up.x", "shout", "--raw"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "demo.up.x:\nSHOUT\n"));
}

#[test]
fn the_members_of_a_queue_group_share() {
    let myelin = running("");
    let members = [(); 2].map(|()| myelin.subscribed(&["sub", "jobs", "--queue", "workers"]));
    assert_eq!(myelin.run(&["pub", "jobs", "x", "--count", "20"]).code, Some(0));
    // Each message went to exactly one: after the last one, marked, both together have 20.
    let _mark = myelin.run(&["pub", "jobs", "end"]);
    let total = || members.iter().map(|member| member.lines().iter().filter(|line| line.contains("\"x\"")).count()).sum::<usize>();
    myelin_testkit::eventually("all are read", PATIENCE, || (total() == 20).then_some(()));
}

#[test]
fn no_responders_is_said_at_once_with_what_exists() {
    let agent_port = free_port();
    let listener = zmtp::Listener::bind(agent_port);
    let myelin = running(&format!(
        "[[route]]\nname = \"TTSAgent\"\nkind = \"service\"\ncallers = {{ bind = \"tcp://127.0.0.1:{}\" }}\nagents = {{ connect = \"tcp://127.0.0.1:{agent_port}\" }}\n",
        free_port()
    ));
    let _agent = listener.accept("REP", &zmtp::Options::default());
    let ran = myelin.run(&["req", "zmq.service.TTSagnet", "x", "--timeout", "60s"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("no responders: nobody is subscribed to zmq.service.TTSagnet"), "{ran:?}");
    assert!(ran.stderr.contains("did you mean zmq.service.TTSAgent?"), "{ran:?}");
    let ran = myelin.run(&["req", "something.else", "x"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("the only attached agent is zmq.service.TTSAgent"), "{ran:?}");
}

#[test]
fn a_request_that_nobody_answers_times_out_with_1() {
    let myelin = running("");
    let _silent = myelin.subscribed(&["sub", "demo.silent"]);
    let ran = myelin.run(&["req", "demo.silent", "x", "--timeout", "100ms"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.starts_with("myelin: no reply from demo.silent within 100ms\n"), "{ran:?}");
}

#[test]
fn an_agent_of_a_route_is_listed_and_answers_requests_of_the_bus() {
    let agent_port = free_port();
    let listener = zmtp::Listener::bind(agent_port);
    let myelin = running(&format!(
        "[[route]]\nname = \"My Agent\"\nkind = \"service\"\ncallers = {{ bind = \"tcp://127.0.0.1:{}\" }}\nagents = {{ connect = \"tcp://127.0.0.1:{agent_port}\" }}\n",
        free_port()
    ));
    let mut agent = listener.accept("REP", &zmtp::Options::default());
    let subject = myelin_testkit::eventually("the agent is connected", PATIENCE, || {
        let listed = myelin.run(&["agents", "--json"]).json();
        let entry = listed["agents"][0].clone();
        (entry["state"] == "connected").then(|| entry["subject"].as_str().expect("a subject").to_owned())
    });
    let table = myelin.run(&["agents"]).stdout;
    assert!(table.starts_with("AGENT") && table.contains("My Agent  connected  "), "{table}");
    std::thread::scope(|scope| {
        let caller = scope.spawn(|| myelin.run(&["req", &subject, "ping"]));
        let mut request = agent.message();
        assert_eq!(request.last().map(Vec::as_slice), Some(&b"ping"[..]));
        *request.last_mut().expect("a body") = b"pong".to_vec();
        agent.send(&request);
        let ran = caller.join().expect("it ran");
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "pong\n"), "{ran:?}");
    });
}

#[test]
fn without_a_sidecar_every_client_verb_says_how_to_start_one() {
    let scratch = Scratch::new();
    let url = format!("nats://127.0.0.1:{}", free_port());
    let expected = format!("myelin: cannot reach a sidecar at {url}: start one with 'myelin serve'");
    for verb in [&["pub", "a", "b"][..], &["sub", "a"], &["req", "a", "b"], &["reply", "a", "b"], &["agents"]] {
        let ran = scratch.run(&[verb, &["--server", &url]].concat());
        assert_eq!((ran.code, ran.error_line()), (Some(1), expected.as_str()), "{verb:?}");
    }
    let ran = Ran::of(scratch.command(&["agents"]).env("MYELIN_SERVER", &url));
    assert_eq!(ran.error_line(), expected);
    let ran = scratch.run(&["agents", "--server", "http://x"]);
    assert_eq!(ran.code, Some(64), "{ran:?}");
}

#[test]
fn a_subject_that_is_none_is_bad_usage() {
    let scratch = Scratch::new();
    for arguments in [&["pub", "a b", "x"][..], &["pub", "a.*", "x"], &["sub", "a..b"], &["req", "", "x"]] {
        let ran = scratch.run(arguments);
        assert_eq!(ran.code, Some(64), "{ran:?}");
        ran.error_line();
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut myelin = running("");
    let mut sub = myelin.scratch.command(&["sub", "demo"]).stdout(Stdio::piped()).spawn().expect("it starts");
    drop(sub.stdout.take());
    // Published until the subscription is there and finds nobody reading.
    let status = myelin_testkit::eventually("it ends", PATIENCE, || {
        myelin.run(&["pub", "demo", "x"]);
        sub.try_wait().expect("a child")
    });
    assert_eq!(status.code(), Some(0));
    assert_eq!(myelin.process.terminate(PATIENCE).code(), Some(0));
}

/// It used to say that somebody had received the request.
#[test]
fn a_request_to_an_agent_that_is_away_is_not_said_to_be_received() {
    let scratch = Scratch::with_free_ports(&format!(
        "[[route]]\nname = \"Away\"\nkind = \"service\"\nagents = {{ connect = \"tcp://127.0.0.1:{}\" }}\n",
        free_port()
    ));
    let (_process, _) = scratch.serve();
    let ran = scratch.run(&["req", "zmq.service.Away", "{}", "--timeout", "200ms"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("no reply from zmq.service.Away within 200ms") && ran.stderr.contains("Away is away: "), "{}", ran.stderr);
}
