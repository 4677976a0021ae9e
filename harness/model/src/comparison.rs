//! What a ratio says: a verdict for one, a geometric mean for many.

use crate::Estimate;

/// The smallest difference that matters by default: 3 %.
pub const MINIMAL_EFFECT: f64 = 0.03;

/// What an interval of a ratio (a time over a reference's time) says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The whole interval is below the band of equivalence.
    Faster,
    /// The whole interval is above the band.
    Slower,
    /// The whole interval is inside of the band.
    Equivalent,
    /// The interval crosses an edge of the band: more samples or a quieter node would tell.
    Inconclusive,
}

impl Verdict {
    /// Judges a ratio against the band from `1 / (1 + minimal_effect)` to `1 + minimal_effect`.
    ///
    /// The band is even on a scale of ratios, so exchanging the sides exchanges `Faster` and
    /// `Slower`. A `minimal_effect` that is negative or not a number counts as 0.
    pub fn of(ratio: &Estimate, minimal_effect: f64) -> Self {
        let above = 1.0 + minimal_effect.max(0.0);
        let below = 1.0 / above;
        if ratio.high < below {
            Self::Faster
        } else if ratio.low > above {
            Self::Slower
        } else if ratio.low >= below && ratio.high <= above {
            Self::Equivalent
        } else {
            Self::Inconclusive
        }
    }

    /// The verdict as it stands in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Faster => "faster",
            Self::Slower => "slower",
            Self::Equivalent => "equivalent",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// The geometric mean of ratios and their range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GeometricMean {
    /// The mean.
    pub mean: f64,
    /// The smallest ratio.
    pub smallest: f64,
    /// The largest ratio.
    pub largest: f64,
    /// How many ratios there were.
    pub count: usize,
}

/// The geometric mean, the one mean of ratios that does not depend on which side is the
/// reference (Fleming and Wallace, "How Not to Lie with Statistics", 1986).
///
/// None when there are no ratios, or one is not positive and finite.
pub fn geometric_mean(ratios: &[f64]) -> Option<GeometricMean> {
    if ratios.is_empty() || ratios.iter().any(|&ratio| !ratio.is_finite() || ratio <= 0.0) {
        return None;
    }
    let smallest = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = ratios.iter().copied().fold(0.0, f64::max);
    // Logarithms, because the product of many ratios may leave the range of a float.
    let logarithm = ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64;
    Some(GeometricMean {
        mean: logarithm.exp().clamp(smallest, largest),
        smallest,
        largest,
        count: ratios.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(low: f64, high: f64) -> Verdict {
        Verdict::of(&Estimate { point: (low + high) / 2.0, low, high }, MINIMAL_EFFECT)
    }

    #[test]
    fn a_verdict_needs_the_whole_interval() {
        assert_eq!(verdict(0.80, 0.90), Verdict::Faster);
        assert_eq!(verdict(1.05, 1.20), Verdict::Slower);
        assert_eq!(verdict(0.98, 1.02), Verdict::Equivalent);
        assert_eq!(verdict(0.90, 1.00), Verdict::Inconclusive);
        assert_eq!(verdict(1.01, 1.10), Verdict::Inconclusive);
        assert_eq!(verdict(0.50, 2.00), Verdict::Inconclusive);
    }

    #[test]
    fn the_geometric_mean_of_small_examples() {
        let mean = geometric_mean(&[2.0, 8.0]).unwrap();
        assert!((mean.mean - 4.0).abs() < 1e-12);
        assert_eq!((mean.smallest, mean.largest, mean.count), (2.0, 8.0, 2));
        assert_eq!(geometric_mean(&[3.0]).unwrap().mean, 3.0);
        assert_eq!(geometric_mean(&[]), None);
        assert_eq!(geometric_mean(&[1.0, 0.0]), None);
        assert_eq!(geometric_mean(&[1.0, f64::NAN]), None);
    }
}
