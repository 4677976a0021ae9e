//! Reads what a run left: its records, its samples, the artifact manifest.

mod rounds;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, ensure};
use lumos_criterion::Benchmark;
use lumos_criterion::files::{self, Estimates};
use lumos_model::{Samples, median};
use lumos_record::{
    ArtifactManifest, Breakdown, Case, Counted, Finished, Layout, Ledger, PullCheck, Record, Run,
    RunManifest, WorkerUse, from_json, shown,
};
use lumos_workloads::sha256_hex;

use super::schema::Rounds;
use rounds::rounds;

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted => write!(f, "interrupted"),
            Self::Samples(samples) => write!(f, "{} samples", samples.count()),
            Self::Counted(count) => write!(f, "{} instructions", count.instructions),
            Self::Skipped(reason) => write!(f, "skipped: {reason}"),
            Self::Failed(cause) => write!(f, "failed: {cause}"),
        }
    }
}

/// Everything that a report is made from.
pub struct Evidence {
    /// The run's manifest; of several rounds, that of the first.
    pub manifest: RunManifest,
    /// The rounds, where there are several.
    pub rounds: Option<Rounds>,
    /// Whether the run's last record was cut short.
    pub truncated: bool,
    /// What was built, if that is known.
    pub artifacts: Option<ArtifactManifest>,
    /// What each crate's sandbox was made of.
    pub sandboxes: BTreeMap<String, BTreeMap<String, String>>,
    /// The functions of each chain, step by step.
    pub chains: BTreeMap<String, Vec<String>>,
    /// Every case of which the run holds a record.
    pub cases: BTreeMap<Case, CaseEvidence>,
    /// The pulls that the model is checked against, if the run was followed by any.
    pub pull_check: Option<PullCheck>,
    /// What somebody should know about all of this.
    pub warnings: Vec<String>,
}

/// What a run says of one case.
#[derive(Debug, Default)]
pub struct CaseEvidence {
    /// How it ended.
    pub outcome: Outcome,
    /// Its cold starts' phases.
    pub ledgers: InRounds<Ledger>,
    /// What its workers used.
    pub uses: InRounds<WorkerUse>,
    /// How many bytes it moves: its request, or the value that its function gets or puts.
    pub size_bytes: u64,
    /// Its invocations that were taken apart.
    pub breakdowns: InRounds<Breakdown>,
}

/// What was recorded in rounds, each with the number of its round.
pub type InRounds<T> = Vec<(u32, T)>;

/// The values of what was recorded in rounds; none where there are none, or one is not finite.
pub fn samples_of<T>(recorded: &[(u32, T)], value: impl Fn(&T) -> Option<f64>) -> Option<Samples> {
    let mut rounds: BTreeMap<u32, Vec<f64>> = BTreeMap::new();
    for (round, recorded) in recorded {
        rounds.entry(*round).or_default().extend(value(recorded));
    }
    rounds.retain(|_, values| !values.is_empty());
    let rounds =
        rounds.into_iter().map(|(round, values)| Some((round, Samples::raw(values).ok()?)));
    Samples::in_rounds(rounds.collect::<Option<_>>()?).ok()
}

impl CaseEvidence {
    /// Its samples, if it ended in any.
    pub fn samples(&self) -> Option<&Samples> {
        match &self.outcome {
            Outcome::Samples(samples) => Some(samples),
            _ => None,
        }
    }
}

/// How a case ended.
#[derive(Debug, Default)]
pub enum Outcome {
    /// It began, and nothing more is recorded.
    #[default]
    Interrupted,
    /// Its samples: nanoseconds per iteration.
    Samples(Samples),
    /// Its instructions.
    Counted(Counted),
    /// It was not run, for this reason.
    Skipped(String),
    /// It went wrong, for this reason.
    Failed(String),
}

