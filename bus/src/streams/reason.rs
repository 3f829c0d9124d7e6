//! Why a message is dead, and whose fault that is.

/// Why a message is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeadReason {
    /// It was delivered as often as its consumer allows.
    MaxDeliver,
    /// A worker said that nobody should try again.
    Term,
    /// It expired before it was handled.
    Expired,
    /// It had to make room for a newer one before it was handled.
    Evicted,
    /// It, or what was asked for with it, cannot be read.
    Malformed,
    /// It is larger than the stream of its subject stores.
    TooLarge,
    /// Nobody takes what was sent there.
    NoRoute,
    /// Whoever took it did not answer in time.
    Timeout,
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The agent's that worked on it, or that sent it.
    Agent,
    /// Ours: what was configured here has no place for it.
    Ours,
    /// The disk's, or the server's behind us.
    Backend,
}

impl DeadReason {
    /// Every reason.
    pub const ALL: [Self; 8] =
        [Self::MaxDeliver, Self::Term, Self::Expired, Self::Evicted, Self::Malformed, Self::TooLarge, Self::NoRoute, Self::Timeout];

    /// The word for it in headers and filters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MaxDeliver => "max_deliver",
            Self::Term => "term",
            Self::Expired => "expired",
            Self::Evicted => "evicted",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::NoRoute => "no_route",
            Self::Timeout => "timeout",
        }
    }

    /// The reason of this word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    /// Its place among all of them.
    pub(super) fn index(self) -> usize {
        Self::ALL.iter().position(|reason| *reason == self).unwrap_or_default()
    }

    /// Whose fault it is, as long as nothing else is known: a limit of ours and a route that leads nowhere are ours, the rest is an agent's.
    pub fn fault(self) -> Fault {
        match self {
            Self::Evicted | Self::NoRoute => Fault::Ours,
            Self::MaxDeliver | Self::Term | Self::Expired | Self::Malformed | Self::TooLarge | Self::Timeout => Fault::Agent,
        }
    }
}

impl Fault {
    /// Everybody's.
    pub const ALL: [Self; 3] = [Self::Agent, Self::Ours, Self::Backend];

    /// The word for it in headers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Ours => "ours",
            Self::Backend => "backend",
        }
    }

    /// Whose fault this word says it is.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written() {
        for reason in DeadReason::ALL {
            assert_eq!(DeadReason::from_word(reason.as_str()), Some(reason));
        }
        for fault in Fault::ALL {
            assert_eq!(Fault::from_word(fault.as_str()), Some(fault));
        }
        assert_eq!((DeadReason::from_word("tired"), Fault::from_word("")), (None, None));
    }
}
