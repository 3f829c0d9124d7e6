//! The TOML file: a walk over its tables that keeps the line of every value.

mod route;

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Problem};
use super::keys;
use super::origin::Origin;
use super::route::Route;
use super::settings::Settings;
use super::suggest::nearest;
use super::value::Raw;

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

    fn fail(&mut self, at: usize, key: &str, problem: Problem) {
        self.errors.push(ConfigError::new(self.origin(at), key, problem));
    }

    fn origin(&self, at: usize) -> Origin {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        Origin::File { path: self.path.to_owned(), line: before.iter().filter(|byte| **byte == b'\n').count() + 1 }
    }
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
