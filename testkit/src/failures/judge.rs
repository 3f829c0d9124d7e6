//! The judge: reads what peers wrote down, and when the driver killed what. Durable publishes are judged as after crashes of one sidecar
//! ([`crate::crash`]); what is new here is requests, topics and pipelines.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::crash::{self, ACKED_AGAIN, DEAD_AND_ACKED, LOST, Logs, NOT_DEAD, NOT_WHOLE, SEQUENCE_TWICE, STORED_TWICE, TWO_LETTERS};

pub(super) const WRONG_REPLY: &str = "a caller gets its own reply or silence";
pub(super) const TWO_ANSWERS: &str = "a worker's word about a delivery has one answer";
pub(super) const DOUBLED_REPLY: &str = "no reply comes twice";
pub(super) const HEARD_TWICE: &str =
    "a subscriber hears a message once, and in the order of its publisher unless it was on its way when a cable was cut";
pub(super) const PUSH_LOST: &str = "what was pushed is pulled, but for what died in a killed sidecar's sockets";

/// The promises, in the order of the report.
pub(super) const PROMISES: [&str; 11] =
    [LOST, STORED_TWICE, SEQUENCE_TWICE, TWO_LETTERS, NOT_DEAD, NOT_WHOLE, TWO_ANSWERS, WRONG_REPLY, DOUBLED_REPLY, HEARD_TWICE, PUSH_LOST];

/// How late libzmq may notice that the sidecar was killed to which it sent.
const NOTICE_MS: u64 = 100;

/// How long after a cut messages of topics still go to the connection that is dead: then the lease of who listens is over. What it has taken
/// arrives when the system sends it again, which may be behind what went over the next connection; NATS keeps no order between the two.
const CUT_MS: u64 = 2_000;

/// Letters of the pipeline's own stream.
const PIPELINE_LETTER: &str = "M $MYELIN.DLQ.PIPELINE_";

/// How a worker logs an answer to a word that has had its answer: confirmed or refused.
const UNASKED: [&str; 2] = ["? ", "X ? "];

/// What was found.
#[derive(Debug)]
pub struct Findings {
    /// How much there was of everything.
    pub counts: Counts,
    /// Of durable publishes and deliveries.
    pub durable: crash::Counts,
    /// Promises that were broken: which one, and by what.
    pub broken: Vec<(&'static str, String)>,
}

/// How much there was of everything.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the lines of the report say what they are")]
pub struct Counts {
    pub asked: u64,
    pub answered: u64,
    pub silent: u64,
    pub late: u64,
    pub published: u64,
    pub heard: u64,
    pub late_after_cut: u64,
    pub late_ms_max: u64,
    pub pushed: u64,
    pub pulled: u64,
    pub pulled_again: u64,
    pub died_in_sockets: u64,
    pub push_letters: u64,
    pub acked_again: u64,
    pub dead_and_acked: u64,
}

/// Logs of peers that are no NATS clients: role and text.
#[derive(Debug, Default)]
pub(super) struct Peers(pub(super) Vec<(String, String)>);

impl Peers {
    pub(super) fn read(directory: &Path) -> Self {
        let entries = std::fs::read_dir(directory).expect("the directory of the logs");
        let role = |path: &Path| path.file_name().and_then(|name| name.to_str()?.split('.').next()).unwrap_or_default().to_owned();
        let peer = |path: std::path::PathBuf| (role(&path), std::fs::read_to_string(&path).expect("a log is text"));
        Self(entries.map(|entry| peer(entry.expect("an entry").path())).collect())
    }

    fn of<'a>(&'a self, roles: &'a [&str]) -> impl Iterator<Item = (&'a str, Vec<Vec<&'a str>>)> {
        let words = |text: &'a str| text.lines().map(|line| line.split(' ').collect()).collect();
        self.0.iter().filter(|(role, _)| roles.contains(&role.as_str())).map(move |(role, text)| (role.as_str(), words(text)))
    }
}

/// What the driver did, and when.
#[derive(Debug, Default)]
pub(super) struct Deeds {
    /// The sidecar of the producers was killed.
    pub(super) kills: Vec<u64>,
    /// Connections were cut off, and nobody was told.
    pub(super) cuts: Vec<u64>,
}

/// Judges a run.
pub(super) fn judge(peers: &Peers, mut logs: Logs, deeds: &Deeds) -> Findings {
    let mut findings = Findings { counts: Counts::default(), durable: crash::Counts::default(), broken: Vec::new() };
    for peer in &mut logs.workers {
        let mut rest = String::new();
        for line in peer.text.lines() {
            if line.starts_with(PIPELINE_LETTER) {
                findings.counts.push_letters += 1;
            } else if UNASKED.iter().any(|unasked| line.starts_with(unasked)) {
                findings.broken.push((TWO_ANSWERS, format!("{}: {line}", peer.name)));
            } else {
                rest.extend([line, "\n"]);
            }
        }
        peer.text = rest;
    }
    // What is stored is not in a sidecar: all its lives are one.
    logs.lives.values_mut().for_each(|life| *life = 0);
    let verdict = crash::judge(&logs);
    findings.durable = verdict.counts;
    for (promise, what) in verdict.broken {
        // A delivery that somebody else got while a machine was away may be acked by both, or die: at least once.
        match promise {
            ACKED_AGAIN => findings.counts.acked_again += 1,
            DEAD_AND_ACKED => findings.counts.dead_and_acked += 1,
            _ => findings.broken.push((promise, what)),
        }
    }
    findings.requests(peers);
    findings.topics(peers, &deeds.cuts);
    findings.pipeline(peers, &deeds.kills);
    findings
}

