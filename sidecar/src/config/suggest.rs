//! "Did you mean": the nearest known name, if one is near enough to be a slip of the finger.

/// The candidate with the fewest edits from `typed`, when at most a third of the name (at least two letters) differs, and some of it is left.
pub(crate) fn nearest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase();
    candidates
        .into_iter()
        .map(|name| (edits(&typed, &name.to_lowercase()), name))
        .filter(|(distance, name)| {
            let length = name.chars().count();
            *distance <= (length / 3).max(2) && *distance < length
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`.
fn edits(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(rows[i - 2][j - 2] + 1);
            }
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let known = ["listen", "http", "state_dir", "drain_timeout"];
        assert_eq!(nearest("lisetn", known), Some("listen"));
        assert_eq!(nearest("statedir", known), Some("state_dir"));
        assert_eq!(nearest("DRAIN_TIMEOUT", known), Some("drain_timeout"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("Abc", ["A"]), None);
    }
}
