//! How Criterion is called.

use std::panic::resume_unwind;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use lumos_record::Case;

/// Criterion with the user's arguments, to be told what was measured.
pub fn criterion() -> Criterion {
    // A tenth of Criterion's own number of resamples: its intervals are not what the report shows,
    // and a case should not take longer to analyse than to measure.
    Criterion::default().without_plots().nresamples(10_000).configure_from_args()
}

/// Has Criterion take samples that were taken before. It asks for so many iterations a sample, one
/// where they are raw, and is told the time that they would have taken. Fewer than
/// [`FEWEST_SAMPLES`](crate::FEWEST_SAMPLES) it refuses.
pub fn replay(
    criterion: &mut Criterion,
    case: &Case,
    times_ns: &[f64],
    is_raw: bool,
    throughput: Option<u64>,
) {
    /// A sample's length, so that a nanosecond more or less is none. It is met by a factor of a
    /// hundred or so: Criterion takes the time in which it is told of one iteration for that of
    /// an iteration.
    const SAMPLE_NS: f64 = 1e8;
    const TOLD_IN_NS: f64 = 100.0;
    let mut group = criterion.benchmark_group(case.group());
    group.sampling_mode(SamplingMode::Flat).sample_size(times_ns.len());
    let first = times_ns[0];
    let measurement_ns = match is_raw {
        true => 1.0,
        false => (SAMPLE_NS / first).max(100.0) * TOLD_IN_NS * times_ns.len() as f64,
    };
    group.warm_up_time(Duration::from_nanos(1));
    group.measurement_time(Duration::from_nanos(measurement_ns as u64));
    if let Some(bytes) = throughput {
        group.throughput(Throughput::Bytes(bytes));
    }
    let mut times = times_ns.iter();
    let mut is_warm = false;
    group.bench_function(BenchmarkId::new(&case.runtime, case.input()), |bencher| {
        bencher.iter_custom(|iterations| {
            let time_ns = match std::mem::replace(&mut is_warm, true) {
                true => times.next().copied().unwrap_or(first),
                false => first,
            };
            Duration::from_nanos((time_ns * iterations as f64).round().max(1.0) as u64)
        });
    });
    group.finish();
}

/// The payload of the unwinding that ends a case inside Criterion.
pub struct Stopped(pub String);

/// Has Criterion run a case as it likes, such as once, or for so long as a profiler wants.
///
/// A case that fails leaves Criterion by unwinding with [`Stopped`]: whatever duration it returned
/// instead would be taken for a sample.
pub fn try_case(
    criterion: &mut Criterion,
    case: &Case,
    mut routine: impl FnMut(u64) -> Result<Duration, String>,
) {
    let mut group = criterion.benchmark_group(case.group());
    group.bench_function(BenchmarkId::new(&case.runtime, case.input()), |bencher| {
        bencher.iter_custom(|iterations| {
            routine(iterations).unwrap_or_else(|stop| resume_unwind(Box::new(Stopped(stop))))
        });
    });
    group.finish();
}

/// Tells Criterion that a case exists, when it only wants to list the cases.
pub fn register(criterion: &mut Criterion, case: &Case) {
    let mut group = criterion.benchmark_group(case.group());
    group.bench_function(BenchmarkId::new(&case.runtime, case.input()), |_| {});
    group.finish();
}
