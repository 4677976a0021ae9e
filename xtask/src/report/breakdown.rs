//! Where the time of an invocation goes, by the samples of the suite `breakdown`.

use std::collections::BTreeMap;

use lumos_model::{Bootstrap, ReadTimes, Terms, reconcile};
use lumos_record::{Breakdown, Case, TimedCalls};

use super::analysis;
use super::load::{CaseEvidence, InRounds, median_of, samples_of};
use super::runtimes::Runtimes;
use super::schema::{BreakdownEstimate, Figure, Invocation};

/// Both rows of every case of the suite that has samples.
pub fn estimates(
    runtimes: &Runtimes,
    cases: &BTreeMap<Case, CaseEvidence>,
    bootstrap: &mut Bootstrap,
) -> Vec<BreakdownEstimate> {
    let mut taken: Vec<(&Case, &[(u32, Breakdown)])> = cases
        .iter()
        .filter(|(_, found)| found.samples().is_some() && !found.breakdowns.is_empty())
        .map(|(case, found)| (case, found.breakdowns.as_slice()))
        .collect();
    taken.sort_by_cached_key(|(case, _)| runtimes.order(case));
    let rows = taken.into_iter().flat_map(|(case, samples)| {
        [Invocation::First, Invocation::Later]
            .into_iter()
            .filter_map(|invocation| estimate(case, samples, invocation, bootstrap))
            .collect::<Vec<_>>()
    });
    rows.collect()
}

/// What one sample tells of an invocation, in nanoseconds.
struct Parts {
    /// Of the worker that was not asked for timings.
    whole: f64,
    /// Of the other, as the terms are.
    cold: f64,
    terms: Terms,
}

fn parts(sample: &Breakdown, invocation: Invocation) -> Option<Parts> {
    let clock_ns = sample.clock_cost_ps as f64 / 1000.0;
    let calls = f64::from(sample.warm_calls);
    Some(match invocation {
        Invocation::First => Parts {
            whole: sample.cold_ns as f64,
            cold: sample.launch_ns as f64,
            terms: Terms::of(&read(&sample.first, 1.0), clock_ns)?,
        },
        Invocation::Later => Parts {
            whole: sample.warm_ns as f64 / calls,
            cold: 0.0,
            terms: Terms::of(&read(&sample.warm, calls), clock_ns)?,
        },
    })
}

fn read(sums: &TimedCalls, calls: f64) -> ReadTimes {
    ReadTimes {
        outer_ns: sums.outer_ns as f64,
        decode_ns: sums.decode_ns as f64,
        compute_ns: sums.compute_ns as f64,
        encode_ns: sums.encode_ns as f64,
        retrieval_ns: sums.retrieval_ns as f64,
        retrievals: sums.retrievals as f64,
        calls,
    }
}

fn estimate(
    case: &Case,
    samples: &[(u32, Breakdown)],
    invocation: Invocation,
    bootstrap: &mut Bootstrap,
) -> Option<BreakdownEstimate> {
    let found: InRounds<Parts> = samples
        .iter()
        .map(|(round, sample)| Some((*round, parts(sample, invocation)?)))
        .collect::<Option<_>>()?;
    let mut figure = |of: fn(&Parts) -> f64| -> Option<Figure> {
        let samples = samples_of(&found, |parts| Some(of(parts)))?;
        Some(analysis::figure(bootstrap, &samples))
    };
    let whole = figure(|parts| parts.whole)?;
    let sum = figure(|parts| parts.cold + parts.terms.sum_ns())?;
    let (difference, reconciles) = reconcile(sum.median, whole.median)?;
    let gets_state = samples.iter().any(|(_, sample)| sample.first.retrievals > 0);
    let calls: u64 = match invocation {
        Invocation::First => samples.len() as u64,
        Invocation::Later => samples.iter().map(|(_, sample)| u64::from(sample.warm_calls)).sum(),
    };
    let clock_cost_ps = median_of(samples.iter().map(|(_, sample)| sample.clock_cost_ps));
    Some(BreakdownEstimate {
        case: case.clone(),
        invocation,
        calls,
        whole_ns: whole,
        cold_ns: match invocation {
            Invocation::First => figure(|parts| parts.cold),
            Invocation::Later => None,
        },
        retrieval_ns: if gets_state { figure(|parts| parts.terms.retrieval_ns) } else { None },
        serialization_ns: figure(|parts| parts.terms.serialization_ns())?,
        compute_ns: figure(|parts| parts.terms.compute_ns)?,
        decode_ns: figure(|parts| parts.terms.decode_ns)?,
        encode_ns: figure(|parts| parts.terms.encode_ns)?,
        boundary_ns: figure(|parts| parts.terms.boundary_ns)?,
        sum_ns: sum,
        difference,
        reconciles,
        clock_cost_ns: clock_cost_ps / 1000.0,
    })
}
