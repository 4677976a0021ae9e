//! A cost that grows with the size of what is moved: `fixed + per_byte * bytes`.
//!
//! Sizes and times span orders of magnitude, so the line is the one of least squares of relative
//! errors: each point weighs `1 / time^2`. The weighted normal equations are those of any textbook
//! on regression, such as Draper and Smith, "Applied Regression Analysis" (1998), chapter 9.

use crate::bootstrap::{Bootstrap, Estimate, Place, carries_interval, interval};
use crate::samples::Samples;

/// The measurements of one size.
#[derive(Debug, Clone, Copy)]
pub struct SizedSamples<'s> {
    /// The size in bytes.
    pub bytes: u64,
    /// The times that it took.
    pub samples: &'s Samples,
}

/// A line with the intervals of its coefficients, in the unit of the samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// What is paid whatever the size.
    pub fixed: Estimate,
    /// What each byte costs.
    pub per_byte: Estimate,
    /// How far the line is from the farthest point, as a share of that point.
    pub largest_residual: f64,
}

/// The fewest sizes that a line is put through: two always fit.
pub const FEWEST_SIZES: usize = 3;

/// A line's coefficients: what is paid whatever the size, and what each byte costs.
pub type Coefficients = (f64, f64);

/// The line with coefficients that are not negative, through pairs of a size in bytes and a time
/// in any unit: what is paid whatever the size, and what each byte costs. None when there are
/// fewer than [`FEWEST_SIZES`] different sizes, or a time is not positive.
///
/// A negative coefficient would be noise: nothing costs less than nothing. Where the free line has
/// one, it is 0, and the other is fitted alone.
pub fn fit(points: &[(f64, f64)]) -> Option<Coefficients> {
    let mut sizes: Vec<f64> = points.iter().map(|&(bytes, _)| bytes).collect();
    sizes.sort_unstable_by(f64::total_cmp);
    sizes.dedup();
    let valid = |&(bytes, time): &(f64, f64)| {
        bytes.is_finite() && bytes >= 0.0 && time.is_finite() && time > 0.0
    };
    if sizes.len() < FEWEST_SIZES || !points.iter().all(valid) {
        return None;
    }
    // Divided by its time, each point is to be met at 1: by fixed * u + per_byte * v.
    let (mut uu, mut uv, mut vv, mut u1, mut v1) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for &(bytes, time) in points {
        let (u, v) = (1.0 / time, bytes / time);
        uu += u * u;
        uv += u * v;
        vv += v * v;
        u1 += u;
        v1 += v;
    }
    let determinant = uu * vv - uv * uv;
    let free = ((u1 * vv - v1 * uv) / determinant, (v1 * uu - u1 * uv) / determinant);
    let (fixed, per_byte) = match free {
        (fixed, _) if fixed < 0.0 => (0.0, v1 / vv),
        (_, per_byte) if per_byte < 0.0 => (u1 / uu, 0.0),
        free => free,
    };
    (fixed.is_finite() && per_byte.is_finite()).then_some((fixed, per_byte))
}

/// Sizes with samples of the rounds that all of them have.
fn of_common_rounds(sizes: &[SizedSamples<'_>]) -> Vec<(u64, Samples)> {
    let sets: Vec<&Samples> = sizes.iter().map(|size| size.samples).collect();
    let bytes = sizes.iter().map(|size| size.bytes);
    bytes.zip(Samples::of_common_rounds(&sets)).collect()
}

fn sized(sets: &[(u64, Samples)]) -> Vec<SizedSamples<'_>> {
    sets.iter().map(|(bytes, samples)| SizedSamples { bytes: *bytes, samples }).collect()
}

impl Bootstrap {
    /// The line through the medians of samples by size, with its interval, over the rounds that all
    /// sizes have; none when there is no line, or too few samples of a size.
    pub fn line(&mut self, sizes: &[SizedSamples<'_>]) -> Option<Line> {
        let common = of_common_rounds(sizes);
        let sizes = sized(&common);
        let ((fixed, per_byte), resampled) = self.lines(0, &sizes)?;
        let residual = |size: &SizedSamples<'_>| {
            ((fixed + per_byte * size.bytes as f64) / size.samples.median() - 1.0).abs()
        };
        let largest_residual = sizes.iter().map(residual).fold(0.0, f64::max);
        let (mut fixed_all, mut per_byte_all): (Vec<f64>, Vec<f64>) = resampled.into_iter().unzip();
        Some(Line {
            fixed: interval(fixed, &mut fixed_all),
            per_byte: interval(per_byte, &mut per_byte_all),
            largest_residual,
        })
    }

