//! Whether two filters can match the same subject.

/// Whether some subject matches both.
pub(crate) fn overlap(one: &str, two: &str) -> bool {
    let (mut one, mut two) = (one.split('.'), two.split('.'));
    loop {
        match (one.next(), two.next()) {
            (Some(">"), Some(_)) | (Some(_), Some(">")) | (None, None) => return true,
            (Some(left), Some(right)) if left == right || left == "*" || right == "*" => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::overlap;

    #[test]
    fn filters_overlap_when_a_subject_matches_both() {
        for (one, two) in [("a", "a"), ("a.*", "a.b"), ("a.*", "*.b"), (">", "a.b"), ("a.>", "a.*.c"), ("a.b.>", "a.*.c")] {
            assert!(overlap(one, two) && overlap(two, one), "{one} {two}");
        }
        for (one, two) in [("a", "b"), ("a", "a.b"), ("a.*", "a"), ("a.>", "a"), ("a.b.>", "a.c.>"), ("*.x", "*.y")] {
            assert!(!overlap(one, two) && !overlap(two, one), "{one} {two}");
        }
    }
}
