//! An agent that remembers: a conversation in a window, a lock that only its owner lets go of, and another agent that watches.
//!
//! `cargo run -p myelin-mesh --example agent_memory`

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::time::Duration;

use myelin_mesh::error::CompareError;
use myelin_mesh::{Changed, EmbeddedConfig, Expected, Key, Mesh, MeshConfig, Namespace, Prefix, Recent, Ttl, WatchEvent, Window};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let mesh = Mesh::embedded(EmbeddedConfig::new(directory.path()), MeshConfig::default()).await?;
    let planner = mesh.space(Namespace::new("fleet.planner")?);

    // The last 20 messages of the last hour; older ones are gone, also when nobody looks.
    let conversation = Window::new(Key::new("messages/42")?).entries_max(20).age_max(Duration::from_secs(3600));
    for number in 0..50 {
        planner.append_as(&conversation, &format!("message {number}")).await?;
    }
    let latest: Vec<_> = planner.recent_as::<String>(&conversation, Recent::last(3)).await?;
    println!("{} messages at most, the latest: {:?}", conversation.options().entries_max, latest.last().map(|(_, text)| text));

    // A lock: whoever finds nothing there has it, for 30 s, and lets go of its own only.
    let lock = Key::new("lock:/src/main.rs")?;
    let half_a_minute = Ttl::after(Duration::from_secs(30));
    let held = planner.compare_and_set(&lock, Expected::Absent, "planner".into(), half_a_minute).await?;
    match planner.compare_and_set(&lock, Expected::Absent, "somebody else".into(), half_a_minute).await {
        Err(CompareError::Conflict { current }) => println!("the lock is taken by write {current:?}"),
        outcome => println!("that was not expected: {outcome:?}"),
    }
    planner.compare_and_delete(&lock, held).await?;

    // Another agent follows what becomes of the tasks.
    let mut tasks = mesh.space(Namespace::new("fleet.planner")?).watch(&Prefix::new("task/")?);
    planner.set(&Key::new("task/1")?, "write the docs".into(), Ttl::DEFAULT).await?;
    planner.delete(&Key::new("task/1")?).await?;
    planner.set(&Key::new("task/2")?, "rest".into(), Ttl::after(Duration::from_millis(100))).await?;
    let mut expired = false;
    while !expired {
        match tasks.next().await? {
            WatchEvent::Live => println!("everything that was there has been told"),
            WatchEvent::Resync => println!("something was missed: begin anew"),
            WatchEvent::Change(change) => {
                expired = change.to == Changed::Expired;
                println!("{} is now {:?}", change.key, change.to);
            }
        }
    }
    mesh.close().await;
    Ok(())
}
