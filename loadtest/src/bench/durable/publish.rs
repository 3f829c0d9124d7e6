//! P5 and P6: publishes that wait for their acks, a window of them outstanding.

use std::time::Duration;

use super::server::SyncInterval;
use super::stage::{Act, Carrier, Stage, WORKERS};
use super::{PAYLOAD_BYTES, Until, disk};
use crate::bench::report::{Goal, Report};
use crate::bench::{BenchArgs, interleave};
use crate::failure::Outcome;
use crate::neighbours::Neighbours;

const WINDOWS: [usize; 2] = [256, 1_024];
/// Of a write of 256 payloads with its sync, up to which the ratio is what is promised.
const DISK_MS_MAX: f64 = 1.5;
/// On slower disks: of what the disk itself gives.
const OF_THE_DISK_MIN: f64 = 0.8;

/// Which JetStream is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Syncing {
    /// P5: it acks what the operating system has.
    Later,
    /// P6: it syncs before it acks, as we do.
    First,
}

#[derive(Debug, Clone, Copy)]
enum Cell {
    Disk(usize),
    Publish(Carrier, usize),
}

impl Syncing {
    fn id(self) -> &'static str {
        if self == Self::Later { "P5" } else { "P6" }
    }

    fn bound(self, window: usize) -> f64 {
        match self {
            Self::Later if window == WINDOWS[0] => 1.0,
            Self::Later => 1.5,
            Self::First => 50.0,
        }
    }
}

pub(in super::super) fn run(args: &BenchArgs, neighbours: &mut Neighbours, syncing: Syncing) -> Outcome<Report> {
    let (id, seconds) = (syncing.id(), args.seconds(2.0));
    let (interval, is_later) = match syncing {
        Syncing::Later => (SyncInterval::Default, true),
        Syncing::First => (SyncInterval::Always, false),
    };
    let stage = Stage::set(args, interval, is_later)?;
    let setup = format!(
        "durable publish, {PAYLOAD_BYTES} B, ours synced before the ack, {seconds} s x {} rounds interleaved, a fresh stream per cell, \
         client runtime of {WORKERS} workers",
        args.rounds
    );
    let mut report = Report::new(id, setup);
    let carriers = [Carrier::Embedded, Carrier::JetStream, Carrier::Attached].into_iter().filter(|carrier| stage.has(*carrier));
    let publishes = carriers.flat_map(|carrier| WINDOWS.map(|window| Cell::Publish(carrier, window)));
    let cells: Vec<_> = WINDOWS.map(Cell::Disk).into_iter().chain(publishes).collect();
    interleave(args.rounds, neighbours, &cells, |cell| {
        match *cell {
            Cell::Disk(window) => {
                disk::settle()?;
                report.add("disk", &load(window), "ms per sync", disk::sync_ms(stage.directory(), window)?);
            }
            Cell::Publish(carrier, window) => {
                let act = Act::Publish { window, until: Until::Elapsed(Duration::from_secs_f64(seconds)) };
                let (done, cpu) = stage.cell(carrier, act)?;
                report.add(carrier.name(), &load(window), "msgs/s", done.per_second());
                report.add(carrier.name(), &load(window), "CPU µs/msg", cpu);
            }
        }
        Ok(())
    })?;
    judge(&mut report, syncing);
    let synced = if is_later { "its default sync_interval of two minutes: its acks come before any sync" } else { "sync_interval: always" };
    report.note(format!("jetstream: {}, one stream on files, R1, {synced}", stage.server_version()));
    report.note("jetstream's client: async-nats, one connection, acks awaited in order; ours: futures of publish_durable in one task");
    if stage.has(Carrier::Attached) {
        report.note("sidecar: the same client code over its listener, in a process of its own, synced before the ack; no goal");
    }
    report.note("every ack was waited for, and each stream had as many messages afterwards");
    Ok(report)
}

fn judge(report: &mut Report, syncing: Syncing) {
    let id = syncing.id();
    let slow = report.median("disk", &load(WINDOWS[0]), "ms per sync").is_some_and(|took| took > DISK_MS_MAX);
    for window in WINDOWS {
        let goal = if slow && syncing == Syncing::Later { Goal::None } else { Goal::AtLeast };
        report.ratio(id, ("embedded", "jetstream"), &load(window), "msgs/s", (goal, syncing.bound(window)));
        report.ratio(id, ("embedded", "jetstream"), &load(window), "CPU µs/msg", (Goal::None, 0.0));
        report.ratio(id, ("sidecar", "jetstream"), &load(window), "msgs/s", (Goal::None, 0.0));
        let (Some(rate), Some(took)) =
            (report.median("embedded", &load(window), "msgs/s"), report.median("disk", &load(window), "ms per sync"))
        else {
            continue;
        };
        // One window per sync is what a disk gives whose writer waits for it each time.
        let of_the_disk = rate / (window as f64 / (took / 1e3));
        let what = format!("of a disk that syncs {window} x {PAYLOAD_BYTES} B in {took:.2} ms");
        let goal = if slow { Goal::AtLeast } else { Goal::None };
        report.figure(id, what, of_the_disk, (goal, OF_THE_DISK_MIN));
    }
    if slow {
        report.note(format!("the disk is slower than {DISK_MS_MAX} ms per sync, so its own ceiling is the measure"));
    }
}

fn load(window: usize) -> String {
    format!("{window} outstanding")
}
