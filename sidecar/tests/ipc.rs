//! Socket files: said where they are, replaced when their process has gone, refused when it has not, removed at the stop.

mod support;

use std::os::unix::net::{UnixListener, UnixStream};

use myelin_testkit::free_port;
use support::{PATIENCE, Scratch};

/// A pipeline whose producers come over ipc.
fn with_socket(name: &str) -> Scratch {
    Scratch::with_free_ports(&format!(
        "[[route]]\nname = \"r\"\nkind = \"pipeline\"\nproducers = {{ bind = \"ipc://{name}\" }}\nconsumers = {{ bind = \"tcp://127.0.0.1:{}\" }}\n",
        free_port()
    ))
}

#[test]
fn a_file_is_there_while_the_sidecar_is_and_outlives_only_a_kill() {
    let scratch = with_socket("r.sock");
    let path = scratch.path().join("r.sock");
    let (mut process, ready) = scratch.serve();
    let urls: Vec<_> = ready["listens"].as_array().expect("a list").iter().map(|listen| listen["url"].as_str().expect("a text")).collect();
    assert!(urls.contains(&"ipc://r.sock"), "{urls:?}");
    UnixStream::connect(&path).expect("it listens");
    process.kill9();
    assert!(path.exists(), "nobody was left to remove it");
    let (mut process, _) = scratch.serve();
    UnixStream::connect(&path).expect("it listens again");
    assert_eq!(process.terminate(PATIENCE).code(), Some(0));
    assert!(!path.exists());
}

#[test]
fn a_file_in_use_is_refused_with_who_uses_it() {
    let scratch = with_socket("r.sock");
    let path = scratch.path().join("r.sock");
    let _taken = UnixListener::bind(&path).expect("bound");
    let ran = scratch.run(&["serve"]);
    assert_eq!(ran.code, Some(64));
    assert!(ran.stderr.contains("route \"r\".producers: ipc://r.sock is already in use by "), "{}", ran.stderr);
    assert!(ran.stderr.contains("choose another name"), "{}", ran.stderr);
    assert!(path.exists(), "it is somebody else's");
}

#[test]
fn an_abstract_name_leaves_no_file() {
    let name = format!("@myelin-test-{}", free_port());
    let scratch = with_socket(&name);
    let (mut process, _) = scratch.serve();
    let ran = with_socket(&name).run(&["serve"]);
    assert!(ran.code == Some(64) && ran.stderr.contains("is already in use by myelin (pid "), "{}", ran.stderr);
    assert_eq!(process.terminate(PATIENCE).code(), Some(0));
    let files = std::fs::read_dir(scratch.path()).expect("readable").flatten().map(|file| file.file_name());
    assert!(files.into_iter().all(|file| file == "myelin.toml" || file == "state"));
}
