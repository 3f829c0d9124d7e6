//! The README's commands for streams run as printed, and print what it says.

use std::path::Path;

use myelin_testkit as testkit;

/// The lines of the block: commands with the lines that they print.
fn example() -> Vec<(String, Vec<String>)> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace").join("README.md");
    let readme = std::fs::read_to_string(readme).expect("README.md");
    let section = &readme[readme.find("## Durable streams").expect("the section")..];
    let start = section.find("```console\n").expect("a block") + "```console\n".len();
    let length = section[start..].find("```").expect("its end");
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    for line in section[start..start + length].lines() {
        match line.strip_prefix("$ ") {
            Some(command) => commands.push((command.to_owned(), Vec::new())),
            None => commands.last_mut().expect("a command comes first").1.push(line.to_owned()),
        }
    }
    commands
}

#[test]
fn each_command_prints_what_it_says() {
    let sidecar = testkit::Sidecar::start();
    let commands = example();
    assert!(commands.len() > 5, "{commands:?}");
    for (command, expected) in commands {
        let binary = sidecar.command(&[]);
        let mut shell = std::process::Command::new("sh");
        let script = command.replacen("myelin ", &format!("{} ", binary.get_program().to_string_lossy()), 1);
        shell.args(["-c", &script]).current_dir(binary.get_current_dir().expect("its home"));
        let output = shell.output().expect("sh runs");
        let printed = String::from_utf8(output.stdout).expect("text");
        assert_eq!(printed.lines().collect::<Vec<_>>(), expected, "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
