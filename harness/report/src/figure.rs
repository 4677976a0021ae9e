//! Figures and their intervals: by one rule, whatever they are of.

use lumos_model::{Bootstrap, Comparison, MINIMAL_EFFECT, Samples};
use serde::{Deserialize, Serialize};

/// The seed of all resampling: a report of the same run is the same to the last digit.
pub const SEED: u64 = 0x006c_756d_6f73;

/// A median that may have too few samples for an interval.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Figure {
    /// The median.
    pub median: f64,
    /// The lower end of its interval.
    pub low: Option<f64>,
    /// The upper end of its interval.
    pub high: Option<f64>,
    /// How many samples there are.
    pub n: usize,
}

impl Figure {
    /// Of samples, with an interval if there are enough.
    pub fn of(bootstrap: &mut Bootstrap, samples: &Samples) -> Self {
        let interval = bootstrap.median(samples);
        Self {
            median: samples.median(),
            low: interval.map(|estimate| estimate.low),
            high: interval.map(|estimate| estimate.high),
            n: samples.count(),
        }
    }
}

/// A figure with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The figure.
    pub point: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl From<lumos_model::Estimate> for Interval {
    fn from(estimate: lumos_model::Estimate) -> Self {
        Self { point: estimate.point, low: estimate.low, high: estimate.high }
    }
}

impl Interval {
    /// The same in another unit.
    pub fn times(self, factor: f64) -> Self {
        let Self { point, low, high } = self;
        Self { point: point * factor, low: low * factor, high: high * factor }
    }
}

/// What can be said of each of the comparisons of a table; see [`Comparison::judge`].
pub fn verdicts(compared: &[Comparison]) -> Vec<String> {
    let judged = Comparison::judge(compared, MINIMAL_EFFECT);
    judged.into_iter().map(|judged| judged.verdict.name().to_owned()).collect()
}
