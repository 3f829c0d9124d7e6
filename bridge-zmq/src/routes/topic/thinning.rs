//! Which messages of publishers say what was said before, and need not be passed on.
//!
//! Off unless a route asks for it: a publisher may repeat a command as well as a status. A message is compared with the last one of its series that
//! was passed on. A series is what one connection sends under one first frame, or, in messages of one frame, with the same text before the first brace (`health
//! Tutor {..}`).
//!
//! Bounds: [`SERIES_MAX`] series of a connection, [`MESSAGE_BYTES_MAX`] bytes of a message, [`BYTES_MAX`] of all that are kept. What does not fit is passed on.

use std::time::Duration;

use hashbrown::HashMap;
use myelin_bus::wire::{Body, Frames};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::health::Masks;
use crate::meter::Meter;

/// Series of one connection; the one that was used longest ago makes room.
const SERIES_MAX: usize = 64;

/// Larger messages are no status.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// What is kept for comparisons, per topic.
const BYTES_MAX: usize = 16 << 20;

/// Longest text before a brace that makes a series.
const WORD_BYTES_MAX: usize = 128;

/// What the meter counts such messages as: nobody knows the kinds of publishers.
const KIND: &str = "publisher";

/// How a topic is thinned.
#[derive(Clone, Debug)]
pub struct Thinning {
    /// One of the messages that say nothing new is passed on all the same, when the last that was is so old; default: none is.
    pub at_most_every: Option<Duration>,
    /// What of two messages may differ.
    pub masks: Masks,
    /// Counts what is not passed on.
    pub meter: Meter,
}

/// The memory of one topic.
#[derive(Debug)]
pub(super) struct Thinner {
    thinning: Thinning,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    publishers: HashMap<u64, Vec<Series>>,
    bytes: usize,
}

#[derive(Debug)]
struct Series {
    word: Box<[u8]>,
    passed: Frames,
    passed_at: Instant,
    used_at: Instant,
}

impl Series {
    fn len_bytes(&self) -> usize {
        self.word.len() + self.passed.packed().len() + size_of::<Self>()
    }
}

impl Thinner {
    pub(super) fn new(thinning: Thinning) -> Self {
        Self { thinning, state: Mutex::default() }
    }

    /// Takes out of a batch what says nothing new.
    pub(super) fn thin(&self, publisher: u64, batch: &mut Vec<Body>, now: Instant) {
        let (mut messages, mut bytes) = (0, 0);
        let mut state = self.state.lock();
        batch.retain(|body| {
            let Body::Frames(frames) = body else { return true };
            let is_new = state.is_new(publisher, frames, &self.thinning, now);
            if !is_new {
                messages += 1;
                bytes += frames.packed().len();
            }
            is_new
        });
        drop(state);
        if messages > 0 {
            self.thinning.meter.beats_suppressed(KIND, messages, bytes);
        }
    }

    /// A publisher has gone; when it comes back, what it says is new.
    pub(super) fn forget(&self, publisher: u64) {
        let mut state = self.state.lock();
        if let Some(gone) = state.publishers.remove(&publisher) {
            state.bytes -= gone.iter().map(Series::len_bytes).sum::<usize>();
        }
    }
}

impl State {
    fn is_new(&mut self, publisher: u64, frames: &Frames, thinning: &Thinning, now: Instant) -> bool {
        if frames.packed().len() > MESSAGE_BYTES_MAX {
            return true;
        }
        let first = frames.first();
        let Some(word) = word(&first, frames.count()) else { return true };
        let all = self.publishers.entry(publisher).or_default();
        let place = all.iter().position(|series| *series.word == *word);
        if let Some(series) = place.map(|place| &mut all[place]) {
            series.used_at = now;
            let is_due = thinning.at_most_every.is_some_and(|every| now.duration_since(series.passed_at) >= every);
            if !is_due && says_the_same(&thinning.masks, word.len(), &series.passed, frames) {
                return false;
            }
        }
        let oldest = || (0..all.len()).min_by_key(|place| all[*place].used_at);
        let gone = place.or_else(|| (all.len() >= SERIES_MAX).then(oldest).flatten());
        if let Some(gone) = gone {
            self.bytes -= all.swap_remove(gone).len_bytes();
        }
        // It would keep the read buffer alive that it came in.
        let passed = Frames::from_parts(frames.slices()).expect("it was a message before");
        let series = Series { word: word.into(), passed, passed_at: now, used_at: now };
        if self.bytes + series.len_bytes() <= BYTES_MAX {
            self.bytes += series.len_bytes();
            all.push(series);
        }
        true
    }
}

