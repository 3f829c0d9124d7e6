//! Metrics of the process itself, read when somebody asks.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use crate::system;

/// Memory, files and age under the names that Prometheus client libraries agree on.
#[derive(Debug)]
pub(crate) struct ProcessCollector {
    started_s: f64,
}

impl ProcessCollector {
    /// A collector for a process that started just now.
    pub(crate) fn new() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started_s: since_epoch.as_secs_f64() }
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, value: Option<f64>| -> Result<(), std::fmt::Error> {
            let Some(value) = value else { return Ok(()) };
            let metric = ConstGauge::new(value);
            let encoder = encoder.encode_descriptor(name, help, unit, metric.metric_type())?;
            metric.encode(encoder)
        };
        let resident = system::resident_bytes().map(|bytes| bytes as f64);
        let files = system::open_files().map(|files| files as f64);
        let files_max = system::open_files_max().map(|files| files as f64);
        gauge("process_resident_memory", "Memory of the process that is in RAM", Some(&Unit::Bytes), resident)?;
        gauge("process_open_fds", "Files and sockets that are open", None, files)?;
        gauge("process_max_fds", "Files and sockets that may be open", None, files_max)?;
        gauge("process_start_time", "When the process started, since 1970", Some(&Unit::Seconds), Some(self.started_s))
    }
}