/// The folder of a run and those of the other rounds of its series, in their order.
///
/// # Errors
/// When the runs cannot be read.
pub fn series(layout: &Layout, run_folder: &Path) -> Result<Vec<PathBuf>> {
    let Some(round) = Run::read_manifest(run_folder)?.round else {
        return Ok(vec![run_folder.to_owned()]);
    };
    let mut folders = BTreeMap::new();
    for folder in Run::all(&layout.runs())? {
        // What another version wrote is of another series.
        let Ok(manifest) = Run::read_manifest(&folder) else { continue };
        let number = manifest.round.filter(|other| other.series == round.series);
        folders.extend(number.map(|other| (other.number, folder)));
    }
    Ok(folders.into_values().collect())
}

/// Reads a run, or the runs of several rounds in their order.
///
/// # Errors
/// When the run's records cannot be read. Whatever is wrong with one case becomes that case's
/// outcome, and what is wrong with the artifact manifest becomes a warning.
pub fn load(layout: &Layout, folders: &[PathBuf]) -> Result<Evidence> {
    let mut runs = Vec::with_capacity(folders.len());
    for (place, folder) in (1..).zip(folders) {
        let run = Run::read(folder)?;
        // What was not measured as a round is one by its place.
        let number = run.manifest.round.as_ref().map_or(place, |round| round.number);
        runs.push((number, run));
    }
    let mut warnings = Vec::new();
    let rounds = rounds(&mut runs, &mut warnings);
    let truncated = runs.iter().any(|(_, run)| run.truncated);
    if truncated {
        warnings.push(
            "The run's last record was cut short: the run was interrupted while it wrote.".into(),
        );
    }
    let mut runs = runs.into_iter();
    let (number, first) = runs.next().context("there is no run")?;
    let artifacts = read_artifacts(layout, &first, &mut warnings);
    let pull_check =
        read_pull_check(runs.as_slice().last().map_or(&first, |(_, run)| run), &mut warnings);
    let Run { directory, manifest, records, .. } = first;
    let sandboxes = records.iter().filter_map(|record| match record {
        // Each process of a crate tells the same.
        Record::Sandbox(told) => Some((told.package.clone(), told.facts.clone())),
        _ => None,
    });
    let sandboxes = sandboxes.collect();
    let chains = records.iter().filter_map(|record| match record {
        Record::Chain(told) => Some((told.chain.clone(), told.functions.clone())),
        _ => None,
    });
    let chains = chains.collect();
    let mut cases = by_case(number, &directory, records);
    if runs.len() > 0 {
        let mut by_round = BTreeMap::from([(number, cases)]);
        for (number, Run { directory, records, .. }) in runs {
            by_round.insert(number, by_case(number, &directory, records));
        }
        cases = join(by_round, &mut warnings);
    }
    for found in cases.values_mut() {
        if let Some(cause) = Ledger::distrust(found.ledgers.iter().map(|(_, ledger)| ledger), 20) {
            found.outcome = Outcome::Failed(cause);
        }
    }
    Ok(Evidence {
        manifest,
        rounds,
        truncated,
        artifacts,
        sandboxes,
        chains,
        cases,
        pull_check,
        warnings,
    })
}

/// Joins what the rounds say of each case. Samples of some rounds count, whatever happened in
/// others; what did becomes a warning.
fn join(
    by_round: BTreeMap<u32, BTreeMap<Case, CaseEvidence>>,
    warnings: &mut Vec<String>,
) -> BTreeMap<Case, CaseEvidence> {
    let mut of_case: BTreeMap<Case, BTreeMap<u32, CaseEvidence>> = BTreeMap::new();
    for (round, cases) in by_round {
        for (case, found) in cases {
            of_case.entry(case).or_default().insert(round, found);
        }
    }
    let mut cases = BTreeMap::new();
    for (case, found) in of_case {
        let mut joined = CaseEvidence::default();
        let mut samples = BTreeMap::new();
        let mut others = Vec::new();
        for (round, found) in found {
            let CaseEvidence { outcome, ledgers, uses, size_bytes, breakdowns } = found;
            joined.ledgers.extend(ledgers);
            joined.uses.extend(uses);
            joined.breakdowns.extend(breakdowns);
            joined.size_bytes = joined.size_bytes.max(size_bytes);
            match outcome {
                Outcome::Samples(found) => drop(samples.insert(round, found)),
                other => others.push((round, other)),
            }
        }
        joined.outcome = match Samples::in_rounds(samples) {
            Ok(samples) => {
                warnings.extend(others.iter().map(|(round, outcome)| {
                    format!("{case}: not measured in round {round}: {outcome}.")
                }));
                Outcome::Samples(samples)
            }
            Err(_) => without_samples(others),
        };
        cases.insert(case, joined);
    }
    cases
}

