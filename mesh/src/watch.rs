//! Watching: what is there, and then everything that becomes of it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::{ReadError, WatchError};
use crate::mesh::Shared;
use crate::store::{Changes, Kind, Scan, Store, StoredChange, What};
use crate::{Entry, Key, Namespace, Prefix, limits};

/// Follows the entries of a namespace whose keys begin with a prefix.
///
/// What it tells, in this order: a [`Change`] for each entry that is there, [`WatchEvent::Live`], then a change for whatever happens. If it cannot
/// know any more what happened (it was too far behind, the store began anew or was replaced by a replica), it tells [`WatchEvent::Resync`] and
/// begins from the front: whoever keeps a copy empties it there.
///
/// A copy that follows these rules becomes the same as the store. On its way a watch may skip contents that were replaced meanwhile, may tell a
/// content early, and may tell the same again: it reads the content of a change when it tells it. What is told of one key is in order, except for
/// such an early content. Touches are not told. An expiry is told when it is noticed, within 2 s on a machine that is not overloaded.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    space: Namespace,
    prefix: Prefix,
    stage: Stage,
    /// What is still to be told, and the position that is reached with the last of it.
    queue: VecDeque<Result<WatchEvent, WatchError>>,
    reached: Option<WatchPosition>,
    position: Option<WatchPosition>,
}

#[derive(Debug)]
enum Stage {
    /// Nothing is known.
    Front,
    /// The keys behind `after` are still to be told; changes behind `head` were not looked at.
    Snapshot { head: WatchPosition, after: Option<Key> },
    /// Everything before `behind` was told, or is in the queue.
    Live { behind: WatchPosition },
}

/// Where a watch was, to go on from there, also in another process. It has no order and no meaning for anybody but the store. Text form: three
/// hexadecimal numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct WatchPosition(pub(crate) [u64; 3]);

/// A text is no position of a watch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a position of a watch is three hexadecimal numbers with hyphens between them")]
pub struct WatchPositionParseError;

/// What a watch tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// An entry is there or became something else.
    Change(Change),
    /// Everything that was there has been told; from here on come changes.
    Live,
    /// Something was missed: forget everything. What is there is told next.
    Resync,
}

/// What became of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which one.
    pub key: Key,
    /// What it became.
    pub to: Changed,
}

/// What an entry became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// It has this content.
    Put(Entry),
    /// Somebody deleted it.
    Deleted,
    /// Its time was over.
    Expired,
}

impl Watch {
    pub(crate) fn new(shared: Arc<Shared>, space: Namespace, prefix: Prefix, from: Option<WatchPosition>) -> Self {
        let stage = from.map_or(Stage::Front, |behind| Stage::Live { behind });
        Self { shared, space, prefix, stage, queue: VecDeque::new(), reached: None, position: from }
    }

