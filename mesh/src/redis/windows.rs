//! Windows: what each verb sends.

use super::address::slot_of;
use super::call::Repeat;
use super::entries::part_name;
use super::reply;
use super::script;
use super::store::Redis;
use crate::store::{StoreError, StoredPage};
use crate::window::Range;
use crate::{Key, Namespace, Position, Window, limits};
use bytes::Bytes;
use redis::Value;

/// Lua counts in doubles; no clock and no sequence comes near this.
const NUMBER_MAX: u64 = 1 << 53;

fn window_name(space: &Namespace, key: &Key) -> String {
    format!("my:{{{space}}}:w:{key}")
}

impl Redis {
    pub(super) async fn append_records(
        &self,
        space: &Namespace,
        window: &Window,
        records: Vec<Bytes>,
    ) -> Result<Vec<Position>, StoreError> {
        let options = window.options();
        let mut call = script::APPEND
            .call()
            .key(part_name(space, 'j'))
            .key(window_name(space, window.key()))
            .argument(window.key().as_str())
            .number(options.entries_max)
            .number(options.age_max.as_millis());
        for record in records {
            call = call.argument(record);
        }
        let places = reply::list(self.caller.script(slot_of(space), &call, Repeat::Never).await?)?;
        places.into_iter().map(place).collect()
    }

    pub(super) async fn recent_records(&self, space: &Namespace, window: &Window, range: Range) -> Result<StoredPage, StoreError> {
        let options = window.options();
        let (which, limit, from) = match range {
            Range::Last { limit } => ("last", limit, (0, 0)),
            Range::Since { time_ms, limit } => ("from", limit, (time_ms, 0)),
            Range::After { position, limit } => ("from", limit, (position.time_ms, position.sequence.saturating_add(1))),
        };
        let call = script::RECENT
            .call()
            .key(window_name(space, window.key()))
            .argument(which)
            .number(limit)
            .number(options.entries_max)
            .number(options.age_max.as_millis())
            .number(limits::RECENT_BYTES_MAX)
            .number(from.0.min(NUMBER_MAX))
            .number(from.1.min(NUMBER_MAX));
        let (entries, more) = reply::pair(self.caller.script(slot_of(space), &call, Repeat::Read).await?)?;
        let entries = reply::list(entries)?.into_iter().map(|entry| {
            let (id, record) = reply::pair(entry)?;
            Ok((place(id)?, Bytes::from(reply::bytes(record)?)))
        });
        Ok(StoredPage { entries: entries.collect::<Result<_, StoreError>>()?, more: reply::number(&more)? == 1 })
    }

    pub(super) async fn clear_window(&self, space: &Namespace, window: &Key) -> Result<bool, StoreError> {
        let call = script::CLEAR.call().key(part_name(space, 'j')).key(window_name(space, window)).argument(window.as_str());
        Ok(reply::number(&self.caller.script(slot_of(space), &call, Repeat::Never).await?)? == 1)
    }
}

fn place(id: Value) -> Result<Position, StoreError> {
    reply::text(id)?.parse().map_err(|_| StoreError::Damaged("a place that is none".into()))
}