/// The outcome of a case that has no samples in any round: its count, if that is the same in all of
/// them. A failure tells more than a skip.
fn without_samples(mut outcomes: Vec<(u32, Outcome)>) -> Outcome {
    let counts: BTreeSet<u64> = outcomes
        .iter()
        .filter_map(|(_, outcome)| match outcome {
            Outcome::Counted(counted) => Some(counted.instructions),
            _ => None,
        })
        .collect();
    if let (Some(least), Some(most)) = (counts.first(), counts.last())
        && least != most
    {
        return Outcome::Failed(format!(
            "from round to round, {least} to {most} instructions were counted"
        ));
    }
    let rank = |outcome: &Outcome| match outcome {
        Outcome::Samples(_) | Outcome::Counted(_) => 0,
        Outcome::Failed(_) => 1,
        Outcome::Skipped(_) => 2,
        Outcome::Interrupted => 3,
    };
    outcomes.sort_by_key(|(round, outcome)| (rank(outcome), *round));
    outcomes.into_iter().next().map(|(_, outcome)| outcome).unwrap_or_default()
}

/// Reads the pulls that the run was followed by; most are followed by none.
fn read_pull_check(run: &Run, warnings: &mut Vec<String>) -> Option<PullCheck> {
    match PullCheck::read(&run.directory) {
        Ok(check) if check.schema_version == lumos_record::SCHEMA_VERSION => Some(check),
        Ok(check) => {
            warnings.push(format!(
                "{} has schema {}, not {}: `cargo xtask bench --suite pull` renews it.",
                PullCheck::FILE,
                check.schema_version,
                lumos_record::SCHEMA_VERSION
            ));
            None
        }
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => {
            warnings.push(format!("The pulls from a registry cannot be read: {error}."));
            None
        }
    }
}

/// Sorts the records of a round by case; of several outcomes of one case, the last counts.
fn by_case(round: u32, run_folder: &Path, records: Vec<Record>) -> BTreeMap<Case, CaseEvidence> {
    let mut cases: BTreeMap<Case, CaseEvidence> = BTreeMap::new();
    for record in records {
        match record {
            Record::Run(_)
            | Record::Process(_)
            | Record::Sandbox(_)
            | Record::Weather(_)
            | Record::Precision(_)
            | Record::Chain(_) => {}
            // A case that starts again leaves nothing of its earlier attempt.
            Record::Started { case } => drop(cases.insert(case, CaseEvidence::default())),
            Record::Finished(finished) => {
                let outcome = match read_samples(run_folder, &finished) {
                    Ok(samples) => Outcome::Samples(samples),
                    Err(error) => Outcome::Failed(format!("{error:#}")),
                };
                let case = cases.entry(finished.case).or_default();
                (case.outcome, case.size_bytes) = (outcome, finished.size_bytes);
            }
            Record::Counted(counted) => {
                let case = counted.case.clone();
                cases.entry(case).or_default().outcome = Outcome::Counted(counted);
            }
            // Checked, but not timed: a reason like any other for there being no figure.
            Record::Verified { case } => {
                cases.entry(case).or_default().outcome =
                    Outcome::Skipped("only verified: the run did not time its cases".into());
            }
            Record::Phases(ledger) => {
                cases.entry(ledger.case.clone()).or_default().ledgers.push((round, ledger));
            }
            Record::Worker(used) => {
                cases.entry(used.case.clone()).or_default().uses.push((round, used));
            }
            Record::Breakdown(sample) => {
                cases.entry(sample.case.clone()).or_default().breakdowns.push((round, sample));
            }
            Record::Skip(skip) => {
                cases.entry(skip.case).or_default().outcome = Outcome::Skipped(skip.reason);
            }
            Record::Failure(failure) => {
                cases.entry(failure.case).or_default().outcome = Outcome::Failed(failure.cause);
            }
        }
    }
    cases
}

