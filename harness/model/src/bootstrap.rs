//! Intervals for medians and for ratios of medians, by resampling.

use std::collections::HashMap;

use crate::random::SplitMix64;
use crate::samples::{Samples, middle, select_quantile};
use crate::significance::{Location, mean_interval};

/// A figure with its 95 % interval: `low <= point <= high`, in the unit of the samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The figure for the samples as they are.
    pub point: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end of the interval.
    pub high: f64,
}

/// Which two order statistics a resample's median lies between: the same one twice when the
/// count is odd. Stored as ranks, counted from 0.
type MiddleRanks = [u32; 2];

/// Percentile bootstrap of medians (Efron, "Bootstrap Methods: Another Look at the Jackknife",
/// 1979), from a seed.
///
/// A resample of sorted samples is a set of ranks, and which ranks end up in its middle depends
/// on the count of samples alone. So the ranks are drawn once per count and looked up from then
/// on: thousands of estimates cost a table look-up per resample instead of a draw per sample.
/// What follows from it: estimates of equal count share their draws. Each interval alone is that
/// of a plain bootstrap, and the sets of samples behind one estimate, such as the two sides of a
/// ratio, have draws of their own.
///
/// Of [`Bootstrap::FEWEST_ROUNDS`] rounds and more, a median or a ratio has another interval: that
/// of Student's distribution over what each round gives, on a logarithmic scale. What a process
/// keeps from its start to its end, and what the node does meanwhile, is a round's own, and often
/// larger than what its samples differ by; to resample few rounds would make that seem smaller
/// than it is. Ratios are those of a round, so what it does to both sides cancels out.
///
/// What follows from several medians, such as a line through them, is worked out anew for medians
/// that are drawn from Student's distribution around what the rounds give: of one median alone,
/// these have the same interval as above. All sets of samples share the draw of a round, so what
/// it did to all of them stays together (a fiducial interval: Weerahandi, "Generalized Confidence
/// Intervals", 1993).
///
/// Of two rounds there is a resampling in two steps (a hierarchical bootstrap: Davison and Hinkley,
/// "Bootstrap Methods and their Application", 1997, section 3.8): rounds are drawn, then samples
/// within each of them. A resample's figure is the median of those of its rounds. All sets of
/// samples of equally many rounds share the draw of rounds.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    seed: u64,
    /// By place in an estimate and count of samples.
    ranks: HashMap<(Place, usize), Vec<MiddleRanks>>,
    /// By the number of rounds: those of every resample, one after the other.
    rounds: HashMap<usize, Vec<u32>>,
    /// By the number of a round: a normal deviate of every resample.
    deviates: HashMap<u32, Vec<f64>>,
    /// By degrees of freedom: of every resample, the estimate of a deviation over its true value.
    deviations: HashMap<u32, Vec<f64>>,
}

/// Which of the sets of samples behind one estimate: each is resampled independently of the
/// others. A ratio's numerator is in place 0, its denominator in place 1.
pub(crate) type Place = u32;

/// How far the places of two rounds of the same samples are apart: even, so that a round stays on
/// its side, and more than the sets behind any estimate.
const ROUND_STRIDE: Place = 1 << 10;

/// How far apart in the list of resamples the draws within two rounds of one resample are taken:
/// a number without a common divisor with that of resamples, so that a round which is drawn twice
/// is resampled twice.
const DRAW_STRIDE: usize = 389;

impl Bootstrap {
    /// How often the samples are resampled.
    pub const RESAMPLES: usize = 2_000;

    /// The share of resamples inside of the interval.
    pub const CONFIDENCE: f64 = 0.95;

    /// The share of resamples beyond each of its ends.
    pub(crate) const TAIL: f64 = (1.0 - Self::CONFIDENCE) / 2.0;

    /// The fewest samples that carry an interval.
    ///
    /// The median lies outside of the range of `n` independent samples with probability
    /// `2^(1-n)`; with fewer than 6, not even that whole range is a 95 % interval.
    pub const FEWEST: usize = 6;

    /// The fewest rounds whose differences carry an interval of their own.
    pub const FEWEST_ROUNDS: usize = 3;

