//! What machines tell each other about themselves: JSON on `$MYELIN.LINK.<node>`, see `docs/link.md`.
//!
//! Anybody on the servers can publish there, so everything is checked: sizes before anything is kept, subjects by their own rules. What cannot be
//! read is counted and left out; what a later version adds is ignored.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::wire::{Filter, Subject};

/// The subjects of announcements, without the node.
pub(super) const SUBJECTS: &str = "$MYELIN.LINK";

/// Most bytes of one announcement: 1 MiB, 4,096 of the longest subjects.
pub(super) const BYTES_MAX: usize = 1 << 20;

/// Most subjects that one node may ask for. Beyond it everything under the leased subjects is asked for.
pub(super) const FILTERS_MAX: usize = 4_096;

/// Who speaks: a random number per start of a process, so that a restarted machine is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct NodeId(u64);

/// One word of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Announcement {
    /// I am new here, or was away: tell me all.
    Hello { host: Box<str> },
    /// These are all subjects that somebody here listens to.
    Wants { host: Box<str>, filters: Vec<Filter> },
    /// Somebody here began to listen.
    Want { filter: Filter },
    /// Nobody here listens to it any more.
    Drop { filter: Filter },
    /// Messages arrive and are wanted.
    Confirm,
    /// These connections have closed; what was kept for them can go.
    Left { callers: Vec<u64> },
    /// I am going.
    Bye,
}

/// Why an announcement was left out.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("the subject names no node")]
    Node,
    #[error("{0} bytes are too many")]
    TooLarge(usize),
    #[error("not an announcement: {0}")]
    Form(Box<str>),
}

