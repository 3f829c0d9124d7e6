//! What the sidecar holds: memory, disk, and how much is in each stream.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use myelin_bus::Bus;

use super::book::{Books, Counts};
use super::plan::Plan;
use crate::failure::{Doing, Outcome};
use crate::payload::now_nanos;
use crate::soak::sample::number;

/// Of the unit in which the kernel tells what a file takes.
const BLOCK_BYTES: u64 = 512;

/// One look.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    /// Seconds since the load began.
    pub(super) at: f64,
    pub(super) resident_kib: u64,
    pub(super) anonymous_kib: u64,
    /// Of all files of the store, as allocated.
    pub(super) disk_bytes: u64,
    /// In the order of the plan.
    pub(super) streams: Vec<Held>,
}

/// How much is in a stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    /// Of its oldest message.
    pub(super) age: Duration,
}

/// The heading of [`Sample::row`].
pub(super) const HEADING: &str = "  minute  RSS MiB  anon MiB  disk MiB  messages held  acknowledged    arrived  dead letters    again";

impl Sample {
    /// # Errors
    /// The sidecar has ended or does not answer.
    pub(super) async fn take(bus: &Bus, plan: &Plan, pid: u32, store: &Path, at: Duration) -> Outcome<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).doing(|| format!("reading /proc/{pid}/status"))?;
        let mut streams = Vec::new();
        for config in &plan.streams {
            let info = bus.stream_info(&config.name).await.doing(|| format!("asking for the stream {}", config.name))?;
            let now_ms = now_nanos() / 1_000_000;
            let age = Duration::from_millis(info.first_ms.map_or(0, |first_ms| now_ms.saturating_sub(first_ms)));
            streams.push(Held { messages: info.messages, bytes: info.bytes, age });
        }
        Ok(Self {
            at: at.as_secs_f64(),
            resident_kib: number(&status, "VmRSS"),
            anonymous_kib: number(&status, "RssAnon"),
            disk_bytes: allocated(store),
            streams,
        })
    }

    /// A line of the table.
    pub(super) fn row(&self, books: &Books) -> String {
        let Counts { acknowledged, arrived, died, again, .. } = books.sum();
        let held: u64 = self.streams.iter().map(|held| held.messages).sum();
        format!(
            "  {:>6.1} {:>8.1} {:>9.1} {:>9.1} {held:>14} {acknowledged:>13} {arrived:>10} {died:>13} {again:>8}",
            self.at / 60.0,
            self.resident_kib as f64 / 1_024.0,
            self.anonymous_kib as f64 / 1_024.0,
            self.disk_bytes as f64 / f64::from(1 << 20),
        )
    }
}

/// Bytes that the disk gave to the files below a directory. A file that goes in the middle of the count counts as gone.
fn allocated(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => allocated(&entry.path()),
            Ok(metadata) => metadata.blocks() * BLOCK_BYTES,
            Err(_gone) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_count_with_what_is_allocated_for_them() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("stream")).unwrap();
        fs::write(directory.path().join("stream/segment"), vec![1; 100_000]).unwrap();
        fs::File::open(directory.path().join("stream/segment")).unwrap().sync_all().unwrap();
        assert!((100_000..1_000_000).contains(&allocated(directory.path())));
        assert_eq!(allocated(&directory.path().join("none")), 0);
    }
}
