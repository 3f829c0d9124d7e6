//! What was measured, as a table and against the goals of P9 and P10: ratios of medians of interleaved rounds, with the smallest and the largest of a
//! single round beside them.

use crate::Settings;

/// Reads a second, by cell, load and round. The cells and loads as `main.rs` has them.
pub(crate) struct Report {
    pub(crate) cells: Vec<(&'static str, [Vec<f64>; 3])>,
}

/// What is compared with a goal.
struct Figure {
    what: String,
    value: f64,
    least: f64,
    most: f64,
    goal: Option<Goal>,
}

#[derive(Clone, Copy)]
enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(goal) => value >= goal,
            Self::AtMost(goal) => value <= goal,
        }
    }
}

const MESH: usize = 0;
const MULTIPLEXED: usize = 1;
const DEADPOOL: usize = 2;
const NEAR: usize = 3;
const CLIENT_CACHE: usize = 4;

const LOADS: [&str; 3] = ["1 task", "64 tasks", "256 tasks"];

impl Report {
    /// Prints everything. Of a quick run no goal is judged.
    pub(crate) fn tell(&self, settings: &Settings) {
        let Settings { reads, rounds, quick } = settings;
        println!(
            "P9, P10: reads of 10,000 keys of 256 B, one Redis on loopback, {reads} reads a cell x {rounds} rounds interleaved, closed loop"
        );
        println!("  machine  {}", machine());
        println!("  command  cargo xtask bench mesh\n");
        println!("  {:<16} {:>12} {:>12} {:>12}   reads/s, medians", "", LOADS[0], LOADS[1], LOADS[2]);
        for (name, loads) in &self.cells {
            let [one, some, many] = loads.each_ref().map(|rounds| median(rounds));
            println!("  {name:<16} {one:>12.0} {some:>12.0} {many:>12.0}");
        }
        println!();
        for figure in self.figures() {
            let goal = match figure.goal {
                Some(Goal::AtLeast(goal)) => format!("goal >= {goal:.2}"),
                Some(Goal::AtMost(goal)) => format!("goal <= {goal:.2}"),
                None => String::new(),
            };
            let mark = match figure.goal {
                Some(_) if *quick => "-",
                Some(goal) if goal.is_met(figure.value) => "PASS",
                Some(_) => "MISS",
                None => "",
            };
            println!("  {mark:<4} {:<56} {:>8.2} ({:.2}..{:.2})  {goal}", figure.what, figure.value, figure.least, figure.most);
        }
    }

    /// Whether every goal is met.
    pub(crate) fn holds(&self) -> bool {
        self.figures().iter().all(|figure| figure.goal.is_none_or(|goal| goal.is_met(figure.value)))
    }

    fn figures(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        for load in [1, 2] {
            figures.push(self.ratio(load, MULTIPLEXED, Goal::AtLeast(0.9)));
            figures.push(self.ratio(load, DEADPOOL, Goal::AtLeast(4.0)));
        }
        figures.push(self.hit("P10 ns per hit through the public API", NEAR, Some(Goal::AtMost(200.0))));
        figures.push(self.hit("P10 ns per hit of redis-rs's client-side cache", CLIENT_CACHE, None));
        figures
    }

    fn ratio(&self, load: usize, other: usize, goal: Goal) -> Figure {
        let (ours, theirs) = (&self.cells[MESH].1[load], &self.cells[other].1[load]);
        let of_rounds: Vec<_> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
        let what = format!("P9 reads/s, {}: mesh / {}", LOADS[load], self.cells[other].0);
        Figure { value: median(ours) / median(theirs), goal: Some(goal), ..of(what, &of_rounds) }
    }

    fn hit(&self, what: &str, cell: usize, goal: Option<Goal>) -> Figure {
        let ns: Vec<_> = self.cells[cell].1[0].iter().map(|rate| 1e9 / rate).collect();
        Figure { goal, ..of(what.to_owned(), &ns) }
    }
}

fn of(what: String, values: &[f64]) -> Figure {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(0.0, f64::max);
    Figure { what, value: median(values), least, most, goal: None }
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown processor");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("unknown");
    format!("{}, {cores} cores, Linux {}, load {load}", cpu.trim_start_matches([':', ' ', '\t']), read("/proc/sys/kernel/osrelease").trim())
}