/// As it travels. A kind of word this version does not know fails here, and is left out like everything else that cannot be read.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Wire {
    kind: Box<str>,
    #[serde(default, skip_serializing_if = "str::is_empty")]
    host: Box<str>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    filters: Vec<Box<str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    callers: Vec<u64>,
    /// The how manieth word of its node it is: one of a connection that was cut may come behind those of the next. 0 from who does not count.
    #[serde(default, skip_serializing_if = "is_zero")]
    number: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "how serde asks")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl NodeId {
    pub(super) fn random() -> Self {
        Self(fastrand::u64(..))
    }

    /// The node whose announcements come on `subject`.
    pub(super) fn of(subject: &Subject) -> Result<Self, Unreadable> {
        let last = subject.as_str().rsplit('.').next().unwrap_or_default();
        Self::parse(last).ok_or(Unreadable::Node)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok().map(Self)).flatten()
    }

    /// Where this node's announcements go.
    pub(super) fn subject(self) -> Subject {
        Subject::new(&format!("{SUBJECTS}.{self}")).expect("legal tokens and a number are a subject")
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Announcement {
    pub(super) fn encode(&self, number: u64) -> Vec<u8> {
        let texts = |filters: &[Filter]| filters.iter().map(|filter| filter.as_str().into()).collect();
        let wire = |kind: &str| Wire { kind: kind.into(), number, ..Wire::default() };
        let wire = match self {
            Self::Hello { host } => Wire { host: host.clone(), ..wire("hello") },
            Self::Wants { host, filters } => Wire { host: host.clone(), filters: texts(filters), ..wire("wants") },
            Self::Want { filter } => Wire { filters: texts(std::slice::from_ref(filter)), ..wire("want") },
            Self::Drop { filter } => Wire { filters: texts(std::slice::from_ref(filter)), ..wire("drop") },
            Self::Confirm => wire("confirm"),
            Self::Left { callers } => Wire { callers: callers.clone(), ..wire("left") },
            Self::Bye => wire("bye"),
        };
        serde_json::to_vec(&wire).expect("texts and numbers are JSON")
    }

    /// The announcement and its number.
    pub(super) fn decode(bytes: &[u8]) -> Result<(Self, u64), Unreadable> {
        if bytes.len() > BYTES_MAX {
            return Err(Unreadable::TooLarge(bytes.len()));
        }
        let form = |error: &dyn fmt::Display| Unreadable::Form(error.to_string().into());
        let Wire { kind, host, filters, callers, number } = serde_json::from_slice(bytes).map_err(|error| form(&error))?;
        if filters.len() > FILTERS_MAX {
            return Err(form(&format_args!("{} subjects", filters.len())));
        }
        let filters: Vec<Filter> = filters.iter().map(|text| Filter::new(text)).collect::<Result<_, _>>().map_err(|error| form(&error))?;
        let one = || match &*filters {
            [filter] => Ok(filter.clone()),
            other => Err(form(&format_args!("{} subjects where one belongs", other.len()))),
        };
        let announcement = match &*kind {
            "hello" => Self::Hello { host },
            "wants" => Self::Wants { host, filters },
            "want" => Self::Want { filter: one()? },
            "drop" => Self::Drop { filter: one()? },
            "confirm" => Self::Confirm,
            "left" => Self::Left { callers },
            "bye" => Self::Bye,
            unknown => return Err(form(&format_args!("kind {unknown:?}"))),
        };
        Ok((announcement, number))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_said_is_heard() {
        let filter = |text| Filter::new(text).expect("a filter");
        let host = || "one".into();
        let said = [
            Announcement::Hello { host: host() },
            Announcement::Wants { host: host(), filters: vec![] },
            Announcement::Wants { host: host(), filters: vec![filter("zmq.topic.a"), filter("zmq.topic.>")] },
            Announcement::Want { filter: filter("zmq.topic.*") },
            Announcement::Drop { filter: filter("zmq.topic.*") },
            Announcement::Confirm,
            Announcement::Left { callers: vec![1, u64::MAX] },
            Announcement::Bye,
        ];
        for announcement in said {
            assert_eq!(Announcement::decode(&announcement.encode(7)), Ok((announcement, 7)));
        }
        let node = NodeId::random();
        assert_eq!(NodeId::of(&node.subject()), Ok(node));
    }

    /// What sidecars of version 0.1 say. A later one has to understand it, and must not say it otherwise while there may be such.
    #[test]
    fn the_words_stay_as_they_are() {
        let filter = |text| Filter::new(text).expect("a filter");
        let wants = Announcement::Wants { host: "one".into(), filters: vec![filter("zmq.topic.a"), filter("zmq.topic.>")] };
        for (announcement, words) in [
            (Announcement::Hello { host: "one".into() }, r#"{"kind":"hello","host":"one"}"#),
            (wants, r#"{"kind":"wants","host":"one","filters":["zmq.topic.a","zmq.topic.>"]}"#),
            (Announcement::Want { filter: filter("zmq.topic.a") }, r#"{"kind":"want","filters":["zmq.topic.a"]}"#),
            (Announcement::Drop { filter: filter("zmq.topic.a") }, r#"{"kind":"drop","filters":["zmq.topic.a"]}"#),
            (Announcement::Confirm, r#"{"kind":"confirm"}"#),
            (Announcement::Left { callers: vec![7, 9] }, r#"{"kind":"left","callers":[7,9]}"#),
            (Announcement::Bye, r#"{"kind":"bye"}"#),
        ] {
            assert_eq!(String::from_utf8(announcement.encode(0)).expect("JSON"), words);
            // Counted since, which the first ones do not read.
            let counted = format!("{},\"number\":{}}}", words.trim_end_matches('}'), u64::MAX);
            assert_eq!(String::from_utf8(announcement.encode(u64::MAX)).expect("JSON"), counted);
            assert_eq!(Announcement::decode(counted.as_bytes()), Ok((announcement.clone(), u64::MAX)));
            assert_eq!(Announcement::decode(words.as_bytes()), Ok((announcement, 0)));
        }
    }

    #[test]
    fn what_a_later_version_adds_is_ignored() {
        assert_eq!(Announcement::decode(br#"{"kind":"confirm","load":3}"#), Ok((Announcement::Confirm, 0)));
        assert!(Announcement::decode(br#"{"kind":"sing"}"#).is_err());
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let many = vec!["\"a\""; FILTERS_MAX + 1].join(",");
        assert!(Announcement::decode(format!(r#"{{"kind":"wants","filters":[{many}]}}"#).as_bytes()).is_err());
        assert_eq!(Announcement::decode(&vec![b' '; BYTES_MAX + 1]), Err(Unreadable::TooLarge(BYTES_MAX + 1)));
        for wrong in [r#"{"kind":"want"}"#, r#"{"kind":"want","filters":["a","b"]}"#, r#"{"kind":"want","filters":["a..b"]}"#] {
            assert!(Announcement::decode(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), subject in "[a-zA-Z0-9$.]{1,40}") {
            let _either = Announcement::decode(&bytes);
            if let Ok(subject) = Subject::new(&subject) {
                let _either = NodeId::of(&subject);
            }
        }
    }
}
