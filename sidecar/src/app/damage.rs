//! What is missing in the store, kept beside it: the sidecar has the store open, and `myelin doctor` is another process.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use myelin_bus::streams::StoreReport;
use serde::{Deserialize, Serialize};

use super::zmq::unix_ms;

/// The file in the store's directory, one JSON document per line.
const DAMAGE_FILE: &str = "damage.json";

/// Most lines that are kept.
const ENTRIES_MAX: usize = 256;

/// One thing that is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DamageEntry {
    /// When it was found, in milliseconds since 1970.
    pub(crate) found_ms: u64,
    pub(crate) stream: String,
    /// In words: which messages, which file, where in it.
    pub(crate) what: String,
}

/// The report of an opening, in words.
pub(super) fn entries(report: &StoreReport) -> Vec<DamageEntry> {
    let found_ms = unix_ms(SystemTime::now());
    let missing = report.damage.iter().map(|damage| {
        let place = format!("{} from byte {}", damage.file, damage.offset);
        let what = match &damage.messages {
            Some(messages) if messages.start() == messages.end() => format!("message {} is missing ({place})", messages.start()),
            Some(messages) => format!("of messages {} to {} some or all are missing ({place})", messages.start(), messages.end()),
            None if damage.records.is_empty() => format!("no message is known to be missing, but something cannot be read ({place})"),
            None => format!("no message is missing, but {} records about them ({place})", damage.records.clone().count()),
        };
        DamageEntry { found_ms, stream: damage.stream.to_string(), what }
    });
    let unopened = report.unopened.iter().map(|(stream, error)| DamageEntry {
        found_ms,
        stream: stream.to_string(),
        what: format!("cannot be opened: {}", super::routes::with_causes(error)),
    });
    missing.chain(unopened).collect()
}

/// Keeps what the last start found, which is everything: the store says it at each.
pub(super) fn keep(directory: &Path, found: &[DamageEntry]) -> io::Result<()> {
    let file = directory.join(DAMAGE_FILE);
    if found.is_empty() {
        return match std::fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    let lines: Vec<String> = found.iter().take(ENTRIES_MAX).map(serde_json::to_string).collect::<Result<_, _>>()?;
    std::fs::write(file, lines.join("\n") + "\n")
}

/// What the last start found. What cannot be read is nothing.
pub(crate) fn read(directory: &Path) -> Vec<DamageEntry> {
    let text = std::fs::read_to_string(directory.join(DAMAGE_FILE)).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_last_start_found_is_kept() {
        let directory = tempfile::tempdir().expect("a directory");
        let entry = |found_ms, what: &str| DamageEntry { found_ms, stream: "orders".to_owned(), what: what.to_owned() };
        keep(directory.path(), &[entry(1, "a")]).expect("written");
        keep(directory.path(), &[entry(2, "a"), entry(2, "b")]).expect("written");
        assert_eq!(read(directory.path()), [entry(2, "a"), entry(2, "b")]);
        for _ in 0..2 {
            keep(directory.path(), &[]).expect("removed");
            assert_eq!(read(directory.path()), []);
        }
    }
}
