//! Subjects and filters follow NATS's rules: against a naive model over random names, and case by case at the edges.

#![allow(clippy::unwrap_used, reason = "a test may end at the first surprise")]

use myelin_wire::{
    Filter, QueueGroup, Subject, SubjectError,
    limits::{SUBJECT_BYTES_MAX, TOKEN_BYTES_MAX},
};
use proptest::{collection::vec, prelude::*, sample::select};

fn subject(name: &str) -> Subject {
    Subject::new(name).unwrap()
}

fn filter(name: &str) -> Filter {
    Filter::new(name).unwrap()
}

/// The slow clear version of `Filter::matches`.
fn model(filter: &[&str], subject: &[&str]) -> bool {
    match (filter, subject) {
        ([], []) => true,
        ([">"], rest) => !rest.is_empty(),
        ([first, filter @ ..], [token, subject @ ..]) => (*first == "*" || first == token) && model(filter, subject),
        _ => false,
    }
}

proptest! {
    #[test]
    fn matching_agrees_with_the_model(
        filter in vec(select(vec!["a", "b", "*", ">", "a*", "*>"]), 1..6),
        subject in vec(select(vec!["a", "b", "a*", "*>"]), 1..6),
    ) {
        let parsed = Filter::new(&filter.join("."));
        let tail_early = filter.iter().rev().skip(1).any(|token| *token == ">");
        prop_assert_eq!(parsed.is_err(), tail_early);
        if let Ok(parsed) = parsed {
            let subject_parsed = Subject::new(&subject.join(".")).unwrap();
            prop_assert_eq!(parsed.matches(&subject_parsed), model(&filter, &subject));
        }
    }

    #[test]
    fn every_subject_is_the_filter_of_itself(name in "[a-z]{1,3}(\\.[a-z*]{2,3}){0,4}") {
        let subject = Subject::new(&name).unwrap();
        let filter = Filter::from(subject.clone());
        prop_assert!(filter.matches(&subject));
        prop_assert_eq!(filter.as_subject(), Some(subject));
    }

    #[test]
    fn arbitrary_bytes_are_judged_without_a_panic(name in vec(any::<u8>(), 0..300)) {
        let subject = Subject::from_utf8(&name);
        let filter = Filter::from_utf8(&name);
        // What is a subject is a filter, too.
        prop_assert!(subject.is_err() || filter.is_ok());
        if let Ok(subject) = subject {
            prop_assert_eq!(subject.as_str().as_bytes(), &name);
        }
    }

    #[test]
    fn any_name_becomes_one_token(name in any::<String>()) {
        let token = Subject::escape_token(&name);
        prop_assert!(token.len() <= TOKEN_BYTES_MAX);
        let subject = Subject::new(&token).unwrap();
        prop_assert_eq!(subject.tokens().count(), 1);
    }

    #[test]
    fn short_escapes_can_be_undone_and_so_are_unique(name in "[ -~é]{1,20}") {
        prop_assert_eq!(unescape(&Subject::escape_token(&name)), name.into_bytes());
    }
}

fn unescape(token: &str) -> Vec<u8> {
    let mut bytes = token.bytes();
    let mut name = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let hex = [bytes.next().unwrap(), bytes.next().unwrap()];
            name.push(u8::from_str_radix(str::from_utf8(&hex).unwrap(), 16).unwrap());
        } else {
            name.push(byte);
        }
    }
    name
}

#[test]
fn wildcards_stand_for_whole_tokens() {
    assert!(filter("a.*.c").matches(&subject("a.b.c")));
    assert!(!filter("a.*").matches(&subject("a.b.c")));
    assert!(!filter("a.*").matches(&subject("a")));
    assert!(filter(">").matches(&subject("a.b.c")));
    assert!(filter("a.>").matches(&subject("a.b.c")));
    assert!(!filter("a.>").matches(&subject("a")));
    assert!(!filter("a*").matches(&subject("ab")));
    assert_eq!(filter("a.*").as_subject(), None);
    assert_eq!(filter("a.>").as_subject(), None);
}

#[test]
fn errors_name_what_is_wrong_and_where() {
    let name = || "a..b".into();
    assert_eq!(Subject::new("a..b"), Err(SubjectError::EmptyToken { name: name(), offset: 2 }));
    assert_eq!(Filter::new("a..b"), Err(SubjectError::EmptyToken { name: name(), offset: 2 }));
    assert_eq!(Subject::new(".a"), Err(SubjectError::EmptyToken { name: ".a".into(), offset: 0 }));
    assert_eq!(Subject::new("a."), Err(SubjectError::EmptyToken { name: "a.".into(), offset: 2 }));
    assert_eq!(Subject::new(""), Err(SubjectError::Empty));
    assert_eq!(Subject::new("a.*"), Err(SubjectError::Wildcard { name: "a.*".into(), offset: 2 }));
    assert_eq!(Subject::new(">"), Err(SubjectError::Wildcard { name: ">".into(), offset: 0 }));
    assert_eq!(Filter::new("a.>.b"), Err(SubjectError::TailNotLast { name: "a.>.b".into(), offset: 2 }));
    assert_eq!(Subject::new("a b"), Err(SubjectError::Illegal { name: "a b".into(), offset: 1 }));
    assert_eq!(Subject::new("a\r\nPUB"), Err(SubjectError::Illegal { name: "a\r\nPUB".into(), offset: 1 }));
    assert_eq!(Subject::from_utf8(b"a\xff"), Err(SubjectError::NotUtf8 { offset: 1 }));
    assert_eq!(QueueGroup::new("two words"), Err(SubjectError::Illegal { name: "two words".into(), offset: 3 }));
}

#[test]
fn the_limit_is_255_bytes_and_not_characters() {
    let max = SUBJECT_BYTES_MAX;
    assert!(Subject::new(&"a".repeat(max)).is_ok());
    assert_eq!(Subject::new(&"a".repeat(max + 1)), Err(SubjectError::TooLong { len: max + 1, max }));
    assert_eq!(Filter::new(&"é".repeat(128)), Err(SubjectError::TooLong { len: 256, max }));
}

#[test]
fn escaping_keeps_plain_names_and_tells_all_others_apart() {
    assert_eq!(Subject::escape_token("StreamingTTSAgent"), "StreamingTTSAgent");
    assert_eq!(Subject::escape_token("tool:kubectl"), "tool:kubectl");
    assert_eq!(Subject::escape_token("a.b"), "a%2Eb");
    assert_eq!(Subject::escape_token("*"), "%2A");
    assert_eq!(Subject::escape_token("%"), "%25");
    assert_eq!(Subject::escape_token("é"), "%C3%A9");
    assert_eq!(Subject::escape_token(""), "%");
}

#[test]
fn long_names_are_cut_with_a_hash_that_never_changes() {
    let exact = "x".repeat(TOKEN_BYTES_MAX);
    assert_eq!(Subject::escape_token(&exact), exact);
    let (one, other) = (format!("{exact}1"), format!("{exact}2"));
    let token = Subject::escape_token(&one);
    assert_ne!(token, Subject::escape_token(&other));
    // Persisted registrations depend on this text.
    assert_eq!(token, format!("{}%~b148f5587fde720871f472015a96a054", "x".repeat(94)));
    // A cut never leaves half of an escape.
    let dots = Subject::escape_token(&".".repeat(1_000));
    assert!(dots.starts_with(&"%2E".repeat(31)) && dots[93..].starts_with("%~"), "{dots}");
}
