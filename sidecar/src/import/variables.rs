//! Variables and sums in the values of a startup file: `${PORT_OFFSET}+7200`.

use std::collections::HashMap;

/// Longest value that is looked at, before and after its variables are put in: ports and host names are short.
const TEXT_BYTES_MAX: usize = 1_024;

/// What stands for `$NAME`: what was set on the command line, then the environment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Variables(HashMap<String, String>);

/// Why a value means nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unclear {
    /// Variables without a value.
    Unset(Vec<String>),
    /// Not a sum of numbers; the text with its variables put in.
    NotANumber(String),
    /// A number that is no port.
    NotAPort(i64),
}

impl Variables {
    /// The environment of this process, and `set` on top of it.
    pub(crate) fn new(set: impl IntoIterator<Item = (String, String)>) -> Self {
        let environment = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self(environment.chain(set).collect())
    }

    /// Only what is given.
    #[cfg(test)]
    pub(super) fn only(set: &[(&str, &str)]) -> Self {
        Self(set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    /// A port: a number, or numbers and variables with `+` and `-` between them.
    pub(super) fn port(&self, text: &str) -> Result<u16, Unclear> {
        let text = self.text(text)?;
        let number = sum(&text).ok_or(Unclear::NotANumber(text))?;
        u16::try_from(number).ok().filter(|port| *port != 0).ok_or(Unclear::NotAPort(number))
    }

    /// The text with every `$NAME`, `${NAME}`, `${NAME-default}` and `${NAME:-default}` replaced.
    pub(super) fn text(&self, text: &str) -> Result<String, Unclear> {
        let (mut out, mut unset, mut rest) = (String::new(), Vec::new(), text);
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            let (reference, after) = reference(after).ok_or_else(|| Unclear::NotANumber(shorten(text)))?;
            match self.value(&reference) {
                Some(value) => out.push_str(value),
                None => unset.push(reference.name.to_owned()),
            }
            rest = after;
            if out.len() > TEXT_BYTES_MAX {
                break;
            }
        }
        out.push_str(rest);
        if !unset.is_empty() {
            return Err(Unclear::Unset(unset));
        }
        if out.len() > TEXT_BYTES_MAX { Err(Unclear::NotANumber(shorten(&out))) } else { Ok(out) }
    }

    fn value<'a>(&'a self, reference: &Reference<'a>) -> Option<&'a str> {
        let known = self.0.get(reference.name).map(String::as_str);
        match reference.default {
            Some(default) if reference.is_empty_unset => Some(known.filter(|value| !value.is_empty()).unwrap_or(default)),
            Some(default) => Some(known.unwrap_or(default)),
            None => known,
        }
    }
}

struct Reference<'a> {
    name: &'a str,
    default: Option<&'a str>,
    /// `:-` takes an empty value for none.
    is_empty_unset: bool,
}

/// What stands behind a `$`, and the rest of the text.
fn reference(text: &str) -> Option<(Reference<'_>, &str)> {
    let Some(braced) = text.strip_prefix('{') else {
        let end = name_end(text);
        return (end > 0).then(|| (Reference { name: &text[..end], default: None, is_empty_unset: false }, &text[end..]));
    };
    let (inside, after) = braced.split_once('}')?;
    let end = name_end(inside);
    let (name, suffix) = inside.split_at(end);
    let (default, is_empty_unset) = match (suffix.strip_prefix(":-"), suffix.strip_prefix('-')) {
        (Some(default), _) => (Some(default), true),
        (None, Some(default)) => (Some(default), false),
        (None, None) if suffix.is_empty() => (None, false),
        (None, None) => return None,
    };
    (end > 0).then_some((Reference { name, default, is_empty_unset }, after))
}

/// The length of the variable name that `text` begins with.
fn name_end(text: &str) -> usize {
    let is_part = |(index, byte): (usize, u8)| byte == b'_' || byte.is_ascii_alphabetic() || (index > 0 && byte.is_ascii_digit());
    text.bytes().enumerate().take_while(|part| is_part(*part)).count()
}

/// The value of numbers with `+` and `-` between them.
fn sum(text: &str) -> Option<i64> {
    let mut total: i64 = 0;
    let mut rest = text.trim();
    let mut sign = 1;
    loop {
        let digits = rest.len() - rest.trim_start_matches(|character: char| character.is_ascii_digit()).len();
        let number: i64 = rest[..digits].parse().ok()?;
        total = total.checked_add(sign * number)?;
        rest = rest[digits..].trim_start();
        sign = match rest.as_bytes().first() {
            None => return Some(total),
            Some(b'+') => 1,
            Some(b'-') => -1,
            Some(_) => return None,
        };
        rest = rest[1..].trim_start();
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sums_of_numbers_and_variables() {
        let set = Variables::only(&[("PORT_OFFSET", "100"), ("EMPTY", ""), ("HOST", "tts"), ("TEN", " 10 ")]);
        for (text, port) in [
            ("7200", 7200),
            ("${PORT_OFFSET}+7200", 7300),
            ("$PORT_OFFSET + 7200", 7300),
            ("7200 + ${PORT_OFFSET} - 50", 7250),
            ("${PORT_OFFSET}", 100),
            ("${NONE:-7}", 7),
            ("${EMPTY:-7}", 7),
            ("${NONE-7}", 7),
            ("${PORT_OFFSET:-7}+1", 101),
            ("72${TEN}", 0),
            ("${TEN}+1", 11),
            ("7${PORT_OFFSET}", 7100),
        ] {
            let expected = if port == 0 { Err(Unclear::NotANumber("72 10 ".to_owned())) } else { Ok(port) };
            assert_eq!(set.port(text), expected, "{text}");
        }
        assert_eq!(set.text("${HOST}.local").as_deref(), Ok("tts.local"));
    }

    #[test]
    fn what_is_no_port_says_why() {
        let set = Variables::only(&[("BIG", "99999999999999999999"), ("EMPTY", "")]);
        assert_eq!(set.port("${A}+${B}+1"), Err(Unclear::Unset(vec!["A".to_owned(), "B".to_owned()])));
        assert_eq!(set.port("$A"), Err(Unclear::Unset(vec!["A".to_owned()])));
        for (text, number) in [("0", 0), ("70000", 70_000), ("1-2", -1)] {
            assert_eq!(set.port(text), Err(Unclear::NotAPort(number)), "{text}");
        }
        for text in
            ["", "x", "7+", "+7", "7*2", "$", "${", "${}", "${A", "${A:?x}", "${1}", "$(ls)", "${BIG}", "${EMPTY}", "7 2", "1e3", "-7"]
        {
            assert!(matches!(set.port(text), Err(Unclear::NotANumber(_))), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[$}{A:0-9+ \\-\u{e9}]*", value in ".*") {
            drop(Variables::only(&[("A", &value)]).port(&text));
        }

        #[test]
        fn a_sum_is_what_it_says(terms in prop::collection::vec((any::<bool>(), 0_i64..100_000), 1..9)) {
            let text: String = terms.iter().enumerate().map(|(index, (plus, number))| match (index, plus) {
                (0, _) => number.to_string(),
                (_, true) => format!("+{number}"),
                (_, false) => format!(" - {number}"),
            }).collect();
            let total: i64 = terms.iter().enumerate().map(|(index, (plus, number))| if index == 0 || *plus { *number } else { -number }).sum();
            prop_assert_eq!(sum(&text), Some(total));
        }
    }
}