impl Findings {
    /// Whether every promise was kept.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.broken.is_empty()
    }

    fn requests(&mut self, peers: &Peers) {
        for (role, lines) in peers.of(&["req", "dealer"]) {
            let (mut sent, mut answered, mut given_up) = (HashSet::new(), HashSet::new(), HashSet::new());
            let mut last = "";
            for line in lines {
                match line[..] {
                    ["S", token, _] => {
                        sent.insert(token);
                        (self.counts.asked, last) = (self.counts.asked + 1, token);
                    }
                    ["T", token, _] => {
                        given_up.insert(token);
                        self.counts.silent += 1;
                    }
                    ["R", token, ms] => {
                        // A REQ socket gives nothing but what it asked for last.
                        if !sent.contains(token) || (role == "req" && token != last) {
                            self.broken.push((WRONG_REPLY, format!("{token} at {ms} ms for the {role} that asked {last}")));
                        }
                        if !answered.insert(token) {
                            self.broken.push((DOUBLED_REPLY, format!("{token} at {ms} ms")));
                        }
                        let count = if given_up.contains(token) { &mut self.counts.late } else { &mut self.counts.answered };
                        *count += 1;
                    }
                    _ => self.broken.push((WRONG_REPLY, line.join(" "))),
                }
            }
        }
    }

    fn topics(&mut self, peers: &Peers, cuts: &[u64]) {
        let lines = peers.of(&["pub"]).flat_map(|(_, lines)| lines);
        let sent: HashMap<&str, u64> = lines.filter_map(|line| Some((*line.get(1)?, line.get(2)?.parse().ok()?))).collect();
        self.counts.published = sent.len() as u64;
        for (_, lines) in peers.of(&["sub"]) {
            let (mut last, mut heard) = (0, HashSet::new());
            for line in lines {
                let ["R", key, ms] = line[..] else {
                    self.broken.push((NOT_WHOLE, line.join(" ")));
                    continue;
                };
                self.counts.heard += 1;
                let Some(&sent_ms) = sent.get(key) else {
                    self.broken.push((NOT_WHOLE, format!("{key} was heard and never published")));
                    continue;
                };
                let is_late = number(key) < last;
                let is_of_cut = cuts.iter().any(|cut| (cut.saturating_sub(NOTICE_MS)..=cut + CUT_MS).contains(&sent_ms));
                if !heard.insert(key) || (is_late && !is_of_cut) {
                    self.broken.push((HEARD_TWICE, format!("{key} at {ms} ms, behind {last}")));
                } else if is_late {
                    let late_ms = ms.parse::<u64>().expect("a time").saturating_sub(sent_ms);
                    self.counts.late_after_cut += 1;
                    self.counts.late_ms_max = self.counts.late_ms_max.max(late_ms);
                }
                last = last.max(number(key));
            }
        }
    }

    fn pipeline<'p>(&mut self, peers: &'p Peers, kills: &[u64]) {
        let moment = |line: Vec<&'p str>| Some((*line.get(1)?, line.get(2)?.parse::<u64>().ok()?));
        let pushed: Vec<(&str, u64)> = peers.of(&["push"]).flat_map(|(_, lines)| lines).filter_map(moment).collect();
        let sent: HashSet<&str> = pushed.iter().map(|(key, _)| *key).collect();
        let mut pulled: HashMap<&str, u64> = HashMap::new();
        for line in peers.of(&["pull"]).flat_map(|(_, lines)| lines) {
            match line[..] {
                ["R", key, ms] if sent.contains(key) => match pulled.entry(key) {
                    std::collections::hash_map::Entry::Occupied(_) => self.counts.pulled_again += 1,
                    std::collections::hash_map::Entry::Vacant(entry) => {
                        entry.insert(ms.parse().expect("a time"));
                    }
                },
                _ => self.broken.push((NOT_WHOLE, line.join(" "))),
            }
        }
        (self.counts.pushed, self.counts.pulled) = (sent.len() as u64, pulled.len() as u64);
        let mut missing = Vec::new();
        for (key, ms) in pushed.into_iter().filter(|(key, _)| !pulled.contains_key(key)) {
            // PUSH has no receipts: what it had written to a sidecar that was killed is gone if the sidecar had not stored it.
            let died = kills.iter().any(|&kill| {
                let seen = pulled.iter().filter(|(_, pulled)| **pulled < kill).map(|(key, _)| number(key)).max();
                ms <= kill + NOTICE_MS && number(key) > seen.unwrap_or(0)
            });
            self.counts.died_in_sockets += u64::from(died);
            if !died {
                missing.push((PUSH_LOST, format!("{key}, pushed at {ms} ms")));
            }
        }
        if missing.len() as u64 > self.counts.push_letters {
            self.broken.append(&mut missing);
        }
    }
}

/// The number at the end of a key.
fn number(key: &str) -> u64 {
    key.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
