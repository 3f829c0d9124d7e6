//! Texts that hold secrets: read line by line, and never quoted.

/// What is wrong with a text that holds secrets. It names the line and never what is on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct SecretError {
    /// The line, from 1; 0 is the text as a whole.
    pub line: usize,
    /// What is wrong.
    pub what: &'static str,
}

/// The lines that say something, with their numbers: neither empty nor a comment.
pub(super) fn secrets(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().map(str::trim).zip(1..).filter(|(line, _)| !line.is_empty() && !line.starts_with('#')).map(|(line, number)| (number, line))
}
