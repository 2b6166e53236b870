//! What many measurements say: a median and how far they are apart.

use std::time::Duration;

/// Measurements of one thing: seconds, or a number without a unit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    /// These.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// These, in seconds.
    pub(crate) fn times(times: &[Duration]) -> Self {
        Self::of(times.iter().map(Duration::as_secs_f64))
    }

    /// The value that the share `part` (0 to 1) of them does not exceed, between two by their distance.
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let Some(last) = self.0.len().checked_sub(1) else { return f64::NAN };
        let at = part * last as f64;
        let (low, share) = (at.floor() as usize, at.fract());
        let high = (low + 1).min(last);
        self.0[low] + (self.0[high] - self.0[low]) * share
    }

    /// The one in the middle.
    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }
}

/// Ours by the peer's, round by round: what slows the machine slows both.
pub(crate) fn ratios(ours: &[f64], peers: &[f64]) -> Series {
    Series::of(ours.iter().zip(peers).map(|(ours, peer)| ours / peer))
}

/// The median of each round.
pub(crate) fn medians(rounds: &[Vec<Duration>]) -> Vec<f64> {
    rounds.iter().map(|round| Series::times(round).median()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between() {
        let series = Series::of([4.0, 1.0, 3.0, 2.0]);
        assert_eq!((series.median(), series.quantile(0.0), series.quantile(1.0)), (2.5, 1.0, 4.0));
        assert_eq!(Series::of([7.0]).quantile(0.99), 7.0);
        assert!(Series::default().median().is_nan());
    }

    #[test]
    fn a_ratio_is_of_one_round() {
        assert_eq!(ratios(&[2.0, 40.0], &[1.0, 10.0]).median(), 3.0);
    }
}
