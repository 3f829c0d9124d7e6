//! What an older sidecar left on its disk is there for today's: messages, positions, dead letters, ids of agents and their ports.

mod older;

use older::Left;
use std::path::Path;

#[test]
fn every_kept_state_directory_is_read() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/state");
    let mut kept = 0;
    for entry in std::fs::read_dir(&fixtures).expect("fixtures are there").map(|entry| entry.expect("readable").path()) {
        if entry.is_dir() {
            let left = Left::start(|builder| builder.state(&entry));
            left.check();
            kept += 1;
        }
    }
    assert!(kept > 0, "nothing in {}", fixtures.display());
}
