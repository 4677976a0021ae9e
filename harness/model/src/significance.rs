//! How likely differences are to be chance: Student's test, which a few outliers do not sway, and
//! Holm's correction for many.

use std::f64::consts::{FRAC_2_PI, FRAC_PI_2};

/// From how many values on some can be left out.
const FEWEST_TO_TRIM: usize = 10;

/// The probability that the mean of `values` would be at least this far from 0, to either side,
/// if their true mean were 0: Student's test of one sample ("The Probable Error of a Mean",
/// 1908). Values are taken as independent, and their mean as nearly normal.
///
/// Of ten values or more it is the mean without the fifth that is smallest and the fifth that is
/// largest, with the spread of all after those are moved to the nearest of the others: the test
/// of a trimmed mean (Tukey and McLaughlin, "Less Vulnerable Confidence and Significance
/// Procedures for Location Based on a Single Sample", 1963). Then a value that is far off does
/// not hide what the others agree on.
///
/// None for fewer than two values, or one that is not finite. Values that are all the same give
/// 0, or 1 where all are 0; so do those that are left.
pub fn mean_differs(values: &[f64]) -> Option<f64> {
    let Location { mean, error, degrees, .. } = Location::of(values)?;
    if error == 0.0 {
        return Some(if mean == 0.0 { 1.0 } else { 0.0 });
    }
    Some(beyond(mean / error, degrees))
}

/// The ends of the interval of the mean of `values` that leaves out the share `outside`: those
/// means from which [`mean_differs`] would not tell theirs with a smaller probability.
///
/// None where [`mean_differs`] gives none.
pub fn mean_interval(values: &[f64], outside: f64) -> Option<[f64; 2]> {
    let Location { mean, error, degrees, .. } = Location::of(values)?;
    let reach = error * statistic(outside, degrees);
    Some([mean - reach, mean + reach])
}

/// The mean of values, trimmed where they are many, and how far it may be off.
pub(crate) struct Location {
    pub(crate) mean: f64,
    /// The standard error.
    pub(crate) error: f64,
    /// Of Student's distribution of the mean over its error.
    pub(crate) degrees: u32,
    /// How far each value lies from the middle of all, over the root of the sum of their squares:
    /// in the order of the values, and after those that are left out were moved to the nearest of
    /// the others. All 0 where nothing differs.
    pub(crate) shares: Vec<f64>,
}

impl Location {
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        if values.len() < 2 || values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        let cut = cut(count);
        let left = count - 2 * cut;
        let trimmed = mean(&sorted[cut..count - cut]);
        let (least, most) = (sorted[cut], sorted[count - cut - 1]);
        let moved: Vec<f64> = values.iter().map(|value| value.clamp(least, most)).collect();
        let centre = mean(&moved);
        let root = moved.iter().map(|value| (value - centre).powi(2)).sum::<f64>().sqrt();
        // Without a cut, that is the standard deviation over the root of the count.
        let error = root / ((count - 1) as f64).sqrt() * (count as f64).sqrt() / left as f64;
        let share = |value: f64| if root > 0.0 { (value - centre) / root } else { 0.0 };
        Some(Self {
            mean: trimmed,
            error,
            degrees: degrees(count),
            shares: moved.into_iter().map(share).collect(),
        })
    }
}

/// The degrees of freedom of what is left of so many values, at least 1.
fn degrees(count: usize) -> u32 {
    (count - 2 * cut(count) - 1) as u32
}

/// How many values are left out at each end.
fn cut(count: usize) -> usize {
    if count < FEWEST_TO_TRIM { 0 } else { count / 5 }
}

/// How many values it would take until [`mean_differs`] gives no more than `wanted`, if it gives
/// `p_value` for `count` of them, and mean and spread stay what they are: Student's statistic grows
/// with the square root of the count. None if that is more than `most`.
pub(crate) fn values_until(p_value: f64, count: usize, wanted: f64, most: usize) -> Option<usize> {
    let statistic = match degrees(count) {
        0 => return None,
        degrees => statistic(p_value, degrees),
    };
    (count..=most).find(|&more| {
        beyond(statistic * (more as f64 / count as f64).sqrt(), degrees(more)) <= wanted
    })
}

/// How many values it would take until [`mean_interval`] reaches no further than `wanted` from the
/// mean, if it reaches `reach` with `count` of them, at least 2, and their spread stays what it is.
/// None if that is more than `most`.
pub(crate) fn rounds_until(
    reach: f64,
    count: usize,
    outside: f64,
    wanted: f64,
    most: usize,
) -> Option<usize> {
    let reach_of_one = reach / factor(count, outside);
    (count..=most).find(|&more| reach_of_one * factor(more, outside) <= wanted)
}

/// How far the interval of the mean of `count` values, at least 2, reaches, in standard deviations
/// of one.
fn factor(count: usize, outside: f64) -> f64 {
    statistic(outside, degrees(count)) / (count as f64).sqrt()
}

