//! How the neighbours of an attack fared, and what of it the machine has to answer for.

use std::time::Duration;

/// A call over a connection of its own wakes the caller, the sidecar and the agent about eight times in all; a trip past the sidecar wakes two
/// threads.
const TRIPS_OF_A_CALL: u32 = 4;

/// What goes through a durable pipeline waits for the sync that is under way, and for its own.
const SYNCS_OF_A_JOB: u32 = 2;

/// The neighbours, in the order of their latencies.
pub(super) const NAMES: [&str; 4] = ["caller", "publisher", "producer", "producer in memory"];

/// Which of them waits for the disk.
pub(super) const DURABLE: usize = 2;

/// How the neighbours fared.
#[derive(Debug, Clone)]
pub struct Served {
    /// From the moment a message was due until its answer was there, of every neighbour, sorted.
    pub latencies: Vec<Duration>,
    /// The longest of each neighbour.
    pub slowest: [(&'static str, Duration); 4],
    /// Messages of others that a neighbour received, cut short.
    pub strangers: Vec<String>,
    /// Resident bytes of the sidecar before the attack.
    pub memory_before: u64,
    /// What was added to them at most.
    pub memory_grown: u64,
    /// From the moment a byte was due until it was back, past no sidecar, sorted: what this machine makes everybody wait.
    pub machine: Vec<Duration>,
    /// How long the disk took to sync a few bytes of ours, sorted: what it makes everybody wait who stores something.
    pub disk: Vec<Duration>,
}

impl Served {
    /// The latency that 99 of 100 messages stayed within.
    #[must_use]
    pub fn p99(&self) -> Duration {
        p99(&self.latencies)
    }

    /// The longest.
    #[must_use]
    pub fn max(&self) -> Duration {
        longest(&self.latencies)
    }

    /// What the machine alone made 99 of 100 wait at most.
    #[must_use]
    pub fn machine_p99(&self) -> Duration {
        p99(&self.machine)
    }

    /// What the machine made somebody wait at worst, without any help of the sidecar.
    #[must_use]
    pub fn machine_max(&self) -> Duration {
        longest(&self.machine)
    }

    /// What the disk alone made 99 of 100 wait at most.
    #[must_use]
    pub fn disk_p99(&self) -> Duration {
        p99(&self.disk)
    }

    /// A deadline on this machine: it may keep each of the processes on a message's way waiting as long as it kept others.
    #[must_use]
    pub fn allowed(&self, deadline: Duration) -> Duration {
        deadline + self.machine_max() * TRIPS_OF_A_CALL
    }

    /// The same for what is stored on the way.
    #[must_use]
    pub fn allowed_durably(&self, deadline: Duration) -> Duration {
        self.allowed(deadline) + longest(&self.disk) * SYNCS_OF_A_JOB
    }

    /// Nobody waited longer than `deadline`, beyond what the machine and its disk make everybody wait, and the sidecar held at most `memory_max` more
    /// bytes than before.
    ///
    /// # Panics
    /// When either is not so.
    #[track_caller]
    pub fn check(&self, deadline: Duration, memory_max: u64) {
        for (which, (name, waited)) in self.slowest.iter().enumerate() {
            let allowed = if which == DURABLE { self.allowed_durably(deadline) } else { self.allowed(deadline) };
            let (slowest, p99, count) = (&self.slowest, self.p99(), self.latencies.len());
            assert!(*waited <= allowed, "the {name} waited longer than {allowed:?}: {slowest:?}, p99 {p99:?} of {count}");
        }
        assert!(self.memory_grown <= memory_max, "{} KiB more than before, {} are allowed", self.memory_grown >> 10, memory_max >> 10);
    }

    /// Nothing of the attack reached a neighbour.
    ///
    /// # Panics
    /// When something did.
    #[track_caller]
    pub fn check_no_strangers(&self) {
        assert!(self.strangers.is_empty(), "neighbours got what was not for them: {:?}", self.strangers);
    }
}

fn p99(sorted: &[Duration]) -> Duration {
    sorted.get(sorted.len() * 99 / 100).copied().unwrap_or_default()
}

fn longest(sorted: &[Duration]) -> Duration {
    sorted.last().copied().unwrap_or_default()
}
