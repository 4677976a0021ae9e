//! What a ratio says: a verdict for one, a geometric mean for many.

use crate::bootstrap::ratios_of_rounds;
use crate::significance::values_until;
use crate::{Bootstrap, Estimate, Samples, holm, mean_differs};

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

/// A later build's times over an earlier one's.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The ratio, paired by round and sample; see [`Bootstrap::ratio`].
    pub ratio: Estimate,
    /// How many rounds both sides have; 1 where a side has no rounds.
    pub rounds: usize,
    /// The probability of such a difference by chance, by Student's test of the rounds' logarithmic
    /// ratios, of this comparison alone; none with fewer than two rounds.
    pub p_value: Option<f64>,
}

/// What can be said of a comparison among others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// [`Comparison::p_value`], adjusted for the number of comparisons.
    pub adjusted_p_value: Option<f64>,
    /// Of what is inconclusive, how many more rounds would probably settle it; none where no
    /// affordable number would, since the ratio lies too near to the edge of what matters.
    pub more_rounds: Option<usize>,
}

impl Comparison {
    /// The fewest rounds that carry a verdict.
    ///
    /// The true median lies outside of the range of `n` independent medians with probability
    /// `2^(1-n)`: 1 in 16 with five. What the samples within the rounds add makes the interval
    /// wider than that range.
    pub const FEWEST_ROUNDS: usize = 5;

    /// The largest adjusted probability that is not taken for chance.
    const THRESHOLD: f64 = 1.0 - Bootstrap::CONFIDENCE;

    /// The most rounds that are still worth proposing.
    const MOST_ROUNDS: usize = 1_000;

    /// Compares two sets of samples; none where [`Bootstrap::ratio`] gives no ratio.
    pub fn new(new: &Samples, base: &Samples, bootstrap: &mut Bootstrap) -> Option<Self> {
        let ratio = bootstrap.ratio(new, base)?;
        let rounds = ratios_of_rounds(new, base, 0.0);
        let logarithms: Vec<f64> = rounds.iter().map(|ratio| ratio.ln()).collect();
        Some(Self { ratio, rounds: rounds.len().max(1), p_value: mean_differs(&logarithms) })
    }

    /// Judges comparisons that were made together.
    ///
    /// `Faster` and `Slower` take an interval that lies wholly outside of the band of
    /// [`Verdict::of`], and a difference that is no chance among so many comparisons: its
    /// probability, adjusted by [`holm`], is at most 1 in 20. `Equivalent` takes an interval
    /// inside of the band. With fewer than [`Comparison::FEWEST_ROUNDS`] nothing is judged: how
    /// far the node changes by itself from one round to the next is not known then.
    pub fn judge(comparisons: &[Self], minimal_effect: f64) -> Vec<Judgement> {
        let chances: Vec<f64> =
            comparisons.iter().map(|found| found.p_value.unwrap_or(f64::NAN)).collect();
        let adjusted = holm(&chances);
        let open = adjusted.iter().filter(|&&adjusted| adjusted > Self::THRESHOLD).count();
        let judged = comparisons.iter().zip(adjusted);
        judged
            .map(|(comparison, adjusted)| comparison.judged(adjusted, open, minimal_effect))
            .collect()
    }

    /// Judges one of those of which `open` may be chance.
    fn judged(&self, adjusted: f64, open: usize, minimal_effect: f64) -> Judgement {
        let (verdict, more_rounds) = match Verdict::of(&self.ratio, minimal_effect) {
            found if found == Verdict::Inconclusive || self.rounds < Self::FEWEST_ROUNDS => {
                (Verdict::Inconclusive, self.more_rounds(minimal_effect))
            }
            Verdict::Faster | Verdict::Slower if adjusted > Self::THRESHOLD => {
                (Verdict::Inconclusive, self.more_rounds_among(open))
            }
            verdict => (verdict, None),
        };
        let adjusted_p_value = (!adjusted.is_nan()).then_some(adjusted);
        Judgement { verdict, adjusted_p_value, more_rounds }
    }

    /// How many more rounds would settle it, if the interval shrinks with the square root of
    /// their number and the ratio stays what it is.
    fn more_rounds(&self, minimal_effect: f64) -> Option<usize> {
        let Estimate { point, low, high } = self.ratio;
        let edge = minimal_effect.max(0.0).ln_1p();
        let distance = (point.ln().abs() - edge).abs();
        let reach = (high / point).ln().max((point / low).ln());
        let needed = (self.rounds as f64 * (reach / distance).powi(2)).ceil();
        let needed = needed.max(Self::FEWEST_ROUNDS as f64);
        // Also false where it is no number: where both are 0.
        (needed <= Self::MOST_ROUNDS as f64)
            .then(|| (needed as usize).saturating_sub(self.rounds).max(1))
    }

