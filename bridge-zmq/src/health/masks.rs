//! What of two answers of an agent may differ without being news.
//!
//! Members with a volatile name count nowhere, at whatever depth they stand; numbers with a tolerance may move by it, from what was told last and
//! not from the answer before, so that a slow drift is told in the end. What is not JSON has to be equal byte for byte.

use myelin_bus::wire::Frames;

use crate::discovery::json::{self, Json, Text};

/// Members that differ on every call of the agents, and say nothing of their health.
pub const VOLATILE_DEFAULT: [&str; 3] = ["timestamp", "uptime", "active_threads"];

/// Which members may differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Masks {
    volatile: Vec<Text>,
    tolerances: Vec<(Text, f64)>,
}

impl Default for Masks {
    fn default() -> Self {
        Self::new(VOLATILE_DEFAULT, [])
    }
}

impl Masks {
    /// With these names of volatile members, and how far numbers of these names may move; a tolerance that is no positive number counts as none.
    pub fn new<'a>(volatile: impl IntoIterator<Item = &'a str>, tolerances: impl IntoIterator<Item = (&'a str, f64)>) -> Self {
        Self {
            volatile: volatile.into_iter().map(Text::new).collect(),
            tolerances: tolerances.into_iter().filter(|(_, by)| *by > 0.0).map(|(name, by)| (Text::new(name), by)).collect(),
        }
    }

    /// Where the second answer says something new: `None` where it does not, else the name of the member, or an empty text for the whole.
    pub(crate) fn difference(&self, told: &Frames, now: &Frames) -> Option<String> {
        if told == now {
            return None;
        }
        if told.count() != now.count() {
            return Some(String::new());
        }
        told.slices().zip(now.slices()).find_map(|(told, now)| self.in_frame(told, now))
    }

    /// The same of one frame, or of the part of it that is JSON.
    pub(crate) fn in_frame(&self, told: &[u8], now: &[u8]) -> Option<String> {
        if told == now {
            return None;
        }
        match (json::read(told), json::read(now)) {
            (Ok(told), Ok(now)) => self.in_value(None, &told, &now),
            _ => Some(String::new()),
        }
    }

    /// As deep as the reader reads: 64 levels.
    fn in_value(&self, name: Option<&Text>, told: &Json, now: &Json) -> Option<String> {
        let is_same = match (told, now) {
            (Json::Object(told), Json::Object(now)) => return self.in_members(told, now),
            (Json::List(told), Json::List(now)) if told.len() == now.len() => {
                return told.iter().zip(now).find_map(|(told, now)| self.in_value(name, told, now));
            }
            (Json::Int(_) | Json::Float(_), Json::Int(_) | Json::Float(_)) => {
                told == now || is_nan(told) && is_nan(now) || self.is_near(name, told, now)
            }
            _ => told == now,
        };
        (!is_same).then(|| name.map_or_else(String::new, ToString::to_string))
    }

    fn in_members(&self, told: &[(Text, Json)], now: &[(Text, Json)]) -> Option<String> {
        let counts = |(name, _): &&(Text, Json)| !self.volatile.contains(name);
        let (mut before, mut after) = (told.iter().filter(counts), now.iter().filter(counts));
        loop {
            match (before.next(), after.next()) {
                (None, None) => return None,
                // In another order is another document: a program that prints it another way has changed.
                (Some((name, told)), Some((same, now))) if name == same => {
                    if let Some(difference) = self.in_value(Some(name), told, now) {
                        return Some(difference);
                    }
                }
                (Some((name, _)), _) | (None, Some((name, _))) => return Some(name.to_string()),
            }
        }
    }

    fn is_near(&self, name: Option<&Text>, told: &Json, now: &Json) -> bool {
        let tolerance = name.and_then(|name| self.tolerances.iter().find(|(of, _)| of == name));
        match (tolerance, number(told), number(now)) {
            (Some((_, by)), Some(told), Some(now)) => (told - now).abs() <= *by,
            _ => false,
        }
    }
}

fn number(value: &Json) -> Option<f64> {
    match value {
        Json::Int(digits) => digits.parse().ok(),
        Json::Float(float) => Some(*float),
        Json::Null | Json::Bool(_) | Json::Text(_) | Json::List(_) | Json::Object(_) => None,
    }
}

fn is_nan(value: &Json) -> bool {
    matches!(value, Json::Float(float) if float.is_nan())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn difference(masks: &Masks, told: &str, now: &str) -> Option<String> {
        masks.difference(&Frames::single(told.as_bytes()), &Frames::single(now.as_bytes()))
    }

    /// Vector Z11, with the members that the real agents have.
    #[test]
    fn what_differs_on_every_call_is_no_news_and_readiness_is() {
        let document = |ready: bool, timestamp: f64, threads: u32| {
            format!(
                "{{\"status\": \"ok\", \"ready\": {ready}, \"timestamp\": {timestamp}, \"uptime\": 1.5, \"active_threads\": {threads}, \
                 \"health_details\": {{\"queue\": 0, \"timestamp\": {timestamp}}}}}"
            )
        };
        let masks = Masks::default();
        assert_eq!(difference(&masks, &document(true, 1.0, 7), &document(true, 2.0, 8)), None);
        assert_eq!(difference(&masks, &document(true, 1.0, 7), &document(false, 1.0, 7)).as_deref(), Some("ready"));
    }

    #[test]
    fn a_number_may_move_by_its_tolerance_from_what_was_told() {
        let masks = Masks::new([], [("cpu", 5.0), ("bad", f64::NAN)]);
        for (told, now, is_same) in
            [("10", "15", true), ("10", "15.1", false), ("10.0", "5", true), ("NaN", "NaN", true), ("NaN", "1", false)]
        {
            let [told, now] = [told, now].map(|cpu| format!("{{\"x\": {{\"cpu\": {cpu}}}}}"));
            assert_eq!(difference(&masks, &told, &now).is_none(), is_same, "{told} {now}");
        }
        assert_eq!(difference(&masks, "{\"bad\": 1}", "{\"bad\": 2}").as_deref(), Some("bad"));
        assert_eq!(difference(&masks, "{\"load\": [1, 2]}", "{\"load\": [1, 3]}").as_deref(), Some("load"));
    }

    #[test]
    fn members_that_come_or_go_are_news_unless_they_are_volatile() {
        let masks = Masks::default();
        assert_eq!(difference(&masks, "{\"a\": 1}", "{\"a\": 1, \"uptime\": 3}"), None);
        assert_eq!(difference(&masks, "{\"a\": 1}", "{\"a\": 1, \"b\": 3}").as_deref(), Some("b"));
        assert_eq!(difference(&masks, "{\"a\": 1, \"b\": 2}", "{\"b\": 2, \"a\": 1}").as_deref(), Some("a"));
        assert_eq!(difference(&masks, "pong", "pong "), Some(String::new()));
        assert_eq!(difference(&masks, "{\"a\": 1}", "{\"a\":1}"), None, "as Python reads it");
        let two = Frames::from_parts(["a", "b"]).unwrap();
        assert_eq!(masks.difference(&two, &Frames::single(b"a")), Some(String::new()));
    }

    proptest! {
        #[test]
        fn nothing_differs_from_itself_and_difference_has_no_direction(a in ".{0,40}", b in ".{0,40}") {
            let masks = Masks::default();
            prop_assert_eq!(difference(&masks, &a, &a), None);
            prop_assert_eq!(difference(&masks, &a, &b).is_none(), difference(&masks, &b, &a).is_none());
        }
    }
}
