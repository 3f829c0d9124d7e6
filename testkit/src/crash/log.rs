//! What peers wrote down. The words are explained where they are written: `testkit/agents/crash_publisher.py` and `crash_worker.py`.

use std::collections::HashMap;
use std::path::Path;

/// The logs of all peers of a run.
#[derive(Debug, Default)]
pub struct Logs {
    /// Those of publishers.
    pub publishers: Vec<Peer>,
    /// Those of workers, the drain among them.
    pub workers: Vec<Peer>,
    /// Servers in the order of their lives: the number of each.
    pub lives: HashMap<String, usize>,
    /// Starts after which something was missing in the store.
    pub damaged_starts: usize,
}

/// The log of one peer.
#[derive(Debug, Default)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// Its lines in their order.
    pub text: String,
}

impl Logs {
    /// Reads what peers left in a directory.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn read(directory: &Path) -> Self {
        let mut logs = Self::default();
        for entry in std::fs::read_dir(directory).expect("the directory of the logs") {
            let path = entry.expect("an entry").path();
            let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            let text = std::fs::read_to_string(&path).expect("a log is text");
            match file.split('.').next() {
                Some("publisher") => logs.publishers.push(Peer { name: file, text }),
                Some("worker") => logs.workers.push(Peer { name: file, text }),
                Some("driver") => logs.start_all(&text),
                _ => {}
            }
        }
        logs
    }

    /// Takes the driver's notes: `G server damaged` for each start.
    pub fn start_all(&mut self, text: &str) {
        for line in text.lines() {
            if let ["G", server, damaged] = words(line)[..] {
                let number = self.lives.len();
                self.lives.insert(server.to_owned(), number);
                self.damaged_starts += usize::from(damaged != "0");
            }
        }
    }
}

impl Peer {
    pub(crate) fn lines(&self) -> impl Iterator<Item = Vec<&str>> {
        self.text.lines().map(words)
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}
