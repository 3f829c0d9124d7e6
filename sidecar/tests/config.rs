//! A wrong configuration is one line with file, line and key, and exit code 64; `config show` tells where each value comes from.

mod support;

use myelin_testkit::free_port;
use serde_json::{Value as Json, json};
use support::{Ran, Scratch};

#[test]
fn a_bad_key_stops_serve_and_check_with_one_line_and_64() {
    let scratch = Scratch::with_config("# a comment\n[serve]\nlisten_ = \"127.0.0.1:1\"\n");
    for verb in [&["serve"][..], &["config", "check"], &["config", "check", "myelin.toml"], &["config", "show"]] {
        let ran = scratch.run(verb);
        assert_eq!(ran.code, Some(64), "{verb:?}");
        assert_eq!(ran.error_line(), "myelin: myelin.toml:3: serve.listen_: unknown key, did you mean listen?");
        assert_eq!(ran.stdout, "");
    }
}

#[test]
fn wrong_type_wrong_range_and_wrong_toml_name_their_line() {
    let cases = [
        ("[limits]\n\nconnections = \"many\"\n", "myelin.toml:3: limits.connections: "),
        ("[bus]\npayload_max = \"65MiB\"\n", "myelin.toml:2: bus.payload_max: 65MiB is out of range, allowed is 1KiB to 64MiB"),
        ("[serve]\nlisten = 4222\n", "myelin.toml:2: serve.listen: expected an address"),
        ("[serve\nlisten = \"\"\n", "myelin.toml:1: not valid TOML: "),
        ("[serve]\nhttp = \"127.0.0.1:1\"\nhttp = \"127.0.0.1:2\"\n", "myelin.toml:3: not valid TOML: "),
        (
            "[[route]]\nname = \"a\"\nkind = \"service\"\nagents = { connect = [\"udp://x:1\"] }\n",
            "myelin.toml:4: route \"a\".agents.connect: ",
        ),
    ];
    for (toml, expected) in cases {
        let ran = Scratch::with_config(toml).run(&["config", "check"]);
        assert_eq!(ran.code, Some(64), "{toml}");
        assert!(ran.error_line().starts_with(&format!("myelin: {expected}")), "{}", ran.error_line());
    }
}

#[test]
fn an_unreadable_file_is_named_with_who_asked_for_it() {
    let scratch = Scratch::new();
    let ran = scratch.run(&["serve", "--config", "absent.toml"]);
    assert_eq!(ran.code, Some(64));
    let line = "myelin: absent.toml: cannot read the configuration file: no such file or directory (named by --config)";
    assert_eq!(ran.error_line(), line);

    let ran = Ran::of(scratch.command(&["config", "check"]).env("MYELIN_CONFIG", "."));
    assert_eq!(ran.code, Some(64));
    assert!(ran.error_line().contains("is a directory (named by MYELIN_CONFIG)"), "{}", ran.error_line());
}

#[test]
fn faults_of_the_environment_and_of_flags_name_the_variable_and_the_flag() {
    let scratch = Scratch::new();
    let ran = Ran::of(scratch.command(&["config", "check"]).env("MYELIN_LIMITS_CONNECTIONS", "0"));
    assert_eq!(ran.code, Some(64));
    assert_eq!(ran.error_line(), "myelin: env MYELIN_LIMITS_CONNECTIONS: limits.connections: 0 is out of range, allowed is 1 to 1000000");

    let ran = scratch.run(&["serve", "--drain-timeout", "10"]);
    assert_eq!(ran.code, Some(64));
    assert!(ran.error_line().starts_with("myelin: flag --drain-timeout: serve.drain_timeout: \"10\" is not a duration"), "{ran:?}");
    assert!(ran.error_line().ends_with("did you mean 10s?"), "{ran:?}");

    let ran = scratch.run(&["config", "show", "--set", "limits.conections=5"]);
    assert_eq!(ran.code, Some(64));
    assert!(ran.error_line().ends_with("unknown key, did you mean limits.connections?"), "{ran:?}");
}

