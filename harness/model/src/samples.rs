//! Validated, sorted samples and the quantiles of them.

use std::collections::BTreeMap;
use std::fmt;

/// Why values are no samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SamplesError {
    /// There is no value.
    Empty,
    /// The value at this position, counted from 0, is infinite or not a number.
    NotFinite(usize),
}

impl fmt::Display for SamplesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "there are no samples"),
            Self::NotFinite(index) => write!(f, "sample {index} is not a finite number"),
        }
    }
}

impl std::error::Error for SamplesError {}

/// Samples of one quantity, in any unit: finite, at least one, sorted.
///
/// They may come from several rounds, between which the node may have changed: then they are
/// rounds first and samples second, and whatever is derived of them honours that.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    sorted: Vec<f64>,
    /// In the order in which they were taken; of several rounds none, since each has its own.
    taken: Vec<f64>,
    raw: bool,
    /// By the number of the round; empty when all are of one.
    rounds: Vec<(u32, Samples)>,
}

impl Samples {
    /// Takes samples of which each is one observation, such as one cold start.
    ///
    /// # Errors
    /// When there is no value, or one that is not finite.
    pub fn raw(values: Vec<f64>) -> Result<Self, SamplesError> {
        Self::new(values, true)
    }

    /// Takes samples of which each is the mean of several observations.
    ///
    /// Their median stands for a typical observation; their percentiles do not stand for those
    /// of single observations, so [`Samples::percentile`] refuses them.
    ///
    /// # Errors
    /// When there is no value, or one that is not finite.
    pub fn averaged(values: Vec<f64>) -> Result<Self, SamplesError> {
        Self::new(values, false)
    }

    fn new(values: Vec<f64>, raw: bool) -> Result<Self, SamplesError> {
        if values.is_empty() {
            return Err(SamplesError::Empty);
        }
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            return Err(SamplesError::NotFinite(index));
        }
        let mut sorted = values.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        Ok(Self { sorted, taken: values, raw, rounds: Vec::new() })
    }

    /// Joins what was sampled in several rounds, each with its number; of one round alone, it is
    /// the samples of that round.
    ///
    /// # Errors
    /// When there is no round.
    pub fn in_rounds(rounds: BTreeMap<u32, Self>) -> Result<Self, SamplesError> {
        let mut rounds: Vec<(u32, Self)> = rounds.into_iter().collect();
        if rounds.len() <= 1 {
            return rounds.pop().map(|(_, only)| only).ok_or(SamplesError::Empty);
        }
        let raw = rounds.iter().all(|(_, round)| round.raw);
        let mut sorted: Vec<f64> =
            rounds.iter().flat_map(|(_, round)| round.sorted.iter().copied()).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        Ok(Self { sorted, taken: Vec::new(), raw, rounds })
    }

    /// The same samples, each of those rounds alone that all of them have; as they are where these
    /// are fewer than [`crate::Bootstrap::FEWEST_ROUNDS`].
    ///
    /// What is worked out of several medians compares like with like then: a median over more
    /// rounds also holds what the node did in these.
    pub fn of_common_rounds(sets: &[&Self]) -> Vec<Self> {
        let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
        for (number, _) in sets.iter().flat_map(|set| &set.rounds) {
            *counts.entry(*number).or_default() += 1;
        }
        counts.retain(|_, count| *count == sets.len());
        let restricted = |set: &&Self| {
            let common = set.rounds.iter().filter(|(number, _)| counts.contains_key(number));
            match counts.len() < crate::Bootstrap::FEWEST_ROUNDS {
                true => Ok(Self::clone(set)),
                false => Self::in_rounds(common.cloned().collect()),
            }
        };
        sets.iter().filter_map(|set| restricted(set).ok()).collect()
    }

    /// The rounds by their numbers; empty when all samples are of one.
    pub fn rounds(&self) -> &[(u32, Self)] {
        &self.rounds
    }

    /// The values, ascending.
    pub fn sorted(&self) -> &[f64] {
        &self.sorted
    }

    /// The values in the order in which they were taken; of several rounds none, since each has its
    /// own.
    pub fn taken(&self) -> &[f64] {
        &self.taken
    }

    /// How many there are; never 0.
    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// Whether each sample is one observation.
    pub fn is_raw(&self) -> bool {
        self.raw
    }

    /// The smallest.
    pub fn smallest(&self) -> f64 {
        self.sorted[0]
    }

    /// The largest.
    pub fn largest(&self) -> f64 {
        self.sorted[self.sorted.len() - 1]
    }

    /// The middle value, or the mean of the two middle ones. Of several rounds, that of their
    /// medians: what is typical of a typical round, however many samples one of them has.
    pub fn median(&self) -> f64 {
        if self.rounds.is_empty() {
            return sorted_quantile(&self.sorted, 0.5);
        }
        middle(&mut self.rounds.iter().map(|(_, round)| round.median()).collect::<Vec<_>>())
    }

    /// How many times another's sample one of these is, both with `constant` on top: the median
    /// over pairs of samples that were taken beside each other.
    ///
    /// Where both took turns, what the node did for longer than a turn is in both of a pair, and
    /// in few ratios: a neighbour that comes and goes would be in half of the samples of each
    /// side, and move either median by itself. Of two sides with samples of different number, the
    /// pairs are those that stand at the same share of the way. Geometric, so that it is the
    /// reciprocal of the ratio the other way round.
    pub(crate) fn ratio_beside(&self, other: &Self, constant: f64) -> f64 {
        let pairs = self.taken.len().max(other.taken.len());
        let at = |values: &[f64], pair: usize| {
            let place = (2 * pair + 1) * values.len() / (2 * pairs);
            values.get(place).copied().unwrap_or(f64::NAN)
        };
        let ratio = |pair| (constant + at(&self.taken, pair)) / (constant + at(&other.taken, pair));
        let mut ratios: Vec<f64> = (0..pairs).map(ratio).collect();
        ratios.sort_unstable_by(f64::total_cmp);
        let (below, above) = (ratios[(pairs - 1) / 2], ratios[pairs / 2]);
        // The root of a square would differ in its last digit.
        if below == above { below } else { (below * above).sqrt() }
    }

    /// The quantile at `q` (0 to 1) of single observations, by the definition of [`quantile`].
    ///
    /// None when the samples cannot carry it: they are averages, `q` is outside of 0 to 1, or
    /// there are so few that not even one is expected beyond it. The 95th percentile needs 20.
    pub fn percentile(&self, q: f64) -> Option<f64> {
        let beyond = self.count() as f64 * q.min(1.0 - q);
        // 10 samples times 0.1 is a little less than 1 in binary arithmetic.
        let carried = (0.0..=1.0).contains(&q) && beyond >= 1.0 - 1e-9;
        (self.raw && carried).then(|| sorted_quantile(&self.sorted, q))
    }
}

