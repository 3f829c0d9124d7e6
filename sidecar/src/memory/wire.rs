//! What requests and answers look like: maps with these fields. docs/memory.md is the same for people.
//!
//! Fields that a request does not know are refused, since a misspelt time to live is none. Answers may grow fields.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Requests: all of their fields, which have to be known.
macro_rules! requests {
    ($($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* })+) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
            #[serde(deny_unknown_fields)]
            pub(crate) struct $name {
                $($(#[$attribute])* pub(crate) $field: $type,)*
            }
        )+
    };
}

/// Answers, and what is in them.
macro_rules! answers {
    ($($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* })+) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
            #[serde(default)]
            pub(crate) struct $name {
                $($(#[$attribute])* pub(crate) $field: $type,)*
            }
        )+
    };
}

requests! {
    Get { space: String, key: String, }
    GetMany { space: String, keys: Vec<String>, }
    Set {
        space: String,
        key: String,
        value: Bytes,
        /// A media type; none: nothing is known of the bytes.
        content_type: Option<String>,
        /// None: what memory.ttl says.
        ttl_ms: Option<u64>,
        #[serde(default)]
        forever: bool,
    }
    SetMany { space: String, entries: Vec<Named>, ttl_ms: Option<u64>, #[serde(default)] forever: bool, }
    /// One of the entries of `SetMany`.
    Named { key: String, value: Bytes, content_type: Option<String>, }
    /// With `revision`, the one key is deleted only if its entry is of this write.
    Delete { space: String, keys: Vec<String>, revision: Option<String>, }
    Touch { space: String, key: String, ttl_ms: Option<u64>, #[serde(default)] forever: bool, }
    /// `expected` is a revision; none: that there is nothing.
    Cas {
        space: String,
        key: String,
        expected: Option<String>,
        value: Bytes,
        content_type: Option<String>,
        ttl_ms: Option<u64>,
        #[serde(default)]
        forever: bool,
    }
    /// Keys of entries, or with `windows` those of windows.
    Scan { space: String, #[serde(default)] prefix: String, after: Option<String>, limit: Option<u64>, #[serde(default)] windows: bool, }
    Append { space: String, window: String, values: Vec<Unnamed>, entries_max: Option<u32>, age_max_ms: Option<u64>, }
    /// One of the values of `Append`.
    Unnamed { value: Bytes, content_type: Option<String>, }
    /// The `last` ones; or the oldest of those `since_ms` or behind `after`, at most `limit`.
    Recent {
        space: String,
        window: String,
        entries_max: Option<u32>,
        age_max_ms: Option<u64>,
        last: Option<u64>,
        since_ms: Option<u64>,
        after: Option<String>,
        limit: Option<u64>,
    }
    Clear { space: String, window: String, }
    /// Events are told on `EVENTS` followed by `id`, beginning with what is there, or behind the position `from`.
    Watch { space: String, #[serde(default)] prefix: String, id: String, from: Option<String>, }
    /// Of one space too, if it is named.
    Stats { space: Option<String>, }
}

answers! {
    Got { entry: Option<Entry>, }
    GotMany { entries: Vec<Option<Entry>>, }
    /// What is found under a key. `ttl_ms` is what is left; none: it lives for ever.
    Entry { value: Bytes, content_type: String, revision: String, ttl_ms: Option<u64>, }
    Written { revision: String, }
    WrittenMany { revisions: Vec<String>, }
    Deleted { deleted: u64, }
    Touched { touched: bool, }
    Scanned { keys: Vec<String>, next: Option<String>, }
    Appended { positions: Vec<String>, }
    Recalled { entries: Vec<Recall>, more: bool, }
    /// One entry of a window. `time_ms` is when it was appended, since 1970, by the clock of the store.
    Recall { position: String, time_ms: u64, value: Bytes, content_type: String, }
    Cleared { cleared: bool, }
    Watching { subject: String, heartbeat_ms: u64, }
    Told { engine: String, value_max: u64, watches: u64, near: Option<NearSize>, counts: Counts, space: Option<SpaceStats>, }
    NearSize { entries: u64, bytes: u64, }
    SpaceStats { entries: u64, windows: u64, bytes: Option<u64>, }
    /// Since this sidecar began.
    Counts {
        reads: u64,
        found: u64,
        writes: u64,
        appends: u64,
        conflicts: u64,
        unknown: u64,
        bytes_given: u64,
        bytes_stored: u64,
        near_hits: u64,
        near_misses: u64,
    }
    /// What a watch tells at once. No events: it asks whether the watcher is there.
    Events {
        events: Vec<Event>,
        /// Where to go on; none as long as what is there is not told completely.
        position: Option<String>,
        /// Why nothing comes at the moment, or, with `is_over`, why nothing will.
        error: Option<super::Refusal>,
        is_over: bool,
    }
}

/// What became of one entry, or of the watch. `event` is `put`, `deleted`, `expired`, `live` or `resync`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Event {
    pub(crate) event: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) entry: Option<Entry>,
    /// In place of a value that is larger than the bus carries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) left_out_bytes: Option<u64>,
}

/// An answer that is an error has this one field.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Failed {
    pub(crate) error: Option<super::Refusal>,
}
