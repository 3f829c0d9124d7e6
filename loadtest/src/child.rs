//! The parent's side: starts peers as processes, pins them, reads their events, accounts their CPU, ends them.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::failure::{Doing, Failure, Outcome};

/// Events a child may be ahead of the parent.
const EVENTS_MAX: usize = 64;
/// How long a child may take to follow the end of its stdin before it is killed.
const EXIT_TIMEOUT: Duration = Duration::from_secs(2);

/// The core that a process is confined to; `None` leaves the choice to the kernel.
pub(crate) type Core = Option<usize>;

/// A process of a benchmark; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: std::process::Child,
    orders: Option<ChildStdin>,
    events: Receiver<Value>,
    /// The process whose CPU counts: the program under `hold`, else the child itself.
    measured: u32,
}

impl Process {
    /// Starts this very binary with other arguments.
    ///
    /// # Errors
    /// The binary, or `taskset` where a core is named, cannot be started.
    pub(crate) fn start(name: &str, core: Core, arguments: &[String]) -> Outcome<Self> {
        let me = std::env::current_exe().doing(|| "finding the own binary".to_owned())?;
        let mut command = match core {
            // `taskset` replaces itself by the program: the process id and the pipes stay.
            Some(core) => {
                let mut command = Command::new("taskset");
                command.arg("--cpu-list").arg(core.to_string()).arg(me);
                command
            }
            None => Command::new(me),
        };
        // A group of its own: Ctrl-C reaches the parent alone, and the closing pipes end the children in order.
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        if std::env::var_os("MYELIN_LOG").is_none() {
            // A log line per agent that comes and goes would stand in the middle of the report.
            command.env("MYELIN_LOG", "warn");
        }
        let mut child = command.spawn().doing(|| {
            let hint = if core.is_some() { " (pinning needs `taskset`: apt-get install util-linux)" } else { "" };
            format!("starting {name}{hint}")
        })?;
        let orders = child.stdin.take();
        let stdout = child.stdout.take().expect("stdout is piped");
        let (sender, events) = sync_channel(EVENTS_MAX);
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let Ok(event) = serde_json::from_str::<Value>(&line) else { continue };
                if sender.send(event).is_err() {
                    break;
                }
            }
        });
        let measured = child.id();
        Ok(Self { name: name.to_owned(), child, orders, events, measured })
    }

    /// Starts another program, which is killed with this process.
    ///
    /// # Errors
    /// As [`Process::start`], or the program itself cannot be started.
    pub(crate) fn hold(name: &str, core: Core, program: &str, arguments: &[String]) -> Outcome<Self> {
        let mut all = vec!["hold".to_owned(), "--".to_owned(), program.to_owned()];
        all.extend_from_slice(arguments);
        let mut process = Self::start(name, core, &all)?;
        let spawned = process.wait("spawned", Duration::from_secs(5))?;
        let pid = spawned["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        process.measured = pid.ok_or_else(|| Failure::new(format!("{name} told no process id")))?;
        Ok(process)
    }

    /// Blocks until the child tells `event`; other events before it are skipped.
    ///
    /// # Errors
    /// The child ended or stayed silent for `timeout`.
    pub(crate) fn wait(&self, event: &str, timeout: Duration) -> Outcome<Value> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let told = self.events.recv_timeout(left).doing(|| format!("{} did not tell {event:?} within {timeout:?}", self.name))?;
            if told["event"] == event {
                return Ok(told);
            }
        }
    }

    /// The endpoint that the child bound.
    ///
    /// # Errors
    /// It did not tell one within ten seconds.
    pub(crate) fn endpoint(&self) -> Outcome<String> {
        let ready = self.wait("ready", Duration::from_secs(10))?;
        let endpoint = ready["endpoint"].as_str();
        endpoint.map(str::to_owned).ok_or_else(|| Failure::new(format!("{} bound no endpoint", self.name)))
    }

    /// Sends an order.
    ///
    /// # Errors
    /// The child is gone.
    pub(crate) fn order(&mut self, order: &str) -> Outcome<()> {
        let pipe = self.orders.as_mut().expect("the pipe is open until drop");
        writeln!(pipe, "{order}").and_then(|()| pipe.flush()).doing(|| format!("ordering {} to {order}", self.name))
    }

    /// The process whose CPU counts.
    pub(crate) fn pid(&self) -> u32 {
        self.measured
    }

    /// CPU time of all threads so far; zero once the process is gone.
    pub(crate) fn cpu(&self) -> Duration {
        cpu_of(self.measured)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.orders = None;
        let deadline = Instant::now() + EXIT_TIMEOUT;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
        // Nothing is left to do about a process that neither ends nor can be killed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Nanosecond accounting of the scheduler, summed over the threads that still live.
pub(crate) fn cpu_of(pid: u32) -> Duration {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Duration::ZERO };
    let nanos = tasks
        .filter_map(Result::ok)
        .filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|line| line.split(' ').next()?.parse::<u64>().ok())
        .sum();
    Duration::from_nanos(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_process_has_used_some_cpu() {
        let spun = (0..2_000_000_u64).fold(0_u64, |sum, i| sum.wrapping_mul(31).wrapping_add(i));
        assert_ne!(std::hint::black_box(spun), 1);
        assert!(cpu_of(std::process::id()) > Duration::ZERO);
        assert_eq!(cpu_of(u32::MAX), Duration::ZERO);
    }
}
