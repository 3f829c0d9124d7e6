//! Letters one after the other, asked for page by page, so that a million of them are no matter.

use std::collections::VecDeque;

use super::letter::{DeadLetter, Letter};
use super::{DeadLetters, LetterFilter, LetterPage, name};
use crate::streams::StreamError;

/// Dead letters, one after the other, oldest first.
#[derive(Debug)]
pub struct Letters {
    pub(super) letters: DeadLetters,
    which: Which,
}

#[derive(Debug)]
enum Which {
    These(VecDeque<u64>),
    Matching {
        filter: Box<LetterFilter>,
        /// Where the next page begins; `None` after the last one.
        from: Option<u64>,
        /// The last letter when the first page was asked for: a message that is sent on its way again and dies again is not among them, or
        /// replaying all might never end.
        until: Option<u64>,
        page: VecDeque<Letter>,
    },
}

/// Dead letters with their messages, one after the other.
#[derive(Debug)]
pub struct Exports {
    letters: Letters,
}

impl Letters {
    pub(super) fn matching(letters: DeadLetters, filter: LetterFilter) -> Self {
        let which = Which::Matching { filter: Box::new(filter), from: Some(0), until: None, page: VecDeque::new() };
        Self { letters, which }
    }

    pub(super) fn these(letters: DeadLetters, numbers: VecDeque<u64>) -> Self {
        Self { letters, which: Which::These(numbers) }
    }

    /// The next one; `None` after the last.
    ///
    /// # Errors
    /// When the bus has no store, or it cannot be read; `NoMessage` when a letter that was asked for by its number is not there.
    ///
    /// # Cancel safety
    /// A letter that was chosen by its number may be passed over; of others none is.
    pub async fn next(&mut self) -> Result<Option<Letter>, StreamError> {
        match &mut self.which {
            Which::These(numbers) => {
                let Some(sequence) = numbers.pop_front() else { return Ok(None) };
                let letter = self.letters.show(sequence).await?;
                letter.map(|found| Some(found.letter)).ok_or_else(|| StreamError::NoMessage { stream: name(), sequence })
            }
            Which::Matching { filter, from, until, page } => loop {
                if let Some(letter) = page.pop_front() {
                    return Ok(Some(letter));
                }
                let Some(begin) = *from else { return Ok(None) };
                let last = match *until {
                    Some(last) => last,
                    None => *until.insert(self.letters.last().await?),
                };
                let found = self.letters.page(filter, begin, LetterPage::LETTERS_MAX).await?;
                *from = found.next.filter(|next| *next <= last);
                page.extend(found.letters.into_iter().filter(|letter| letter.sequence <= last));
            },
        }
    }
}

impl Exports {
    pub(super) fn new(letters: Letters) -> Self {
        Self { letters }
    }

    /// The next one, whole; `None` after the last. One that is let go of meanwhile is passed over.
    ///
    /// # Errors
    /// As [`Letters::next`].
    ///
    /// # Cancel safety
    /// A letter may be passed over.
    pub async fn next(&mut self) -> Result<Option<DeadLetter>, StreamError> {
        while let Some(letter) = self.letters.next().await? {
            if let Some(whole) = self.letters.letters.show(letter.sequence).await? {
                return Ok(Some(whole));
            }
        }
        Ok(None)
    }
}