    /// What each byte costs by the line through `above`, over what it costs by that through
    /// `below`, over the rounds that all sizes of both have.
    ///
    /// None where [`Bootstrap::line`] gives none for a side, or when the samples cannot tell the
    /// cost below from nothing, so that the ratio has no bounds.
    pub fn per_byte_ratio(
        &mut self,
        above: &[SizedSamples<'_>],
        below: &[SizedSamples<'_>],
    ) -> Option<Estimate> {
        let common = of_common_rounds(&[above, below].concat());
        let (above, below) = common.split_at(above.len());
        let ((_, point_above), resampled_above) = self.lines(0, &sized(above))?;
        let first = above.len() as Place;
        let ((_, point_below), resampled_below) = self.lines(first, &sized(below))?;
        let mut ratios: Vec<f64> = std::iter::zip(resampled_above, resampled_below)
            // Nothing over nothing tells as little as anything over nothing.
            .map(|((_, above), (_, below))| if below > 0.0 { above / below } else { f64::INFINITY })
            .collect();
        let unbounded = ratios.iter().filter(|ratio| !ratio.is_finite()).count();
        let is_bounded =
            point_below > 0.0 && (unbounded as f64) < Self::TAIL * (Self::RESAMPLES - 1) as f64;
        is_bounded.then(|| interval(point_above / point_below, &mut ratios))
    }

    /// The line through the medians, and that of every resample. Sizes of a single round were
    /// measured independently of each other: each has a place of its own, from `first` on.
    fn lines(
        &mut self,
        first: Place,
        sizes: &[SizedSamples<'_>],
    ) -> Option<(Coefficients, Vec<Coefficients>)> {
        if !sizes.iter().all(|size| carries_interval(size.samples)) {
            return None;
        }
        let through = |medians: &mut dyn Iterator<Item = f64>| {
            let bytes = sizes.iter().map(|size| size.bytes as f64);
            fit(&std::iter::zip(bytes, medians).collect::<Vec<_>>())
        };
        let line = through(&mut sizes.iter().map(|size| size.samples.median()))?;
        let resampled: Vec<Vec<f64>> =
            (first..).zip(sizes).map(|(place, size)| self.medians(place, size.samples)).collect();
        let lines = (0..Self::RESAMPLES)
            .map(|round| through(&mut resampled.iter().map(|medians| medians[round])))
            .collect::<Option<_>>()?;
        Some((line, lines))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(time: f64) -> Samples {
        Samples::raw((0..12).map(|n| time * (1.0 + 0.001 * f64::from(n - 6))).collect()).unwrap()
    }

    #[test]
    fn an_exact_line_is_found() {
        let points: Vec<(f64, f64)> =
            [64.0, 1024.0, 65_536.0, 1e7].map(|bytes| (bytes, 40.0 + 0.05 * bytes)).to_vec();
        let (fixed, per_byte) = fit(&points).unwrap();
        assert!((fixed - 40.0).abs() < 1e-6 && (per_byte - 0.05).abs() < 1e-9);
        let scaled: Vec<(f64, f64)> = points.iter().map(|&(b, t)| (b, t * 1e6)).collect();
        let (fixed, per_byte) = fit(&scaled).unwrap();
        assert!((fixed / 40e6 - 1.0).abs() < 1e-6 && (per_byte / 0.05e6 - 1.0).abs() < 1e-6);
    }

    #[test]
    fn no_coefficient_is_negative() {
        let falling = [(1.0, 10.0), (100.0, 9.0), (10_000.0, 8.0)];
        assert_eq!(fit(&falling).unwrap().1, 0.0);
        let convex = [(1.0, 0.001), (100.0, 1.0), (10_000.0, 1000.0)];
        assert_eq!(fit(&convex).unwrap().0, 0.0);
    }

    #[test]
    fn two_sizes_are_no_sweep() {
        assert_eq!(fit(&[(1.0, 1.0), (2.0, 2.0)]), None);
        assert_eq!(fit(&[(1.0, 1.0), (1.0, 1.1), (2.0, 2.0)]), None);
        assert_eq!(fit(&[(1.0, 1.0), (2.0, 0.0), (3.0, 2.0)]), None);
        assert_eq!(fit(&[(1.0, 1.0), (2.0, f64::NAN), (3.0, 2.0)]), None);
    }

    fn sets(fixed: f64, per_byte: f64) -> Vec<(u64, Samples)> {
        [64, 4096, 262_144, 1 << 24]
            .map(|bytes| (bytes, samples(fixed + per_byte * bytes as f64)))
            .into()
    }

    #[test]
    fn costs_per_byte_are_compared() {
        let (dear, cheap, free) = (sets(900.0, 0.6), sets(500.0, 0.1), sets(500.0, 0.0));
        let (dear, cheap, free) = (sized(&dear), sized(&cheap), sized(&free));
        let mut bootstrap = Bootstrap::new(1);
        let ratio = bootstrap.per_byte_ratio(&dear, &cheap).unwrap();
        assert!((ratio.point / 6.0 - 1.0).abs() < 0.01, "{ratio:?}");
        assert!(5.9 < ratio.low && ratio.low < ratio.high && ratio.high < 6.1, "{ratio:?}");
        // Noise around no cost at all has no bounds as a divisor.
        assert_eq!(bootstrap.per_byte_ratio(&cheap, &free), None);
        assert_eq!(bootstrap.per_byte_ratio(&cheap, &dear[..2]), None);
    }

    #[test]
    fn the_farthest_size_is_told() {
        // A step, as where a cache ends: no line meets all of these.
        let stepped = [(1 << 10, 1_000.0), (1 << 15, 32_000.0), (1 << 20, 4_000_000.0)]
            .map(|(bytes, time)| (bytes, samples(time)));
        let line = Bootstrap::new(1).line(&sized(&stepped)).unwrap();
        assert!(line.largest_residual > 0.3, "{line:?}");
    }

    #[test]
    fn intervals_hold_the_line() {
        let sets = sets(500.0, 0.1);
        let sizes = sized(&sets);
        let line = Bootstrap::new(1).line(&sizes).unwrap();
        assert!(line.fixed.low <= line.fixed.point && line.fixed.point <= line.fixed.high);
        assert!((line.fixed.point / 500.0 - 1.0).abs() < 0.01, "{line:?}");
        assert!((line.per_byte.point / 0.1 - 1.0).abs() < 0.01, "{line:?}");
        assert!(line.per_byte.low < line.per_byte.high && line.largest_residual < 0.01);
    }
}
