//! From how much work on a higher cost at first has paid.
//!
//! A program that prepares more at first, to do each unit of work in less time, is dearer for
//! little work and cheaper for much. With costs `F + n c` on either side, the two meet where
//! `F + n c = F' + n c'`, so at `n = (F - F') / (c' - c)`. This is the rule by which compilers
//! that choose what to compile at run time weigh one compilation (Arnold, Fink, Grove, Hind and
//! Sweeney, "Adaptive Optimization in the Jalapeño JVM", 2000), solved for the work.

use crate::bootstrap::{Bootstrap, Estimate, Place, carries_interval};
use crate::samples::Samples;

/// What it costs to do `n` units of work: `fixed + n * per_unit`, in any unit of cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// What is paid once.
    pub fixed: f64,
    /// What each unit of work costs.
    pub per_unit: f64,
}

impl Cost {
    /// Whether it is a cost: neither part is negative or infinite or not a number.
    fn is_valid(&self) -> bool {
        [self.fixed, self.per_unit].iter().all(|part| part.is_finite() && *part >= 0.0)
    }
}

/// The measurements behind a [`Cost`]: each part is the sum of the medians of several
/// quantities. A part without any is 0.
#[derive(Debug, Clone, Default)]
pub struct SampledCost<'s> {
    /// Whose medians add up to what is paid once.
    pub fixed: Vec<&'s Samples>,
    /// Whose medians add up to what each unit costs.
    pub per_unit: Vec<&'s Samples>,
}

impl SampledCost<'_> {
    /// The cost by the medians of the samples as they are.
    pub fn cost(&self) -> Cost {
        let sum = |part: &[&Samples]| part.iter().map(|samples| samples.median()).sum();
        Cost { fixed: sum(&self.fixed), per_unit: sum(&self.per_unit) }
    }

    fn sets(&self) -> impl Iterator<Item = &Samples> {
        self.fixed.iter().chain(&self.per_unit).copied()
    }

    /// The same with other samples, in the order of [`SampledCost::sets`].
    fn with<'s>(&self, sets: &mut impl Iterator<Item = &'s Samples>) -> SampledCost<'s> {
        let fixed = sets.by_ref().take(self.fixed.len()).collect();
        SampledCost { fixed, per_unit: sets.take(self.per_unit.len()).collect() }
    }
}

/// From how many units of work on one side costs no more than the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum BreakEven {
    /// From the first unit on: the whole interval is 1.
    Always,
    /// From this many on. Both ends are finite, whole and at least 1.
    From(Estimate),
    /// Only below this many: it is cheaper at first, and dearer per unit.
    Until(Estimate),
    /// Not for any work: the whole interval is that it never does.
    Never,
    /// The interval does not tell whether there is such a number.
    Inconclusive {
        /// The number by the medians; none if by them there is none.
        point: Option<f64>,
        /// The lower end of the interval: if there is such a number, then from here on.
        low: f64,
    },
}

/// The smallest whole number of units, at least 1, from which on `this` costs no more than
/// `other`: for it and for every larger one. Infinite when there is none.
///
/// Costs per unit that differ by no more than `minimal_effect`, such as 0.03, count as equal, for
/// what is divided by their difference would be noise; one that is negative or not a number
/// counts as 0. With equal costs per unit, the fixed ones decide. None when a cost is negative or
/// not finite.
pub fn break_even(this: Cost, other: Cost, minimal_effect: f64) -> Option<f64> {
    if !(this.is_valid() && other.is_valid()) {
        return None;
    }
    let more_at_first = this.fixed - other.fixed;
    let saved_per_unit = other.per_unit - this.per_unit;
    // The same band as a verdict's: even on a scale of ratios.
    let band = minimal_effect.max(0.0) * this.per_unit.min(other.per_unit);
    Some(if saved_per_unit.abs() <= band {
        if more_at_first <= 0.0 { 1.0 } else { f64::INFINITY }
    } else if saved_per_unit < 0.0 {
        f64::INFINITY
    } else {
        // A quotient that is whole but for rounding is not rounded up to the next.
        (more_at_first / saved_per_unit * (1.0 - 1e-12)).ceil().max(1.0)
    })
}

