//! What a server of some version can do.

use crate::error::ConnectError;

/// A version's first two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(u32, u32);

/// Something that came with a version of the server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Feature {
    /// What it is to users of streams.
    pub(crate) name: &'static str,
    /// The first version that has it.
    pub(crate) since: Version,
}

impl Feature {
    pub(crate) const METADATA: Self = Self { name: "metadata of streams and consumers", since: Version(2, 10) };
    pub(crate) const TTL: Self = Self { name: "a TTL per message", since: Version(2, 11) };
    /// Servers from 2.12 on schedule messages; with 2.12.8 none came out of the stream beside into the one that has it as a source.
    pub(crate) const DELAY: Self = Self { name: "delayed delivery", since: Version(2, 14) };

    /// All that streams need, the newest first.
    const OF_STREAMS: [Self; 3] = [Self::DELAY, Self::TTL, Self::METADATA];

    /// Whether a server that says it has this version has the feature. One that says nothing sensible has none.
    pub(crate) fn is_in(self, server: &str) -> bool {
        Version::parse(server).is_some_and(|version| version >= self.since)
    }

    /// Holds that a server of this version has all that streams need.
    pub(crate) fn check_streams(server: &str) -> Result<(), ConnectError> {
        match Self::OF_STREAMS.into_iter().find(|feature| !feature.is_in(server)) {
            None => Ok(()),
            Some(Self { name, since }) => {
                Err(ConnectError::Unsupported { feature: name.into(), since: since.to_string().into(), server: server.into() })
            }
        }
    }
}

impl Version {
    /// The version in a text such as `2.14.0-RC.3`: what comes before a release is taken for it.
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.strip_prefix('v').unwrap_or(text).split(['.', '-', '+']);
        let mut next = || numbers.next()?.parse().ok();
        Some(Self(next()?, next()?))
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        for (text, has_delay) in [
            ("2.15.1", true),
            ("2.14.0-RC.3", true),
            ("v2.14", true),
            ("2.12.8", false),
            ("3.0.0", true),
            ("2.9.25", false),
            ("2.11.99", false),
            ("1.20.0", false),
            ("2", false),
            ("2.x", false),
            ("", false),
        ] {
            assert_eq!(Feature::DELAY.is_in(text), has_delay, "{text:?}");
        }
    }

    #[test]
    fn what_is_missing_is_named_with_the_version_that_has_everything() {
        assert_eq!(Feature::check_streams("2.14.0"), Ok(()));
        for server in ["2.11.4", "2.9.0"] {
            let missing = Feature::check_streams(server).unwrap_err();
            let expected = ConnectError::Unsupported { feature: "delayed delivery".into(), since: "2.14".into(), server: server.into() };
            assert_eq!(missing, expected);
        }
    }
}
