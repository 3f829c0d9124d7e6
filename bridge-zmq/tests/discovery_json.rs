//! Proves that requests are read and answers printed as Python does it: `python3` itself is the oracle.
//!
//! Hundreds of generated and hand-picked texts go through `json.loads` and `json.dumps` of a real interpreter and through
//! ours. Both must accept the same ones and print the same bytes. Nothing that is read may panic, whatever it is.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails; the lint spares only the bodies of test functions")]

use std::io::Write;
use std::process::{Command, Stdio};

use myelin_bridge_zmq::discovery::fuzz_dialect;
use myelin_bridge_zmq::discovery::json::{DEPTH_MAX, Json, ReadError, Text, read, read_str, render};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// One line of hex per text in; one line out: what `json.dumps(json.loads(text))` gave, or the name of the error.
const ORACLE: &str = r#"
import json, sys
for line in sys.stdin:
    try:
        text = bytes.fromhex(line.strip()).decode("utf-8")
        print(json.dumps(json.loads(text)))
    except UnicodeDecodeError:
        print("!utf8")
    except ValueError:
        print("!json")
"#;

fn ask_python(texts: &[Vec<u8>]) -> Vec<String> {
    let mut python = Command::new("python3")
        .args(["-c", ORACLE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test needs python3 on the path");
    let mut stdin = python.stdin.take().unwrap();
    let lines: String = texts.iter().map(|text| hex(text) + "\n").collect();
    let writer = std::thread::spawn(move || stdin.write_all(lines.as_bytes()).unwrap());
    let output = python.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let answers: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(answers.len(), texts.len());
    answers
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn ours(text: &[u8]) -> String {
    match read(text) {
        Ok(value) => render(&value),
        Err(ReadError::Utf8 { .. }) => "!utf8".to_owned(),
        Err(_) => "!json".to_owned(),
    }
}

fn agree(texts: &[Vec<u8>]) {
    for (text, python) in texts.iter().zip(ask_python(texts)) {
        assert_eq!(ours(text), python, "for {:?}", String::from_utf8_lossy(text));
    }
}

#[test]
fn the_corners_that_agents_rely_on() {
    let texts = [
        r#"{"a": 1.0, "b": NaN, "u": "caf\u00e9", "a": 2}"#,
        r#"{"a":1,"b":2,"a":{"c":[]},"b":null,"c":{}}"#,
        "[NaN, Infinity, -Infinity, -0, -0.0, 0.0, 1e5, 1E+5, 1e-7, 1e400, -1e400, 123456789012345678901234567890]",
        "[1e15, 1e16, 12345678901234567.0, 0.0001, 0.00001, 5e-324, 2.2250738585072014e-308, 0.1, 1.7976931348623157e308]",
        r#"["\ud83d\ude00", "\ud83d", "\ude00", "\ude00\ud83d", "\ud83d\ud83d\ude00", "😀é\u0000\u001f\u007f\u0080"]"#,
        r#"["\"\\\/\b\f\n\r\t", "/", "\u00e9\u2028"]"#,
        "\"\u{7f}\u{80}\u{ffff}\u{10ffff}\"",
        " \t\r\n{ \"a\" : [ 1 , 2 ] } \n",
        "\u{feff}{}",
        "\u{a0}1",
        "",
        " ",
        "not json",
        "nul",
        "nullx",
        "tru",
        "{",
        "}",
        "[",
        "[1,]",
        "[,]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{1:2}",
        "'a'",
        "\"",
        "\"\\",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\u+123\"",
        "\"\\x41\"",
        "\"a\nb\"",
        "\"\t\"",
        "\"\\u00é\"",
        "01",
        "-",
        "-a",
        "--1",
        "+1",
        "1.",
        ".5",
        "1.e5",
        "1e",
        "1e+",
        "1.5e",
        "0x10",
        "1_000",
        "-Inf",
        "Inf",
        "-NaN",
        "nan",
        "1 2",
        "[] []",
        "\"a\" \"b\"",
        "null",
        "true",
        "false",
        "0",
        "\"\"",
        "[]",
        "{}",
        "-1.5e-3",
        "1.0E2",
        "\"\u{0}\"",
    ];
    let mut texts: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    texts.push(b"\xff\xfe\x00".to_vec());
    texts.push(b"\"\xed\xa0\x80\"".to_vec());
    texts.push(b"\"\xc0\xaf\"".to_vec());
    texts.push(vec![b'9'; 4_300]);
    texts.push(vec![b'9'; 4_301]);
    agree(&texts);
}

#[test]
fn generated_values_and_their_mutilations() {
    let mut runner = TestRunner::deterministic();
    let mut texts = Vec::new();
    for _ in 0..400 {
        let value = value_text().new_tree(&mut runner).unwrap().current();
        let cut = (0..=value.len()).new_tree(&mut runner).unwrap().current();
        let flip = (0..value.len().max(1)).new_tree(&mut runner).unwrap().current();
        let byte = any::<u8>().new_tree(&mut runner).unwrap().current();
        let mut flipped = value.clone().into_bytes();
        if let Some(place) = flipped.get_mut(flip) {
            *place = byte;
        }
        texts.extend([value.clone().into_bytes(), value.as_bytes()[..cut].to_vec(), flipped]);
    }
    agree(&texts);
}

#[test]
fn depth_is_bounded_far_from_any_stack() {
    for (open, close) in [("[", "]"), ("{\"a\": ", "}")] {
        let nest = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        assert_eq!(read_str(&nest(DEPTH_MAX)).map(|value| render(&value)), Ok(nest(DEPTH_MAX)));
        assert_eq!(read_str(&nest(DEPTH_MAX + 1)), Err(ReadError::TooDeep));
        assert_eq!(read_str(&open.repeat(30_000)), Err(ReadError::TooDeep));
    }
}

#[test]
fn a_text_with_a_lone_surrogate_is_kept_but_is_no_name() {
    let value = read(br#""\ud83d x \ud83d\ude00""#).unwrap();
    let Json::Text(text) = value else { panic!("not a text") };
    assert_eq!(text.decode(), None);
    assert_eq!(text.escaped(), r"\ud83d x \ud83d\ude00");
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        fuzz_dialect(&bytes);
    }

    #[test]
    fn any_json_like_text_is_read_without_panic(text in "[\\[\\]{}\",:0-9eE+.\\\\u\\-NaInfty dD8é\u{1f600}]{0,120}") {
        fuzz_dialect(text.as_bytes());
    }

    #[test]
    fn any_request_like_text_is_read_without_panic(key in "action|command", verb in verb(), value in value_text()) {
        fuzz_dialect(format!("{{\"{key}\": {verb}, \"agent_name\": {value}, \"payload\": {value}}}").as_bytes());
    }

    #[test]
    fn every_rust_string_survives(text in any::<String>()) {
        prop_assert_eq!(Text::new(&text).decode(), Some(text));
    }
}

fn verb() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("\"register_agent\"".to_owned()),
        Just("\"get_agent_endpoint\"".to_owned()),
        Just("\"REGISTER\"".to_owned()),
        Just("\"DISCOVER\"".to_owned()),
        value_text(),
    ]
}

/// JSON texts as agents might print them, Python's liberties included.
fn value_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("NaN".to_owned()),
        Just("-Infinity".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        "-?[1-9][0-9]{0,40}",
        any::<f64>().prop_filter("JSON spells these differently", |float| float.is_finite()).prop_map(|float| format!("{float:e}")),
        (-1e18..1e18).prop_map(|float: f64| format!("{float:?}")),
        "\"([ -!#-\\[\\]-~]|\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-fA-F]{4}|\\\\ud83d\\\\ude00|é|\u{1f600}|\u{2028}){0,12}\"",
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            // Few keys, so that duplicates are common.
            proptest::collection::vec(("[a-d]", inner), 0..6).prop_map(|members| {
                let members: Vec<_> = members.iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
                format!("{{{}}}", members.join(" , "))
            }),
        ]
    })
}