    /// The next thing to tell. Waits for as long as nothing happens.
    ///
    /// # Errors
    /// When the store cannot be asked, or an entry cannot be read. Asked again after an error that is retryable, the watch goes on and misses
    /// nothing.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn next(&mut self) -> Result<WatchEvent, WatchError> {
        loop {
            if let Some(event) = self.read_ahead() {
                return event;
            }
            self.gather().await?;
        }
    }

    /// What [`next`](Self::next) would return at once, because it was read together with what was returned before. `None` asks nobody.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn read_ahead(&mut self) -> Option<Result<WatchEvent, WatchError>> {
        let event = self.queue.pop_front()?;
        if self.queue.is_empty() {
            self.position = self.reached.take().or(self.position);
        }
        Some(event)
    }

    /// Where to go on with [`Space::watch_from`](crate::Space::watch_from), so that nothing is missed of what was not returned yet. Some of what
    /// was returned may be told again. `None` as long as the first snapshot is not told completely.
    pub fn position(&self) -> Option<WatchPosition> {
        self.position
    }

    /// One step. Its state changes behind its last await only.
    async fn gather(&mut self) -> Result<(), WatchError> {
        match &self.stage {
            Stage::Front => {
                let head = self.shared.store.head(&self.space).await?;
                self.stage = Stage::Snapshot { head, after: None };
            }
            Stage::Snapshot { head, after } => {
                let head = *head;
                let scan = Scan { kind: Kind::Entries, prefix: &self.prefix, after: after.as_ref(), limit: limits::CHANGES_PER_TURN_MAX };
                let keys = self.shared.store.scan(&self.space, scan).await?;
                let entries = self.look_up(&keys).await?;
                self.queue.extend(keys.iter().filter_map(|key| put(key, entries.get(key))));
                match keys.last() {
                    Some(last) if keys.len() == limits::CHANGES_PER_TURN_MAX => {
                        self.stage = Stage::Snapshot { head, after: Some(last.clone()) };
                    }
                    Some(_) | None => {
                        self.queue.push_back(Ok(WatchEvent::Live));
                        self.go_live(head);
                    }
                }
            }
            Stage::Live { behind } => match self.shared.store.changes(&self.space, *behind, limits::WATCH_TURN).await? {
                Changes::Some(mut changes, behind) => {
                    changes.retain(|change| self.prefix.matches(&change.key));
                    let events = self.told(changes).await?;
                    self.queue.extend(events);
                    self.go_live(behind);
                }
                Changes::Gap => {
                    self.shared.metrics.resyncs.inc();
                    self.queue.push_back(Ok(WatchEvent::Resync));
                    self.stage = Stage::Front;
                    self.position = None;
                }
            },
        }
        Ok(())
    }

    fn go_live(&mut self, behind: WatchPosition) {
        self.stage = Stage::Live { behind };
        match self.queue.is_empty() {
            true => self.position = Some(behind),
            false => self.reached = Some(behind),
        }
    }

    /// Of each key that was written its content, once, in place of the last of these writes.
    async fn told(&self, changes: Vec<StoredChange>) -> Result<Vec<Result<WatchEvent, WatchError>>, WatchError> {
        let written: HashSet<_> = changes.iter().filter(|change| is_put(change)).map(|change| change.key.clone()).collect();
        let entries = self.look_up(&written.into_iter().collect::<Vec<_>>()).await?;
        let mut later = HashSet::new();
        let mut events: Vec<_> = changes
            .into_iter()
            .rev()
            .filter_map(|StoredChange { key, what }| match what {
                What::Put(_) => later.insert(key.clone()).then(|| put(&key, entries.get(&key))).flatten(),
                What::Deleted => Some(Ok(WatchEvent::Change(Change { key, to: Changed::Deleted }))),
                What::Expired => Some(Ok(WatchEvent::Change(Change { key, to: Changed::Expired }))),
            })
            .collect();
        events.reverse();
        Ok(events)
    }

    /// From the store itself: what is remembered here may be older than the change.
    async fn look_up(&self, keys: &[Key]) -> Result<HashMap<Key, Result<Entry, ReadError>>, WatchError> {
        let (mut found, mut left, mut at_once) = (HashMap::new(), keys, keys.len());
        while !left.is_empty() {
            let (some, rest) = left.split_at(at_once.min(left.len()));
            match self.shared.fresh(&self.space, some).await {
                // Too large together, not each.
                Err(ReadError::AnswerTooLarge { .. }) if some.len() > 1 => at_once = some.len() / 2,
                Err(error) => return Err(error.into()),
                Ok(fresh) => {
                    found.extend(some.iter().zip(fresh).filter_map(|(key, entry)| Some((key.clone(), entry?))));
                    left = rest;
                }
            }
        }
        Ok(found)
    }
}

fn is_put(change: &StoredChange) -> bool {
    matches!(change.what, What::Put(_))
}

/// An entry that is gone already is none: its end is told later.
fn put(key: &Key, found: Option<&Result<Entry, ReadError>>) -> Option<Result<WatchEvent, WatchError>> {
    Some(match found? {
        Ok(entry) => Ok(WatchEvent::Change(Change { key: key.clone(), to: Changed::Put(entry.clone()) })),
        Err(error) => Err(error.clone().into()),
    })
}

impl fmt::Display for WatchPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, third] = self.0;
        write!(f, "{first:x}-{second:x}-{third:x}")
    }
}

impl fmt::Debug for WatchPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for WatchPosition {
    type Err = WatchPositionParseError;

    fn from_str(text: &str) -> Result<Self, WatchPositionParseError> {
        let mut numbers = text.split('-').map(|text| match text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            true => u64::from_str_radix(text, 16).map_err(|_| WatchPositionParseError),
            false => Err(WatchPositionParseError),
        });
        let mut next = || numbers.next().unwrap_or(Err(WatchPositionParseError));
        let position = Self([next()?, next()?, next()?]);
        if numbers.next().is_some() { Err(WatchPositionParseError) } else { Ok(position) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_position_is_read_again() {
        let position = WatchPosition([1, u64::MAX, 0]);
        assert_eq!(position.to_string(), "1-ffffffffffffffff-0");
        assert_eq!(position.to_string().parse(), Ok(position));
        for text in ["", "1-2", "1-2-3-4", "1--2", "1-2-g", "+1-2-3", "1-2-10000000000000000"] {
            assert_eq!(text.parse::<WatchPosition>(), Err(WatchPositionParseError), "{text:?}");
        }
    }
}
