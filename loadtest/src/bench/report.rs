//! What a scenario found: one row per measured cell, one verdict per goal, as a table or as JSON.

use serde::Serialize;
use std::fmt::Write;

use crate::latency::median;
use crate::machine::Machine;

/// One measured quantity of one cell over all rounds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// What carried the messages: `direct`, `zmq_proxy`, `sidecar`, `embedded`, `jetstream`.
    pub(crate) path: String,
    /// Load and peers: `64 B, 4 subs, libzmq`.
    pub(crate) load: String,
    /// Quantity with its unit: `p50 µs`.
    pub(crate) metric: &'static str,
    pub(crate) rounds: Vec<f64>,
    pub(crate) median: f64,
}

/// Which side of the bound is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    AtMost,
    AtLeast,
    /// Printed for orientation, judged by nobody.
    None,
}

/// A figure next to what it should be.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Verdict {
    pub(crate) id: &'static str,
    pub(crate) what: String,
    pub(crate) value: f64,
    /// Smallest and largest value of a single round: how far to trust the median.
    pub(crate) spread: Option<(f64, f64)>,
    pub(crate) goal: Goal,
    pub(crate) bound: f64,
    pub(crate) pass: Option<bool>,
}

/// Everything a scenario prints.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    pub(crate) scenario: &'static str,
    pub(crate) setup: String,
    pub(crate) command: String,
    pub(crate) machine: Machine,
    pub(crate) rows: Vec<Row>,
    pub(crate) verdicts: Vec<Verdict>,
    pub(crate) notes: Vec<String>,
}

impl Report {
    pub(crate) fn new(scenario: &'static str, setup: String) -> Self {
        let program = std::env::args().next().unwrap_or_default();
        let program = program.rsplit('/').next().unwrap_or_default().to_owned();
        let command = std::iter::once(program).chain(std::env::args().skip(1)).collect::<Vec<_>>().join(" ");
        let machine = Machine::look();
        Self { scenario, setup, command, machine, rows: Vec::new(), verdicts: Vec::new(), notes: Vec::new() }
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Adds one round's value to the row of this cell.
    pub(crate) fn add(&mut self, path: &str, load: &str, metric: &'static str, value: f64) {
        let found = self.rows.iter_mut().find(|row| row.is(path, load, metric));
        let row = match found {
            Some(row) => row,
            None => {
                let (path, load) = (path.to_owned(), load.to_owned());
                self.rows.push(Row { path, load, metric, rounds: Vec::new(), median: f64::NAN });
                self.rows.last_mut().expect("just pushed")
            }
        };
        row.rounds.push(value);
        row.median = median(&row.rounds);
    }

    /// Judges the ratio of two paths' medians; silent if one of them was not run.
    pub(crate) fn ratio(&mut self, id: &'static str, paths: (&str, &str), load: &str, metric: &'static str, (goal, bound): (Goal, f64)) {
        let row = |path| self.rows.iter().find(|row| row.is(path, load, metric));
        let (Some(ours), Some(theirs)) = (row(paths.0), row(paths.1)) else { return };
        let value = ours.median / theirs.median;
        let each = ours.rounds.iter().zip(&theirs.rounds).map(|(ours, theirs)| ours / theirs);
        let spread = each.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), one| (low.min(one), high.max(one)));
        let what = format!("{metric}, {load}: {} / {}", paths.0, paths.1);
        self.judge(Verdict { id, what, value, spread: Some(spread), goal, bound, pass: None });
    }

    /// The median of a row, if it was measured.
    #[cfg(feature = "streams")]
    pub(crate) fn median(&self, path: &str, load: &str, metric: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.is(path, load, metric)).map(|row| row.median)
    }

    /// Judges the median of the only path that has this cell.
    #[cfg(feature = "embedded")]
    pub(crate) fn median_of(&mut self, id: &'static str, load: &str, metric: &'static str, goal: (Goal, f64)) {
        if let Some(row) = self.rows.iter().find(|row| row.load == load && row.metric == metric) {
            self.figure(id, format!("{metric}, {load}"), row.median, goal);
        }
    }

    /// Judges a figure by itself.
    pub(crate) fn figure(&mut self, id: &'static str, what: String, value: f64, (goal, bound): (Goal, f64)) {
        self.judge(Verdict { id, what, value, spread: None, goal, bound, pass: None });
    }

    fn judge(&mut self, mut verdict: Verdict) {
        verdict.pass = match verdict.goal {
            Goal::AtMost => Some(verdict.value <= verdict.bound),
            Goal::AtLeast => Some(verdict.value >= verdict.bound),
            Goal::None => None,
        };
        self.verdicts.push(verdict);
    }

    /// The human form.
    pub(crate) fn table(&self) -> String {
        let Machine { cpu, cores, kernel, memory_mib, load_1m, libzmq, profile } = &self.machine;
        let mut out = format!(
            "{}: {}\n  command  {}\n  machine  {cpu}, {cores} cores, {memory_mib} MiB, Linux {kernel}, load {load_1m}\n  \
             built    {profile}, libzmq {libzmq}\n\n",
            self.scenario, self.setup, self.command
        );
        let width = self.rows.iter().map(|row| row.load.chars().count()).max().unwrap_or(0);
        for row in &self.rows {
            let Row { path, load, metric, rounds, median } = row;
            let each = rounds.iter().map(|value| figure(*value)).collect::<Vec<_>>().join(" ");
            line(&mut out, &format!("  {path:<10} {load:<width$}  {metric:<14} {:>10}   [{each}]", figure(*median)));
        }
        out.push('\n');
        let width = self.verdicts.iter().map(|verdict| verdict.what.chars().count()).max().unwrap_or(0);
        for verdict in &self.verdicts {
            let Verdict { id, what, value, spread, goal, bound, pass } = verdict;
            let wanted = match goal {
                Goal::AtMost => format!("goal <= {}", figure(*bound)),
                Goal::AtLeast => format!("goal >= {}", figure(*bound)),
                Goal::None => String::new(),
            };
            let mark = match pass {
                Some(true) => "PASS",
                Some(false) => "MISS",
                None => "    ",
            };
            let spread = spread.map_or_else(String::new, |(low, high)| format!("({low:.2}..{high:.2})"));
            line(&mut out, &format!("  {mark} {id} {what:<width$} {:>9} {spread:<13} {wanted}", figure(*value)));
        }
        for note in &self.notes {
            line(&mut out, &format!("  note: {note}"));
        }
        out
    }
}

