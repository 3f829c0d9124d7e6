//! What the disk itself takes to make a window of payloads durable.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::PAYLOAD_BYTES;
use crate::failure::{Doing, Failure, Outcome};
use crate::latency::median;

/// Writes of one measurement.
const WRITES: usize = 100;

/// Milliseconds that one write of `messages` payloads and one `fdatasync` take, in the median, in a file that was written before.
pub(super) fn sync_ms(directory: &Path, messages: usize) -> Outcome<f64> {
    let path = directory.join("probe");
    let content = vec![b'x'; messages * PAYLOAD_BYTES];
    let measure = || -> std::io::Result<Vec<f64>> {
        let file = File::create(&path)?;
        (0..WRITES).try_for_each(|at| file.write_all_at(&content, (at * content.len()) as u64))?;
        file.sync_all()?;
        let one = |at: usize| {
            let started = Instant::now();
            file.write_all_at(&content, (at * content.len()) as u64)?;
            file.sync_data()?;
            Ok(started.elapsed().as_secs_f64() * 1e3)
        };
        let taken = (0..WRITES).map(one).collect();
        std::fs::remove_file(&path)?;
        taken
    };
    measure().map(|taken| median(&taken)).doing(|| format!("measuring the disk below {}", directory.display()))
}

/// Lets the kernel write what others left dirty, so that no cell pays for the one before it.
pub(super) fn settle() -> Outcome<()> {
    let status = Command::new("sync").status().doing(|| "running sync".to_owned())?;
    if status.success() { Ok(()) } else { Err(Failure::new(format!("sync failed ({status})"))) }
}
