//! What was acknowledged to publishers, and what arrived: one mark per number and stream.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::plan::{Fate, WORK};

/// Findings that are kept in words; more are counted.
const FINDINGS_MAX: usize = 20;

/// The books of all streams.
#[derive(Debug, Default)]
pub(super) struct Books {
    books: Mutex<BTreeMap<String, Book>>,
    findings: Mutex<(u64, Vec<String>)>,
}

/// Of one stream.
#[derive(Debug, Default, Clone)]
pub(super) struct Book {
    acknowledged: Vec<bool>,
    arrived: Vec<bool>,
    /// As a dead letter, in the one stream that has a worker that gives up.
    died: Vec<bool>,
    pub(super) counts: Counts,
}

/// How much of what.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) acknowledged: u64,
    /// Each once.
    pub(super) arrived: u64,
    pub(super) died: u64,
    /// Deliveries of what had arrived before, which at-least-once allows.
    pub(super) again: u64,
    /// Letters of one message beyond the first, which nothing allows.
    pub(super) letters_again: u64,
}

impl Books {
    /// Changes the book of a stream.
    pub(super) fn write<R>(&self, stream: &str, change: impl FnOnce(&mut Book) -> R) -> R {
        let mut books = lock(&self.books);
        if !books.contains_key(stream) {
            books.insert(stream.to_owned(), Book::default());
        }
        change(books.get_mut(stream).expect("there is one now"))
    }

    pub(super) fn all(&self) -> BTreeMap<String, Book> {
        lock(&self.books).clone()
    }

    /// Of all streams together.
    pub(super) fn sum(&self) -> Counts {
        lock(&self.books).values().fold(Counts::default(), |sum, Book { counts, .. }| Counts {
            acknowledged: sum.acknowledged + counts.acknowledged,
            arrived: sum.arrived + counts.arrived,
            died: sum.died + counts.died,
            again: sum.again + counts.again,
            letters_again: sum.letters_again + counts.letters_again,
        })
    }

    /// Acknowledged and in nobody's hands yet: how far a publisher is ahead.
    pub(super) fn ahead(&self, stream: &str, sent: u64) -> u64 {
        self.write(stream, |book| sent.saturating_sub(book.counts.arrived + book.counts.died))
    }

    pub(super) fn is_settled(&self) -> bool {
        lock(&self.books).iter().all(|(stream, book)| book.missing(stream) == 0)
    }

    /// Something that should not be.
    pub(super) fn wrong(&self, finding: String) {
        let mut findings = lock(&self.findings);
        findings.0 += 1;
        if findings.1.len() < FINDINGS_MAX {
            findings.1.push(finding);
        }
    }

    pub(super) fn findings(&self) -> (u64, Vec<String>) {
        lock(&self.findings).clone()
    }
}

impl Book {
    pub(super) fn acknowledged(&mut self, number: u64) {
        self.counts.acknowledged += u64::from(mark(&mut self.acknowledged, number));
    }

    pub(super) fn arrived(&mut self, number: u64) {
        if mark(&mut self.arrived, number) {
            self.counts.arrived += 1;
        } else {
            self.counts.again += 1;
        }
    }

    pub(super) fn died(&mut self, number: u64) {
        if mark(&mut self.died, number) {
            self.counts.died += 1;
        } else {
            self.counts.letters_again += 1;
        }
    }

    /// Acknowledged, and neither arrived nor, where that is its fate, became a dead letter.
    pub(super) fn missing(&self, stream: &str) -> u64 {
        let has = |marks: &[bool], at: usize| marks.get(at).copied().unwrap_or(false);
        let is_missing = |at: &usize| {
            let marks = if stream == WORK && Fate::of(*at as u64).is_death() { &self.died } else { &self.arrived };
            has(&self.acknowledged, *at) && !has(marks, *at)
        };
        (0..self.acknowledged.len()).filter(is_missing).count() as u64
    }
}

/// Whether it was not marked before.
fn mark(marks: &mut Vec<bool>, number: u64) -> bool {
    let at = usize::try_from(number).unwrap_or(usize::MAX);
    if at >= marks.len() {
        marks.resize(at + 1, false);
    }
    !std::mem::replace(&mut marks[at], true)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_acknowledged_and_did_not_arrive_is_missing() {
        let books = Books::default();
        for number in 0..6 {
            books.write("by-age", |book| book.acknowledged(number));
        }
        (0..5).for_each(|number| books.write("by-age", |book| book.arrived(number)));
        assert_eq!(books.write("by-age", |book| book.missing("by-age")), 1);
        assert!(!books.is_settled());
        books.write("by-age", |book| book.arrived(5));
        assert!(books.is_settled());
        books.write("by-age", |book| book.arrived(5));
        assert_eq!(books.sum().again, 1);
    }

    #[test]
    fn a_message_that_dies_is_missing_until_its_letter_is_there() {
        let mut book = Book::default();
        book.acknowledged(5);
        book.arrived(5);
        assert_eq!(book.missing(WORK), 1);
        book.died(5);
        assert_eq!((book.missing(WORK), book.counts.letters_again), (0, 0));
        book.died(5);
        assert_eq!(book.counts.letters_again, 1);
    }
}