    /// How many more rounds would settle what only the correction for many comparisons leaves
    /// open, as it does with `open` of them: the first of these that [`holm`] lets pass has a
    /// probability of no more than the threshold over their number.
    fn more_rounds_among(&self, open: usize) -> Option<usize> {
        let wanted = Self::THRESHOLD / open as f64;
        let needed = values_until(self.p_value?, self.rounds, wanted, Self::MOST_ROUNDS)?;
        Some((needed - self.rounds).max(1))
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

    /// Rounds of 20 samples, whose medians are these.
    fn rounds(medians: &[f64]) -> Samples {
        let round = |&median: &f64| {
            let values = (-10..=10).map(|n| median * (1.0 + f64::from(n) / 1e4)).collect();
            Samples::raw(values).unwrap()
        };
        Samples::in_rounds((1..).zip(medians.iter().map(round)).collect()).unwrap()
    }

    fn compare(new: &[f64], base: &[f64]) -> Comparison {
        Comparison::new(&rounds(new), &rounds(base), &mut Bootstrap::new(1)).unwrap()
    }

    fn judge(pairs: &[(&[f64], &[f64])]) -> Vec<Judgement> {
        let compared: Vec<_> = pairs.iter().map(|(new, base)| compare(new, base)).collect();
        Comparison::judge(&compared, MINIMAL_EFFECT)
    }

    #[test]
    fn five_rounds_that_agree_are_a_verdict() {
        let base = [100.0, 140.0, 90.0, 101.0, 99.0];
        let slower = base.map(|base| base * 1.1);
        let same = [100.4, 140.1, 90.0, 100.9, 99.1];
        let verdicts = |new: &[f64]| judge(&[(new, &base)])[0].verdict;
        assert_eq!(verdicts(&slower), Verdict::Slower);
        assert_eq!(verdicts(&same), Verdict::Equivalent);
        assert_eq!(judge(&[(&base, &slower)])[0].verdict, Verdict::Faster);
        // One round in which the node was slow for the base alone.
        let doubtful = [110.0, 139.0, 99.0, 111.0, 109.0];
        let judged = judge(&[(&doubtful, &base)])[0];
        assert_eq!(judged.verdict, Verdict::Inconclusive);
        assert!(judged.more_rounds.is_some(), "{judged:?}");
    }

    #[test]
    fn too_few_rounds_ask_for_more() {
        let judged = judge(&[(&[200.0, 200.0], &[100.0, 100.0]), (&[9.0], &[1.0])]);
        assert_eq!(judged[0].verdict, Verdict::Inconclusive);
        assert_eq!(judged[0].more_rounds, Some(3));
        assert_eq!((judged[1].more_rounds, judged[1].adjusted_p_value), (Some(4), None));
    }

    #[test]
    fn among_many_comparisons_one_has_to_be_clearer() {
        let among = |others: usize, rounds: usize| {
            let base = vec![100.0; rounds];
            let kind = |rounds_of_one: [f64; 5]| -> Vec<f64> {
                rounds_of_one.into_iter().cycle().take(rounds).collect()
            };
            let noise = kind([100.0, 101.0, 99.0, 100.5, 99.5]);
            let mut many = vec![compare(&noise, &base); others];
            many.push(compare(&kind([106.0, 112.0, 116.0, 108.0, 107.0]), &base));
            Comparison::judge(&many, MINIMAL_EFFECT)[others]
        };
        assert_eq!(among(0, 5).verdict, Verdict::Slower);
        for others in [50, 200] {
            let last = among(others, 5);
            assert_eq!(last.verdict, Verdict::Inconclusive);
            assert!(last.adjusted_p_value.unwrap() > 0.05);
            // Not the one more that its interval would ask for, but about what then settles it.
            let more = last.more_rounds.unwrap();
            let settled =
                (6..).find(|&rounds| among(others, rounds).verdict == Verdict::Slower).unwrap() - 5;
            assert!(settled.div_ceil(2) <= more && more <= settled * 2, "{more}, {settled}");
        }
    }

    #[test]
    fn at_the_edge_of_what_matters_no_number_of_rounds_is_proposed() {
        let base = [100.0; 6];
        let judged = judge(&[(&[101.0, 102.9, 103.0, 103.0, 103.1, 105.0], &base)])[0];
        assert_eq!((judged.verdict, judged.more_rounds), (Verdict::Inconclusive, None));
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