    /// Prepares to resample; equal seeds give equal intervals.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            ranks: HashMap::new(),
            rounds: HashMap::new(),
            deviates: HashMap::new(),
            deviations: HashMap::new(),
        }
    }

    /// The median with its interval; none for fewer than [`Bootstrap::FEWEST`] samples.
    pub fn median(&mut self, samples: &Samples) -> Option<Estimate> {
        carries_interval(samples).then(|| {
            let of_rounds = samples.rounds().iter().map(|(_, round)| round.median());
            over_rounds(&of_rounds.collect::<Vec<_>>(), Centre::Middle)
                .unwrap_or_else(|| interval(samples.median(), &mut self.medians(0, samples)))
        })
    }

    /// The median of `numerator` over the median of `denominator`, with its interval. Where both
    /// have [`Bootstrap::FEWEST_ROUNDS`] or more, it is the geometric mean of the rounds' ratios
    /// (from ten rounds on without outliers, as its interval), and each of these the median over
    /// pairs of samples: the ones that were taken beside each other, where the sides took turns.
    ///
    /// None when either has fewer than [`Bootstrap::FEWEST`] samples, or any sample is not
    /// positive: a ratio of times needs times.
    pub fn ratio(&mut self, numerator: &Samples, denominator: &Samples) -> Option<Estimate> {
        self.shifted_ratio(numerator, denominator, 0.0)
    }

    /// [`Bootstrap::ratio`] after `constant`, in the samples' unit, was added to both sides: for
    /// what [`crate::platform_ratio`] says of two times.
    ///
    /// None where [`Bootstrap::ratio`] gives none, or when `constant` is negative or not finite.
    pub fn shifted_ratio(
        &mut self,
        numerator: &Samples,
        denominator: &Samples,
        constant: f64,
    ) -> Option<Estimate> {
        let positive = numerator.smallest() > 0.0 && denominator.smallest() > 0.0;
        let enough = carries_interval(numerator) && carries_interval(denominator);
        if !(positive && enough && constant >= 0.0 && constant.is_finite()) {
            return None;
        }
        let shifted = |above: f64, below: f64| (constant + above) / (constant + below);
        let rounds = common_rounds(numerator, denominator);
        let mut of_rounds = ratios_of_rounds(numerator, denominator, constant);
        if let Some(estimate) = over_rounds(&of_rounds, Centre::Mean) {
            return Some(estimate);
        }
        if rounds.len() >= 2 {
            let mut of_round = |place: Place, (round, samples): (usize, &Samples)| {
                self.plain_medians(place + ROUND_STRIDE * round as Place, samples)
            };
            let ratios: Vec<Vec<f64>> = rounds
                .iter()
                .enumerate()
                .map(|(round, &(above, below))| {
                    let above = of_round(0, (round, above));
                    let below = of_round(1, (round, below));
                    above.into_iter().zip(below).map(|(a, b)| shifted(a, b)).collect()
                })
                .collect();
            let mut resampled = self.resampled_rounds(&ratios);
            return Some(interval(middle(&mut of_rounds), &mut resampled));
        }
        let above = self.medians(0, numerator);
        let below = self.medians(1, denominator);
        let mut ratios: Vec<f64> =
            above.into_iter().zip(below).map(|(above, below)| shifted(above, below)).collect();
        Some(interval(shifted(numerator.median(), denominator.median()), &mut ratios))
    }

    /// The median of every resample.
    pub(crate) fn medians(&mut self, place: Place, samples: &Samples) -> Vec<f64> {
        if samples.rounds().is_empty() {
            return self.plain_medians(place, samples);
        }
        if let Some(drawn) = self.drawn_around(samples.rounds()) {
            return drawn;
        }
        let rounds: Vec<Vec<f64>> = (0..)
            .zip(samples.rounds())
            .map(|(round, (_, samples))| self.plain_medians(place + ROUND_STRIDE * round, samples))
            .collect();
        self.resampled_rounds(&rounds)
    }

    /// Of every resample, a median that is drawn around those of the rounds; none for too few
    /// rounds, or where the median of one has no logarithm.
    fn drawn_around(&mut self, rounds: &[(u32, Samples)]) -> Option<Vec<f64>> {
        let logarithms: Vec<f64> = rounds.iter().map(|(_, round)| round.median().ln()).collect();
        if rounds.len() < Self::FEWEST_ROUNDS {
            return None;
        }
        let Location { mean, error, degrees, shares } = Location::of(&logarithms)?;
        let seed = self.seed;
        let mut drawn = vec![0.0; Self::RESAMPLES];
        for ((number, _), share) in rounds.iter().zip(shares) {
            let deviates = self.deviates.entry(*number).or_insert_with(|| {
                let mut random = stream(seed, Stream::Round, *number);
                (0..Self::RESAMPLES).map(|_| random.normal()).collect()
            });
            std::iter::zip(&mut drawn, deviates).for_each(|(sum, one)| *sum += share * *one);
        }
        let deviations = self.deviations.entry(degrees).or_insert_with(|| {
            let mut random = stream(seed, Stream::Deviation, degrees);
            let mut square = || random.normal().powi(2);
            let mut mean_square =
                || (0..degrees).map(|_| square()).sum::<f64>() / f64::from(degrees);
            (0..Self::RESAMPLES).map(|_| mean_square().sqrt()).collect()
        });
        let pairs = std::iter::zip(drawn, deviations);
        Some(
            pairs.map(|(deviate, deviation)| (mean + error * deviate / *deviation).exp()).collect(),
        )
    }

    /// Of every resample, the median over rounds that are drawn of `rounds`: for each, what it
    /// gives in every resample.
    fn resampled_rounds(&mut self, rounds: &[Vec<f64>]) -> Vec<f64> {
        let (seed, count) = (self.seed, rounds.len());
        let drawn = self.rounds.entry(count).or_insert_with(|| {
            let mut random = SplitMix64::new(SplitMix64::new(seed ^ count as u64).next_u64());
            (0..Self::RESAMPLES * count).map(|_| random.below(count) as u32).collect()
        });
        let mut values = vec![0.0; count];
        drawn
            .chunks_exact(count)
            .enumerate()
            .map(|(resample, drawn)| {
                for (place, (value, &round)) in values.iter_mut().zip(drawn).enumerate() {
                    let within = (resample + place * DRAW_STRIDE) % Self::RESAMPLES;
                    *value = rounds[round as usize][within];
                }
                middle(&mut values)
            })
            .collect()
    }

    /// The median of every resample of one round.
    fn plain_medians(&mut self, place: Place, samples: &Samples) -> Vec<f64> {
        let count = samples.count();
        let seed = self.seed;
        let ranks =
            self.ranks.entry((place, count)).or_insert_with(|| draw_ranks(seed, place, count));
        let sorted = samples.sorted();
        let value = |rank: u32| sorted[rank as usize];
        ranks.iter().map(|&[low, high]| value(low) + (value(high) - value(low)) * 0.5).collect()
    }
}

