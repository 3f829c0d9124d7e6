//! The judge: reads what publishers and workers wrote down, and nothing else.
//!
//! Time is told by the number of the server's life and, within one life, by the number of the delivery. So it does not matter how late a peer
//! read what had been sent to it, or which clock it has.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::log::Logs;
use super::verdict::{
    ACKED_AGAIN, DAMAGE, DEAD_AND_ACKED, LOST, NOT_DEAD, NOT_WHOLE, SEQUENCE_TWICE, STORED_TWICE, TOO_EARLY, TWO_LETTERS, Verdict,
};

/// An ack that took longer than this may have come when `ack_wait` (3 s) was over, and the message was somebody else's.
const ACK_MS_MAX: u64 = 1_500;

/// The dedup window is 30 s from when a message was stored. What is sent again this much later may find that it is over, on a slow machine.
const AGAIN_MS_MAX: u64 = 15_000;

/// Clocks of peers count whole milliseconds.
const ROUNDING_MS: u64 = 2;

/// What is known of one message, by the key that its publisher gave it.
#[derive(Debug, Default)]
struct Sent {
    has_id: bool,
    first_ms: u64,
    last_ms: u64,
    delay_ms: u64,
    times: u64,
    /// In how many messages it could be found: one, if it has an id or was sent once.
    sequences: BTreeSet<u64>,
    is_acknowledged: bool,
    is_delivered: bool,
    is_dead: bool,
}

/// Where and when something happened to a sequence: life of the server, number of the delivery.
type Moment = (usize, u64);

#[derive(Debug, Default)]
struct Judge<'a> {
    sent: HashMap<&'a str, Sent>,
    /// Which keys a sequence was seen with.
    keys: HashMap<u64, &'a str>,
    deliveries: HashMap<u64, Vec<Moment>>,
    acked: HashMap<u64, Moment>,
    terminated: HashSet<u64>,
    /// Subjects of letters; and the sequences that they are about, with key and reason.
    letters: HashSet<&'a str>,
    dead: HashMap<u64, (&'a str, &'a str)>,
    verdict: Verdict,
}

/// Judges a run by the logs of its peers.
#[must_use]
pub fn judge(logs: &Logs) -> Verdict {
    let mut judge = Judge::default();
    judge.verdict.counts.lives = logs.lives.len();
    judge.publishers(logs);
    judge.workers(logs);
    judge.messages();
    judge.sequences();
    for _ in 0..logs.damaged_starts {
        judge.broken(DAMAGE, "damage.json after a start".to_owned());
    }
    judge.verdict
}

/// Numbers in the logs are written by our own peers.
fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}

impl<'a> Judge<'a> {
    fn broken(&mut self, promise: &'static str, what: String) {
        self.verdict.broken.push((promise, what));
    }

    fn publishers(&mut self, logs: &'a Logs) {
        let mut lives_in_flight = HashSet::new();
        for line in logs.publishers.iter().flat_map(|peer| peer.lines()) {
            let counts = &mut self.verdict.counts;
            match line[..] {
                ["S", key, ms, id, ttl, delay, _server] => {
                    let sent = self.sent.entry(key).or_default();
                    sent.times += 1;
                    sent.last_ms = number(ms);
                    if sent.times > 1 {
                        counts.sent_again += 1;
                        continue;
                    }
                    (sent.has_id, sent.first_ms, sent.delay_ms) = (id == "id", number(ms), number(delay));
                    counts.published += 1;
                    counts.with_ttl += u64::from(ttl != "0");
                    counts.delayed += u64::from(delay != "0");
                }
                ["A", key, _ms, sequence, duplicate, _server] => {
                    counts.duplicates += u64::from(duplicate == "1");
                    self.seen(key, number(sequence));
                    self.sent.entry(key).or_default().is_acknowledged = true;
                }
                ["E", ..] => counts.refused += 1,
                ["U", _key] => counts.unknown += 1,
                ["L", server, outstanding] => {
                    counts.in_flight += number(outstanding);
                    if number(outstanding) > 0 {
                        lives_in_flight.insert(server);
                    }
                }
                _ => panic!("no line of a publisher: {line:?}"),
            }
        }
        self.verdict.counts.kills_in_flight = lives_in_flight.len();
    }

    /// A message is known by this sequence.
    fn seen(&mut self, key: &'a str, sequence: u64) {
        self.sent.entry(key).or_default().sequences.insert(sequence);
        if let Some(before) = self.keys.insert(sequence, key)
            && before != key
        {
            self.broken(SEQUENCE_TWICE, format!("sequence {sequence} is {before} and {key}"));
        }
    }

