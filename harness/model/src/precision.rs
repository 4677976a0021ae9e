//! How many rounds it takes until a figure is known as precisely as somebody asks.

use crate::significance::rounds_until;
use crate::{Bootstrap, Estimate};

/// The most rounds that are still worth proposing.
const MOST_ROUNDS: usize = 200;

impl Estimate {
    /// How far the ends of the interval are from the figure, as a share of it: 0.05 of one that is
    /// known within 5 %.
    pub fn reach(&self) -> f64 {
        (self.high / self.point).max(self.point / self.low) - 1.0
    }

    /// How many rounds the interval would take to reach no further than `wanted`, as a share, if
    /// it is of `rounds` now and they go on differing as they do: by Student's law, which gains by
    /// the root of their number and by what is known of how far they differ.
    ///
    /// None for fewer than [`Bootstrap::FEWEST_ROUNDS`], and where no affordable number would do.
    pub fn rounds_until(&self, rounds: usize, wanted: f64) -> Option<usize> {
        if rounds < Bootstrap::FEWEST_ROUNDS {
            return None;
        }
        let outside = 1.0 - Bootstrap::CONFIDENCE;
        rounds_until(self.reach().ln_1p(), rounds, outside, wanted.ln_1p(), MOST_ROUNDS)
    }
}

/// How many rounds a figure gets that has `rounds` of them and is not known within `wanted` yet:
/// as many as it would take, and at most twice what it has, since few rounds tell little of how
/// far they differ.
///
/// They are all measured before its interval is looked at again. Who looks after each of them, and
/// stops at the first that seems to suffice, stops where rounds happen to agree, and has intervals
/// that hold the truth less often than they say.
///
/// None where [`Estimate::rounds_until`] gives none.
pub fn rounds_due(estimate: &Estimate, rounds: usize, wanted: f64) -> Option<usize> {
    Some(estimate.rounds_until(rounds, wanted)?.min(2 * rounds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(reach: f64) -> Estimate {
        Estimate { point: 2.0, low: 2.0 / (1.0 + reach), high: 2.0 * (1.0 + reach) }
    }

    #[test]
    fn the_reach_is_that_of_the_farther_end() {
        assert!((within(0.1).reach() - 0.1).abs() < 1e-12);
        let lopsided = Estimate { point: 1.0, low: 0.8, high: 1.1 };
        assert!((lopsided.reach() - 0.25).abs() < 1e-12);
        assert_eq!(Estimate { point: 1.0, low: 1.0, high: 1.0 }.reach(), 0.0);
    }

    #[test]
    fn rounds_gain_by_their_number_and_by_what_is_known_of_them() {
        // Student's factors for 95 %: 2.776 over the root of 5, 2.447 over that of 7.
        let gain = (2.447 / 7_f64.sqrt()) / (2.776 / 5_f64.sqrt());
        let wanted = (0.1_f64.ln_1p() * gain * 1.001).exp_m1();
        assert_eq!(within(0.1).rounds_until(5, wanted), Some(7));
        assert_eq!(within(0.1).rounds_until(5, 0.101), Some(5));
        assert_eq!(within(0.1).rounds_until(2, 0.1), None);
        assert_eq!(within(0.5).rounds_until(5, 0.001), None);
        assert_eq!(rounds_due(&within(0.1), 5, 0.02), Some(10));
        assert_eq!(rounds_due(&within(0.5), 5, 0.001), None);
    }
}
