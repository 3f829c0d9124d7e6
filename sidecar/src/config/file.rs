//! The TOML file: a walk over its tables that keeps the line of every value.

use std::path::Path;

use myelin_bus::Overflow;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::endpoint::Endpoint;
use super::error::{ConfigError, Problem};
use super::keys;
use super::origin::Origin;
use super::route::{Linger, Route, RouteKind, Side};
use super::settings::Settings;
use super::suggest::nearest;
use super::value::{Kind, Raw, Value};

/// Most outstanding requests per REP agent; agents serve about ten a second, so this is minutes of work.
const WINDOW_MAX: u64 = 1_024;

/// Reads `text`, the content of the file at `path`, into `settings`.
///
/// Every fault is collected, in the order of the lines: an operator mends a file in one go.
pub(crate) fn read(path: &Path, text: &str, settings: &mut Settings) -> Result<Vec<Route>, Vec<ConfigError>> {
    let mut reader = Reader { path, text, errors: Vec::new() };
    let routes = match DeTable::parse(text) {
        Ok(document) => reader.document(document.get_ref(), settings),
        Err(error) => {
            let origin = reader.origin(error.span().map_or(0, |span| span.start));
            let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            reader.errors.push(ConfigError::new(origin, "", Problem::Syntax(message)));
            Vec::new()
        }
    };
    reader.errors.sort_by_key(|error| if let Origin::File { line, .. } = &error.origin { *line } else { 0 });
    if reader.errors.is_empty() { Ok(routes) } else { Err(reader.errors) }
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    errors: Vec<ConfigError>,
}

type Entry<'a> = (&'a str, usize, &'a Spanned<DeValue<'a>>);

impl Reader<'_> {
    fn document(&mut self, document: &DeTable<'_>, settings: &mut Settings) -> Vec<Route> {
        let mut routes = Vec::new();
        for (name, at, value) in entries(document) {
            match value.get_ref() {
                DeValue::Array(tables) if name == "route" => {
                    for (index, table) in tables.iter().enumerate() {
                        routes.extend(self.route(index, table));
                    }
                }
                _ if name == "route" => {
                    let found = value.get_ref().type_str().to_owned();
                    self.fail(
                        at,
                        name,
                        Problem::WrongType { expected: "[[route]] with double brackets".to_owned(), found: format!("a {found}") },
                    );
                }
                DeValue::Table(table) if keys::sections().contains(&name) => self.section(name, table, settings),
                _ if keys::sections().contains(&name) => {
                    self.fail(at, name, Problem::WrongType { expected: format!("the section [{name}]"), found: describe(value.get_ref()) });
                }
                DeValue::Table(_) | DeValue::Array(_) => {
                    let known = keys::sections().into_iter().chain(["route"]);
                    let suggestion = nearest(name, known)
                        .map(|section| if section == "route" { "[[route]]".to_owned() } else { format!("[{section}]") });
                    self.fail(at, name, Problem::Unknown { what: "section", suggestion });
                }
                _ => self.unknown_key(at, "", name),
            }
        }
        routes
    }

    fn section(&mut self, section: &str, table: &DeTable<'_>, settings: &mut Settings) {
        for (name, at, value) in entries(table) {
            match keys::find(&format!("{section}.{name}")) {
                Some(key) => {
                    let origin = self.origin(value.span().start);
                    if let Err(error) = settings.set(key, &raw(value.get_ref()), origin) {
                        self.errors.push(error);
                    }
                }
                None => self.unknown_key(at, section, name),
            }
        }
    }

    /// A key nobody knows: perhaps a slip, perhaps the right key in the wrong section.
    fn unknown_key(&mut self, at: usize, section: &str, name: &str) {
        let elsewhere = || keys::KEYS.iter().map(|key| key.path).find(|path| path.rsplit('.').next() == Some(name));
        let suggestion = nearest(name, keys::names_in(section)).map(str::to_owned).or_else(|| elsewhere().map(str::to_owned));
        let path = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
        self.fail(at, &path, Problem::Unknown { what: "key", suggestion });
    }

    fn route(&mut self, index: usize, value: &Spanned<DeValue<'_>>) -> Option<Route> {
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
            Some("service") => &["callers", "agents", "window", "on_caller_gone", "fail_fast"],
            Some("topic") => &["publishers", "subscribers", "overflow"],
            Some("pipeline") => &["producers", "consumers"],
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
        for (key, at, value) in entries(table).filter(|(key, ..)| !["name", "kind"].contains(key)) {
            self.field(&mut fields, key, at, value);
        }
        if self.errors.len() > errors_before {
            return None;
        }
        let Fields { sides: [first, second], window, on_caller_gone, fail_fast, overflow, .. } = fields;
        let kind = match kind_name.as_deref() {
            Some("service") => {
                RouteKind::Service { callers: first, agents: second, window: window.unwrap_or(1), on_caller_gone, fail_fast }
            }
            Some("topic") => RouteKind::Topic { publishers: first, subscribers: second, overflow },
            Some("pair") => RouteKind::Pair { a: first, b: second },
            _ => RouteKind::Pipeline { producers: first, consumers: second },
        };
        Some(Route { name: name?, kind, origin: self.origin(at) })
    }

    fn field(&mut self, fields: &mut Fields<'_>, key: &str, at: usize, value: &Spanned<DeValue<'_>>) {
        let path = format!("{}.{key}", fields.label);
        let Some(position) = fields.known.iter().position(|known| *known == key) else {
            let suggestion = nearest(key, fields.known.iter().copied().chain(["name", "kind"])).map(str::to_owned);
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
            Ok(Value::Count(window)) => fields.window = u32::try_from(window).ok(),
            Ok(Value::Choice("drop")) => fields.on_caller_gone = Linger::Drop,
            Ok(Value::Choice(name)) if key == "overflow" => fields.overflow = Some(super::typed::overflow(name)),
            Ok(_) => {}
            Err(problem) => self.fail(value.span().start, &path, problem),
        }
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

    fn fail(&mut self, at: usize, key: &str, problem: Problem) {
        self.errors.push(ConfigError::new(self.origin(at), key, problem));
    }

    fn origin(&self, at: usize) -> Origin {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        Origin::File { path: self.path.to_owned(), line: before.iter().filter(|byte| **byte == b'\n').count() + 1 }
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
}

/// Name, position of the name, and value of each entry.
fn entries<'a>(table: &'a DeTable<'a>) -> impl Iterator<Item = Entry<'a>> {
    table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span().start, value))
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::Boolean(on) => Raw::Bool(*on),
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(number) => {
            let digits = number.as_str().replace('_', "");
            i64::from_str_radix(&digits, number.radix()).map_or(Raw::Other("number beyond 64 bits"), Raw::Integer)
        }
        DeValue::Array(items) => items
            .iter()
            .map(|item| item.get_ref().as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .map_or(Raw::Other("list of other things than texts"), Raw::Texts),
        other => Raw::Other(other.type_str()),
    }
}

fn describe(value: &DeValue<'_>) -> String {
    raw(value).describe()
}
