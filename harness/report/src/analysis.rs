//! From evidence to the figures of a report.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use lumos_model::{Bootstrap, Comparison, Estimate, MINIMAL_EFFECT, Samples};
use lumos_record::{Case, Ledger, Setting, Suite};

use super::figure::{SEED, verdicts};
use super::load::{CaseEvidence, Evidence, Outcome};
use super::page::Palette;
use super::runtimes::Runtimes;
use super::schema::{
    Absence, CaseEstimate, CaseRatio, Method, MissingArtifact, Report, RunInfo, SCHEMA_VERSION,
};
use super::sections::{self, Source};
use super::{claims, grid};

/// Makes the report of a run.
pub fn analyse(evidence: Evidence) -> anyhow::Result<Report> {
    let mut report = frame(&evidence);
    let mut analysis = Analysis {
        bootstrap: Bootstrap::new(SEED),
        cases: &evidence.cases,
        emulated: evidence.manifest.node.emulated,
    };
    for (case, found) in &evidence.cases {
        analysis.add_case(&mut report, case, found);
    }
    let runtimes = report.runtimes.clone();
    let runtimes = Runtimes::new(&runtimes);
    analysis.add_ratios(&mut report, &runtimes);
    report.unrecorded = unrecorded(evidence.cases.keys());
    sort(&mut report, &runtimes);
    let Analysis { mut bootstrap, .. } = analysis;
    report.claims = claims::evaluate(&report, &runtimes)?;
    let palette = Palette::new(&report, &grid::grids(&report));
    let mut source = Source {
        report: &report,
        evidence: &evidence,
        runtimes: &runtimes,
        palette: &palette,
        bootstrap: &mut bootstrap,
    };
    report.sections = sections::all(&mut source);
    Ok(report)
}

/// A report without figures.
fn frame(evidence: &Evidence) -> Report {
    let manifest = &evidence.manifest;
    let mut warnings = evidence.warnings.clone();
    if manifest.node.emulated {
        warnings.push(
            "This run was emulated: its figures say nothing about real hardware, so nothing is \
             ranked."
                .into(),
        );
    }
    if manifest.revision.dirty {
        warnings.push("The checkout held changes that are not in the commit.".into());
    }
    let mut artifacts = evidence.artifacts.clone().unwrap_or_default();
    // What the run did not concern, such as functions that serve tests alone, is left out.
    let mut measured: HashSet<&str> =
        evidence.cases.keys().map(|case| case.function.as_str()).collect();
    measured.extend(evidence.chains.values().flatten().map(String::as_str));
    artifacts.artifacts.retain(|artifact| {
        artifact.function.as_deref().is_none_or(|function| measured.contains(function))
    });
    let missing = artifacts.missing.into_iter();
    Report {
        schema_version: SCHEMA_VERSION,
        run: RunInfo {
            name: manifest.run.clone(),
            started_unix_ms: manifest.started_unix_ms,
            revision: manifest.revision.clone(),
            toolchain: manifest.toolchain.clone(),
            engines: manifest.engines.clone(),
            artifacts_sha256: manifest.artifacts_sha256.clone(),
            seed: manifest.seed,
            profile: manifest.profile,
            command_line: manifest.command_line.clone(),
            truncated: evidence.truncated,
            rounds: evidence.rounds.clone(),
        },
        node: manifest.node.clone(),
        sandboxes: evidence.sandboxes.clone(),
        method: Method {
            resamples: Bootstrap::RESAMPLES,
            confidence: Bootstrap::CONFIDENCE,
            minimal_effect: MINIMAL_EFFECT,
        },
        warnings,
        runtimes: artifacts.runtimes,
        artifacts: artifacts.artifacts,
        partial_build: artifacts.partial,
        missing_artifacts: missing
            .map(|(artifact, reason)| MissingArtifact { artifact, reason })
            .collect(),
        estimates: Vec::new(),
        ratios: Vec::new(),
        sections: Vec::new(),
        claims: Vec::new(),
        skips: Vec::new(),
        failures: Vec::new(),
        unrecorded: Vec::new(),
    }
}

/// What the steps of an analysis share.
struct Analysis<'a> {
    bootstrap: Bootstrap,
    cases: &'a BTreeMap<Case, CaseEvidence>,
    emulated: bool,
}

