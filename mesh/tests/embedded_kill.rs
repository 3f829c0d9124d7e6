//! What was acknowledged survives `kill -9`: a process writes and says what was acknowledged, is killed while it does, and another looks.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use myelin_mesh::{Durability, EmbeddedConfig, Expected, Key, Mesh, MeshConfig, Namespace, Position, Recent, Space, Ttl, Value, Window};

/// Where the writing process writes; without it, the test that is that process does nothing.
const DIRECTORY: &str = "MYELIN_MESH_KILL_DIRECTORY";
const ROUNDS: usize = 8;
const WRITERS: usize = 8;

async fn open(directory: &Path, durability: Durability) -> (Mesh, Space) {
    let mut config = EmbeddedConfig::new(directory);
    config.durability = durability;
    let mesh = Mesh::embedded(config, MeshConfig::default()).await.unwrap();
    let space = mesh.space(Namespace::new("a").unwrap()).ttl_default(Ttl::FOREVER);
    (mesh, space)
}

fn window() -> Window {
    Window::new(Key::new("w").unwrap()).entries_max(50)
}

/// What the killed process runs. It is a test so that it needs no binary of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_until_it_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let (_mesh, space) = open(Path::new(&directory), Durability::Synced).await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let space = space.clone();
            tokio::spawn(async move {
                for number in 0.. {
                    let key = Key::new(&format!("k{}", number % 5 * WRITERS + writer)).unwrap();
                    let value = Value::text(format!("{}", fastrand::u64(..)));
                    match number % 4 {
                        0 => acknowledged(&format!("delete {key} {}", space.delete(&key).await.unwrap())),
                        1 => {
                            let found = space.get(&key).await.unwrap();
                            let expected = found.map_or(Expected::Absent, |entry| Expected::Revision(entry.revision));
                            let revision = space.compare_and_set(&key, expected, value, Ttl::DEFAULT).await.unwrap();
                            acknowledged(&format!("set {key} {revision}"));
                        }
                        2 => acknowledged(&format!("append w {}", space.append(&window(), value).await.unwrap())),
                        _ => acknowledged(&format!("set {key} {}", space.set(&key, value, Ttl::DEFAULT).await.unwrap())),
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

/// One write per line: what was not told whole was not told.
fn acknowledged(what: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("ack {what}\n").as_bytes()).and_then(|()| out.flush()).unwrap();
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let mut last: HashMap<String, Option<String>> = HashMap::new();
    let mut appended: Vec<Position> = Vec::new();
    let mut count = 0;
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["writes_until_it_is_killed", "--exact", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut unsure: Vec<String> = Vec::new();
        for line in lines.by_ref().take(60 + 37 * round) {
            note(&line.unwrap(), &mut last, &mut appended, &mut count);
        }
        child.kill().unwrap();
        // What it said before it was killed and was not read yet counts too.
        for line in lines.map_while(Result::ok) {
            note(&line, &mut last, &mut appended, &mut count);
        }
        child.wait().unwrap();

        let (mesh, space) = open(directory.path(), Durability::Synced).await;
        for (key, revision) in &mut last {
            let found = space.get(&Key::new(key).unwrap()).await.unwrap().map(|entry| entry.revision.to_string());
            if found != *revision {
                // Each writer has one write at most that it could not tell of any more; then that one is there.
                unsure.push(key.clone());
                *revision = found;
            }
        }
        assert!(unsure.len() <= WRITERS, "round {round}: {unsure:?} are not as acknowledged");
        let there = space.recent(&window(), Recent::last(1000)).await.unwrap().entries;
        let newest: Vec<_> = there.iter().map(|entry| entry.position).collect();
        let missing = appended.iter().filter(|position| **position >= newest[0] && !newest.contains(position)).count();
        assert_eq!((missing, newest.len()), (0, 50.min(newest.len())), "round {round}");
        assert!(newest.last() >= appended.iter().max(), "round {round}: the newest that was acknowledged is there");
        mesh.close().await;
    }
    println!("{ROUNDS} kills, {count} acknowledged writes");
}

fn note(line: &str, last: &mut HashMap<String, Option<String>>, appended: &mut Vec<Position>, count: &mut usize) {
    let mut words = line.split(' ').skip_while(|word| !word.ends_with("ack")).skip(1);
    let (Some(what), Some(key), Some(outcome)) = (words.next(), words.next(), words.next()) else { return };
    *count += 1;
    match what {
        "set" => drop(last.insert(key.to_owned(), Some(outcome.to_owned()))),
        "delete" => drop(last.insert(key.to_owned(), None)),
        "append" => appended.extend(outcome.parse::<Position>()),
        _ => {}
    }
}
