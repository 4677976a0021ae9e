//! What a request costs by the bytes that it moves: of the suites that sweep over sizes.

use std::collections::BTreeMap;

use lumos_model::{Bootstrap, SizedSamples, geometric_mean};
use lumos_record::{Case, Suite};

use super::load::CaseEvidence;
use super::runtimes::Runtimes;
use super::schema::{CaseRatio, Interval, Report, SizeEstimate, SweepComparison, SweepEstimate};

/// Every function on every runtime that was swept in one of `suites`, from the report's estimates
/// and ratios.
pub fn estimates(
    suites: &[Suite],
    report: &Report,
    runtimes: &Runtimes,
    cases: &BTreeMap<Case, CaseEvidence>,
    bootstrap: &mut Bootstrap,
) -> Vec<SweepEstimate> {
    let mut sweeps: Vec<Vec<&Case>> = Vec::new();
    let of_suites = report.estimates.iter().map(|estimate| &estimate.case);
    for case in of_suites.filter(|case| suites.contains(&case.suite)) {
        match sweeps.iter_mut().find(|sweep| is_same(sweep[0], case)) {
            Some(sweep) => sweep.push(case),
            None => sweeps.push(vec![case]),
        }
    }
    // The estimates are sorted: sizes are in their order, and stay in it.
    sweeps.sort_by_cached_key(|sweep| {
        let Case { suite, function, setting, runtime, .. } = sweep[0];
        (*suite, function.clone(), *setting, runtimes.rank(suite.lane(), runtime))
    });
    sweeps.iter().map(|sweep| estimate(sweep, report, runtimes, cases, bootstrap)).collect()
}

/// Whether two cases differ in their payload alone.
fn is_same(one: &Case, other: &Case) -> bool {
    one.suite == other.suite
        && one.function == other.function
        && one.runtime == other.runtime
        && one.setting == other.setting
}

fn estimate(
    sweep: &[&Case],
    report: &Report,
    runtimes: &Runtimes,
    cases: &BTreeMap<Case, CaseEvidence>,
    bootstrap: &mut Bootstrap,
) -> SweepEstimate {
    let reference = runtimes.references(sweep[0]).into_iter().next();
    let ratio = |case: &Case| -> Option<Interval> {
        let is_of = |ratio: &&CaseRatio| {
            ratio.case == *case && Some(&ratio.reference) == reference.as_ref()
        };
        let CaseRatio { ratio, low, high, .. } = *report.ratios.iter().find(is_of)?;
        Some(Interval { point: ratio, low, high })
    };
    let mut sizes = Vec::new();
    for &case in sweep {
        let estimate = report.estimates.iter().find(|estimate| estimate.case == *case);
        let (Some(estimate), Some(found)) = (estimate, cases.get(case)) else { continue };
        sizes.push(SizeEstimate {
            payload: case.payload.clone(),
            bytes: found.size_bytes,
            median_ns: estimate.median,
            low_ns: estimate.low,
            high_ns: estimate.high,
            n: estimate.n,
            ratio: ratio(case),
        });
    }
    let swept = samples(sweep, None, cases);
    let line = bootstrap.line(&swept);
    let ratios: Vec<f64> = sizes.iter().filter_map(|size| Some(size.ratio?.point)).collect();
    let to_native = reference.zip(geometric_mean(&ratios)).map(|(reference, mean)| {
        let below = samples(sweep, Some(&reference), cases);
        SweepComparison {
            ratio: mean.mean,
            smallest: mean.smallest,
            largest: mean.largest,
            sizes: mean.count,
            per_kib_ratio: bootstrap.per_byte_ratio(&swept, &below).map(Interval::from),
            reference,
        }
    });
    let Case { suite, function, runtime, setting, .. } = sweep[0];
    SweepEstimate {
        suite: *suite,
        lane: suite.lane(),
        function: function.clone(),
        runtime: runtime.clone(),
        setting: *setting,
        sizes,
        fixed_ns: line.map(|line| line.fixed.into()),
        per_kib_ns: line.map(|line| Interval::from(line.per_byte).times(1024.0)),
        largest_residual: line.map(|line| line.largest_residual),
        to_native,
    }
}

/// The samples of each size of a sweep: of its own runtime or, for the same sizes, of another.
fn samples<'c>(
    sweep: &[&Case],
    runtime: Option<&String>,
    cases: &'c BTreeMap<Case, CaseEvidence>,
) -> Vec<SizedSamples<'c>> {
    let of_size = |case: &&Case| {
        let runtime = runtime.unwrap_or(&case.runtime).clone();
        let found = cases.get(&Case { runtime, ..(*case).clone() })?;
        Some(SizedSamples { bytes: found.size_bytes, samples: found.samples()? })
    };
    sweep.iter().filter_map(of_size).collect()
}