    fn workers(&mut self, logs: &'a Logs) {
        for line in logs.workers.iter().flat_map(|peer| peer.lines()) {
            let counts = &mut self.verdict.counts;
            let life = |server: &str| *logs.lives.get(server).expect("every server is known to the driver");
            match line[..] {
                ["D", key, sequence, delivery, server, ms, whole] => {
                    counts.deliveries += 1;
                    self.deliveries.entry(number(sequence)).or_default().push((life(server), number(delivery)));
                    self.delivered(key, number(sequence), number(ms), whole == "1");
                }
                ["A", sequence, delivery, server, took_ms] => {
                    counts.acked += 1;
                    if number(took_ms) <= ACK_MS_MAX {
                        self.acked.insert(number(sequence), (life(server), number(delivery)));
                    } else {
                        counts.late_acks += 1;
                    }
                }
                ["N", ..] => counts.naked += 1,
                ["T", sequence, ..] => {
                    counts.terminated += 1;
                    self.terminated.insert(number(sequence));
                }
                ["X", ..] => counts.stale += 1,
                ["O", ..] => counts.unconfirmed += 1,
                ["K", _server, messages] => {
                    counts.workers_died += 1;
                    counts.held_by_dead += number(messages);
                }
                ["M", subject, key, reason, whole] => {
                    counts.letters += 1;
                    match reason {
                        "max_deliver" => counts.letters_max_deliver += 1,
                        "term" => counts.letters_term += 1,
                        "expired" => counts.letters_expired += 1,
                        other => self.broken(NOT_WHOLE, format!("{subject} is dead for {other}")),
                    }
                    self.letter(subject, key, reason, whole == "1");
                }
                _ => panic!("no line of a worker: {line:?}"),
            }
        }
    }

    fn delivered(&mut self, key: &'a str, sequence: u64, ms: u64, is_whole: bool) {
        let Some(sent) = self.sent.get_mut(key).filter(|_| is_whole) else {
            return self.broken(NOT_WHOLE, format!("sequence {sequence} was delivered as {key}"));
        };
        sent.is_delivered = true;
        let due_ms = sent.first_ms + sent.delay_ms;
        if sent.delay_ms > 0 && ms + ROUNDING_MS < due_ms {
            self.broken(TOO_EARLY, format!("{key} came {} ms before it was due", due_ms - ms));
        }
        self.seen(key, sequence);
    }

    fn letter(&mut self, subject: &'a str, key: &'a str, reason: &'a str, is_whole: bool) {
        if !self.letters.insert(subject) {
            self.broken(TWO_LETTERS, subject.to_owned());
        }
        let sequence = number(subject.rsplit('.').next().unwrap_or_default());
        let Some(sent) = self.sent.get_mut(key).filter(|_| is_whole) else {
            return self.broken(NOT_WHOLE, format!("the letter {subject} is {key}"));
        };
        sent.is_dead = true;
        self.seen(key, sequence);
        self.dead.insert(sequence, (key, reason));
    }

    fn messages(&mut self) {
        for (key, sent) in &self.sent {
            self.verdict.counts.acknowledged += u64::from(sent.is_acknowledged);
            if sent.is_acknowledged && !sent.is_delivered && !sent.is_dead {
                self.verdict.broken.push((LOST, format!("{key}, sequence {:?}", sent.sequences)));
            }
            let is_late = sent.last_ms - sent.first_ms > AGAIN_MS_MAX;
            self.verdict.counts.late_again += u64::from(is_late);
            if sent.sequences.len() > 1 && !is_late {
                self.verdict.broken.push((STORED_TWICE, format!("{key} is at {:?}", sent.sequences)));
            }
        }
        for sequence in self.terminated.iter().filter(|sequence| !self.dead.contains_key(sequence)) {
            self.verdict.broken.push((NOT_DEAD, format!("sequence {sequence} was terminated")));
        }
        for (sequence, (key, reason)) in &self.dead {
            if let Some((life, delivery)) = self.acked.get(sequence) {
                let what = format!("{key}, sequence {sequence}: delivery {delivery} was acked in life {life}, and it is dead for {reason}");
                self.verdict.broken.push((DEAD_AND_ACKED, what));
            }
        }
    }

