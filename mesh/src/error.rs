//! What can go wrong, one enum per family of operations.
//!
//! Every error answers two questions: whether the same call may succeed later (`is_retryable`), and whether what was asked for may have been done
//! all the same (`may_have_happened`). A write whose fate nobody knows is `Unknown`, and nothing of ours repeats it. Reading the key tells: a write
//! that happened left its revision.

/// Why nothing was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// More keys than one call may have.
    #[error("{count} keys in one call, more than {max}")]
    TooMany {
        /// Keys of this call.
        count: usize,
        /// Keys that a call may have.
        max: usize,
    },
    /// The entries of one call are together larger than an answer may be: ask for fewer keys at once.
    #[error("entries of more than {max} bytes in one answer")]
    AnswerTooLarge {
        /// Bytes that an answer may have.
        max: usize,
    },
    /// The store cannot be reached, or not in time.
    #[error("the store is not available: {reason}")]
    Unavailable {
        /// What is known about it.
        reason: Box<str>,
    },
    /// What is stored cannot be read: the disk gave back something else, or another program wrote it.
    #[error("what is stored is damaged: {reason}")]
    Damaged {
        /// What is wrong with it.
        reason: Box<str>,
    },
    /// The mesh was closed.
    #[error("the mesh is closed")]
    Closed,
}

/// Why nothing was written, or nobody knows whether something was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The value is larger than the mesh keeps; nothing was sent.
    #[error("value of {size} bytes is larger than {max}")]
    TooLarge {
        /// Bytes of this value.
        size: usize,
        /// Bytes that a value may have.
        max: usize,
    },
    /// The values of one call are together larger than a call may be; nothing was sent.
    #[error("{size} bytes in one call, more than {max}")]
    CallTooLarge {
        /// Bytes of this call.
        size: usize,
        /// Bytes that a call may have.
        max: usize,
    },
    /// More keys or entries than one call may have; nothing was sent.
    #[error("{count} keys in one call, more than {max}")]
    TooMany {
        /// Keys or entries of this call.
        count: usize,
        /// Keys or entries that a call may have.
        max: usize,
    },
    /// The store has no room, and did nothing.
    #[error("the store is full: {reason}")]
    Full {
        /// What is known about it.
        reason: Box<str>,
    },
    /// The store cannot be reached or does too much already, and did nothing.
    #[error("the store is not available: {reason}")]
    Unavailable {
        /// What is known about it.
        reason: Box<str>,
    },
    /// The write was given to the store, and nobody knows whether it did it.
    #[error("nobody knows whether it was written: {reason}")]
    Unknown {
        /// What is known about it.
        reason: Box<str>,
    },
    /// What is stored there already cannot be read, and was not touched.
    #[error("what is stored is damaged: {reason}")]
    Damaged {
        /// What is wrong with it.
        reason: Box<str>,
    },
    /// The mesh was closed.
    #[error("the mesh is closed")]
    Closed,
}

/// Why a compare-and-set changed nothing, or nobody knows whether it did.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// Something else was found than was expected; nothing was changed.
    #[error("something else is there than was expected")]
    Conflict {
        /// What is there; `None`: nothing.
        current: Option<crate::Revision>,
    },
    /// As for every write.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Why a watch tells nothing at the moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The store cannot be reached. The watch goes on where it was when it is asked again.
    #[error("the store is not available: {reason}")]
    Unavailable {
        /// What is known about it.
        reason: Box<str>,
    },
    /// An entry that changed cannot be read. Asked again, the watch goes on behind it.
    #[error("what is stored is damaged: {reason}")]
    Damaged {
        /// What is wrong with it.
        reason: Box<str>,
    },
    /// The mesh was closed.
    #[error("the mesh is closed")]
    Closed,
}

/// Why there is no embedded store in a directory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process (or another mesh of this one) has it open.
    #[error("{path:?} is in use")]
    InUse {
        /// The file.
        path: Box<str>,
    },
    /// It is no store of ours, or one that was damaged. It was not changed.
    #[error("{path:?} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: Box<str>,
        /// What is wrong with it.
        reason: Box<str>,
    },
    /// It was written by another version that this one does not read.
    #[error("{path:?} has format {found}, and this version reads {known}")]
    Format {
        /// The file.
        path: Box<str>,
        /// Its format.
        found: u64,
        /// The format of this version.
        known: u64,
    },
    /// The system refused.
    #[error("cannot open {path:?}: {reason}")]
    Io {
        /// The file or directory.
        path: Box<str>,
        /// What the system says.
        reason: Box<str>,
    },
}

/// Why a typed value was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadAsError {
    /// As for every read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is a value, and it is not of this type.
    #[error("the value is not of this type: {reason}")]
    Decode {
        /// What the decoder says.
        reason: Box<str>,
    },
}

/// Why a typed value was not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteAsError {
    /// As for every write.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The value has no such form; nothing was sent.
    #[error("the value cannot be encoded: {reason}")]
    Encode {
        /// What the encoder says.
        reason: Box<str>,
    },
}

impl ReadError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::TooMany { .. } | Self::AnswerTooLarge { .. } | Self::Damaged { .. } | Self::Closed => false,
        }
    }

    /// Whether something was changed all the same: never.
    pub fn may_have_happened(&self) -> bool {
        false
    }
}

impl WriteError {
    /// Whether the same call may succeed later. After [`may_have_happened`](Self::may_have_happened), repeat only what may be done twice.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Full { .. } | Self::Unavailable { .. } | Self::Unknown { .. } => true,
            Self::TooLarge { .. } | Self::CallTooLarge { .. } | Self::TooMany { .. } | Self::Damaged { .. } | Self::Closed => false,
        }
    }

    /// Whether the store may have done it all the same.
    pub fn may_have_happened(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }
}

impl CompareError {
    /// Whether the same call may succeed later. A conflict wants another expectation.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Conflict { .. } => false,
            Self::Write(error) => error.is_retryable(),
        }
    }

    /// Whether the store may have done it all the same.
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Conflict { .. } => false,
            Self::Write(error) => error.may_have_happened(),
        }
    }
}

impl WatchError {
    /// Whether asking again may succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Damaged { .. } => true,
            Self::Closed => false,
        }
    }

    /// Whether something was changed all the same: never.
    pub fn may_have_happened(&self) -> bool {
        false
    }
}

impl OpenError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::InUse { .. } | Self::Io { .. } => true,
            Self::Damaged { .. } | Self::Format { .. } => false,
        }
    }

    /// Whether there is a store all the same: never.
    pub fn may_have_happened(&self) -> bool {
        false
    }
}

impl ReadAsError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Read(error) => error.is_retryable(),
            Self::Decode { .. } => false,
        }
    }

    /// Whether something was changed all the same: never.
    pub fn may_have_happened(&self) -> bool {
        false
    }
}

impl WriteAsError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Write(error) => error.is_retryable(),
            Self::Encode { .. } => false,
        }
    }

    /// Whether the store may have done it all the same.
    pub fn may_have_happened(&self) -> bool {
        match self {
            Self::Write(error) => error.may_have_happened(),
            Self::Encode { .. } => false,
        }
    }
}
