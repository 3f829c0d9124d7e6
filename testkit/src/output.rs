//! The lines a process has printed, bounded, with a reader that can wait for the next one.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// A line longer than this is cut into several: a 1 MiB payload in hex still fits.
const LINE_BYTES_MAX: u64 = 4 << 20;
/// The oldest lines go first; nothing a test waits for is that far back.
const LINES_MAX: usize = 16_384;
const BYTES_MAX: usize = 32 << 20;
/// Lines shown when a wait fails.
const TAIL_LINES: usize = 40;
/// A line is shortened to this when it is shown in a failure.
const TAIL_LINE_CHARS: usize = 400;

#[derive(Debug, Default)]
pub(crate) struct Output {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<String>,
    bytes: usize,
    /// How many lines were dropped from the front, so that `cursor` can count from the beginning.
    dropped: usize,
    /// The first line no wait has consumed yet.
    cursor: usize,
    open_streams: usize,
}

impl Output {
    /// Copies a stream into the ring, on a thread of its own that ends with the stream.
    pub(crate) fn follow(self: &Arc<Self>, name: &str, stream: impl Read + Send + 'static) {
        self.lock().open_streams += 1;
        let output = Arc::clone(self);
        std::thread::Builder::new()
            .name(format!("output-{name}"))
            .spawn(move || {
                let mut reader = BufReader::new(stream);
                let mut line = Vec::new();
                while let Ok(1..) = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
                    output.push(String::from_utf8_lossy(&line).trim_end().to_owned());
                    line.clear();
                }
                output.lock().open_streams -= 1;
                output.changed.notify_all();
            })
            .expect("the machine can start a thread");
    }

    /// The next line for which `pick` answers, consuming it and all before it; `None` when `deadline` has passed
    /// or the process has closed its streams without such a line.
    pub(crate) fn wait<T>(&self, deadline: Duration, mut pick: impl FnMut(&str) -> Option<T>) -> Option<T> {
        let end = Instant::now() + deadline;
        let mut state = self.lock();
        let mut seen = state.cursor;
        loop {
            while let Some(line) = state.lines.get(seen.max(state.dropped) - state.dropped) {
                let picked = pick(line);
                seen = seen.max(state.dropped) + 1;
                if picked.is_some() {
                    state.cursor = seen;
                    return picked;
                }
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || state.open_streams == 0 {
                return None;
            }
            state = self.changed.wait_timeout(state, left).expect("no holder panics").0;
        }
    }

    /// The last lines, shortened, for the text of a failure.
    pub(crate) fn tail(&self) -> String {
        let state = self.lock();
        let skip = state.lines.len().saturating_sub(TAIL_LINES);
        let shown = state.lines.iter().skip(skip).map(|line| {
            let cut: String = line.chars().take(TAIL_LINE_CHARS).collect();
            format!("  | {cut}\n")
        });
        shown.collect()
    }

    /// Every line that is still kept.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lock().lines.iter().cloned().collect()
    }

    fn push(&self, line: String) {
        let mut state = self.lock();
        state.bytes += line.len();
        state.lines.push_back(line);
        while state.lines.len() > LINES_MAX || state.bytes > BYTES_MAX {
            let Some(oldest) = state.lines.pop_front() else { break };
            state.bytes -= oldest.len();
            state.dropped += 1;
        }
        drop(state);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // `pick` runs under the lock and may panic in a test that asserts; the lines are still whole then.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_secs(5);

    #[test]
    fn lines_are_consumed_in_order_and_unmatched_ones_stay_for_nobody() {
        let output = Arc::new(Output::default());
        output.follow("test", "one\ntwo\nthree\n".as_bytes());
        let found = output.wait(SHORT, |line| (line == "two").then(|| line.to_owned()));
        assert_eq!(found.as_deref(), Some("two"));
        assert_eq!(output.wait(SHORT, |line| (line == "one").then_some(())), None);
        assert_eq!(output.wait(SHORT, |line| (line == "three").then_some(())), Some(()));
    }

    #[test]
    fn the_ring_is_bounded_and_a_reader_behind_it_goes_on_with_the_oldest_kept_line() {
        let output = Arc::new(Output::default());
        output.follow("test", "x\n".repeat(LINES_MAX + 10).leak().as_bytes());
        assert_eq!(output.wait(SHORT, |line| (line == "y").then_some(())), None);
        assert_eq!(output.lines().len(), LINES_MAX);
        assert_eq!(output.wait(SHORT, |_| Some(())), Some(()));
    }
}
