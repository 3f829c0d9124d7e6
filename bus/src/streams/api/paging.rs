//! Lists whose answers are bounded, however much there is: some of it, and where to ask on.

use serde_json::{Value, json};

use super::super::error::StreamError;
use super::asked::Fields;

/// Most entries of one answer.
pub(super) const ENTRIES_MAX: usize = 256;

/// Bytes of JSON after which an answer has no more entries: with one more of the largest it is still far below the smallest payload that a bus
/// is given.
const BYTES_MAX: usize = 256 << 10;

/// Which part of a list is asked for: names from `from` on.
#[derive(Debug)]
pub(super) struct Paging {
    from: String,
    max: usize,
}

impl Paging {
    pub(super) fn parse(body: &[u8]) -> Result<Self, StreamError> {
        let mut fields = Fields::parse(body)?;
        let from = fields.text("from")?.unwrap_or_default();
        let max = fields.number("max")?.map_or(ENTRIES_MAX, |max| usize::try_from(max).unwrap_or(ENTRIES_MAX)).clamp(1, ENTRIES_MAX);
        fields.end()?;
        Ok(Self { from, max })
    }

    /// The part of `all`, which is in the order of the names.
    pub(super) fn page<'a, T: 'a>(
        &self,
        field: &str,
        all: impl IntoIterator<Item = &'a T>,
        name: impl Fn(&T) -> &str,
        describe: impl Fn(&T) -> Value,
    ) -> Value {
        let (mut entries, mut bytes, mut next) = (Vec::new(), 0, None);
        for entry in all.into_iter().filter(|entry| name(entry) >= self.from.as_str()) {
            if entries.len() == self.max || bytes > BYTES_MAX {
                next = Some(name(entry).to_owned());
                break;
            }
            let described = describe(entry);
            bytes += described.to_string().len();
            entries.push(described);
        }
        json!({ field: entries, "more": next.is_some(), "next": next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_on_one_page_and_no_page_is_large() {
        let names: Vec<String> = (0..1_000).map(|number| format!("n{number:04}")).collect();
        let (mut from, mut seen) = (Value::Null, Vec::new());
        loop {
            let paging = Paging::parse(json!({ "from": from }).to_string().as_bytes()).unwrap();
            let page = paging.page("names", &names, String::as_str, |name| json!({ "name": name, "rest": "x".repeat(2_000) }));
            assert!(page.to_string().len() < 2 * BYTES_MAX);
            seen.extend(page["names"].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap().to_owned()));
            assert_eq!(page["more"], !page["next"].is_null());
            if page["more"] == false {
                break;
            }
            from = page["next"].clone();
        }
        assert_eq!(seen, names);
    }
}
