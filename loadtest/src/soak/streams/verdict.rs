//! What a run has to show, and whether it did.

use std::fmt::Write as _;
use std::time::Duration;

use super::book::{Books, Counts};
use super::plan::{Plan, WORK};
use super::sample::Sample;
use crate::soak::trend::{Trend, levels};

/// Memory is judged by its median over this long.
const LEVEL_SECONDS: f64 = 60.0;
/// Of the median of any minute from that of the run.
const DEVIATION_MAX: f64 = 0.10;
/// Runs shorter than this are not judged by their memory: it is still finding its level.
const MINUTES_MIN: f64 = 5.0;
/// Until every limit was reached, in seconds.
const WARM_UP: f64 = 120.0;
/// How long a message may outlive its age: streams look after a tenth of a second, and a busy machine later.
const AGE_GRACE: Duration = Duration::from_secs(5);

/// One line of the verdict.
struct Line {
    holds: bool,
    text: String,
}

/// The verdict in words, and whether everything holds.
pub(super) fn of(plan: &Plan, books: &Books, samples: &[Sample], minutes: f64) -> (String, bool) {
    let mut lines = vec![memory(samples, minutes), disk(plan, samples)];
    lines.extend(limits(plan, samples));
    lines.extend(promises(books));
    let mut text = String::new();
    for line in &lines {
        writeln!(text, "  {} {}", if line.holds { "PASS" } else { "FAIL" }, line.text).expect("a String takes everything");
    }
    for finding in books.findings().1 {
        writeln!(text, "  finding: {finding}").expect("a String takes everything");
    }
    (text, lines.iter().all(|line| line.holds))
}

fn memory(samples: &[Sample], minutes: f64) -> Line {
    let warm_up = if minutes < MINUTES_MIN { 0.0 } else { WARM_UP };
    let series: Vec<_> =
        samples.iter().filter(|sample| sample.at >= warm_up).map(|sample| (sample.at, sample.resident_kib as f64 / 1_024.0)).collect();
    let Some(trend) = Trend::of(&levels(&series, LEVEL_SECONDS)) else {
        return Line { holds: minutes < MINUTES_MIN, text: "resident memory: too short a run to judge it".to_owned() };
    };
    let text = format!(
        "resident memory after {warm_up:.0} s of warm-up: medians of one minute {:.1} to {:.1} MiB, at most {:.1} % from {:.1} (bound {:.0} %)",
        trend.min,
        trend.max,
        trend.deviation() * 100.0,
        trend.median,
        DEVIATION_MAX * 100.0
    );
    Line { holds: trend.deviation() <= DEVIATION_MAX || minutes < MINUTES_MIN, text }
}

fn disk(plan: &Plan, samples: &[Sample]) -> Line {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let most = samples.iter().map(|sample| sample.disk_bytes).max().unwrap_or(0);
    let last = samples.last().map_or(0, |sample| sample.disk_bytes);
    let bound = plan.disk_bytes_max();
    let text = format!(
        "disk: at most {:.0} MiB, {:.0} at the end; the limits allow {:.0}: per stream its messages and a quarter for deliveries and acks among \
         them, and four segments of 16 MiB; the reserve of 16 MiB",
        mib(most),
        mib(last),
        mib(bound)
    );
    Line { holds: most > 0 && most <= bound, text }
}

fn limits(plan: &Plan, samples: &[Sample]) -> Vec<Line> {
    let of_stream = |(at, config): (usize, &myelin_bus::streams::StreamConfig)| {
        let held: Vec<_> = samples.iter().filter_map(|sample| sample.streams.get(at)).collect();
        let messages = held.iter().map(|held| held.messages).max().unwrap_or(0);
        let bytes = held.iter().map(|held| held.bytes).max().unwrap_or(0);
        let age = held.iter().map(|held| held.age).max().unwrap_or_default();
        let is_young = config.age_max.is_none_or(|age_max| age <= age_max + AGE_GRACE);
        let age_max = config.age_max.map_or_else(|| "no limit".to_owned(), |age_max| format!("limit {age_max:?}"));
        let text = format!(
            "{}: at most {messages} messages (limit {}), {bytes} bytes (limit {}), the oldest {:.1} s ({age_max})",
            config.name,
            config.messages_max,
            config.bytes_max,
            age.as_secs_f64()
        );
        Line { holds: messages <= config.messages_max && bytes <= config.bytes_max && is_young, text }
    };
    plan.streams.iter().enumerate().map(of_stream).collect()
}

fn promises(books: &Books) -> Vec<Line> {
    let mut lines = Vec::new();
    for (stream, book) in books.all() {
        let Counts { acknowledged, arrived, died, again, letters_again } = book.counts;
        let missing = book.missing(&stream);
        let letters = if stream == WORK { format!(", {died} became dead letters, {letters_again} of them twice") } else { String::new() };
        let text = format!("{stream}: {acknowledged} acknowledged, {arrived} arrived, {again} again{letters}; {missing} missing");
        lines.push(Line { holds: acknowledged > 0 && missing == 0 && letters_again == 0 && (died > 0 || stream != WORK), text });
    }
    let findings = books.findings().0;
    lines.push(Line { holds: findings == 0, text: format!("{findings} publishes, fetches and acks failed") });
    lines
}