impl Analysis<'_> {
    /// Adds a case's estimate with what belongs to it, or the reason that there is none.
    fn add_case(&mut self, report: &mut Report, case: &Case, found: &CaseEvidence) {
        let absence = |reason: String| Absence { case: case.clone(), reason };
        match &found.outcome {
            Outcome::Skipped(reason) => report.skips.push(absence(reason.clone())),
            Outcome::Failed(cause) => report.failures.push(absence(cause.clone())),
            Outcome::Interrupted => report.failures.push(absence(
                "interrupted: the case began, and the run holds no outcome of it".into(),
            )),
            // A count is no sample: a section has it.
            Outcome::Counted(_) => {}
            Outcome::Samples(samples) => match self.estimate(case, samples) {
                None => report.failures.push(absence(format!(
                    "{} samples are too few: an interval needs {}",
                    samples.count(),
                    Bootstrap::FEWEST
                ))),
                Some(estimate) => {
                    report.estimates.push(estimate);
                    warn_of_ledgers(report, case, &found.ledgers);
                }
            },
        }
    }

    fn estimate(&mut self, case: &Case, samples: &Samples) -> Option<CaseEstimate> {
        let estimate = self.bootstrap.median(samples)?;
        Some(CaseEstimate {
            case: case.clone(),
            lane: case.suite.lane(),
            unit: "ns".into(),
            median: estimate.point,
            low: estimate.low,
            high: estimate.high,
            n: samples.count(),
            raw: samples.is_raw(),
            p90: samples.percentile(0.90),
            p95: samples.percentile(0.95),
            p99: samples.percentile(0.99),
        })
    }

    /// The samples of a case that has any.
    fn samples(&self, case: &Case) -> Option<&Samples> {
        self.cases.get(case)?.samples()
    }

    /// Adds the ratio of every case to each of its references that was measured.
    fn add_ratios(&mut self, report: &mut Report, runtimes: &Runtimes) {
        let cases = self.cases;
        let mut found = Vec::new();
        // What native code is compared with there is built in another way, and has a setting of
        // its own.
        for case in cases.keys().filter(|case| !case.suite.spec().compares_variants) {
            let Some(samples) = self.samples(case).cloned() else { continue };
            for reference in runtimes.references(case) {
                let below = Case { runtime: reference.clone(), ..case.clone() };
                let Some(below) = self.samples(&below).cloned() else { continue };
                found.extend(self.ratio(case, &reference, &samples, &below));
            }
        }
        if !self.emulated {
            // What a suite compares is one table.
            for table in found.chunk_by_mut(|(a, _), (b, _)| a.case.suite == b.case.suite) {
                let compared: Vec<_> = table.iter().map(|(_, compared)| compared.clone()).collect();
                for ((ratio, _), verdict) in table.iter_mut().zip(verdicts(&compared)) {
                    ratio.verdict = Some(verdict);
                }
            }
        }
        report.ratios.extend(found.into_iter().map(|(ratio, _)| ratio));
    }

    fn ratio(
        &mut self,
        case: &Case,
        reference: &str,
        above: &Samples,
        below: &Samples,
    ) -> Option<(CaseRatio, Comparison)> {
        let compared = Comparison::new(above, below, &mut self.bootstrap)?;
        let Estimate { point, low, high } = compared.ratio;
        let ratio = CaseRatio {
            case: case.clone(),
            lane: case.suite.lane(),
            reference: reference.to_owned(),
            ratio: point,
            low,
            high,
            verdict: None,
        };
        Some((ratio, compared))
    }
}

/// Warns of cold starts whose phases do not add up.
fn warn_of_ledgers(report: &mut Report, case: &Case, ledgers: &[(u32, Ledger)]) {
    let wrong: Vec<String> =
        ledgers.iter().filter_map(|(_, ledger)| ledger.reconcile().err()).collect();
    if let Some(first) = wrong.first() {
        let (count, all) = (wrong.len(), ledgers.len());
        report.warnings.push(format!("{case}: {count} of {all} cold starts: {first}."));
    }
}

/// The cases that complete each suite's table: every function with each of its payloads on every
/// runtime of the suite, without those that are recorded. Native code has no variants, so that
/// what has some and what has none are tables of their own.
fn unrecorded<'a>(cases: impl Iterator<Item = &'a Case> + Clone) -> Vec<Case> {
    let recorded: BTreeSet<&Case> = cases.clone().collect();
    let mut missing = Vec::new();
    let tables = Suite::ALL.iter().flat_map(|&suite| [(suite, false), (suite, true)]);
    for (suite, varies) in tables {
        let is_of_table =
            move |case: &&Case| case.suite == suite && case.setting.variant.is_some() == varies;
        let of_suite = || cases.clone().filter(is_of_table);
        let runtimes: BTreeSet<&String> = of_suite().map(|case| &case.runtime).collect();
        let rows: BTreeSet<(&String, &String, Setting)> =
            of_suite().map(|case| (&case.function, &case.payload, case.setting)).collect();
        for (function, payload, setting) in rows {
            missing.extend(runtimes.iter().map(|runtime| Case {
                suite,
                function: function.clone(),
                payload: payload.clone(),
                runtime: (*runtime).clone(),
                setting,
            }));
        }
    }
    missing.retain(|case| !recorded.contains(case));
    missing
}

/// The order of every list: as a reader expects it, and not as the run happened to go.
fn sort(report: &mut Report, runtimes: &Runtimes) {
    report.estimates.sort_by_cached_key(|entry| runtimes.order(&entry.case));
    // A stable sort: the ratios of one case stay in the order of its references.
    report.ratios.sort_by_cached_key(|entry| runtimes.order(&entry.case));
    report.skips.sort_by_cached_key(|entry| runtimes.order(&entry.case));
    report.failures.sort_by_cached_key(|entry| runtimes.order(&entry.case));
    report.unrecorded.sort_by_cached_key(|case| runtimes.order(case));
    report.artifacts.sort_by_cached_key(|artifact| {
        let (function, engine) = (artifact.function.clone(), artifact.engine.clone());
        (artifact.kind, function, engine, artifact.variant, artifact.target.clone())
    });
}
