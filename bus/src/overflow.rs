//! What a full queue does with the next message.

use std::fmt;
use std::str::FromStr;

/// The policy of a bounded queue for a message that does not fit.
///
/// A queue always admits one message, however large, so that a bound below the message size slows a flow and never stops it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Overflow {
    /// Keep every message and hold the producer back until there is room again.
    #[default]
    Block,
    /// Drop the oldest queued messages until the new one fits; each drop is counted.
    DropOldest,
    /// Drop the new message; the drop is counted.
    DropNewest,
    /// End the receiver: it may have missed messages, and knows it.
    Disconnect,
}

impl Overflow {
    /// Every policy, in the order in which help texts list them.
    pub const ALL: [Self; 4] = [Self::Block, Self::DropOldest, Self::DropNewest, Self::Disconnect];

    /// The name in configuration files and metrics labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::DropOldest => "drop_oldest",
            Self::DropNewest => "drop_newest",
            Self::Disconnect => "disconnect",
        }
    }
}

impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown overflow policy {found:?}, expected block, drop_oldest, drop_newest or disconnect")]
pub struct OverflowParseError {
    found: Box<str>,
}

impl FromStr for Overflow {
    type Err = OverflowParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == text).ok_or_else(|| OverflowParseError { found: text.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_back() {
        for policy in Overflow::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        assert!("Block".parse::<Overflow>().is_err());
    }
}
