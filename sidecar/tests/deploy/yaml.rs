//! YAML as the tests need it: one document, `<<` merged in behind a map's own keys, every scalar a text and null nothing.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value as Json};

/// Reads one document.
///
/// # Panics
/// When it is none.
pub(crate) fn read(text: &str) -> Json {
    let mut anchors = HashMap::new();
    // Each open list or map: its anchor, whether it is a map, and what is in it, keys and values in turn.
    let mut open: Vec<(usize, bool, Vec<Json>)> = vec![(0, false, Vec::new())];
    for event in Parser::new_from_str(text) {
        let (event, _) = event.unwrap_or_else(|error| panic!("{error}"));
        let (anchor, value) = match event {
            Event::SequenceStart(_, anchor, _) => {
                open.push((anchor, false, Vec::new()));
                continue;
            }
            Event::MappingStart(_, anchor, _) => {
                open.push((anchor, true, Vec::new()));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let (anchor, is_map, children) = open.pop().expect("what ends has begun");
                (anchor, if is_map { map(children) } else { Json::Array(children) })
            }
            Event::Scalar(text, style, anchor, _) => {
                let is_null = style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null");
                (anchor, if is_null { Json::Null } else { Json::String(text.into_owned()) })
            }
            Event::Alias(anchor) => (0, Json::clone(&anchors[&anchor])),
            _ => continue,
        };
        if anchor > 0 {
            anchors.insert(anchor, value.clone());
        }
        open.last_mut().expect("the document").2.push(value);
    }
    let (_, _, mut documents) = open.pop().expect("the document");
    assert_eq!(documents.len(), 1, "one document");
    documents.remove(0)
}

fn map(children: Vec<Json>) -> Json {
    let (mut own, mut merged) = (Map::new(), Map::new());
    let mut children = children.into_iter();
    while let (Some(key), Some(value)) = (children.next(), children.next()) {
        match (key.as_str().expect("a key is a text"), value) {
            ("<<", Json::Object(other)) => merged.extend(other),
            (key, value) => assert!(own.insert(key.to_owned(), value).is_none(), "{key} stands here twice"),
        }
    }
    for (key, value) in merged {
        own.entry(key).or_insert(value);
    }
    Json::Object(own)
}
