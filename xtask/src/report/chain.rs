//! The suites of chains: what each length takes, what a function more costs, and both beside native
//! code.

use std::collections::BTreeMap;

use lumos_model::{Bootstrap, SizedSamples, geometric_mean};
use lumos_record::{Case, Setting};

use super::load::CaseEvidence;
use super::runtimes::{Runtimes, payload_rank};
use super::schema::{CaseRatio, ChainComparison, ChainEstimate, Interval, LengthEstimate, Report};

/// Every chain on every runtime and with every payload, from the report's estimates and ratios;
/// `functions` says what each chain consists of.
pub fn estimates(
    functions: &BTreeMap<String, Vec<String>>,
    report: &Report,
    runtimes: &Runtimes,
    cases: &BTreeMap<Case, CaseEvidence>,
    bootstrap: &mut Bootstrap,
) -> Vec<ChainEstimate> {
    let mut chains: BTreeMap<Case, Vec<&Case>> = BTreeMap::new();
    for case in report.estimates.iter().map(|estimate| &estimate.case) {
        if case.suite.is_chain() {
            chains.entry(whole(case)).or_default().push(case);
        }
    }
    let mut chains: Vec<(Case, Vec<&Case>)> = chains.into_iter().collect();
    chains.sort_by_cached_key(|(case, _)| {
        let Case { suite, function, payload, setting, runtime, .. } = case;
        let rank = runtimes.rank(suite.lane(), runtime);
        (*suite, function.clone(), payload_rank(payload), *setting, rank)
    });
    let estimate = |(case, mut lengths): (Case, Vec<&Case>)| {
        lengths.sort_by_key(|case| (case.setting.steps, case.setting.state));
        let functions = functions.get(&case.function).cloned().unwrap_or_default();
        of_chain(case, &lengths, functions, report, runtimes, cases, bootstrap)
    };
    chains.into_iter().map(estimate).collect()
}

/// The case that stands for all lengths, with state or without.
fn whole(case: &Case) -> Case {
    Case { setting: Setting { steps: None, state: None, ..case.setting }, ..case.clone() }
}

fn of_chain(
    case: Case,
    lengths: &[&Case],
    functions: Vec<String>,
    report: &Report,
    runtimes: &Runtimes,
    cases: &BTreeMap<Case, CaseEvidence>,
    bootstrap: &mut Bootstrap,
) -> ChainEstimate {
    let reference = runtimes.references(&case).into_iter().next();
    let of_length = |&length: &&Case| {
        let estimate = report.estimates.iter().find(|estimate| estimate.case == *length)?;
        let ratio = report
            .ratios
            .iter()
            .find(|ratio| ratio.case == *length && Some(&ratio.reference) == reference.as_ref());
        let ratio =
            ratio.map(|&CaseRatio { ratio, low, high, .. }| Interval { point: ratio, low, high });
        Some(LengthEstimate {
            steps: length.setting.steps.unwrap_or(0),
            state: length.setting.state,
            median_ns: estimate.median,
            low_ns: estimate.low,
            high_ns: estimate.high,
            n: estimate.n,
            ratio,
        })
    };
    let estimates: Vec<LengthEstimate> = lengths.iter().filter_map(of_length).collect();
    // Functions that differ have no cost in common.
    let is_uniform = functions.first().is_some_and(|first| functions.iter().all(|f| f == first));
    let line_of = |runtime: &str| -> Vec<SizedSamples<'_>> {
        let of_length = |&length: &&Case| {
            let case = Case { runtime: runtime.to_owned(), ..length.clone() };
            let samples = cases.get(&case)?.samples()?;
            Some(SizedSamples { bytes: u64::from(length.setting.steps?), samples })
        };
        lengths.iter().filter_map(of_length).filter(|_| is_uniform).collect()
    };
    let own = line_of(&case.runtime);
    let line = bootstrap.line(&own);
    let ratios: Vec<f64> =
        estimates.iter().filter_map(|length| Some(length.ratio?.point)).collect();
    let to_native = reference.zip(geometric_mean(&ratios)).map(|(reference, mean)| {
        let below = line_of(&reference);
        ChainComparison {
            ratio: mean.mean,
            smallest: mean.smallest,
            largest: mean.largest,
            lengths: mean.count,
            per_step_ratio: bootstrap.per_byte_ratio(&own, &below).map(Interval::from),
            reference,
        }
    });
    ChainEstimate {
        lane: case.suite.lane(),
        case,
        functions,
        lengths: estimates,
        fixed_ns: line.map(|line| line.fixed.into()),
        per_step_ns: line.map(|line| line.per_byte.into()),
        largest_residual: line.map(|line| line.largest_residual),
        to_native,
    }
}
