//! `[[route]]` tables.

use std::time::Duration;

use myelin_bus::Overflow;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Reader, describe, entries, raw};
use crate::config::endpoint::Endpoint;
use crate::config::error::Problem;
use crate::config::health::Thinning;
use crate::config::keys;
use crate::config::route::{Keeping, Linger, Route, RouteKind, Side};
use crate::config::settings::Overrides;
use crate::config::suggest::nearest;
use crate::config::value::{Kind, Value};

/// Most outstanding requests per REP agent; agents serve about ten a second, so this is minutes of work.
const WINDOW_MAX: u64 = 1_024;

/// A message that so many deliveries did not get rid of is nobody's, whatever the operator thinks of it.
const DELIVERIES_MAX: u64 = 1_000;

/// Shorter than a moment of a busy machine, and every consumer would seem to hang.
const ACK_WAIT_MIN: Duration = Duration::from_millis(100);

/// What is passed on more often need not be thinned.
const THINNED_MIN: Duration = Duration::from_millis(100);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Each costs about 150 bytes of memory: 15 GB.
const MESSAGES_MAX: u64 = 100_000_000;

/// A megabyte to a terabyte.
const BYTES_MIN: u64 = 1 << 20;
const BYTES_MAX: u64 = 1 << 40;

/// Keys that routes of every kind have.
const COMMON: [&str; 3] = ["name", "kind", "security"];