impl Bootstrap {
    /// From how many units of work on `this` costs no more than `other`, with its interval: see
    /// [`break_even`]; over the rounds that all sets of samples have.
    ///
    /// None when a set has fewer than [`Bootstrap::FEWEST`] samples, or a sample is negative.
    pub fn break_even(
        &mut self,
        this: &SampledCost,
        other: &SampledCost,
        minimal_effect: f64,
    ) -> Option<BreakEven> {
        let mut sets = this.sets().chain(other.sets());
        if !sets.all(|samples| carries_interval(samples) && samples.smallest() >= 0.0) {
            return None;
        }
        let sets: Vec<&Samples> = this.sets().chain(other.sets()).collect();
        let common = Samples::of_common_rounds(&sets);
        let mut common = common.iter();
        let (this, other) = (&this.with(&mut common), &other.with(&mut common));
        let (point, of_other) = (this.cost(), other.cost());
        let mut place = 0;
        let these = self.costs(&mut place, this);
        let others = self.costs(&mut place, other);
        let pairs = || std::iter::zip(these.iter().copied(), others.iter().copied());
        let forth = range(
            break_even(point, of_other, minimal_effect)?,
            pairs().map(|(this, other)| break_even(this, other, minimal_effect)),
        )?;
        if forth.low.is_infinite() && point.fixed < of_other.fixed {
            // Dearer per unit but cheaper at first: what ends, ends where the other begins to pay.
            let back = range(
                break_even(of_other, point, minimal_effect)?,
                pairs().map(|(this, other)| break_even(other, this, minimal_effect)),
            )?;
            if back.high.is_finite() && back.high > 1.0 {
                return Some(BreakEven::Until(back));
            }
        }
        Some(match forth {
            Estimate { high: 1.0, .. } => BreakEven::Always,
            Estimate { low: f64::INFINITY, .. } => BreakEven::Never,
            Estimate { point, low, high: f64::INFINITY } => {
                BreakEven::Inconclusive { point: point.is_finite().then_some(point), low }
            }
            bounded => BreakEven::From(bounded),
        })
    }

    /// The cost in every resample. `place` counts the sets of samples that have drawn.
    fn costs(&mut self, place: &mut Place, sampled: &SampledCost) -> Vec<Cost> {
        let mut sum = |part: &[&Samples]| {
            let mut sums = vec![0.0; Self::RESAMPLES];
            for samples in part {
                let medians = self.medians(*place, samples);
                std::iter::zip(&mut sums, medians).for_each(|(sum, median)| *sum += median);
                *place += 1;
            }
            sums
        };
        let (fixed, per_unit) = (sum(&sampled.fixed), sum(&sampled.per_unit));
        let cost = |(fixed, per_unit)| Cost { fixed, per_unit };
        std::iter::zip(fixed, per_unit).map(cost).collect()
    }
}

