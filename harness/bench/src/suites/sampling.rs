//! How many samples a round takes of a case, of how many iterations each.

use std::time::Duration;

use lumos_criterion::{Asked, FEWEST_SAMPLES};

/// The samples of a round by which a case is measured at least, where there are so many rounds.
///
/// Over all rounds they are as many as Criterion takes at least, and two in any case.
pub fn fewest(rounds: u32) -> usize {
    FEWEST_SAMPLES.div_ceil(rounds.max(1) as usize).max(2)
}

/// How a round takes the samples of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling {
    /// How many.
    pub samples: usize,
    /// The time to take them in; none where each is one iteration.
    pub measurement: Option<Duration>,
    /// The time before the first.
    pub warm_up: Duration,
}

impl Sampling {
    /// The most samples of a steady case in a round.
    const MOST: usize = 10;
    /// The most of what begins anew each time.
    const MOST_COLD: usize = 20;

    /// Chooses for a steady case of which one iteration takes `cost`, and which may take `time` in
    /// this one of `rounds` rounds.
    pub fn steady(cost: Duration, time: Duration, rounds: u32, asked: &Asked) -> Self {
        let measurement = asked.measurement.map_or(time * 3 / 4, |time| time / rounds.max(1));
        let affordable = affordable(measurement, cost);
        let fewest = fewest(rounds);
        let chosen = match affordable < fewest {
            // One iteration a sample.
            true => Self { samples: fewest, measurement: None, warm_up: Duration::ZERO },
            false => Self {
                samples: affordable.clamp(fewest, Self::MOST.max(fewest)),
                measurement: Some(measurement),
                warm_up: time / 20,
            },
        };
        chosen.as_asked(rounds, asked)
    }

    /// Chooses for what has to begin anew each time, such as a cold start: one iteration a sample,
    /// so that every sample is raw, and no warm-up.
    pub fn cold(cost: Duration, time: Duration, rounds: u32, asked: &Asked) -> Self {
        let fewest = fewest(rounds);
        let samples = affordable(time, cost).clamp(fewest, Self::MOST_COLD.max(fewest));
        let samples_alone = Asked { samples: asked.samples, ..Asked::default() };
        Self { samples, measurement: None, warm_up: Duration::ZERO }
            .as_asked(rounds, &samples_alone)
    }

    fn as_asked(self, rounds: u32, asked: &Asked) -> Self {
        let rounds = rounds.max(1);
        Self {
            samples: asked
                .samples
                .map_or(self.samples, |samples| samples.div_ceil(rounds as usize).max(1)),
            measurement: self.measurement,
            warm_up: asked.warm_up.map_or(self.warm_up, |time| time / rounds),
        }
    }

    /// Runs a case until it is warm, and returns how many iterations a sample is to have.
    ///
    /// # Errors
    /// Those of `routine`, which runs so many iterations and returns the time that they took.
    pub fn warm_up(
        &self,
        cost: Duration,
        mut routine: impl FnMut(u64) -> Result<Duration, String>,
    ) -> Result<u64, String> {
        let (mut spent, mut done) = (Duration::ZERO, 0_u64);
        let mut next = 1_u64;
        while spent < self.warm_up {
            spent += routine(next)?.max(Duration::from_nanos(1));
            done += next;
            // Twice as many, and no more than the rest of the time is for.
            let left = self.warm_up.saturating_sub(spent).as_nanos() * u128::from(done);
            let left = left.div_ceil(spent.as_nanos());
            next = u64::try_from(left).unwrap_or(u64::MAX).clamp(1, 2 * next);
        }
        let Some(measurement) = self.measurement else { return Ok(1) };
        let (spent_ns, done) = match done {
            0 => (cost.as_nanos().max(1), 1),
            _ => (spent.as_nanos(), u128::from(done)),
        };
        let a_sample_ns = measurement.as_nanos() / self.samples.max(1) as u128;
        let iterations = a_sample_ns * done / spent_ns;
        Ok(u64::try_from(iterations).unwrap_or(u64::MAX).max(1))
    }
}

/// How many times something fits into a time.
fn affordable(time: Duration, cost: Duration) -> usize {
    usize::try_from(time.as_nanos() / cost.as_nanos().max(1)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_millis(400);

    #[test]
    fn sampling_fits_the_time_of_a_round() {
        let steady = |cost, rounds| Sampling::steady(cost, TIME, rounds, &Asked::default());
        let fast = steady(Duration::from_nanos(30), 5);
        assert_eq!((fast.samples, fast.measurement), (10, Some(Duration::from_millis(300))));
        let slow = steady(Duration::from_millis(50), 5);
        assert_eq!((slow.samples, slow.measurement.is_some()), (6, true));
        let slowest = steady(Duration::from_secs(1), 5);
        assert_eq!(slowest, Sampling { samples: 2, measurement: None, warm_up: Duration::ZERO });
        // Of one round alone, as many as Criterion wants.
        assert_eq!(steady(Duration::from_secs(1), 1).samples, 10);
        assert_eq!(Sampling::cold(TIME / 8, TIME, 5, &Asked::default()).samples, 8);
        assert_eq!(Sampling::cold(TIME, TIME, 5, &Asked::default()).samples, 2);
        assert_eq!(Sampling::cold(TIME / 100, TIME, 5, &Asked::default()).samples, 20);
    }

    #[test]
    fn what_is_asked_for_is_shared_by_the_rounds() {
        let asked = Asked {
            samples: Some(40),
            warm_up: Some(Duration::from_millis(50)),
            measurement: Some(Duration::from_secs(1)),
        };
        let steady = Sampling::steady(Duration::from_micros(1), TIME, 5, &asked);
        assert_eq!(steady.samples, 8);
        assert_eq!(steady.measurement, Some(Duration::from_millis(200)));
        assert_eq!(steady.warm_up, Duration::from_millis(10));
        let cold = Sampling::cold(Duration::from_micros(1), TIME, 5, &asked);
        assert_eq!(cold, Sampling { samples: 8, measurement: None, warm_up: Duration::ZERO });
    }

    #[test]
    fn a_warm_up_tells_how_many_iterations_fill_a_sample() {
        let sampling = Sampling {
            samples: 5,
            measurement: Some(Duration::from_millis(50)),
            warm_up: Duration::from_millis(10),
        };
        let mut ran = 0;
        let found = sampling.warm_up(Duration::from_secs(9), |iterations| {
            ran += iterations;
            Ok(Duration::from_micros(2) * u32::try_from(iterations).unwrap())
        });
        assert_eq!(found, Ok(5_000));
        assert_eq!(ran, 5_000, "the warm-up takes its time and no more");
        let cold = Sampling { measurement: None, warm_up: Duration::ZERO, ..sampling };
        assert_eq!(cold.warm_up(TIME, |_| Err("not run".into())), Ok(1));
        let broken = sampling.warm_up(TIME, |_| Err("it broke".into()));
        assert_eq!(broken, Err("it broke".into()));
    }
}