#[test]
fn bad_usage_exits_with_64_and_help_with_0() {
    let scratch = Scratch::new();
    for arguments in
        [&["sevre"][..], &[], &["serve", "--lisen"], &["sub"], &["req", "a", "b", "--timeout", "5"], &["config", "show", "--set", "x"]]
    {
        assert_eq!(scratch.run(arguments).code, Some(64), "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["serve", "--help"], &["--version"]] {
        assert_eq!(scratch.run(arguments).code, Some(0), "{arguments:?}");
    }
}

#[test]
fn flags_win_over_the_environment_over_the_file_over_defaults() {
    let scratch = Scratch::with_config("[serve]\nlisten = \"127.0.0.1:1001\"\nhttp = \"127.0.0.1:1002\"\n\n[limits]\nconnections = 7\n");
    let ran = Ran::of(
        scratch
            .command(&["config", "show", "--json", "--http", "127.0.0.1:3002", "--set", "limits.connections=9"])
            .env("MYELIN_HTTP", "127.0.0.1:2002")
            .env("MYELIN_STATE_DIR", "/elsewhere")
            .env("MYELIN_LIMITS_CONNECTIONS", "8"),
    );
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let shown = ran.json();
    let setting = |key: &str| {
        let all = shown["settings"].as_array().expect("a list");
        let found = all.iter().find(|setting| setting["key"] == key).expect("every key is shown");
        (found["value"].clone(), found["origin"].clone())
    };
    let file = |line: usize| json!({ "kind": "file", "file": "myelin.toml", "line": line });
    assert_eq!(setting("serve.listen"), (json!("127.0.0.1:1001"), file(2)));
    assert_eq!(setting("serve.http"), (json!("127.0.0.1:3002"), json!({ "kind": "flag", "name": "--http" })));
    assert_eq!(setting("serve.state_dir"), (json!("/elsewhere"), json!({ "kind": "env", "name": "MYELIN_STATE_DIR" })));
    assert_eq!(setting("limits.connections"), (json!(9), json!({ "kind": "flag", "name": "--set limits.connections" })));
    assert_eq!(setting("serve.drain_timeout"), (json!("10s"), json!({ "kind": "default" })));
    assert_eq!(setting("serve.threads"), (json!(0), json!({ "kind": "default" })));
    assert_eq!(setting("bus.payload_max").0, json!(8 * 1024 * 1024));
}

#[test]
fn show_prints_a_table_with_origins_and_routes() {
    let toml = "[hub]\nenabled = false\n[[route]]\nname = \"tts\"\nkind = \"service\"\ncallers = { bind = \"tcp://127.0.0.1:5\" }\n";
    let ran = Scratch::with_config(toml).run(&["config", "show"]);
    let row = |start: &str| {
        let found = ran.stdout.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}: {ran:?}"));
        found.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("hub.enabled"), "false myelin.toml:2");
    assert_eq!(row("serve.listen"), "127.0.0.1:4222 default");
    assert!(row("route \"tts\".callers.bind").ends_with("[tcp://127.0.0.1:5] myelin.toml:6"), "{ran:?}");
}

#[test]
fn the_example_file_is_valid_and_says_what_the_defaults_say() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../myelin.example.toml");
    let scratch = Scratch::new();
    let ran = scratch.run(&["config", "check", example]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    let values = |ran: Ran| -> Vec<Json> {
        let shown = ran.json();
        shown["settings"].as_array().expect("a list").iter().map(|setting| setting["value"].clone()).collect()
    };
    let with_example = values(scratch.run(&["config", "show", "--json", "--config", example]));
    assert_eq!(with_example, values(scratch.run(&["config", "show", "--json"])));
}

#[test]
fn contradictions_are_refused_before_anything_is_bound() {
    let port = free_port();
    let toml = format!("[hub]\npublishers = \"tcp://127.0.0.1:{port}\"\nsubscribers = \"tcp://*:{port}\"\n[security]\ninsecure = true\n");
    for verb in [&["serve"][..], &["config", "check"]] {
        let ran = Scratch::with_config(&toml).run(verb);
        assert_eq!(ran.code, Some(64));
        let expected = format!("myelin: myelin.toml:3: hub.publishers and hub.subscribers both bind tcp://*:{port}");
        assert!(ran.error_line().starts_with(&expected), "{ran:?}");
    }
}

#[test]
fn check_tells_every_fault_and_speaks_json() {
    let scratch = Scratch::with_config("[serve]\nzzz = 1\n[limits]\nconnections = 0\n");
    let ran = scratch.run(&["config", "check"]);
    assert_eq!((ran.code, ran.stderr.lines().count()), (Some(64), 2), "{ran:?}");
    let ran = scratch.run(&["config", "check", "--json"]);
    assert_eq!(ran.code, Some(64));
    assert_eq!(ran.json()["ok"], json!(false));
    assert_eq!(ran.json()["errors"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_misspelt_variable_is_a_warning_and_no_error() {
    let ran = Ran::of(Scratch::new().command(&["config", "show"]).env("MYELIN_LISTNE", "x").env("MYELIN_SERVICE_HOST", "10.0.0.1"));
    assert_eq!(ran.code, Some(0));
    assert!(ran.error_line().contains("MYELIN_LISTNE sets nothing, did you mean MYELIN_LISTEN?"), "{ran:?}");
}