/// What a sequence of random numbers is for, besides the ranks of samples.
#[derive(Debug, Clone, Copy)]
enum Stream {
    Round = 1,
    Deviation = 2,
}

fn stream(seed: u64, stream: Stream, number: u32) -> SplitMix64 {
    let which = (stream as u64) << 32 | u64::from(number);
    SplitMix64::new(SplitMix64::new(seed ^ which.rotate_left(16)).next_u64())
}

/// The centre of what rounds give, with the interval of Student's distribution on a logarithmic
/// scale; none for too few, or where one has no logarithm.
fn over_rounds(figures: &[f64], centre: Centre) -> Option<Estimate> {
    if figures.len() < Bootstrap::FEWEST_ROUNDS || figures.iter().any(|&figure| figure <= 0.0) {
        return None;
    }
    if figures.iter().all(|figure| *figure == figures[0]) {
        // Exactly, and not but for the rounding of logarithms.
        return Some(Estimate { point: figures[0], low: figures[0], high: figures[0] });
    }
    let logarithms: Vec<f64> = figures.iter().map(|figure| figure.ln()).collect();
    let ends = mean_interval(&logarithms, 1.0 - Bootstrap::CONFIDENCE)?;
    let [low, high] = ends.map(f64::exp);
    Some(match centre {
        Centre::Mean => Estimate { point: f64::midpoint(ends[0], ends[1]).exp(), low, high },
        Centre::Middle => {
            let point = middle(&mut figures.to_vec());
            // The middle of few rounds is not their mean, and may lie beyond an end.
            Estimate { point, low: low.min(point), high: high.max(point) }
        }
    })
}

/// What a figure over rounds is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Centre {
    /// Their geometric mean, which is where the interval has its centre; from ten rounds on that of
    /// those that are no outliers. Rounds often fall into two groups, by where an allocator or the
    /// kernel has put something in each process: the middle of few rounds then is that of the group
    /// which happens to be the larger.
    Mean,
    /// The middle one, which has been seen.
    Middle,
}

