//! Whether a series of samples is flat.

/// What is said of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Trend {
    pub(crate) first: f64,
    /// The fitted line's rise from the first to the last sample, as a share of where it begins.
    pub(crate) growth: f64,
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Trend {
    /// The trend of `(when, what)`; `None` of fewer than three samples.
    pub(crate) fn of(samples: &[(f64, f64)]) -> Option<Self> {
        let (first, last) = (samples.first()?, samples.last()?);
        if samples.len() < 3 {
            return None;
        }
        let count = samples.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / count;
        let (time, value) = (mean(|sample| sample.0), mean(|sample| sample.1));
        let spread: f64 = samples.iter().map(|sample| (sample.0 - time).powi(2)).sum();
        let slope = samples.iter().map(|sample| (sample.0 - time) * (sample.1 - value)).sum::<f64>() / spread;
        let start = value + slope * (first.0 - time);
        let mut sorted: Vec<_> = samples.iter().map(|sample| sample.1).collect();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            first: first.1,
            growth: slope * (last.0 - first.0) / start,
            median: sorted[sorted.len() / 2],
            min: sorted[0],
            max: sorted[sorted.len() - 1],
        })
    }

    /// The larger distance of an extreme from the median, as a share of it.
    pub(crate) fn deviation(&self) -> f64 {
        ((self.max - self.median) / self.median).max((self.median - self.min) / self.median)
    }
}

/// Where a noisy series stands, one median per `width` of time.
pub(crate) fn levels(samples: &[(f64, f64)], width: f64) -> Vec<(f64, f64)> {
    let Some(&(first, _)) = samples.first() else {
        return Vec::new();
    };
    samples
        .chunk_by(|a, b| ((a.0 - first) / width).floor() == ((b.0 - first) / width).floor())
        .filter_map(|chunk| {
            let mut sorted: Vec<_> = chunk.iter().map(|sample| sample.1).collect();
            sorted.sort_by(f64::total_cmp);
            Some((chunk.first()?.0, *sorted.get(sorted.len() / 2)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_leak_shows_through_noise() {
        let noisy =
            |leak: f64| (0..600).map(|at| (f64::from(at), 100.0 + leak * f64::from(at) + f64::from(at * 7 % 11))).collect::<Vec<_>>();
        let flat = Trend::of(&noisy(0.0)).unwrap();
        assert!(flat.growth.abs() < 0.005, "{flat:?}");
        let leaking = Trend::of(&noisy(0.01)).unwrap();
        assert!((0.05..0.07).contains(&leaking.growth), "{leaking:?}");
    }

    #[test]
    fn a_level_shows_what_stays_and_not_what_passes() {
        let samples: Vec<_> = (0..60).map(|at| (f64::from(at), if at % 10 == 3 { 90.0 } else { 10.0 + f64::from(at / 20) })).collect();
        assert_eq!(levels(&samples, 20.0), vec![(0.0, 10.0), (20.0, 11.0), (40.0, 12.0)]);
        assert_eq!(levels(&[], 20.0), vec![]);
    }

    #[test]
    fn the_median_does_not_move_with_one_peak() {
        let trend = Trend::of(&[(0.0, 10.0), (1.0, 10.0), (2.0, 15.0), (3.0, 10.0), (4.0, 9.0)]).unwrap();
        assert_eq!((trend.median, trend.max, trend.min), (10.0, 15.0, 9.0));
        assert!((trend.deviation() - 0.5).abs() < 1e-9);
        assert_eq!(Trend::of(&[(0.0, 1.0)]), None);
    }
}
