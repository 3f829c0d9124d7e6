//! `myelin health` says what `/readyz` says, by text and exit code, and has its answer in time whatever answers.

mod support;

use std::io::Write;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::json;
use support::{PATIENCE, Scratch};

#[test]
fn a_ready_sidecar_is_found_by_its_configuration_and_is_healthy() {
    let scratch = Scratch::with_free_ports("");
    let before = scratch.run(&["health"]);
    assert_eq!(before.code, Some(1), "{before:?}");
    assert!(before.error_line().contains("onnection refused"), "{before:?}");

    let (mut process, ready) = scratch.serve();
    let ran = scratch.run(&["health"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "ready\n"), "{ran:?}");
    let url = ready["http"].as_str().expect("it says where");
    let ran = Scratch::new().run(&["health", "--url", url, "--json"]);
    assert_eq!((ran.code, ran.json()), (Some(0), json!({ "ready": true, "url": format!("{url}/readyz"), "answer": "ready" })));

    assert_eq!(process.terminate(PATIENCE).code(), Some(0));
    let after = scratch.run(&["health", "--json"]);
    assert_eq!((after.code, after.json()["ready"].clone()), (Some(1), json!(false)), "{after:?}");
}

#[test]
fn a_sidecar_that_hangs_is_not_healthy() {
    let scratch = Scratch::with_free_ports("");
    let (mut process, _) = scratch.serve();
    process.freeze();
    let begin = Instant::now();
    let ran = scratch.run(&["health", "--timeout", "300ms"]);
    process.thaw();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(begin.elapsed() < PATIENCE, "{:?}", begin.elapsed());
    assert_eq!(scratch.run(&["health"]).code, Some(0));
}

/// What does not end, what says no, and what is no HTTP.
#[test]
fn other_answers_are_not_healthy() {
    let refusal = "HTTP/1.1 503 Service Unavailable\r\n\r\nnot ready: stopping\n".to_owned();
    for (answer, said) in [
        (refusal, "not ready: stopping"),
        ("HTTP/1.1 404 Not Found\r\n\r\n<html>\n</html>".to_owned(), "status 404"),
        ("SSH-2.0-x\r\n".to_owned(), "what answers there is no sidecar"),
        ("x".repeat(1 << 20), "the answer is too long"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("it connects");
            // Whoever hears too much hangs up.
            stream.write_all(answer.as_bytes()).ok();
            // What it asked is not read; closing on that would reset the answer away.
            stream.shutdown(std::net::Shutdown::Write).ok();
            stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket has a timeout");
            std::io::copy(&mut stream, &mut std::io::sink()).ok();
        });
        let ran = Scratch::new().run(&["health", "--url", &url]);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.error_line().contains(said), "{ran:?}");
        server.join().expect("it ends");
    }
}

#[test]
fn a_url_that_is_none_is_bad_usage() {
    let ran = Scratch::new().run(&["health", "--url", "https://localhost:7300"]);
    assert_eq!(ran.code, Some(64), "{ran:?}");
}