/// Student's statistic that is exceeded with that probability, to either side: found by halving
/// where it lies.
fn statistic(p_value: f64, degrees: u32) -> f64 {
    let (mut least, mut greatest) = (0.0, 1e9);
    for _ in 0..100 {
        let middle = f64::midpoint(least, greatest);
        match beyond(middle, degrees) > p_value {
            true => least = middle,
            false => greatest = middle,
        }
    }
    greatest
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The probability that a variable with Student's distribution of so many degrees of freedom (at
/// least 1) is beyond `t` or `-t`.
///
/// The finite sums for whole degrees: Abramowitz and Stegun, "Handbook of Mathematical
/// Functions" (1964), 26.7.3 and 26.7.4. What is beyond is taken from 1, so that it is right to
/// about 1e-15 of 1.
fn beyond(t: f64, degrees: u32) -> f64 {
    let theta = (t.abs() / f64::from(degrees).sqrt()).atan();
    let (sine, cosine) = theta.sin_cos();
    let within = if degrees % 2 == 1 {
        // cos + 2/3 cos^3 + (2 4)/(3 5) cos^5 + ..., up to the power of `degrees - 2`.
        let mut term = cosine;
        let mut sum = 0.0;
        for power in (1..degrees).step_by(2) {
            sum += term;
            term *= cosine * cosine * f64::from(power + 1) / f64::from(power + 2);
        }
        // Towards a right angle the difference to it says more than the angle.
        let from_right_angle = FRAC_2_PI * (FRAC_PI_2 - theta);
        return (from_right_angle - FRAC_2_PI * sine * sum).clamp(0.0, 1.0);
    } else {
        // 1 + 1/2 cos^2 + (1 3)/(2 4) cos^4 + ..., up to the power of `degrees - 2`.
        let mut term = 1.0;
        let mut sum = 0.0;
        for power in (0..degrees).step_by(2) {
            sum += term;
            term *= cosine * cosine * f64::from(power + 1) / f64::from(power + 2);
        }
        sine * sum
    };
    (1.0 - within).clamp(0.0, 1.0)
}

/// Adjusts probabilities for their number, so that with any threshold, all of those at or below
/// it are true findings but for that probability (Holm, "A Simple Sequentially Rejective Multiple
/// Test Procedure", 1979). The order is kept. A probability that is not a number stays one, and
/// does not count.
pub fn holm(probabilities: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> =
        (0..probabilities.len()).filter(|&index| !probabilities[index].is_nan()).collect();
    order.sort_by(|&a, &b| probabilities[a].total_cmp(&probabilities[b]));
    let mut adjusted = vec![f64::NAN; probabilities.len()];
    let mut least: f64 = 0.0;
    for (rank, &index) in order.iter().enumerate() {
        let left = (order.len() - rank) as f64;
        // No probability is smaller than that of one which came before it.
        least = least.max((probabilities[index] * left).min(1.0));
        adjusted[index] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn students_table_is_met() {
        // The two-sided 5 % and 1 % points of any textbook's table.
        for (degrees, five, one) in [
            (1, 12.706, 63.657),
            (2, 4.303, 9.925),
            (3, 3.182, 5.841),
            (4, 2.776, 4.604),
            (5, 2.571, 4.032),
            (10, 2.228, 3.169),
            (29, 2.045, 2.756),
        ] {
            assert!((beyond(five, degrees) - 0.05).abs() < 5e-5, "{degrees}");
            assert!((beyond(-one, degrees) - 0.01).abs() < 1e-5, "{degrees}");
        }
        assert_eq!(beyond(0.0, 4), 1.0);
        assert_eq!(beyond(f64::INFINITY, 4), 0.0);
    }

    #[test]
    fn an_interval_ends_where_a_mean_would_differ() {
        let values = [0.04, 0.11, 0.18, 0.07, 0.05];
        let [low, high] = mean_interval(&values, 0.05).unwrap();
        for end in [low, high] {
            let p_value = mean_differs(&values.map(|value| value - end)).unwrap();
            assert!((p_value - 0.05).abs() < 1e-9, "{p_value}");
        }
        assert!((high - 0.09 - 2.776 * 0.025_5).abs() < 1e-3, "{high}");
        assert_eq!(mean_interval(&[0.1; 4], 0.05), Some([0.1; 2]));
        assert_eq!(mean_interval(&[0.1], 0.05), None);
    }

    #[test]
    fn values_without_spread_leave_no_doubt() {
        assert_eq!(mean_differs(&[0.1; 5]), Some(0.0));
        assert_eq!(mean_differs(&[0.0; 5]), Some(1.0));
        assert_eq!(mean_differs(&[0.1]), None);
        assert_eq!(mean_differs(&[0.1, f64::NAN]), None);
    }

    #[test]
    fn one_of_ten_values_does_not_hide_what_the_others_say() {
        let mut values = [0.099, 0.101, 0.1, 0.102, 0.098, 0.1, 0.101, 0.099, 0.1, 0.1];
        assert!(mean_differs(&values).unwrap() < 1e-6);
        values[3] = -0.6;
        assert!(mean_differs(&values).unwrap() < 1e-6);
        assert!(mean_differs(&values[..9]).unwrap() > 0.5);
    }

    #[test]
    fn more_values_of_the_same_kind_make_a_chance_smaller() {
        let values = [0.04, 0.11, 0.18, 0.07, 0.05];
        let p_value = mean_differs(&values).unwrap();
        assert_eq!(values_until(p_value, 5, p_value, 100), Some(5));
        let needed = values_until(p_value, 5, p_value / 50.0, 100).unwrap();
        // Two and three times the same values: near what is foreseen, on its two sides.
        assert!(mean_differs(&values.repeat(needed.div_ceil(5))).unwrap() < p_value / 50.0);
        assert!(mean_differs(&values[..needed.min(5)]).unwrap() > p_value / 50.0);
        assert!((6..=15).contains(&needed), "{needed}");
        assert_eq!(values_until(1.0, 5, 0.05, 100), None);
        assert_eq!(values_until(0.5, 5, 1e-9, 20), None);
    }

    #[test]
    fn holm_steps_down() {
        let adjusted = holm(&[0.01, 0.04, f64::NAN, 0.03, 0.005]);
        let expected = [0.03, 0.06, 0.06, 0.02];
        let numbers: Vec<f64> = adjusted.iter().copied().filter(|p| !p.is_nan()).collect();
        for (found, expected) in numbers.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{adjusted:?}");
        }
        assert!(adjusted[2].is_nan());
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }
}
