//! Changes of entries, in the order in which they happened.
//!
//! They are written only while somebody watches: the first watch of a namespace leaves a token, which lives ten minutes longer than the last question.
//! A position is that token, the number of a change and its mark. It is good as long as the token is the same and the change is still there with this
//! mark; otherwise something may have been missed, and that is a gap. So a position outlives a restart of the watcher, and a replica that took over
//! without the last changes is found out.

use super::address::slot_of;
use super::call::Repeat;
use super::entries::{on_entries, part_name};
use super::reply;
use super::script;
use super::store::Redis;
use crate::store::{Changes, StoreError, StoredChange, What};
use crate::{Namespace, WatchPosition, limits};
use redis::Value;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long the changes of a namespace are kept for a watch that asks no more.
const REMEMBERED_MS: u64 = 10 * 60 * 1000;
/// How often a watch looks when nothing wakes it: an expiry is noticed this late at most.
const LOOK: Duration = Duration::from_millis(1000);
/// The same without tracking, where nothing wakes it.
const LOOK_BLIND: Duration = Duration::from_millis(100);

impl Redis {
    pub(super) async fn head_of(&self, space: &Namespace) -> Result<WatchPosition, StoreError> {
        // The token is made here, because scripts have no randomness of their own. It is never zero, so that no position is by accident.
        let call = on_entries(&script::WATCH, space).number(fastrand::u64(1..)).number(REMEMBERED_MS);
        let mut parts = reply::list(self.caller.script(slot_of(space), &call, Repeat::Harmless).await?)?.into_iter();
        match (parts.next(), parts.next(), parts.next()) {
            (Some(token), Some(number), Some(mark)) => {
                let token = reply::text(token)?.parse().map_err(|_| StoreError::Damaged("a token that is none".into()))?;
                Ok(WatchPosition([token, reply::count(&number)?, mark_of(&reply::bytes(mark)?)?]))
            }
            _ => Err(StoreError::Damaged("three values were expected".into())),
        }
    }

    pub(super) async fn changes_behind(&self, space: &Namespace, after: WatchPosition, wait: Duration) -> Result<Changes, StoreError> {
        let deadline = Instant::now() + wait;
        loop {
            // Before the question, so that a change between question and waiting wakes.
            let woken = self.tracking.wakes().wait_for(part_name(space, 'v'));
            let aware = self.watch_closely(space).await;
            let Some((changes, due)) = self.ask_changes(space, after).await? else { return Ok(Changes::Gap) };
            if matches!(&changes, Changes::Some(some, _) if !some.is_empty()) || Instant::now() >= deadline {
                return Ok(changes);
            }
            let look = if aware { LOOK } else { LOOK_BLIND };
            // The moment behind the end, so that the next question finds it.
            let look = due.map_or(look, |due| look.min(due + Duration::from_millis(1)));
            tokio::select! {
                _ = timeout_at(deadline.min(Instant::now() + look), woken.notified()) => {}
                () = self.caller.closed.cancelled() => return Err(StoreError::Closed),
            }
        }
    }

    /// One question: what happened, and when something expires next. `None`: a gap.
    async fn ask_changes(&self, space: &Namespace, after: WatchPosition) -> Result<Option<(Changes, Option<Duration>)>, StoreError> {
        let WatchPosition([token, number, mark]) = after;
        let call = on_entries(&script::CHANGES, space)
            .number(token)
            .number(number)
            .argument(mark.to_be_bytes())
            .number(limits::CHANGES_PER_TURN_MAX)
            .number(REMEMBERED_MS);
        let answer = self.caller.script(slot_of(space), &call, Repeat::Read).await?;
        if matches!(answer, Value::Nil | Value::Boolean(false)) {
            return Ok(None);
        }
        let (found, due) = reply::pair(answer)?;
        let mut changes = Vec::new();
        let mut behind = after;
        for change in reply::list(found)? {
            let (id, fields) = reply::pair(change)?;
            let number = reply::text(id)?.split('-').next().and_then(|number| number.parse().ok());
            let number = number.ok_or_else(|| StoreError::Damaged("the number of a change that is none".into()))?;
            let (change, mark) = change_of(reply::list(fields)?)?;
            changes.push(change);
            behind = WatchPosition([token, number, mark]);
        }
        let due = u64::try_from(reply::number(&due)?).ok().map(Duration::from_millis);
        Ok(Some((Changes::Some(changes, behind), due)))
    }
}

/// `<what> <name> t <mark> r <revision>`.
fn change_of(fields: Vec<Value>) -> Result<(StoredChange, u64), StoreError> {
    let [what, name, _, mark, _, revision]: [Value; 6] =
        fields.try_into().map_err(|_| StoreError::Damaged("a change that is none".into()))?;
    let what = match reply::bytes(what)?.as_slice() {
        b"p" => What::Put(reply::revision(&reply::bytes(revision)?)?),
        b"d" => What::Deleted,
        b"x" => What::Expired,
        _ => return Err(StoreError::Damaged("a change of an unknown kind".into())),
    };
    Ok((StoredChange { key: reply::key(name)?, what }, mark_of(&reply::bytes(mark)?)?))
}

/// Eight bytes; none for the position before the first change.
fn mark_of(bytes: &[u8]) -> Result<u64, StoreError> {
    match bytes {
        [] => Ok(0),
        bytes => bytes.try_into().map(u64::from_be_bytes).map_err(|_| StoreError::Damaged("a mark that is none".into())),
    }
}