/// The ratio of each round that both have: of pairs of samples, see [`Samples::ratio_beside`]; with
/// too few rounds for more than resampling, of medians, which is what is resampled.
pub(crate) fn ratios_of_rounds(above: &Samples, below: &Samples, constant: f64) -> Vec<f64> {
    let rounds = common_rounds(above, below);
    let ratio = |above: &Samples, below: &Samples| match rounds.len() {
        Bootstrap::FEWEST_ROUNDS.. => above.ratio_beside(below, constant),
        _ => (constant + above.median()) / (constant + below.median()),
    };
    rounds.iter().map(|(above, below)| ratio(above, below)).collect()
}

/// Whether there are enough samples for an interval.
pub(crate) fn carries_interval(samples: &Samples) -> bool {
    samples.count() >= Bootstrap::FEWEST
}

/// The rounds that both have, side by side.
pub(crate) fn common_rounds<'s>(a: &'s Samples, b: &'s Samples) -> Vec<(&'s Samples, &'s Samples)> {
    let of_b: HashMap<u32, &Samples> = b.rounds().iter().map(|(n, round)| (*n, round)).collect();
    let common = a.rounds().iter();
    common.filter_map(|(number, round)| Some((round, *of_b.get(number)?))).collect()
}

/// Draws the middle ranks of every resample of `count` samples.
fn draw_ranks(seed: u64, place: Place, count: usize) -> Vec<MiddleRanks> {
    // Each place and count has a sequence of its own, so that the order in which they are first
    // asked for does not matter. A count has far less than 40 bits.
    let (pair, side) = (u64::from(place / 2), u64::from(place % 2));
    let stream = pair << 40 | (count as u64) << 1 | side;
    let mut random = SplitMix64::new(SplitMix64::new(seed ^ stream.rotate_left(32)).next_u64());
    let mut resample = vec![0u32; count];
    (0..Bootstrap::RESAMPLES)
        .map(|_| {
            resample.fill_with(|| random.below(count) as u32);
            let (below, &mut high, _) = resample.select_nth_unstable(count / 2);
            let low =
                if count % 2 == 1 { high } else { below.iter().copied().max().unwrap_or(high) };
            [low, high]
        })
        .collect()
}

