//! Values of Rust types, as MessagePack.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{ReadAsError, WriteAsError};
use crate::{ContentType, Key, Position, Recent, Revision, Space, Ttl, Value, Window};

impl Value {
    /// MessagePack of a Rust value: structures become maps with the names of their fields, so that other languages and later versions read them.
    ///
    /// # Errors
    /// When the value has no such form.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, WriteAsError> {
        match rmp_serde::to_vec_named(value) {
            Ok(bytes) => Ok(Self { bytes: bytes.into(), content_type: ContentType::MESSAGE_PACK }),
            Err(error) => Err(WriteAsError::Encode { reason: error.to_string().into() }),
        }
    }

    /// The Rust value, if the bytes are MessagePack of it. The content type is not looked at.
    ///
    /// # Errors
    /// When they are not.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, ReadAsError> {
        rmp_serde::from_slice(&self.bytes).map_err(|error| ReadAsError::Decode { reason: error.to_string().into() })
    }
}

impl Space {
    /// As [`get`](Self::get), for a value that was written by [`set_as`](Self::set_as).
    ///
    /// # Errors
    /// As [`get`](Self::get); and when the value is not of this type.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn get_as<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, ReadAsError> {
        self.get(key).await?.map(|entry| entry.value.to()).transpose()
    }

    /// As [`set`](Self::set), for a Rust value.
    ///
    /// # Errors
    /// As [`set`](Self::set); and when the value cannot be encoded.
    ///
    /// # Cancel safety
    /// The write may or may not happen.
    pub async fn set_as<T: Serialize + ?Sized>(&self, key: &Key, value: &T, ttl: Ttl) -> Result<Revision, WriteAsError> {
        // Encoded before the first await, so that the future is `Send` whatever the value is.
        let value = Value::of(value)?;
        Ok(self.set(key, value, ttl).await?)
    }

    /// As [`append`](Self::append), for a Rust value.
    ///
    /// # Errors
    /// As [`append`](Self::append); and when the value cannot be encoded.
    ///
    /// # Cancel safety
    /// The append may or may not happen.
    pub async fn append_as<T: Serialize + ?Sized>(&self, window: &Window, value: &T) -> Result<Position, WriteAsError> {
        let value = Value::of(value)?;
        Ok(self.append(window, value).await?)
    }

    /// As [`recent`](Self::recent), for values that were written by [`append_as`](Self::append_as). One that is of another type fails the call.
    ///
    /// # Errors
    /// As [`recent`](Self::recent); and when a value is not of this type.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn recent_as<T: DeserializeOwned>(&self, window: &Window, which: Recent) -> Result<Vec<(Position, T)>, ReadAsError> {
        let page = self.recent(window, which).await?;
        page.entries.into_iter().map(|entry| Ok((entry.position, entry.value.to()?))).collect()
    }
}