/// The median of values in any order; none when there are none or one is not finite.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The quantile at `q` (0 to 1) of values in any order.
///
/// Interpolates linearly between the order statistics around position `q (n - 1)`, counted from
/// 0: definition 7 of Hyndman and Fan, "Sample Quantiles in Statistical Packages" (1996), which
/// Criterion uses too. None when there are no values, one is not finite, or `q` is out of range.
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    if !(0.0..=1.0).contains(&q) {
        return None;
    }
    let samples = Samples::raw(values.to_vec()).ok()?;
    Some(sorted_quantile(&samples.sorted, q))
}

/// The median of at least one finite value, whose order changes.
pub(crate) fn middle(values: &mut [f64]) -> f64 {
    select_quantile(values, 0.5)
}

/// The quantile of at least one finite value, whose order changes, for `q` from 0 to 1: that of
/// [`sorted_quantile`], without sorting them all.
pub(crate) fn select_quantile(values: &mut [f64], q: f64) -> f64 {
    let (rank, beyond) = place(values.len(), q);
    let (_, &mut low, above) = values.select_nth_unstable_by(rank, f64::total_cmp);
    between(low, above.iter().copied().min_by(f64::total_cmp), beyond)
}

/// The quantile of at least one finite, ascending value, for `q` from 0 to 1.
pub(crate) fn sorted_quantile(sorted: &[f64], q: f64) -> f64 {
    let (rank, beyond) = place(sorted.len(), q);
    between(sorted[rank], sorted.get(rank + 1).copied(), beyond)
}

/// Where a quantile lies among so many ascending values: at or after which, and by what share of
/// the way to the next.
fn place(count: usize, q: f64) -> (usize, f64) {
    let position = q * (count - 1) as f64;
    (position as usize, position.fract())
}