/// Cuts off the same share of the resampled numbers at both ends. They are whole or infinite, so
/// nothing is interpolated, and an end is rounded away from the middle. None without numbers.
fn range(point: f64, resampled: impl Iterator<Item = Option<f64>>) -> Option<Estimate> {
    let mut numbers: Vec<f64> = resampled.collect::<Option<_>>()?;
    numbers.sort_unstable_by(f64::total_cmp);
    let last = numbers.len().checked_sub(1)?;
    let beyond = (Bootstrap::TAIL * last as f64).floor() as usize;
    let (low, high) = (numbers[beyond], numbers[last - beyond]);
    Some(Estimate { point, low: low.min(point), high: high.max(point) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(fixed: f64, per_unit: f64, other_fixed: f64, other_per_unit: f64) -> f64 {
        let other = Cost { fixed: other_fixed, per_unit: other_per_unit };
        break_even(Cost { fixed, per_unit }, other, 0.0).unwrap()
    }

    fn around(middle: f64) -> Samples {
        let values = (0..20).map(|n| middle * (1.0 + f64::from(n) / 1000.0));
        Samples::raw(values.collect()).unwrap()
    }

    /// One quantity each: paid once and per unit, on either side.
    fn sampled(this: [f64; 2], other: [f64; 2], minimal_effect: f64) -> BreakEven {
        let [fixed, per_unit] = this.map(around);
        let [other_fixed, other_per_unit] = other.map(around);
        let this = SampledCost { fixed: vec![&fixed], per_unit: vec![&per_unit] };
        let other = SampledCost { fixed: vec![&other_fixed], per_unit: vec![&other_per_unit] };
        Bootstrap::new(1).break_even(&this, &other, minimal_effect).unwrap()
    }

    #[test]
    fn costs_meet_where_algebra_says() {
        assert_eq!(at(100.0, 1.0, 0.0, 3.0), 50.0);
        assert_eq!(at(101.0, 1.0, 0.0, 3.0), 51.0);
        // Three tenths over one tenth is a little more than 3 in binary arithmetic, or less.
        assert_eq!(at(0.3, 0.1, 0.0, 0.2), 3.0);
        assert_eq!(at(1.0, 1.0, 0.0, 1000.0), 1.0);
    }

    #[test]
    fn without_a_difference_the_other_part_decides() {
        assert_eq!(at(5.0, 1.0, 5.0, 1.0), 1.0);
        assert_eq!(at(4.0, 1.0, 5.0, 1.0), 1.0);
        assert_eq!(at(6.0, 1.0, 5.0, 1.0), f64::INFINITY);
        assert_eq!(at(5.0, 1.0, 5.0, 2.0), 1.0);
        assert_eq!(at(5.0, 2.0, 5.0, 1.0), f64::INFINITY);
        assert_eq!(at(0.0, 0.0, 0.0, 0.0), 1.0);
    }

    #[test]
    fn what_is_no_cost_has_no_answer() {
        let good = Cost { fixed: 1.0, per_unit: 1.0 };
        for bad in [f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(break_even(Cost { fixed: bad, ..good }, good, 0.0), None);
            assert_eq!(break_even(good, Cost { per_unit: bad, ..good }, 0.0), None);
        }
        assert_eq!(break_even(good, good, f64::NAN), Some(1.0));
    }

    #[test]
    fn a_difference_within_the_band_is_none() {
        let (this, other) =
            (Cost { fixed: 9.0, per_unit: 100.0 }, Cost { fixed: 0.0, per_unit: 102.0 });
        assert_eq!(break_even(this, other, 0.03), Some(f64::INFINITY));
        assert_eq!(break_even(this, other, 0.01), Some(5.0));
        assert_eq!(break_even(other, this, 0.03), Some(1.0));
        assert_eq!(break_even(other, this, 0.01), Some(f64::INFINITY));
    }

    #[test]
    fn each_outcome_has_its_costs() {
        assert_eq!(sampled([1.0, 1.0], [2.0, 2.0], 0.03), BreakEven::Always);
        assert_eq!(sampled([2.0, 2.0], [1.0, 1.0], 0.03), BreakEven::Never);
        let BreakEven::From(from) = sampled([1e6, 1.0], [1e3, 2.0], 0.03) else { panic!() };
        assert!(from.low < from.point && from.point < from.high, "{from:?}");
        assert!(from.low > 0.95e6 && from.high < 1.05e6, "{from:?}");
        let BreakEven::Until(until) = sampled([1e3, 2.0], [1e6, 1.0], 0.03) else { panic!() };
        assert!(until.low > 0.95e6 && until.high < 1.05e6, "{until:?}");
        // Cheaper per unit by just about the band.
        let BreakEven::Inconclusive { low, .. } = sampled([1e6, 1.0], [1e3, 1.03], 0.03) else {
            panic!()
        };
        assert!((25e6..36e6).contains(&low), "{low}");
        // As dear per unit and at first: what noise says is not believed.
        assert_eq!(sampled([5.0, 1.0], [5.5, 1.0], 0.03), BreakEven::Always);
        assert_eq!(sampled([5.5, 1.0], [5.0, 1.0], 0.03), BreakEven::Never);
    }

    #[test]
    fn parts_are_resampled_independently() {
        let (part, free) = (around(1e6), around(1.0));
        let none = SampledCost::default();
        let once = SampledCost { fixed: vec![&part], per_unit: Vec::new() };
        let twice = SampledCost { fixed: vec![&part, &part], per_unit: Vec::new() };
        let other = SampledCost { fixed: Vec::new(), per_unit: vec![&free] };
        let width = |this: &SampledCost| match Bootstrap::new(1).break_even(this, &other, 0.0) {
            Some(BreakEven::From(from)) => (from.high - from.low) / from.point,
            outcome => panic!("{outcome:?}"),
        };
        // Noise that is drawn alike would not even out.
        assert!(width(&twice) < 0.97 * width(&once));
        assert_eq!(Bootstrap::new(1).break_even(&none, &none, 0.0), Some(BreakEven::Always));
    }

    #[test]
    fn too_few_or_unfit_samples_have_no_answer() {
        let (good, few) = (around(1.0), Samples::raw(vec![1.0; 5]).unwrap());
        let negative = Samples::raw(vec![-1.0; 9]).unwrap();
        let cost = |samples| SampledCost { fixed: vec![samples], per_unit: Vec::new() };
        let mut bootstrap = Bootstrap::new(1);
        for bad in [&few, &negative] {
            assert_eq!(bootstrap.break_even(&cost(bad), &cost(&good), 0.0), None);
            assert_eq!(bootstrap.break_even(&cost(&good), &cost(bad), 0.0), None);
        }
    }
}
