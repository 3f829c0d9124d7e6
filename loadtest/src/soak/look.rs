//! Looks at the sidecar from time to time, and waits until it is idle.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use super::sample::Sample;
use super::world::World;
use crate::failure::{Doing, Outcome};
use crate::sidecar::Sidecar;

/// For the way to idle, there and back.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const IDLE_EVERY: Duration = Duration::from_millis(250);

/// What idle is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until<'a> {
    /// Nobody is connected, and descriptors and threads have not changed for so long.
    Steady(Duration),
    /// Nobody is connected, there are as many descriptors as then, and no more threads.
    As(&'a Sample),
}

/// Takes samples without holding up the crowd.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    pub(crate) pid: u32,
    sidecar: Arc<Mutex<Sidecar>>,
    binary: PathBuf,
}

impl Look {
    pub(crate) fn new(sidecar: Sidecar, binary: PathBuf) -> Self {
        Self { pid: sidecar.pid(), sidecar: Arc::new(Mutex::new(sidecar)), binary }
    }

    /// One sample, `at` this time of the run.
    ///
    /// # Errors
    /// The sidecar has ended or does not answer.
    pub(crate) async fn take(&self, at: Duration) -> Outcome<Sample> {
        let own = self.clone();
        let taken = tokio::task::spawn_blocking(move || {
            let sidecar = own.sidecar.lock().unwrap_or_else(PoisonError::into_inner);
            Sample::take(&sidecar, &own.binary, at.as_secs_f64())
        });
        taken.await.doing(|| "taking a sample".to_owned())?
    }

    /// Whether there is still a sidecar to look at. One that has ended is a zombie, since nobody waits for it before the end of the run.
    pub(crate) fn is_alive(&self) -> bool {
        fs::read_to_string(format!("/proc/{}/status", self.pid)).is_ok_and(|status| !status.contains("State:\tZ"))
    }

    /// Waits until the sidecar is idle. What is found after a minute is returned as it is.
    ///
    /// # Errors
    /// As [`Look::take`].
    pub(crate) async fn until_idle(&self, world: &World, until: Until<'_>) -> Outcome<Sample> {
        let deadline = world.awake.now() + IDLE_TIMEOUT;
        let mut steady: Option<(Sample, Duration)> = None;
        loop {
            let now = world.awake.now();
            let sample = match self.take(now).await {
                Ok(sample) => sample,
                Err(failure) if now > deadline || !self.is_alive() => return Err(failure),
                // Too busy to answer is not idle.
                Err(_) => {
                    steady = None;
                    continue;
                }
            };
            let is_idle = sample.connections == 0 && sample.pending == 0 && sample.peers == 0 && sample.queued == 0;
            let is_reached = match until {
                Until::As(before) => is_idle && sample.descriptors == before.descriptors && sample.threads <= before.threads,
                Until::Steady(length) => {
                    let is_as = |other: &Sample| sample.descriptors == other.descriptors && sample.threads == other.threads;
                    steady = steady.filter(|(first, _)| is_as(first)).or(Some((sample, now))).filter(|_| is_idle);
                    steady.is_some_and(|(_, since)| now - since >= length)
                }
            };
            if is_reached || now > deadline {
                return Ok(sample);
            }
            sleep(IDLE_EVERY).await;
        }
    }
}
