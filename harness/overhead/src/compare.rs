//! Two things that are measured in turns, and the ratio of their times.

use anyhow::{Context, Result};
use lumos_model::{Bootstrap, Samples};
use serde::Serialize;

/// The most that a harness may add to the same work done by hand.
pub const TARGET: f64 = 1.15;

/// How the time of a thing compares with that of its peer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// What is compared with what.
    pub compares: &'static str,
    /// The median over the peer's median.
    pub ratio: f64,
    /// The lower end of the ratio's 95 % interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// The median time.
    pub median_ns: f64,
    /// The peer's median time.
    pub peer_median_ns: f64,
    /// How many samples each side has.
    pub n: usize,
    /// How many invocations are in one sample, of which it is the mean.
    pub invocations_per_sample: u64,
    /// The most that the ratio may be; none where it is a finding and no promise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
    /// What it would be at best, where that is less than the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aim: Option<f64>,
    /// Whether the ratio is at most the target.
    pub holds: bool,
}

/// The samples of both sides, in nanoseconds.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Turns {
    /// Those of the thing itself.
    pub own_ns: Vec<f64>,
    /// Those of its peer.
    pub peer_ns: Vec<f64>,
}

impl Turns {
    /// Takes `rounds` samples of either side, one after the other; who begins changes from
    /// round to round. So both see the same weather, and neither always finds a warmer cache.
    ///
    /// # Errors
    /// Those of a side.
    pub fn take(
        &mut self,
        rounds: usize,
        mut own_ns: impl FnMut() -> Result<f64>,
        mut peer_ns: impl FnMut() -> Result<f64>,
    ) -> Result<()> {
        for round in 0..rounds {
            if round % 2 == 0 {
                self.own_ns.push(own_ns()?);
                self.peer_ns.push(peer_ns()?);
            } else {
                self.peer_ns.push(peer_ns()?);
                self.own_ns.push(own_ns()?);
            }
        }
        Ok(())
    }

    /// Adds the samples of other turns.
    pub fn extend(&mut self, others: Self) {
        self.own_ns.extend(others.own_ns);
        self.peer_ns.extend(others.peer_ns);
    }

    /// The ratio of both sides.
    ///
    /// # Errors
    /// When there are too few samples, or one is not a time.
    pub fn compare(
        self,
        compares: &'static str,
        invocations_per_sample: u64,
        target: Option<f64>,
        aim: Option<f64>,
    ) -> Result<Comparison> {
        let samples = |values_ns| match invocations_per_sample {
            1 => Samples::raw(values_ns),
            _ => Samples::averaged(values_ns),
        };
        let (own, peer) = (samples(self.own_ns)?, samples(self.peer_ns)?);
        let ratio = Bootstrap::new(0).ratio(&own, &peer).context("too few samples")?;
        Ok(Comparison {
            compares,
            ratio: ratio.point,
            low: ratio.low,
            high: ratio.high,
            median_ns: own.median(),
            peer_median_ns: peer.median(),
            n: own.count(),
            invocations_per_sample,
            target,
            aim,
            holds: target.is_none_or(|target| ratio.point <= target),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn who_begins_changes_from_round_to_round() {
        let log = RefCell::new(String::new());
        let side = |name: char, time_ns: f64| {
            log.borrow_mut().push(name);
            Ok(time_ns)
        };
        let mut turns = Turns::default();
        turns.take(3, || side('a', 1.0), || side('b', 2.0)).unwrap();
        assert_eq!(log.into_inner(), "abbaab");
        assert_eq!(turns.own_ns, [1.0; 3]);
        assert_eq!(turns.peer_ns, [2.0; 3]);
    }

    #[test]
    fn a_target_holds_up_to_and_with_its_bound() {
        let turns = |own_ns: f64| Turns { own_ns: vec![own_ns; 8], peer_ns: vec![100.0; 8] };
        let compare = |own_ns| turns(own_ns).compare("", 1, Some(TARGET), None).unwrap();
        assert!(compare(115.0).holds);
        assert!(!compare(115.1).holds);
        assert_eq!(compare(90.0).ratio, 0.9);
        assert!(Turns::default().compare("", 1, Some(TARGET), None).is_err());
    }
}
