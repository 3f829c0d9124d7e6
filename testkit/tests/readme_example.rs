//! The README's example is `examples/hello.py`, and it runs as printed against a sidecar on the default ports' shape.

use std::path::Path;
use std::process::Command;

use myelin_testkit as testkit;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace")
}

fn example() -> String {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("README.md");
    let start = readme.find("```python\n").expect("a Python block") + "```python\n".len();
    let len = readme[start..].find("```").expect("its end");
    readme[start..start + len].to_owned()
}

#[test]
fn the_file_is_the_text() {
    let file = std::fs::read_to_string(root().join("examples/hello.py")).expect("examples/hello.py");
    assert!(file.ends_with(&example()), "examples/hello.py differs from the README");
}

#[test]
fn it_prints_what_it_says() {
    let sidecar = testkit::Sidecar::start();
    // The ports of a test are not the default ones; nothing else of the text changes.
    let code = example().replace("127.0.0.1:7120", &sidecar.discovery().to_string());
    let output = Command::new(testkit::python()).args(["-c", &code]).output().expect("python3 runs");
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(printed.trim(), "{'hello': 'world'}", "{}", String::from_utf8_lossy(&output.stderr));
}