fn between(low: f64, next: Option<f64>, share: f64) -> f64 {
    // Written so that equal neighbours give exactly their value.
    low + (next.unwrap_or(low) - low) * share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbour_that_comes_and_goes_is_in_both_of_a_pair() {
        let samples = |values: &[f64]| Samples::raw(values.to_vec()).unwrap();
        // It slows both sides by half in the middle of the row, and each median by another part.
        let new = samples(&[2.0, 2.0, 3.0, 3.0, 3.0, 3.0, 2.0]);
        let base = samples(&[1.0, 1.0, 1.5, 1.5, 1.5, 1.0, 1.0]);
        assert_eq!((new.median(), base.median()), (3.0, 1.0));
        assert_eq!(new.ratio_beside(&base, 0.0), 2.0);
        assert_eq!(base.ratio_beside(&new, 0.0), 0.5);
        // Fewer samples stand at the same share of the way.
        let few = samples(&[1.0, 1.5, 1.0]);
        assert_eq!(new.ratio_beside(&few, 0.0), 2.0);
        assert_eq!(new.ratio_beside(&few, 1.0), 1.6);
        let two = samples(&[4.0, 1.0]);
        assert_eq!(two.ratio_beside(&samples(&[1.0, 1.0]), 0.0), 2.0, "the geometric middle");
    }

    #[test]
    fn a_quantile_is_the_same_sorted_or_not() {
        let mut random = crate::SplitMix64::new(3);
        for count in [1, 2, 3, 10, 101, 2_000] {
            let mut values: Vec<f64> = (0..count).map(|_| random.below(500) as f64).collect();
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            for q in [0.0, 0.025, 0.5, 0.9, 0.975, 1.0] {
                assert_eq!(select_quantile(&mut values, q), sorted_quantile(&sorted, q));
            }
        }
    }

    #[test]
    fn quantiles_interpolate_between_neighbours() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0, 5.0], 0.25), Some(2.0));
        assert_eq!(quantile(&[10.0, 20.0], 0.75), Some(17.5));
        assert_eq!(quantile(&[7.0], 0.9), Some(7.0));
        assert_eq!(quantile(&[1.0, 2.0], 1.0), Some(2.0));
    }

    #[test]
    fn rounds_count_alike_however_many_samples_they_have() {
        let round = |values: &[f64]| Samples::raw(values.to_vec()).unwrap();
        let rounds = [(1, round(&[1.0])), (2, round(&[5.0; 9])), (4, round(&[2.0, 4.0]))];
        let samples = Samples::in_rounds(rounds.into()).unwrap();
        assert_eq!((samples.median(), samples.count()), (3.0, 12));
        assert_eq!(samples.rounds().len(), 3);
        // Percentiles are of all observations.
        assert_eq!(samples.percentile(0.5), Some(5.0));
        let one = Samples::in_rounds([(7, round(&[1.0, 2.0]))].into()).unwrap();
        assert_eq!(one, round(&[1.0, 2.0]));
        assert_eq!(Samples::in_rounds(BTreeMap::new()), Err(SamplesError::Empty));
    }

    #[test]
    fn what_is_set_side_by_side_is_of_the_rounds_that_all_have() {
        let of_rounds = |numbers: &[u32]| {
            let round = |&number: &u32| (number, Samples::raw(vec![f64::from(number)]).unwrap());
            Samples::in_rounds(numbers.iter().map(round).collect()).unwrap()
        };
        let (all, some) = (of_rounds(&[1, 2, 3, 4, 9]), of_rounds(&[2, 3, 4, 5]));
        let common = Samples::of_common_rounds(&[&all, &some]);
        assert_eq!(common, [of_rounds(&[2, 3, 4]), of_rounds(&[2, 3, 4])]);
        let few = of_rounds(&[1, 2]);
        assert_eq!(Samples::of_common_rounds(&[&all, &few]), [all.clone(), few.clone()]);
        let single = Samples::raw(vec![1.0]).unwrap();
        assert_eq!(Samples::of_common_rounds(&[&all, &single]), [all, single]);
    }

    #[test]
    fn bad_values_are_refused() {
        assert_eq!(Samples::raw(Vec::new()), Err(SamplesError::Empty));
        assert_eq!(Samples::raw(vec![1.0, f64::NAN]), Err(SamplesError::NotFinite(1)));
        assert_eq!(Samples::averaged(vec![f64::INFINITY]), Err(SamplesError::NotFinite(0)));
        assert_eq!(median(&[]), None);
        assert_eq!(quantile(&[1.0], 1.5), None);
        assert_eq!(quantile(&[1.0], f64::NAN), None);
    }

    #[test]
    fn a_percentile_needs_raw_samples_and_enough_of_them() {
        let values = |n: u32| (1..=n).map(f64::from).collect::<Vec<_>>();
        assert_eq!(Samples::raw(values(19)).unwrap().percentile(0.95), None);
        assert_eq!(Samples::raw(values(21)).unwrap().percentile(0.95), Some(20.0));
        assert!(Samples::raw(values(20)).unwrap().percentile(0.95).is_some());
        assert!(Samples::raw(values(10)).unwrap().percentile(0.9).is_some());
        assert!(Samples::raw(values(10)).unwrap().percentile(0.1).is_some());
        assert_eq!(Samples::averaged(values(100)).unwrap().percentile(0.95), None);
        assert_eq!(Samples::raw(values(100)).unwrap().percentile(1.5), None);
    }
}
