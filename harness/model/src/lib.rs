//! Statistics and the performance model: pure functions of their arguments.
//!
//! Nothing here reads a file, a clock or the environment, and whatever is random comes from a
//! seed that the caller gives: the same samples give the same figures on every machine.

mod bootstrap;
mod break_even;
mod breakdown;
mod comparison;
mod line;
mod platform;
mod precision;
mod pull;
mod random;
mod samples;
mod significance;

pub use bootstrap::{Bootstrap, Estimate};
pub use break_even::{BreakEven, Cost, SampledCost, break_even};
pub use breakdown::{ReadTimes, TOLERANCE, Terms, reconcile};
pub use comparison::{
    Comparison, GeometricMean, Judgement, MINIMAL_EFFECT, Verdict, geometric_mean,
};
pub use line::{Coefficients, FEWEST_SIZES, Line, SizedSamples, fit};
pub use platform::{negligible_from, platform_ratio};
pub use precision::rounds_due;
pub use pull::pull_ns;
pub use random::SplitMix64;
pub use samples::{Samples, SamplesError, median, quantile};
pub use significance::{holm, mean_differs, mean_interval};
