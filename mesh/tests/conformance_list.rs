//! A case that was written is in the list: else no store would run it, and nobody would know.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use myelin_mesh::conformance::CASES;

#[test]
fn every_case_that_is_written_is_listed_once() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/conformance");
    let mut written = BTreeSet::new();
    for file in fs::read_dir(sources).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let cases = text.lines().filter_map(|line| line.strip_prefix("pub async fn ")?.strip_suffix("(on: &Fixture) {"));
        written.extend(cases.map(str::to_owned));
    }
    let listed: BTreeSet<_> = CASES.iter().map(|case| (*case).to_owned()).collect();
    assert_eq!(listed.len(), CASES.len(), "a name is used once");
    assert_eq!(listed, written);
}
