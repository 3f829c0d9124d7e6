//! Writing to stdout, flushed line by line and with errors that are noticed.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

/// Prints one line.
pub(super) fn line(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}

/// Prints text that has its line feeds.
pub(super) fn text(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Prints bytes as they are, and a line feed.
pub(super) fn raw(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}

/// Tells a human at the terminal what to expect; scripts and pipes never see it.
#[expect(clippy::print_stderr, reason = "for eyes only")]
pub(super) fn hint(text: &str) {
    if io::stderr().is_terminal() && io::stdout().is_terminal() {
        eprintln!("{text}");
    }
}

/// Tells a human at the terminal how far long work is, on one line that is written over.
#[expect(clippy::print_stderr, reason = "for eyes only")]
pub(super) fn progress(text: &str) {
    if io::stderr().is_terminal() {
        // To the end of the line, so that nothing of a longer text stays.
        eprint!("\r{text}\x1b[K");
    }
}

/// Prints one JSON document on one line.
pub(super) fn json(value: &impl Serialize) -> io::Result<()> {
    line(&serde_json::to_string(value)?)
}

/// Rows under a header, columns as wide as their widest cell.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([header[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let format = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![format(header.to_vec())];
    lines.extend(rows.iter().map(|row| format(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}
