//! What a run has to show, and whether it did.

use std::fmt::Write as _;
use std::time::Duration;

use super::sample::Sample;
use super::tally::Count;
use super::trend::{Trend, levels};
use super::world::{Book, LISTENERS, World};

/// Memory is judged by its median over this long. A single sample also has what is on its way just then: up to 16 MiB for peers that do not read,
/// and messages of 3 MiB.
const LEVEL_SECONDS: f64 = 300.0;
/// Descriptors that no connection explains may rise by this much: the counts are not taken at one instant.
const UNEXPLAINED_RISE_MAX: i64 = 2;

/// How flat is flat.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Not judged at the beginning, in seconds.
    pub(crate) warm_up: f64,
    /// Of resident memory, by linear fit over the rest.
    pub(crate) growth_max: f64,
    /// Of the median of any five minutes from that of the run.
    pub(crate) deviation_max: f64,
    /// How long nothing may change before the sidecar counts as idle, the first time.
    pub(crate) steady: Duration,
}

impl Bounds {
    /// For a run of `minutes`. Below ten minutes memory is still finding its level, and only gross leaks are.
    pub(crate) fn of(minutes: f64) -> Self {
        if minutes < 10.0 {
            return Self { warm_up: minutes * 12.0, growth_max: 2.0, deviation_max: 2.0, steady: Duration::from_secs(1) };
        }
        // Threads for files and names end ten seconds after their last work.
        Self { warm_up: 300.0, growth_max: 0.02, deviation_max: 0.10, steady: Duration::from_secs(11) }
    }
}

/// Everything that is judged.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    pub(crate) world: &'a World,
    pub(crate) bounds: Bounds,
    pub(crate) before: Sample,
    pub(crate) during: &'a [Sample],
    pub(crate) after: Sample,
}

/// One line of the verdict.
struct Line {
    holds: bool,
    text: String,
}

impl Run<'_> {
    /// The verdict in words, and whether everything holds.
    pub(crate) fn verdict(&self) -> (String, bool) {
        let lines: Vec<_> = [self.memory(), self.descriptors(), self.idle(), self.promises()].into_iter().flatten().collect();
        let mut text = String::new();
        for line in &lines {
            writeln!(text, "  {} {}", if line.holds { "PASS" } else { "FAIL" }, line.text).expect("a String takes everything");
        }
        for finding in self.world.tally.findings().1 {
            writeln!(text, "  finding: {finding}").expect("a String takes everything");
        }
        (text, lines.iter().all(|line| line.holds))
    }

    fn series(&self, of: impl Fn(&Sample) -> f64) -> Vec<(f64, f64)> {
        self.during.iter().filter(|sample| sample.at >= self.bounds.warm_up).map(|sample| (sample.at, of(sample))).collect()
    }

    fn memory(&self) -> Vec<Line> {
        let series = self.series(|sample| sample.resident_kib as f64 / 1_024.0);
        let Some(trend) = Trend::of(&series) else {
            return vec![Line { holds: false, text: "too few samples to judge memory".to_owned() }];
        };
        // A run that is too short for levels is judged by its samples, with the wide bound of short runs.
        let level = Trend::of(&levels(&series, LEVEL_SECONDS)).unwrap_or(trend);
        let Bounds { growth_max, deviation_max, warm_up, .. } = self.bounds;
        let fit = format!(
            "resident memory after {:.0} s of warm-up: linear fit {:+.2} % (bound +{:.0} %)",
            warm_up,
            trend.growth * 100.0,
            growth_max * 100.0
        );
        let spread = format!(
            "resident memory: medians of five minutes {:.1} to {:.1} MiB, at most {:.1} % from {:.1} (bound {:.0} %); single samples {:.1} to {:.1}",
            level.min,
            level.max,
            level.deviation() * 100.0,
            level.median,
            deviation_max * 100.0,
            trend.min,
            trend.max
        );
        vec![Line { holds: trend.growth < growth_max, text: fit }, Line { holds: level.deviation() <= deviation_max, text: spread }]
    }

    fn descriptors(&self) -> Vec<Line> {
        let series: Vec<_> = self.during.iter().filter(|sample| sample.at >= self.bounds.warm_up).map(Sample::unexplained).collect();
        let third = (series.len() / 3).max(1);
        if series.is_empty() {
            return Vec::new();
        }
        let (first, last) = (median(&series[..third]), median(&series[series.len() - third..]));
        let text = format!("descriptors that no connection explains: median {first} in the first third, {last} in the last");
        vec![Line { holds: last - first <= UNEXPLAINED_RISE_MAX, text }]
    }

    fn idle(&self) -> Vec<Line> {
        let (before, after) = (self.before, self.after);
        let same =
            |what: &str, before: u64, after: u64| Line { holds: before == after, text: format!("{what} before {before}, after {after}") };
        vec![
            same("descriptors", before.descriptors, after.descriptors),
            Line { holds: after.threads <= before.threads, text: format!("threads before {}, after {}", before.threads, after.threads) },
            same("connections", 0, after.connections),
            same("handshakes pending", 0, after.pending),
            same("peers that myelin zmq shows", 0, after.peers),
            same("bytes queued", 0, after.queued),
        ]
    }

    fn promises(&self) -> Vec<Line> {
        let tally = &self.world.tally;
        let get = |count| tally.get(count);
        let mut lines = vec![Line {
            holds: tally.findings().0 == 0 && get(Count::Answered) > 0,
            text: format!(
                "{} requests: {} answered with their own reply, {} silent ({} of them answered later), {} whose caller left first; {} findings in all",
                get(Count::Requests),
                get(Count::Answered),
                get(Count::Silent),
                get(Count::Late),
                get(Count::Abandoned),
                tally.findings().0
            ),
        }];
        // What a consumer had in hand when it left comes to another, as it should; and what nobody had taken when the last one left is still stored.
        let books = [("pipeline with consumers that stay", Book::Jobs, true), ("pipeline whose consumers leave", Book::RoughJobs, false)];
        let heard = (0..LISTENERS).map(|listener| ("topic, at a subscriber that stays", Book::Heard(listener), true));
        for (name, book, is_strict) in books.into_iter().chain(heard) {
            let book = self.world.book(book).counts();
            let is_exact = book.repeated == 0 && book.late == 0 && book.missing == 0;
            let holds = (is_exact || !is_strict) && book.arrived > 0;
            let text = format!(
                "{name}: {} arrived, {} twice, {} late; of the {} from the {} senders that left politely, {} missing; {} senders left by RST",
                book.arrived, book.repeated, book.late, book.owed, book.judged, book.missing, book.excused
            );
            lines.push(Line { holds, text });
        }
        lines
    }
}

fn median(values: &[i64]) -> i64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}