/// Whether two messages of a series, with as many bytes before their JSON where they have one frame, say the same.
fn says_the_same(masks: &Masks, word_len: usize, passed: &Frames, now: &Frames) -> bool {
    if passed.count() > 1 || now.count() > 1 {
        return masks.difference(passed, now).is_none();
    }
    let [passed, now] = [passed, now].map(|frames| frames.first().slice(word_len..));
    masks.in_frame(&passed, &now).is_none()
}

/// What tells one series of a connection from another; none for what is no status.
fn word(first: &[u8], count: u32) -> Option<&[u8]> {
    let word = if count > 1 { first } else { &first[..first.iter().position(|byte| *byte == b'{')?] };
    (word.len() <= WORD_BYTES_MAX).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thinner(every: Option<u64>) -> Thinner {
        Thinner::new(Thinning { at_most_every: every.map(Duration::from_secs), masks: Masks::default(), meter: Meter::new() })
    }

    /// Which of these messages are passed on, one second apart.
    fn passed(thinner: &Thinner, publisher: u64, messages: &[&str]) -> Vec<bool> {
        let start = Instant::now();
        let pass = |(second, message): (usize, &&str)| {
            let parts: Vec<&str> = message.split('|').collect();
            let mut batch = vec![Body::Frames(Frames::from_parts(parts).unwrap())];
            thinner.thin(publisher, &mut batch, start + Duration::from_secs(second as u64));
            !batch.is_empty()
        };
        messages.iter().enumerate().map(pass).collect()
    }

    #[test]
    fn what_says_nothing_new_is_not_passed_on() {
        let thinner = thinner(None);
        let messages = ["{\"ok\": 1, \"timestamp\": 1}", "{\"ok\": 1, \"timestamp\": 2}", "{\"ok\": 0}", "{\"ok\": 0}", "{\"ok\": 1}"];
        assert_eq!(passed(&thinner, 1, &messages), [true, false, true, false, true]);
        assert_eq!(passed(&thinner, 2, &messages[..1]), [true], "of another publisher");
        thinner.forget(1);
        assert_eq!(passed(&thinner, 1, &["{\"ok\": 1}"]), [true], "after it was away");
        let total = thinner.thinning.meter.read(None).total();
        assert_eq!((total.beats_suppressed, total.bytes_not_sent), (2, (2 + messages[1].len() + 2 + messages[3].len()) as u64));
    }

    #[test]
    fn series_do_not_disturb_each_other() {
        let messages =
            ["health A {\"x\": 1}", "health B {\"x\": 1}", "a|{\"x\": 1}", "a|{\"x\": 1}", "health A {\"x\": 1}", "health B {\"x\": 2}"];
        assert_eq!(passed(&thinner(None), 1, &messages), [true, true, true, false, false, true]);
        let commands = ["STOP", "STOP", "", ""];
        assert_eq!(passed(&thinner(None), 1, &commands), [true; 4], "what is no status is passed on");
    }

    /// The word before the brace was compared as if it were JSON, and every message was new.
    #[test]
    fn what_is_volatile_behind_a_word_is_no_news() {
        let messages =
            ["health A {\"x\": 1, \"timestamp\": 1}", "health A {\"x\": 1, \"timestamp\": 2}", "E: {\"uptime\": 1}", "E: {\"uptime\": 2}"];
        assert_eq!(passed(&thinner(None), 1, &messages), [true, false, true, false]);
        let frames = ["a|{\"uptime\": 1}", "a|{\"uptime\": 2}", "a|{\"uptime\": 2}|x"];
        assert_eq!(passed(&thinner(None), 1, &frames), [true, false, true]);
    }

    #[test]
    fn one_of_them_is_passed_on_when_its_time_has_come() {
        let messages = ["{\"x\": 1}"; 7];
        assert_eq!(passed(&thinner(Some(3)), 1, &messages), [true, false, false, true, false, false, true]);
    }

    #[test]
    fn there_is_an_end_to_what_is_kept() {
        let thinner = thinner(None);
        let words: Vec<String> = (0..200).map(|number| format!("w{number} {{}}")).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert!(passed(&thinner, 1, &words).iter().all(|passed| *passed));
        let state = thinner.state.lock();
        assert_eq!(state.publishers[&1].len(), SERIES_MAX);
        assert_eq!(state.bytes, state.publishers[&1].iter().map(Series::len_bytes).sum::<usize>());
        drop(state);
        thinner.forget(1);
        assert_eq!(thinner.state.lock().bytes, 0);
        let large = format!("{{{}}}", "x".repeat(MESSAGE_BYTES_MAX));
        assert_eq!(passed(&thinner, 1, &[&large, &large]), [true, true]);
    }
}
