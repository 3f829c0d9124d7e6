//! What a process holds in memory, as the kernel counts it.

use crate::process::Process;

/// Resident bytes of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Now.
    pub resident: u64,
    /// The most since it started, or since [`Process::forget_peak`].
    pub peak: u64,
}

impl Process {
    /// What it holds now, and the most it held.
    ///
    /// # Panics
    /// When the process has ended.
    #[must_use]
    #[track_caller]
    pub fn memory(&self) -> Memory {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}; last output:\n{}", self.tail()));
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
            kib.unwrap_or_else(|| panic!("{path} has no {name}: the process has ended; last output:\n{}", self.tail())) * 1024
        };
        Memory { resident: field("VmRSS"), peak: field("VmHWM") }
    }

    /// Lets the peak begin anew. Where the kernel does not allow it, the old peak stands, which is stricter.
    pub fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::PATIENCE;
    use std::process::Command;
    use std::time::Instant;

    #[test]
    fn a_process_holds_something_and_no_more_than_its_peak() {
        let process = Process::spawn("sleep", Command::new("sleep").arg("1000"));
        // A process begins with next to nothing: it has not mapped its program yet.
        let deadline = Instant::now() + PATIENCE;
        while process.memory().resident < 100_000 {
            assert!(Instant::now() < deadline, "{:?}", process.memory());
            std::thread::yield_now();
        }
        process.forget_peak();
        let memory = process.memory();
        assert!(memory.resident <= memory.peak + (1 << 20), "{memory:?}");
    }
}
