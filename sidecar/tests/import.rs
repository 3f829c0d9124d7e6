//! `import` turns a fleet's startup file into routes that `config check` accepts and through which its agents are reached; what it cannot
//! turn into routes it names, with the line, and says so with its exit code.

mod support;

use myelin_testkit::{Agent, free_port, free_ports, zmtp};
use serde_json::json;
use support::{Ran, Scratch};

const FLEET: &str = r#"
global_settings:
  environment: { LOG_LEVEL: INFO }
agent_groups:
  core:
    ServiceRegistry:
      script_path: core/service_registry.py
      port: "${PORT_OFFSET}+7200"
      health_check_port: "${PORT_OFFSET}+8200"
      required: true
      dependencies: []
    SystemTwin:
      port: ${PORT_OFFSET}+7220
      dependencies: [ServiceRegistry]
"#;

fn scratch(fleet: &str) -> Scratch {
    let scratch = Scratch::new();
    scratch.write("fleet.yaml", fleet);
    scratch
}

#[test]
fn a_fleet_becomes_routes_that_pass_the_check() {
    let scratch = scratch(FLEET);
    let ran = scratch.run(&["import", "fleet.yaml", "--set", "PORT_OFFSET=0"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let expected = "# 3 routes for 2 agents, made by `myelin import` from fleet.yaml.
# Callers connect to the port of the agent + 10000.

# core

[[route]]
name = \"ServiceRegistry\"
kind = \"service\"
callers = { bind = [\"tcp://127.0.0.1:17200\"] }
agents = { connect = [\"tcp://127.0.0.1:7200\"] }

[[route]]
name = \"ServiceRegistry.health\"
kind = \"service\"
callers = { bind = [\"tcp://127.0.0.1:18200\"] }
agents = { connect = [\"tcp://127.0.0.1:8200\"] }

[[route]]
name = \"SystemTwin\"
kind = \"service\"
callers = { bind = [\"tcp://127.0.0.1:17220\"] }
agents = { connect = [\"tcp://127.0.0.1:7220\"] }
";
    assert_eq!(ran.stdout, expected);

    let ran = Ran::of(scratch.command(&["import", "fleet.yaml", "--output", "myelin.toml"]).env("PORT_OFFSET", "0"));
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "", ""));
    assert_eq!(std::fs::read_to_string(scratch.path().join("myelin.toml")).expect("written"), expected);
    assert_eq!(scratch.run(&["config", "check", "myelin.toml"]).code, Some(0));
    let again = scratch.run(&["import", "fleet.yaml", "--set", "PORT_OFFSET=0"]);
    assert_eq!((again.code, again.stdout.as_str()), (Some(0), expected), "the routes of an import do not stand in its own way");
}

#[test]
fn an_imported_agent_is_reached_through_our_port() {
    // Two pairs of ports with the same distance, all of them ours.
    let ports = free_ports::<16>();
    let pairs = || ports.iter().flat_map(|agent| ports.iter().map(|ours| (*agent, *ours))).filter(|(agent, ours)| agent < ours);
    let fits = |(a, b): &(u16, u16), (c, d): &(u16, u16)| b - a == d - c && a != c && b != c && a != d;
    let found = pairs().find_map(|first| Some((first, pairs().find(|second| fits(&first, second))?)));
    let ((port, callers), (health_port, health_callers)) = found.expect("ports are given out nearly in a row");
    let _agent =
        Agent::script("rep_agent").arg("--name", "Echo").arg("--port", port).arg("--health-port", health_port).flag("--echo").start();

    let scratch = Scratch::with_free_ports("");
    scratch.write("fleet.yaml", &format!("services:\n  - name: Echo\n    port: $BASE+{port}\n    health_check_port: {health_port}\n"));
    let offset = (callers - port).to_string();
    let ran = scratch.run(&["import", "fleet.yaml", "--set", "BASE=0", "--offset", &offset, "--output", "routes.toml"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let read = |name: &str| std::fs::read_to_string(scratch.path().join(name)).expect("a file");
    scratch.write("myelin.toml", &(read("myelin.toml") + &read("routes.toml")));
    assert_eq!(scratch.run(&["config", "check"]).code, Some(0));
    let (_process, _) = scratch.serve();
    for (port, question, answer) in [(callers, "hello", "hello"), (health_callers, "{\"action\": \"ping\"}", "")] {
        let mut caller = zmtp::Peer::connect(([127, 0, 0, 1], port).into(), "REQ");
        caller.send(&["", question]);
        let reply = caller.message();
        assert_eq!(reply.len(), 2, "a delimiter and the body");
        assert!(answer.is_empty() || reply[1] == answer.as_bytes(), "{reply:?}");
    }
}

#[test]
fn problems_name_their_line_and_the_rest_is_written_all_the_same() {
    let fleet = "- {name: A, port: 7001}\n- {name: B, port: 7001}\n- {name: C, port: \"${OFFSET}+1\"}\n- {name: D, port: 7120}\n\
                 - {name: E, port: 7005, dependencies: [Abc]}\n";
    let scratch = scratch(fleet);
    let ran = scratch.run(&["import", "fleet.yaml"]);
    assert_eq!(ran.code, Some(1));
    let lines: Vec<_> = ran.stderr.lines().collect();
    assert_eq!(
        lines,
        [
            "myelin: fleet.yaml:2: tcp://127.0.0.1:7001 is used by A, B: only one of them can listen there",
            "myelin: fleet.yaml:3: OFFSET is not set and is needed by C: set it, or pass --set OFFSET=NUMBER",
            "myelin: fleet.yaml:4: D uses port 7120, which is our own discovery.listen: change one of the two",
            "myelin: fleet.yaml:5: E depends on Abc, which is no agent of this file",
        ]
    );
    assert!(ran.stdout.contains("name = \"E\"") && ran.stdout.matches("[[route]]").count() == 1, "{}", ran.stdout);

    let strict = scratch.run(&["import", "fleet.yaml", "--strict", "--output", "out.toml"]);
    assert_eq!((strict.code, strict.stdout.as_str()), (Some(1), ""));
    assert!(strict.stderr.ends_with("no routes were written, because of --strict\n") && !scratch.path().join("out.toml").exists());

    let report = scratch.run(&["import", "fleet.yaml", "--json", "--set", "OFFSET=7000"]);
    assert_eq!((report.code, report.stderr.as_str()), (Some(1), ""));
    let json = report.json();
    assert_eq!((&json["ok"], &json["agents"], &json["offset"], &json["output"]), (&json!(false), &json!(5), &json!(10_000), &json!(null)));
    assert_eq!(json["problems"][0]["id"], "duplicate-port");
    assert_eq!(json["problems"][0]["agents"], json!(["A", "B", "C"]));
    let route = json!({ "name": "E", "agent": "E", "group": null, "callers": "tcp://127.0.0.1:17005", "agents": "tcp://127.0.0.1:7005" });
    assert_eq!(json["routes"], json!([route]));
}

#[test]
fn an_output_file_is_only_overwritten_by_force() {
    let scratch = scratch("agents: {A: {port: 7001}}\n");
    scratch.write("out.toml", "precious");
    let ran = scratch.run(&["import", "fleet.yaml", "--output", "out.toml"]);
    assert_eq!(ran.code, Some(64));
    assert_eq!(ran.error_line(), "myelin: --output out.toml: the file exists, pass --force to overwrite it");
    let read = || std::fs::read_to_string(scratch.path().join("out.toml")).expect("a file");
    assert_eq!(read(), "precious");
    assert_eq!(scratch.run(&["import", "fleet.yaml", "--output", "out.toml", "--force"]).code, Some(0));
    assert!(read().contains("name = \"A\""));
    assert_eq!(scratch.run(&["import", "fleet.yaml", "--force"]).code, Some(64), "there is nothing to force");
}

#[test]
fn a_file_that_cannot_be_read_is_one_line_and_64() {
    let scratch = scratch("a: [1, 2\nb: }\n");
    let starts = |file: &str, start: &str| {
        let ran = scratch.run(&["import", file]);
        assert_eq!(ran.code, Some(64), "{ran:?}");
        assert!(ran.stderr.starts_with(&format!("myelin: {start}")), "{ran:?}");
        assert_eq!(ran.stdout, "");
    };
    starts("fleet.yaml", "fleet.yaml:2: not valid YAML: ");
    starts("absent.yaml", "absent.yaml: cannot read the startup file: no such file or directory");
    starts(".", ".: cannot read the startup file: is a directory");
    scratch.write("empty.yaml", "# nothing\n");
    starts("empty.yaml", "empty.yaml: no agents in it");
    scratch.write("large.yaml", &"#".repeat((4 << 20) + 1));
    starts("large.yaml", "large.yaml: the file is larger than 4 MiB");
    std::fs::write(scratch.path().join("latin.yaml"), b"# a\nname: caf\xe9\n").expect("written");
    starts("latin.yaml", "latin.yaml:2: not UTF-8");
    let bomb: String = (1..20).map(|level| format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 9].join(","))).collect();
    scratch.write("bomb.yaml", &format!("a0: &a0 [x]\n{bomb}"));
    starts("bomb.yaml", "bomb.yaml:");
    for arguments in [&["--set", "X"][..], &["--set", "=1"], &["--offset", "x"], &["--offset", "99999"]] {
        assert_eq!(scratch.run(&[&["import", "fleet.yaml"], arguments].concat()).code, Some(64), "{arguments:?}");
    }
}

#[test]
fn a_startup_file_can_be_piped() {
    let scratch = Scratch::new();
    let port = free_port();
    scratch.write("in", &format!("- {{name: A, port: {port}}}\n"));
    let mut command = scratch.command(&["import", "-", "--offset", "1"]);
    let ran = Ran::of(command.stdin(std::fs::File::open(scratch.path().join("in")).expect("a file")));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("from stdin"), "{}", ran.stdout);
}
