//! Which of the numbered messages a consumer got.

use crate::failure::{Failure, Outcome};

/// One mark per message.
#[derive(Debug)]
pub(super) struct Seen {
    marks: Vec<bool>,
    repeated: u64,
}

impl Seen {
    pub(super) fn of(messages: u64) -> Self {
        Self { marks: vec![false; usize::try_from(messages).unwrap_or(0)], repeated: 0 }
    }

    pub(super) fn mark(&mut self, number: u64) {
        let mark = usize::try_from(number).ok().and_then(|number| self.marks.get_mut(number));
        match mark {
            Some(mark) if !*mark => *mark = true,
            _ => self.repeated += 1,
        }
    }

    /// Everything came once.
    ///
    /// # Errors
    /// Something is missing, or came twice: then the figure would be that of something else.
    pub(super) fn check(&self) -> Outcome<()> {
        let missing = self.marks.iter().filter(|mark| !**mark).count();
        match (missing, self.repeated) {
            (0, 0) => Ok(()),
            (missing, repeated) => {
                Err(Failure::new(format!("of {} messages {missing} never came, {repeated} came twice", self.marks.len())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_and_what_came_twice_is_told() {
        let mut seen = Seen::of(2);
        seen.mark(0);
        assert!(seen.check().unwrap_err().to_string().contains("1 never came"));
        seen.mark(1);
        seen.check().unwrap();
        seen.mark(1);
        assert!(seen.check().unwrap_err().to_string().contains("1 came twice"));
    }
}
