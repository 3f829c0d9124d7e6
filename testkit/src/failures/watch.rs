//! Reads what peers log while they live, to tell when each kind of traffic was silent and when it was back.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A kind of traffic: what it is called, who logs that it begins, and who logs that it succeeded.
pub(super) const KINDS: [&str; 6] = ["requests", "at home", "topics", "publishes", "deliveries", "pipeline"];

/// By file: the beginning of its name.
const SOURCES: [(&[&str], &[&str]); 6] = [
    (&["req.far", "dealer.far"], &["req.far", "dealer.far"]),
    (&["req.near"], &["req.near"]),
    (&["pub."], &["sub."]),
    (&["publisher."], &["publisher."]),
    (&["publisher."], &["worker."]),
    (&["push."], &["pull."]),
];

/// What was read until now.
#[derive(Debug)]
pub(super) struct Watch {
    directory: PathBuf,
    traffic: [Traffic; 6],
}

#[derive(Debug, Default)]
struct Traffic {
    /// When something was sent, or sent again.
    begun: HashMap<String, u64>,
    /// What succeeded: when it was sent and when it was there.
    done: Vec<(u64, u64)>,
    arrived: HashSet<String>,
    read: HashMap<(bool, PathBuf), u64>,
}

/// Milliseconds on the clock by which all peers log.
pub(super) fn now_ms() -> u64 {
    let now: Duration = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every system has this clock").into();
    u64::try_from(now.as_millis()).expect("it began with the machine")
}

impl Watch {
    pub(super) fn of(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), traffic: Default::default() }
    }

    /// Reads on.
    pub(super) fn look(&mut self) {
        let entries = std::fs::read_dir(&self.directory).expect("the directory of the logs");
        let files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        for (traffic, (begins, ends)) in self.traffic.iter_mut().zip(SOURCES) {
            let of = |names: &[&str]| {
                let is_named =
                    |file: &&PathBuf| names.iter().any(|name| file.file_name().is_some_and(|own| own.to_string_lossy().starts_with(name)));
                files.iter().filter(is_named).cloned().collect::<Vec<_>>()
            };
            // The ends first: what has ended has begun, and its beginning is in what is read afterwards.
            let ended: Vec<_> = of(ends).into_iter().map(|file| traffic.read_on(true, file)).collect();
            for text in of(begins).into_iter().map(|file| traffic.read_on(false, file)).collect::<Vec<_>>() {
                for words in text.lines().map(|line| line.split(' ').collect::<Vec<_>>()) {
                    if let ["S", id, ms, ..] = words[..] {
                        traffic.begun.insert(id.to_owned(), ms.parse().expect("a time"));
                    }
                }
            }
            for words in ended.iter().flat_map(|text| text.lines()).map(|line| line.split(' ').collect::<Vec<_>>()) {
                // A worker also logs words of its own under A, which no publisher has begun.
                if let ["R" | "A", id, ms, ..] | ["D", id, _, _, _, ms, ..] = words[..]
                    && let Some(&begun) = traffic.begun.get(id)
                {
                    traffic.done.push((begun, ms.parse().expect("a time")));
                    traffic.arrived.insert(id.to_owned());
                }
            }
        }
    }

    /// How long after this moment something that was sent after it arrived.
    pub(super) fn back(&self, kind: &str, since: u64) -> Option<Duration> {
        let done = &self.of_kind(kind).done;
        done.iter().filter(|(begun, _)| *begun >= since).map(|(_, done)| Duration::from_millis(done - since)).min()
    }

    /// The longest time without a success that ended or lay between these moments.
    pub(super) fn silent(&self, kind: &str, from: u64, to: u64) -> Duration {
        let mut moments: Vec<u64> = self.of_kind(kind).done.iter().map(|(_, done)| *done).collect();
        moments.sort_unstable();
        let before = moments.partition_point(|moment| *moment < from).saturating_sub(1);
        let mut last = moments.get(before).copied().unwrap_or(from);
        let mut longest = 0;
        for moment in moments.into_iter().skip(before).take_while(|moment| *moment <= to).chain([to]) {
            longest = longest.max(moment.saturating_sub(last));
            last = moment;
        }
        Duration::from_millis(longest)
    }

    /// How many have begun and not arrived.
    pub(super) fn open(&self, kind: &str) -> usize {
        let traffic = self.of_kind(kind);
        traffic.begun.keys().filter(|id| !traffic.arrived.contains(*id)).count()
    }

    fn of_kind(&self, kind: &str) -> &Traffic {
        let at = KINDS.iter().position(|own| *own == kind).expect("a kind of traffic");
        &self.traffic[at]
    }
}

impl Traffic {
    /// The whole lines that were not read yet.
    fn read_on(&mut self, is_end: bool, file: PathBuf) -> String {
        let from = self.read.entry((is_end, file.clone())).or_default();
        let mut text = String::new();
        let mut log = File::open(file).expect("a log");
        log.seek(SeekFrom::Start(*from)).and_then(|_| log.read_to_string(&mut text)).expect("a log is text");
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
        *from += text.len() as u64;
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_and_return_are_told_by_what_was_sent_after_the_fault() {
        let home = tempfile::TempDir::new().unwrap();
        let mut watch = Watch::of(home.path());
        std::fs::write(home.path().join("push.p.log"), "S p-1 90\nS p-2 100\nS p-3 210\nS p-4 2").unwrap();
        std::fs::write(home.path().join("pull.q.log"), "R p-1 95\nR p-2 205\nR p-3 230\n").unwrap();
        watch.look();
        assert_eq!(watch.silent("pipeline", 100, 240), Duration::from_millis(110), "from 95 to 205");
        assert_eq!(watch.back("pipeline", 200), Some(Duration::from_millis(30)), "p-2 was sent before");
        assert_eq!(watch.back("pipeline", 211), None);
        std::fs::write(home.path().join("push.p.log"), "S p-1 90\nS p-2 100\nS p-3 210\nS p-4 240\n").unwrap();
        std::fs::write(home.path().join("pull.q.log"), "R p-1 95\nR p-2 205\nR p-3 230\nR p-4 250\n").unwrap();
        watch.look();
        assert_eq!(watch.back("pipeline", 211), Some(Duration::from_millis(39)));
    }
}
