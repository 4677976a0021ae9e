//! How often an interval holds the truth, where the truth is known: runs are simulated, of rounds
//! that differ by themselves and of samples within them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lumos_model::{Bootstrap, Samples, SplitMix64};

/// The runs of each simulation: the share that is found is right to about 0.4 % then.
const RUNS: usize = 3_000;
/// The samples of a round.
const SAMPLES: usize = 4;

/// Normally distributed numbers (Box and Muller, "A Note on the Generation of Random Normal
/// Deviates", 1958).
struct Normal(SplitMix64);

impl Normal {
    fn unit(&mut self) -> f64 {
        ((self.0.next_u64() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn draw(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// What a simulated node does.
#[derive(Clone, Copy)]
struct Node {
    rounds: u32,
    /// How far rounds lie apart by what happens to both sides alike, as a share of 1.
    weather: f64,
    /// How far they lie apart by what happens to one side.
    between: f64,
    /// How far the samples within a round lie apart.
    within: f64,
    /// Of how many rounds one is slower on one side, by up to a half.
    outlier_in: Option<f64>,
}

const QUIET: Node = Node { rounds: 5, weather: 0.3, between: 0.04, within: 0.02, outlier_in: None };

impl Node {
    /// How often the interval holds the true ratio, and how wide it is in the middle.
    fn simulate(self, ratio: f64) -> (f64, f64) {
        let mut random = Normal(SplitMix64::new(20));
        let mut bootstrap = Bootstrap::new(1);
        let mut held = 0;
        let mut widths = Vec::new();
        for _ in 0..RUNS {
            let [new, base] = self.sides(ratio, &mut random);
            let found = bootstrap.ratio(&new, &base).unwrap();
            held += usize::from(found.low <= ratio && ratio <= found.high);
            widths.push(found.high / found.low);
        }
        (held as f64 / RUNS as f64, lumos_model::median(&widths).unwrap())
    }

    fn sides(self, ratio: f64, random: &mut Normal) -> [Samples; 2] {
        let weather: Vec<f64> = (0..self.rounds).map(|_| self.weather * random.draw()).collect();
        [ratio.ln(), 0.0].map(|level| {
            let mut round = |weather: &f64| {
                let slow = self.outlier_in.is_some_and(|of| random.unit() < 1.0 / of);
                let outlier = if slow { 0.5 * random.unit() } else { 0.0 };
                let level = level + weather + self.between * random.draw() + outlier;
                let sample = |random: &mut Normal| (level + self.within * random.draw()).exp();
                Samples::raw((0..SAMPLES).map(|_| sample(random)).collect()).unwrap()
            };
            Samples::in_rounds((1..).zip(weather.iter().map(&mut round)).collect()).unwrap()
        })
    }
}

#[test]
fn an_interval_holds_what_it_says() {
    for node in [
        QUIET,
        Node { between: 0.0, ..QUIET },
        Node { within: 0.2, ..QUIET },
        Node { rounds: 3, ..QUIET },
        Node { rounds: 9, ..QUIET },
        Node { rounds: 25, ..QUIET },
    ] {
        let (held, _) = node.simulate(1.7);
        assert!((0.93..=0.97).contains(&held), "{} rounds: {held}", node.rounds);
    }
}

#[test]
fn one_slow_round_in_five_widens_it_and_hides_little() {
    let (calm, narrow) = QUIET.simulate(1.0);
    for rounds in [5, 10] {
        let (held, wide) = Node { rounds, outlier_in: Some(5.0), ..QUIET }.simulate(1.0);
        assert!(held >= 0.90, "{rounds} rounds: {held}");
        assert!(rounds > 5 || wide > narrow, "{wide} {narrow} {calm}");
    }
}

#[test]
fn what_happens_to_both_sides_costs_nothing() {
    let (_, calm) = Node { weather: 0.0, ..QUIET }.simulate(1.0);
    let (_, rough) = Node { weather: 1.0, ..QUIET }.simulate(1.0);
    assert!((rough / calm - 1.0).abs() < 0.02, "{rough} {calm}");
}
