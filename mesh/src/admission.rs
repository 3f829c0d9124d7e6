//! What may be written: checked before anything is sent.

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
}
