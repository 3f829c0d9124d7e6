//! Whole latency distributions, and the few figures of them that are printed.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// One minute; anything slower is counted there.
const NANOS_MAX: u64 = 60_000_000_000;

/// A histogram of durations, three significant digits.
#[derive(Debug)]
pub(crate) struct Latency(Histogram<u64>);

/// Percentiles in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) count: u64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
}

impl Latency {
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, NANOS_MAX, 3).expect("the bounds are constants that fit"))
    }

    pub(crate) fn record(&mut self, took: Duration) {
        self.record_nanos(u64::try_from(took.as_nanos()).unwrap_or(NANOS_MAX));
    }

    pub(crate) fn record_nanos(&mut self, nanos: u64) {
        self.0.saturating_record(nanos.clamp(1, NANOS_MAX));
    }

    pub(crate) fn summary(&self) -> Summary {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1_000.0;
        Summary { count: self.0.len(), p50_us: at(0.50), p99_us: at(0.99), p999_us: at(0.999), max_us: self.0.max() as f64 / 1_000.0 }
    }
}

/// The middle value; of an even number the lower one, so that it was really measured.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_come_out_in_microseconds() {
        let mut latency = Latency::new();
        for micros in 1..=1_000 {
            latency.record(Duration::from_micros(micros));
        }
        let summary = latency.summary();
        assert_eq!(summary.count, 1_000);
        assert!((summary.p50_us - 500.0).abs() < 1.0, "{summary:?}");
        assert!((summary.p99_us - 990.0).abs() < 1.0, "{summary:?}");
    }

    #[test]
    fn the_median_is_one_of_the_values() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.0);
        assert!(median(&[]).is_nan());
    }
}
