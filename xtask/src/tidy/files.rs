//! Length and vocabulary of files.

use std::env;
use std::path::{Path, PathBuf};

/// A source file longer than this holds a second idea.
const LINES_MAX: usize = 600;
/// Directories that exist on every machine and say nothing about one, should the checkout be in one of them.
const COMMON: &[&str] = &["/app", "/build", "/mnt", "/opt", "/repo", "/src", "/srv", "/tmp", "/usr", "/var"];

/// What must not stand in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Forbidden {
    text: String,
    why: &'static str,
    /// Only as the beginning of a path, not in the middle of a longer one.
    path: bool,
}

/// The words, including where this checkout and its owner live.
pub(super) fn forbidden(root: &Path) -> Vec<Forbidden> {
    let word = |text: &str, why| Forbidden { text: text.to_owned(), why, path: false };
    // Split, so that this file passes its own check.
    let mut words = vec![
        word(concat!("FIX", "ME"), "finish it or open an issue"),
        word(concat!("X", "XX"), "say what it is"),
        word(concat!("<<<<", "<<< "), "a conflict that was committed"),
    ];
    let home = env::var_os("HOME").map(PathBuf::from);
    let places = [Some(root.to_path_buf()), root.parent().map(Path::to_path_buf), home];
    let told = places.iter().flatten().filter_map(|place| place.to_str());
    let fixed = [concat!("/ho", "me"), concat!("/ro", "ot"), concat!("/Us", "ers")];
    for place in told.chain(fixed) {
        if place.len() > 1 && !COMMON.contains(&place) {
            words.push(Forbidden { text: format!("{place}/"), why: "a path of one machine", path: true });
        }
    }
    words
}

/// One line per finding in a file.
pub(super) fn check(file: &Path, text: &str, words: &[Forbidden]) -> Vec<String> {
    let mut findings = Vec::new();
    let shown = file.display();
    let lines = text.lines().count();
    if file.extension().is_some_and(|extension| extension == "rs") && lines > LINES_MAX {
        findings.push(format!("{shown}: {lines} lines, more than {LINES_MAX}: look for the second idea"));
    }
    for (at, line) in text.lines().enumerate() {
        for word in words {
            if word.is_in(line) {
                findings.push(format!("{shown}:{}: {:?}: {}", at + 1, word.text, word.why));
            }
        }
    }
    findings
}

impl Forbidden {
    fn is_in(&self, line: &str) -> bool {
        line.match_indices(&self.text).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            !self.path || !before.is_some_and(|before| before.is_alphanumeric() || "_-.~*}/".contains(before))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_line(line: &str) -> usize {
        check(Path::new("docs/x.md"), line, &forbidden(Path::new("/place/of/mine"))).len()
    }

    #[test]
    fn paths_of_a_machine_are_found_at_their_beginning_only() {
        assert_eq!(check_line("see `/place/of/notes.txt`"), 1);
        assert_eq!(check_line(concat!("cd /ho", "me/me/x")), 1);
        assert_eq!(check_line("bus/place/of/x is relative"), 0);
        assert_eq!(check_line("https://example.org/place/of/x"), 0);
    }

    #[test]
    fn a_checkout_in_a_common_directory_forbids_no_common_path() {
        let words = forbidden(Path::new("/src/myelin"));
        assert!(check(Path::new("a.md"), "COPY . /src/", &words).is_empty());
        assert_eq!(check(Path::new("a.md"), "COPY . /src/myelin/", &words).len(), 1);
    }

    #[test]
    fn unfinished_words_are_found() {
        assert_eq!(check_line(concat!("// FIX", "ME later")), 1);
        assert_eq!(check_line("all done"), 0);
    }

    #[test]
    fn only_source_files_have_a_longest_length() {
        let long = "x\n".repeat(LINES_MAX + 1);
        assert_eq!(check(Path::new("a.rs"), &long, &[]).len(), 1);
        assert_eq!(check(Path::new("a.txt"), &long, &[]).len(), 0);
        assert_eq!(check(Path::new("a.rs"), &"x\n".repeat(LINES_MAX), &[]).len(), 0);
    }
}
