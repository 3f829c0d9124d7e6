//! Who publishes on this thread right now, so that a client with `"echo":false` is spared its own messages.
//!
//! Deliveries run inline in the publisher's call, so the question "is this mine?" has its answer on the same thread. Only clients that asked
//! for it pay for it.

use std::cell::RefCell;

use crate::wire::Subject;

struct Origin {
    client: u64,
    subject: Subject,
    spared: usize,
}

thread_local! {
    static ORIGIN: RefCell<Option<Origin>> = const { RefCell::new(None) };
}

/// Runs `publish` as an act of `client` and returns its result with the number of deliveries that were spared.
pub(super) fn publishing<R>(client: u64, subject: &Subject, publish: impl FnOnce() -> R) -> (R, usize) {
    let outer = ORIGIN.replace(Some(Origin { client, subject: subject.clone(), spared: 0 }));
    let result = publish();
    let own = ORIGIN.replace(outer);
    (result, own.map_or(0, |origin| origin.spared))
}

/// Whether a delivery on `subject` is `client`'s own message, which is then counted as spared. The subject is compared because a responder may
/// answer within the publisher's call, and that answer is not an echo.
pub(super) fn spare(client: u64, subject: &Subject) -> bool {
    ORIGIN.with_borrow_mut(|origin| match origin {
        Some(origin) if origin.client == client && origin.subject == *subject => {
            origin.spared += 1;
            true
        }
        _ => false,
    })
}

/// Whether `client` is publishing on this thread.
pub(super) fn is_publishing(client: u64) -> bool {
    ORIGIN.with_borrow(|origin| origin.as_ref().is_some_and(|origin| origin.client == client))
}