/// Cuts off the same share of the resampled figures at both ends.
pub(crate) fn interval(point: f64, resampled: &mut [f64]) -> Estimate {
    let tail = Bootstrap::TAIL;
    Estimate {
        point,
        // The point lies inside but for freak draws and rounding; readers may rely on it.
        low: select_quantile(resampled, tail).min(point),
        high: select_quantile(resampled, 1.0 - tail).max(point),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(values: &[f64]) -> Samples {
        Samples::raw(values.to_vec()).unwrap()
    }

    #[test]
    fn equal_samples_have_an_interval_of_no_width() {
        let samples = raw(&[5.0; 12]);
        let estimate = Bootstrap::new(1).median(&samples).unwrap();
        assert_eq!(estimate, Estimate { point: 5.0, low: 5.0, high: 5.0 });
        let ratio = Bootstrap::new(1).ratio(&samples, &raw(&[2.5; 9])).unwrap();
        assert_eq!(ratio, Estimate { point: 2.0, low: 2.0, high: 2.0 });
    }

    #[test]
    fn the_interval_is_that_of_the_exact_bootstrap_distribution() {
        // For 101 samples, the middle rank of a resample is at most j with the probability that
        // a binomial of 101 draws and (j + 1)/101 reaches 51: 2.5 % at rank 40, 97.5 % at 60.
        let values: Vec<f64> = (0..101).map(f64::from).collect();
        let estimate = Bootstrap::new(42).median(&raw(&values)).unwrap();
        assert_eq!(estimate.point, 50.0);
        assert!((39.0..=41.0).contains(&estimate.low), "{estimate:?}");
        assert!((59.0..=61.0).contains(&estimate.high), "{estimate:?}");
    }

    #[test]
    fn too_few_or_unfit_samples_have_no_interval() {
        let mut bootstrap = Bootstrap::new(1);
        let six = raw(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert!(bootstrap.median(&six).is_some());
        assert_eq!(bootstrap.median(&raw(&[1.0; 5])), None);
        assert_eq!(bootstrap.ratio(&six, &raw(&[1.0; 5])), None);
        assert_eq!(bootstrap.ratio(&six, &raw(&[0.0; 6])), None);
        assert_eq!(bootstrap.ratio(&raw(&[-1.0; 6]), &six), None);
        assert_eq!(bootstrap.shifted_ratio(&six, &six, -1.0), None);
        assert_eq!(bootstrap.shifted_ratio(&six, &six, f64::NAN), None);
    }

    #[test]
    fn sides_of_a_ratio_are_drawn_independently() {
        let samples = raw(&(1..=50).map(f64::from).collect::<Vec<_>>());
        let estimate = Bootstrap::new(3).ratio(&samples, &samples).unwrap();
        // Common draws would cancel out and leave no width.
        assert!(estimate.low < 0.9 && estimate.high > 1.1, "{estimate:?}");
    }

    /// Rounds of 30 samples around a level each, whose spread is that share of the level.
    fn rounds(levels: &[f64], spread: f64) -> Samples {
        let round = |&level: &f64| {
            raw(&(0..30)
                .map(|n| level * (1.0 + spread * f64::from(n - 15) / 15.0))
                .collect::<Vec<_>>())
        };
        Samples::in_rounds((1..).zip(levels.iter().map(round)).collect()).unwrap()
    }

    #[test]
    fn a_node_that_changes_between_rounds_widens_the_interval() {
        let calm = Bootstrap::new(5).median(&rounds(&[100.0; 5], 0.01)).unwrap();
        let rough = rounds(&[100.0, 150.0, 102.0, 98.0, 130.0], 0.01);
        let rough = Bootstrap::new(5).median(&rough).unwrap();
        assert!(calm.high / calm.low < 1.02, "{calm:?}");
        assert!(rough.low < 99.0 && rough.high > 140.0, "{rough:?}");
    }

    #[test]
    fn what_a_round_does_to_both_sides_cancels_out() {
        let base = rounds(&[100.0, 150.0, 102.0, 98.0, 130.0], 0.01);
        let new = rounds(&[110.0, 165.0, 112.2, 107.8, 143.0], 0.01);
        let ratio = Bootstrap::new(5).ratio(&new, &base).unwrap();
        assert!((ratio.point - 1.1).abs() < 1e-9, "{ratio:?}");
        assert!(ratio.low > 1.08 && ratio.high < 1.12, "{ratio:?}");
    }

    #[test]
    fn medians_that_are_drawn_have_the_interval_of_the_rounds() {
        for levels in [&[100.0, 104.0, 99.0, 101.0, 97.0][..], &[1.0, 2.0, 3.0], &[5.0; 12]] {
            let samples = rounds(levels, 0.01);
            let mut bootstrap = Bootstrap::new(4);
            let found = bootstrap.median(&samples).unwrap();
            let drawn = interval(found.point, &mut bootstrap.medians(0, &samples));
            let off = |drawn: f64, found: f64| (drawn / found).ln().abs();
            let width = (found.high / found.low).ln();
            assert!(off(drawn.low, found.low) <= 0.08 * width + 1e-12, "{drawn:?} {found:?}");
            assert!(off(drawn.high, found.high) <= 0.08 * width + 1e-12, "{drawn:?} {found:?}");
        }
    }

    #[test]
    fn what_a_round_did_to_all_stays_together() {
        let mut bootstrap = Bootstrap::new(4);
        let base = rounds(&[100.0, 150.0, 102.0, 98.0, 130.0], 0.01);
        let above = rounds(&[200.0, 300.0, 204.0, 196.0, 260.0], 0.01);
        let drawn = std::iter::zip(bootstrap.medians(0, &above), bootstrap.medians(1, &base));
        assert!(drawn.into_iter().all(|(above, base)| (above / base - 2.0).abs() < 1e-9));
    }

    #[test]
    fn the_order_of_questions_does_not_change_the_answers() {
        let a = raw(&(1..=40).map(f64::from).collect::<Vec<_>>());
        let b = raw(&(5..=35).map(f64::from).collect::<Vec<_>>());
        let mut one = Bootstrap::new(9);
        let mut other = Bootstrap::new(9);
        let (x, y) = (one.median(&a), one.ratio(&a, &b));
        let (v, u) = (other.ratio(&a, &b), other.median(&a));
        assert_eq!((x, y), (u, v));
    }
}
