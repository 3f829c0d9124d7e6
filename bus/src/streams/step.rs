//! The steps by which a message becomes a dead letter. Tests stop a process between any two of them, and kill it there: see
//! [`conformance::halt`](crate::conformance::halt). Without the feature `conformance` there is nothing here.

/// What was just done for a message that becomes a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[cfg_attr(not(feature = "conformance"), expect(unreachable_pub, reason = "public with the feature"))]
pub enum Step {
    /// It was delivered once more than its consumer allows, and nothing else is known of it yet.
    Delivered,
    /// How its deliveries ended is known.
    AttemptsRead,
    /// That a worker gave it up is noted.
    AttemptNoted,
    /// Its letter is on its way to the server.
    LetterSent,
    /// Its letter is stored.
    LetterStored,
    /// It is gone where it was.
    OriginalSettled,
}

#[cfg(feature = "conformance")]
impl Step {
    /// Every step.
    pub const ALL: [Self; 6] =
        [Self::Delivered, Self::AttemptsRead, Self::AttemptNoted, Self::LetterSent, Self::LetterStored, Self::OriginalSettled];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::AttemptsRead => "attempts-read",
            Self::AttemptNoted => "attempt-noted",
            Self::LetterSent => "letter-sent",
            Self::LetterStored => "letter-stored",
            Self::OriginalSettled => "original-settled",
        }
    }
}

#[cfg(not(feature = "conformance"))]
#[expect(clippy::unused_async, reason = "with the feature it may wait for ever")]
pub(super) async fn passed(_: Step) {}

#[cfg(feature = "conformance")]
pub(crate) use halting::halt;
#[cfg(feature = "conformance")]
pub(super) use halting::passed;

#[cfg(feature = "conformance")]
mod halting {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::Step;

    struct Halt {
        step: Step,
        /// How often the step may be passed before.
        left: AtomicU32,
        told: Box<dyn Fn() + Send + Sync>,
    }

    static HALT: OnceLock<Halt> = OnceLock::new();

    /// See [`conformance::halt`](crate::conformance::halt).
    pub(crate) fn halt(step: Step, passes: u32, told: Box<dyn Fn() + Send + Sync>) {
        let is_first = HALT.set(Halt { step, left: AtomicU32::new(passes), told }).is_ok();
        assert!(is_first, "a process halts once");
    }

    pub(in super::super) async fn passed(step: Step) {
        let Some(halt) = HALT.get().filter(|halt| halt.step == step) else { return };
        if halt.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err() {
            (halt.told)();
            std::future::pending::<()>().await;
        }
    }
}
