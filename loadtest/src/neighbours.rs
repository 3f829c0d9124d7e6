//! What else runs on a shared machine: measured, so that a figure can be doubted, and waited for, so that it need not be.

use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// Long enough for the kernel's 10 ms ticks to tell 5 % from nothing.
const SAMPLE: Duration = Duration::from_millis(400);
/// Share of all cores below which a machine counts as idle.
const QUIET_SHARE: f64 = 0.05;
/// The unit of CPU times in `/proc`; the kernel tells user space 100 Hz on every architecture we run on.
const TICK_MS: u64 = 10;

/// The other processes of the machine, as far as they disturb.
#[derive(Debug)]
pub(crate) struct Neighbours {
    patience: Duration,
    impatient: u32,
    /// CPU time of others during cells.
    theirs: Duration,
    /// CPU time that there was during cells.
    all: Duration,
}

impl Neighbours {
    /// Waits at most `patience` in total for quiet moments.
    pub(crate) fn new(patience: Duration) -> Self {
        Self { patience, impatient: 0, theirs: Duration::ZERO, all: Duration::ZERO }
    }

    /// Waits until the machine is idle or the patience is used up, then runs a cell and watches who else works meanwhile.
    pub(crate) fn run<T>(&mut self, cell: impl FnOnce() -> T) -> T {
        self.wait();
        let (busy, own, since) = (machine_busy(), family_cpu(), Instant::now());
        let outcome = cell();
        let own = family_cpu().saturating_sub(own);
        self.theirs += machine_busy().saturating_sub(busy).saturating_sub(own);
        self.all += since.elapsed().mul_f64(cores());
        outcome
    }

    /// Their share of all cores during cells, 0 to 1.
    pub(crate) fn share(&self) -> f64 {
        self.theirs.as_secs_f64() / self.all.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// How many cells began although the machine was busy.
    pub(crate) fn impatient(&self) -> u32 {
        self.impatient
    }

    fn wait(&mut self) {
        while !self.patience.is_zero() {
            let (before, since) = (machine_busy(), Instant::now());
            thread::sleep(SAMPLE);
            let share = machine_busy().saturating_sub(before).as_secs_f64() / (since.elapsed().as_secs_f64() * cores());
            if share < QUIET_SHARE {
                return;
            }
            self.patience = self.patience.saturating_sub(since.elapsed());
        }
        self.impatient += 1;
    }
}

fn cores() -> f64 {
    thread::available_parallelism().map_or(1, usize::from) as f64
}

/// Time that all cores together were not idle, including what a hypervisor took.
fn machine_busy() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = stat.lines().next().unwrap_or_default().split_ascii_whitespace().skip(1);
    // user nice system idle iowait irq softirq steal; guest times are part of user time.
    let busy = fields.take(8).enumerate().filter(|(at, _)| !matches!(at, 3 | 4));
    ticks(busy.map(|(_, value)| value))
}

/// CPU of this process and everything it started, living or ended.
fn family_cpu() -> Duration {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let all: Vec<_> = pids.filter_map(|pid| Some((pid, relative(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?))).collect();
    let mut family = BTreeSet::from([std::process::id()]);
    // Children of children are found in the next pass; a pass that finds nobody is the last.
    while all.iter().fold(false, |grown, (pid, (parent, _))| (family.contains(parent) && family.insert(*pid)) || grown) {}
    all.iter().filter(|(pid, _)| family.contains(pid)).map(|(_, (_, cpu))| *cpu).sum()
}

/// Parent and CPU time, its own and that of its ended children, from a line of `/proc/<pid>/stat`.
fn relative(stat: &str) -> Option<(u32, Duration)> {
    // The name in parentheses may contain anything; behind it: state, parent, and as the twelfth field utime.
    let (_, fields) = stat.rsplit_once(')')?;
    let parent = fields.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some((parent, ticks(fields.split_ascii_whitespace().skip(11).take(4))))
}

fn ticks<'a>(values: impl Iterator<Item = &'a str>) -> Duration {
    Duration::from_millis(values.filter_map(|value| value.parse::<u64>().ok()).sum::<u64>() * TICK_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_never_use_less_than_nothing_and_patience_ends() {
        let mut neighbours = Neighbours::new(Duration::ZERO);
        assert_eq!(neighbours.run(|| 7), 7);
        assert!(neighbours.share() >= 0.0);
        assert_eq!(neighbours.impatient(), 1);
        assert!(machine_busy() > family_cpu());
    }

    #[test]
    fn the_name_of_a_process_does_not_confuse() {
        let stat = "12 (a) b (c) S 7 1 1 0 -1 0 0 0 0 0 1 2 3 4 20 0";
        assert_eq!(relative(stat), Some((7, Duration::from_millis(100))));
        assert_eq!(relative("nonsense"), None);
    }
}