    fn sequences(&mut self) {
        for (sequence, moments) in &self.deliveries {
            self.verdict.counts.redeliveries += moments.len() as u64 - 1;
            // A delivery that was read late was made in an earlier life, or has a lower number.
            let Some(acked) = self.acked.get(sequence) else { continue };
            let after: Vec<_> = moments.iter().filter(|moment| *moment > acked).collect();
            if !after.is_empty() {
                self.verdict
                    .broken
                    .push((ACKED_AGAIN, format!("sequence {sequence} was acked at {acked:?} and came at {after:?} (life, delivery)")));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Peer;
    use super::*;

    /// Two lives, one publisher and one worker that say this.
    fn of(publisher: &str, worker: &str) -> Verdict {
        let peer = |text: &str| Peer { name: "peer".to_owned(), text: text.to_owned() };
        let mut logs = Logs { publishers: vec![peer(publisher)], workers: vec![peer(worker)], ..Logs::default() };
        logs.start_all("G one 0\nG two 0\n");
        judge(&logs)
    }

    #[track_caller]
    fn breaks(promise: &str, publisher: &str, worker: &str) {
        let verdict = of(publisher, worker);
        assert_eq!(verdict.broken.iter().map(|(which, _)| *which).collect::<Vec<_>>(), [promise], "{verdict}");
    }

    const SENT: &str = "S a 100 id 0 0 one\nA a 101 7 0 one\n";

    #[test]
    fn a_run_without_fault_holds() {
        let publisher = format!("{SENT}S b 102 id 0 50 one\nL one 1\nS b 900 id 0 50 two\nA b 901 8 1 two\nS c 903 - 0 0 two\nU c\n");
        let worker =
            "D a 7 1 one 102 1\nD a 7 2 two 400 1\nA 7 2 two 3\nD b 8 1 two 950 1\nT 8 1 two\nM $MYELIN.DLQ.jobs.workers.8 b term 1\n";
        let verdict = of(&publisher, worker);
        assert!(verdict.holds(), "{verdict}");
        let counts = verdict.counts;
        assert_eq!((counts.kills_in_flight, counts.acknowledged, counts.redeliveries, counts.sent_again), (1, 2, 1, 1));
    }

    #[test]
    fn what_was_acknowledged_and_never_came_is_lost() {
        breaks(LOST, SENT, "");
        breaks(LOST, SENT, "A 7 1 one 3\n");
    }

    #[test]
    fn what_was_never_acknowledged_may_be_gone() {
        assert!(of("S a 100 id 0 0 one\nL one 1\n", "").holds());
    }

    #[test]
    fn an_ack_that_was_forgotten_is_seen_in_any_order_of_the_logs() {
        for worker in ["D a 7 1 one 1 1\nA 7 1 one 3\nD a 7 1 two 9 1\n", "D a 7 1 two 9 1\nD a 7 1 one 1 1\nA 7 1 one 3\n"] {
            breaks(ACKED_AGAIN, SENT, worker);
        }
        breaks(ACKED_AGAIN, SENT, "D a 7 1 one 1 1\nA 7 1 one 3\nD a 7 2 one 9 1\n");
    }

    #[test]
    fn a_delivery_that_was_made_before_the_ack_and_an_ack_in_doubt_are_no_fault() {
        assert!(of(SENT, "D a 7 1 two 1 1\nA 7 1 two 3\nD a 7 1 one 9 1\n").holds());
        assert!(of(SENT, "D a 7 1 one 1 1\nO A 7 1 one\nD a 7 2 two 9 1\n").holds());
        assert!(of(SENT, "D a 7 1 one 1 1\nA 7 1 one 2900\nD a 7 2 one 9 1\n").holds());
    }

    #[test]
    fn an_id_that_was_forgotten_is_seen_by_its_receipts_and_by_its_deliveries() {
        let again = format!("{SENT}S a 200 id 0 0 two\nA a 201 9 0 two\n");
        breaks(STORED_TWICE, &again, "D a 7 1 one 1 1\n");
        breaks(STORED_TWICE, SENT, "D a 7 1 one 1 1\nD a 9 1 two 1 1\n");
        let too_late = format!("{SENT}S a 20000 id 0 0 two\nA a 20001 9 0 two\n");
        let verdict = of(&too_late, "D a 7 1 one 1 1\n");
        assert!(verdict.holds() && verdict.counts.late_again == 1, "{verdict}");
    }

    #[test]
    fn letters_are_judged() {
        let letter = "M $MYELIN.DLQ.jobs.workers.7 a max_deliver 1\n";
        assert!(of(SENT, letter).holds());
        breaks(TWO_LETTERS, SENT, &letter.repeat(2));
        breaks(DEAD_AND_ACKED, SENT, &format!("D a 7 1 one 1 1\nA 7 1 one 3\n{letter}"));
        breaks(DEAD_AND_ACKED, SENT, &format!("{letter}D a 7 1 one 1 1\nA 7 1 one 3\n"));
        assert!(of(SENT, &format!("{letter}D a 7 1 one 1 1\nT 7 1 one\n")).holds());
        breaks(NOT_DEAD, SENT, "D a 7 1 one 1 1\nT 7 1 one\n");
    }

    #[test]
    fn what_comes_is_what_was_sent_when_it_was_due() {
        breaks(NOT_WHOLE, SENT, "D a 7 1 one 102 1\nD x 8 1 one 102 1\n");
        breaks(NOT_WHOLE, SENT, "D a 7 1 one 102 1\nD a 7 2 one 102 0\n");
        breaks(TOO_EARLY, "S a 100 id 0 50 one\nA a 101 7 0 one\n", "D a 7 1 one 140 1\n");
        breaks(SEQUENCE_TWICE, "S a 100 id 0 0 one\nA a 101 7 0 one\nS b 100 id 0 0 one\n", "D a 7 1 one 1 1\nD b 7 1 two 1 1\n");
    }

    #[test]
    fn damage_after_a_kill_is_a_fault() {
        let mut logs = Logs::default();
        logs.start_all("G one 0\nG two 1\n");
        assert_eq!(judge(&logs).broken.len(), 1);
    }
}