/// Reads the samples of a finished case, after checking that its files are of one measurement of
/// that very case. A run of before Lumos took the samples itself has Criterion's estimates too.
fn read_samples(run_folder: &Path, finished: &Finished) -> Result<Samples> {
    let Finished { case, criterion, .. } = finished;
    // A run may be somebody else's.
    let is_inside = criterion.components().all(|part| matches!(part, Component::Normal(_)));
    ensure!(is_inside, "{}: leads out of the run's folder", shown(&criterion.to_string_lossy()));
    let benchmark: Benchmark = files::read_json(run_folder, criterion, files::BENCHMARK)?;
    ensure!(
        benchmark.group_id == case.group() && benchmark.full_id == case.to_string(),
        "{}: is of `{}` in group `{}`, not of this case",
        criterion.join(files::BENCHMARK).display(),
        benchmark.full_id,
        benchmark.group_id
    );
    let samples = files::read_samples(run_folder, criterion)?;
    if !run_folder.join(criterion).join(files::ESTIMATES).exists() {
        return Ok(samples);
    }
    let estimates: Estimates = files::read_json(run_folder, criterion, files::ESTIMATES)?;
    let theirs = estimates.median.point_estimate;
    let ours = samples.median();
    // Equal but for rounding, unless the two files come from different measurements.
    ensure!(
        (ours - theirs).abs() <= 1e-6 * ours.abs(),
        "{}: has a median of {theirs} ns, but the samples' is {ours} ns",
        criterion.join(files::ESTIMATES).display()
    );
    Ok(samples)
}

/// Reads the artifact manifest: the run's own copy, else that of the last build.
fn read_artifacts(
    layout: &Layout,
    run: &Run,
    warnings: &mut Vec<String>,
) -> Option<ArtifactManifest> {
    let name = ArtifactManifest::FILE;
    // A run of before manifests were copied has that of the last build.
    let mut bytes = None;
    for folder in [&run.directory, &layout.artifacts()] {
        match std::fs::read(folder.join(name)) {
            Ok(read) => {
                bytes = Some(read);
                break;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                warnings.push(format!("The artifact manifest (`{name}`) cannot be read: {error}."));
            }
        }
    }
    let Some(bytes) = bytes else {
        warnings.push(format!(
            "There is no artifact manifest (`{name}`): without it, sizes and the runtimes' modes \
             are unknown, so there are no ratios. `cargo xtask build` writes it."
        ));
        return None;
    };
    if sha256_hex(&bytes) != run.manifest.artifacts_sha256 {
        warnings.push(
            "The artifacts have been rebuilt since this run: sizes are those of today's \
             artifacts, not of those that were measured."
                .into(),
        );
    }
    match from_json::<ArtifactManifest>(&bytes) {
        Ok(manifest) if manifest.schema_version == lumos_record::SCHEMA_VERSION => Some(manifest),
        Ok(manifest) => {
            warnings.push(format!(
                "The artifact manifest has schema {}, not {}: `cargo xtask build` renews it.",
                manifest.schema_version,
                lumos_record::SCHEMA_VERSION
            ));
            None
        }
        Err(error) => {
            warnings.push(format!("The artifact manifest (`{name}`) cannot be read: {error}."));
            None
        }
    }
}

/// The exact median of counts or integers, as a float; 0 when there are none.
pub fn median_of(values: impl Iterator<Item = u64>) -> f64 {
    median(&values.map(|value| value as f64).collect::<Vec<_>>()).unwrap_or(0.0)
}