impl Reader<'_> {
    /// One route; `None` when something is wrong with it.
    pub(super) fn route(&mut self, index: usize, value: &Spanned<DeValue<'_>>) -> Option<Route> {
        let at = value.span().start;
        let DeValue::Table(table) = value.get_ref() else {
            self.fail(at, "route", Problem::WrongType { expected: "a [[route]] table".to_owned(), found: describe(value.get_ref()) });
            return None;
        };
        let errors_before = self.errors.len();
        let named = entries(table).find_map(|(key, _, value)| (key == "name").then(|| value.get_ref().as_str()).flatten());
        let label = named.map_or_else(|| format!("route[{index}]"), |name| format!("route {name:?}"));
        let kind_name = self.required(table, at, &label, "kind", "write kind = \"service\", \"topic\", \"pipeline\" or \"pair\"");
        let name = self.required(table, at, &label, "name", "each route needs a unique name");
        let fields: &[&str] = match kind_name.as_deref() {
            Some("service") => &["callers", "agents", "window", "on_caller_gone", "fail_fast", "dead_letter_requests"],
            Some("topic") => &["publishers", "subscribers", "overflow", "on_change", "at_most_every"],
            Some("pipeline") => {
                &["producers", "consumers", "durable", "deliveries_max", "ack_wait", "messages_max", "bytes_max", "age_max"]
            }
            Some("pair") => &["a", "b"],
            Some(other) => {
                let at = table.iter().find(|(key, _)| key.get_ref() == "kind").map_or(at, |(_, value)| value.span().start);
                let suggestion = nearest(other, ["service", "topic", "pipeline", "pair"]).map(str::to_owned);
                let expected = "one of service, topic, pipeline, pair".to_owned();
                self.fail(at, &format!("{label}.kind"), Problem::BadValue { found: other.to_owned(), expected, suggestion });
                return None;
            }
            None => return None,
        };
        let mut fields = Fields { label: &label, known: fields, sides: [Side::default(), Side::default()], ..Fields::default() };
        let mut security = Overrides::default();
        for (key, at, value) in entries(table).filter(|(key, ..)| !["name", "kind"].contains(key)) {
            match key {
                "security" => security = self.security(&label, at, value),
                _ => self.field(&mut fields, key, at, value),
            }
        }
        if self.errors.len() > errors_before {
            return None;
        }
        let Fields { sides: [first, second], window, on_caller_gone, fail_fast, overflow, thinning, keeping, dead_letter_requests, .. } =
            fields;
        let kind = match kind_name.as_deref() {
            Some("service") => {
                let window = window.unwrap_or(1);
                RouteKind::Service { callers: first, agents: second, window, on_caller_gone, fail_fast, dead_letter_requests }
            }
            Some("topic") => RouteKind::Topic { publishers: first, subscribers: second, overflow, thinning },
            Some("pair") => RouteKind::Pair { a: first, b: second },
            _ => RouteKind::Pipeline { producers: first, consumers: second, keeping },
        };
        Some(Route { name: name?, kind, security, origin: self.origin(at) })
    }

    fn field(&mut self, fields: &mut Fields<'_>, key: &str, at: usize, value: &Spanned<DeValue<'_>>) {
        let path = format!("{}.{key}", fields.label);
        let Some(position) = fields.known.iter().position(|known| *known == key) else {
            let suggestion = nearest(key, fields.known.iter().copied().chain(COMMON)).map(str::to_owned);
            return self.fail(at, &path, Problem::Unknown { what: "key", suggestion });
        };
        if position < 2 {
            fields.sides[position] = self.side(&path, at, value);
            return;
        }
        let kind = match key {
            "window" => Kind::Count { min: 1, max: WINDOW_MAX },
            "on_caller_gone" => Kind::Choice(&["deliver", "drop"]),
            "overflow" => Kind::Choice(keys::OVERFLOWS),
            "durable" | "dead_letter_requests" | "on_change" => Kind::Bool,
            "at_most_every" => Kind::Duration { min: THINNED_MIN, max: DAY },
            "deliveries_max" => Kind::Count { min: 1, max: DELIVERIES_MAX },
            "ack_wait" => Kind::Duration { min: ACK_WAIT_MIN, max: DAY },
            "messages_max" => Kind::Count { min: 1, max: MESSAGES_MAX },
            "bytes_max" => Kind::Size { min: BYTES_MIN, max: BYTES_MAX },
            "age_max" => Kind::Duration { min: Duration::from_secs(1), max: DAY * 365 },
            _ => match value.get_ref().as_str() {
                Some(reply) => {
                    fields.fail_fast = Some(reply.to_owned());
                    return;
                }
                None => {
                    let found = describe(value.get_ref());
                    return self.fail(at, &path, Problem::WrongType { expected: "the text of the reply".to_owned(), found });
                }
            },
        };
        match kind.check(&raw(value.get_ref())) {
            Ok(found) if fields.keeping.set(key, &found) => {}
            Ok(Value::Bool(on)) if key == "on_change" => fields.thinning.on_change = on,
            Ok(Value::Duration(every)) if key == "at_most_every" => fields.thinning.at_most_every = Some(every),
            Ok(Value::Bool(on)) => fields.dead_letter_requests = on,
            Ok(Value::Count(window)) => fields.window = u32::try_from(window).ok(),
            Ok(Value::Choice("drop")) => fields.on_caller_gone = Linger::Drop,
            Ok(Value::Choice(name)) if key == "overflow" => fields.overflow = Some(crate::config::typed::overflow(name)),
            Ok(_) => {}
            Err(problem) => self.fail(value.span().start, &path, problem),
        }
    }

    /// What of `[security]` is different for the sockets of this route.
    fn security(&mut self, label: &str, at: usize, value: &Spanned<DeValue<'_>>) -> Overrides {
        let path = format!("{label}.security");
        let mut overrides = Overrides::default();
        let DeValue::Table(table) = value.get_ref() else {
            let expected = "a table such as { mechanism = \"curve\" }".to_owned();
            self.fail(at, &path, Problem::WrongType { expected, found: describe(value.get_ref()) });
            return overrides;
        };
        for (name, at, value) in entries(table) {
            let path = format!("{path}.{name}");
            let Some(key) = keys::find(&format!("security.{name}")) else {
                let suggestion = nearest(name, keys::names_in("security")).map(str::to_owned);
                self.fail(at, &path, Problem::Unknown { what: "key", suggestion });
                continue;
            };
            let at = value.span().start;
            match key.kind.check(&raw(value.get_ref())) {
                Ok(value) => overrides.set(key, value, self.origin(at)),
                Err(problem) => self.fail(at, &path, problem),
            }
        }
        overrides
    }

    fn side(&mut self, path: &str, at: usize, value: &Spanned<DeValue<'_>>) -> Side {
        let mut side = Side { origin: Some(self.origin(at)), ..Side::default() };
        let DeValue::Table(table) = value.get_ref() else {
            let expected = "{ bind = [..] } or { connect = [..] }".to_owned();
            self.fail(at, path, Problem::WrongType { expected, found: describe(value.get_ref()) });
            return side;
        };
        for (key, at, value) in entries(table) {
            let path = format!("{path}.{key}");
            match key {
                "bind" => side.bind = self.endpoints(&path, value, Kind::Bind),
                "connect" => side.connect = self.endpoints(&path, value, Kind::Connect),
                _ => {
                    let suggestion = nearest(key, ["bind", "connect"]).map(str::to_owned);
                    self.fail(at, &path, Problem::Unknown { what: "key", suggestion });
                }
            }
        }
        side
    }

    /// One endpoint or a list of them.
    fn endpoints(&mut self, path: &str, value: &Spanned<DeValue<'_>>, kind: Kind) -> Vec<Endpoint> {
        let items: Vec<&Spanned<DeValue<'_>>> = match value.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            _ => vec![value],
        };
        let mut endpoints = Vec::new();
        for item in items {
            match kind.check(&raw(item.get_ref())) {
                Ok(Value::Endpoint(endpoint)) => endpoints.push(endpoint),
                Ok(_) => {}
                Err(problem) => self.fail(item.span().start, path, problem),
            }
        }
        endpoints
    }

    fn required(&mut self, table: &DeTable<'_>, at: usize, label: &str, key: &'static str, hint: &'static str) -> Option<String> {
        let path = format!("{label}.{key}");
        let Some((_, _, value)) = entries(table).find(|(name, ..)| *name == key) else {
            self.fail(at, &path, Problem::Missing(hint));
            return None;
        };
        match value.get_ref().as_str() {
            Some("") => {
                self.fail(value.span().start, &path, Problem::Missing(hint));
                None
            }
            Some(text) => Some(text.to_owned()),
            None => {
                let found = describe(value.get_ref());
                self.fail(value.span().start, &path, Problem::WrongType { expected: "a text".to_owned(), found });
                None
            }
        }
    }
}

/// The fields of one route while it is read; the two sides are the first two known names of its kind.
#[derive(Default)]
struct Fields<'a> {
    label: &'a str,
    known: &'a [&'static str],
    sides: [Side; 2],
    window: Option<u32>,
    on_caller_gone: Linger,
    fail_fast: Option<String>,
    overflow: Option<Overflow>,
    thinning: Thinning,
    keeping: Keeping,
    dead_letter_requests: bool,
}
