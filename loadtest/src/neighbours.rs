//! What else runs on a shared machine: measured, so that a figure can be doubted, and waited for, so that it need not be.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// How much of the machine went to others while a scenario ran: what its figures have to be doubted by.
#[derive(Debug)]
pub(crate) struct Neighbours {
    started: Instant,
    busy: Duration,
    own: Duration,
}

impl Neighbours {
    /// Starts watching.
    pub(crate) fn watch() -> Self {
        Self { started: Instant::now(), busy: machine_busy(), own: own_cpu() }
    }

    /// Their share of all cores since [`Self::watch`], 0 to 1. Counts children only once they have ended.
    pub(crate) fn share(&self) -> f64 {
        let theirs = machine_busy().saturating_sub(self.busy).saturating_sub(own_cpu().saturating_sub(self.own));
        theirs.as_secs_f64() / (self.started.elapsed().as_secs_f64() * cores())
    }
}

/// Waits, within a budget, for moments in which nobody else works.
#[derive(Debug)]
pub(crate) struct Quiet {
    left: Duration,
    impatient: u32,
}

impl Quiet {
    /// At most `budget` of waiting in total.
    pub(crate) fn within(budget: Duration) -> Self {
        Self { left: budget, impatient: 0 }
    }

    /// Blocks until the machine was idle for a moment or the budget is used up. Call it while the own processes idle.
    pub(crate) fn wait(&mut self) {
        while !self.left.is_zero() {
            let (before, since) = (machine_busy(), Instant::now());
            thread::sleep(SAMPLE);
            let share = machine_busy().saturating_sub(before).as_secs_f64() / (since.elapsed().as_secs_f64() * cores());
            if share < QUIET_SHARE {
                return;
            }
            self.left = self.left.saturating_sub(since.elapsed());
        }
        self.impatient += 1;
    }

    /// How many cells began although the machine was busy.
    pub(crate) fn impatient(&self) -> u32 {
        self.impatient
    }
}

/// Long enough for the kernel's 10 ms ticks to tell 5 % from nothing.
const SAMPLE: Duration = Duration::from_millis(400);
/// Share of all cores below which a machine counts as idle.
const QUIET_SHARE: f64 = 0.05;

fn cores() -> f64 {
    thread::available_parallelism().map_or(1, usize::from) as f64
}

/// The unit of CPU times in `/proc`; the kernel has told user space 100 Hz on every architecture we run on.
const TICK_MS: u64 = 10;

/// Time that all cores together were not idle, including what a hypervisor took.
fn machine_busy() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = stat.lines().next().unwrap_or_default().split_ascii_whitespace().skip(1);
    // user nice system idle iowait irq softirq steal; guest times are part of user time.
    let busy = fields.take(8).enumerate().filter(|(at, _)| !matches!(at, 3 | 4));
    ticks(busy.map(|(_, value)| value))
}

/// CPU of this process and of its children that have ended.
fn own_cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may contain anything; utime is the twelfth field behind it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_ascii_whitespace();
    ticks(fields.skip(11).take(4))
}

fn ticks<'a>(values: impl Iterator<Item = &'a str>) -> Duration {
    Duration::from_millis(values.filter_map(|value| value.parse::<u64>().ok()).sum::<u64>() * TICK_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_never_use_less_than_nothing() {
        let neighbours = Neighbours::watch();
        assert!(machine_busy() > own_cpu());
        assert!(neighbours.share() >= 0.0);
    }

    #[test]
    fn waiting_ends_with_the_budget() {
        let mut quiet = Quiet::within(Duration::ZERO);
        quiet.wait();
        assert_eq!(quiet.impatient(), 1);
    }
}