impl Row {
    fn is(&self, path: &str, load: &str, metric: &str) -> bool {
        self.path == path && self.load == load && self.metric == metric
    }
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{}", text.trim_end()).expect("writing to a string cannot fail");
}

/// Four significant digits or so, thousands as they are.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 1_000.0 || value == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_that_of_the_medians_and_is_judged() {
        let mut report = Report::new("P1", "a test".to_owned());
        for (ours, theirs) in [(60.0, 100.0), (70.0, 100.0), (99.0, 110.0)] {
            report.add("sidecar", "64 B", "p50 µs", ours);
            report.add("zmq_proxy", "64 B", "p50 µs", theirs);
        }
        report.ratio("P1", ("sidecar", "zmq_proxy"), "64 B", "p50 µs", (Goal::AtMost, 0.7));
        report.ratio("P1", ("sidecar", "direct"), "64 B", "p50 µs", (Goal::AtMost, 0.7));
        let [verdict] = report.verdicts.as_slice() else { panic!("a path that was not run is judged") };
        assert_eq!(verdict.value, 0.7);
        assert_eq!(verdict.pass, Some(true));
        assert_eq!(verdict.spread, Some((0.6, 0.9)));
        assert!(report.table().contains("PASS P1"), "{}", report.table());
    }

    #[test]
    fn a_missed_goal_is_marked() {
        let mut report = Report::new("P3", "a test".to_owned());
        report.figure("P3", "lost".to_owned(), 3.0, (Goal::AtMost, 0.0));
        assert!(report.table().contains("MISS P3 lost"), "{}", report.table());
    }
}
