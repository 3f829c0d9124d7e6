//! What may be written: checked before anything is sent.

use bytes::Bytes;

use crate::error::WriteError;
use crate::mesh::Shared;
use crate::{Value, limits};

impl Shared {
    /// Compares the values of one call with all limits.
    pub(crate) fn admit<'a>(&self, values: impl ExactSizeIterator<Item = &'a Value>) -> Result<(), WriteError> {
        if values.len() > limits::KEYS_PER_CALL_MAX {
            return Err(WriteError::TooMany { count: values.len(), max: limits::KEYS_PER_CALL_MAX });
        }
        let mut sum = 0;
        for value in values {
            let size = value.bytes.len();
            if size > self.value_bytes_max {
                self.metrics.refused.inc();
                return Err(WriteError::TooLarge { size, max: self.value_bytes_max });
            }
            sum += size;
        }
        if sum > limits::CALL_BYTES_MAX {
            self.metrics.refused.inc();
            return Err(WriteError::CallTooLarge { size: sum, max: limits::CALL_BYTES_MAX });
        }
        Ok(())
    }

    /// A value as it is stored.
    pub(crate) fn record(&self, value: &Value) -> Bytes {
        let record = self.encoder.encode(value);
        self.metrics.bytes_given.inc_by(value.bytes.len() as u64);
        self.metrics.bytes_stored.inc_by(record.len() as u64);
        record
    }
}
