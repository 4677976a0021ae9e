//! Reads what a run left: its records, its copies of Criterion's files, the artifact manifest.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use lumos_model::{Samples, median};
use lumos_record::{
    ArtifactManifest, Breakdown, Case, Finished, Layout, Ledger, PullCheck, Record, Run,
    RunManifest, WorkerUse,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

/// Everything that a report is made from.
pub struct Evidence {
    /// The run's manifest.
    pub manifest: RunManifest,
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
    pub ledgers: Vec<Ledger>,
    /// What its workers used.
    pub uses: Vec<WorkerUse>,
    /// How many bytes it moves: its request, or the value that its function gets or puts.
    pub size_bytes: u64,
    /// Its invocations that were taken apart.
    pub breakdowns: Vec<Breakdown>,
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
    /// It was not run, for this reason.
    Skipped(String),
    /// It went wrong, for this reason.
    Failed(String),
}

/// Reads the run in `run_folder`.
///
/// # Errors
/// When the run's records cannot be read. Whatever is wrong with one case becomes that case's
/// outcome, and what is wrong with the artifact manifest becomes a warning.
pub fn load(layout: &Layout, run_folder: &Path) -> Result<Evidence> {
    let run = Run::read(run_folder)?;
    let mut warnings = Vec::new();
    if run.truncated {
        warnings.push(
            "The run's last record was cut short: the run was interrupted while it wrote.".into(),
        );
    }
    let artifacts = read_artifacts(layout, &run, &mut warnings);
    let pull_check = read_pull_check(&run, &mut warnings);
    let Run { directory, manifest, records, truncated } = run;
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
    let cases = by_case(&directory, records);
    Ok(Evidence { manifest, truncated, artifacts, sandboxes, chains, cases, pull_check, warnings })
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

/// Sorts the records by case; of several outcomes of one case, the last counts.
fn by_case(run_folder: &Path, records: Vec<Record>) -> BTreeMap<Case, CaseEvidence> {
    let mut cases: BTreeMap<Case, CaseEvidence> = BTreeMap::new();
    for record in records {
        match record {
            Record::Run(_) | Record::Process(_) | Record::Sandbox(_) | Record::Chain(_) => {}
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
            // Checked, but not timed: a reason like any other for there being no figure.
            Record::Verified { case } => {
                cases.entry(case).or_default().outcome =
                    Outcome::Skipped("only verified: the run did not time its cases".into());
            }
            Record::Phases(ledger) => {
                cases.entry(ledger.case.clone()).or_default().ledgers.push(ledger);
            }
            Record::Worker(used) => {
                cases.entry(used.case.clone()).or_default().uses.push(used);
            }
            Record::Breakdown(sample) => {
                cases.entry(sample.case.clone()).or_default().breakdowns.push(sample);
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

/// What a report needs of Criterion's `benchmark.json`.
#[derive(Deserialize)]
struct Benchmark {
    group_id: String,
    full_id: String,
}

/// Criterion's `sample.json`: iterations and total nanoseconds of each sample.
#[derive(Deserialize)]
struct SampleFile {
    iters: Vec<f64>,
    times: Vec<f64>,
}

/// What a report needs of Criterion's `estimates.json`.
#[derive(Deserialize)]
struct Estimates {
    median: PointEstimate,
}

#[derive(Deserialize)]
struct PointEstimate {
    point_estimate: f64,
}

/// Reads the samples of a finished case, after checking that its three files are of one
/// measurement of that very case.
fn read_samples(run_folder: &Path, finished: &Finished) -> Result<Samples> {
    let Finished { case, criterion: folder, .. } = finished;
    let benchmark: Benchmark = read_json(run_folder, folder, "benchmark.json")?;
    ensure!(
        benchmark.group_id == case.group() && benchmark.full_id == case.to_string(),
        "{}: is of `{}` in group `{}`, not of this case",
        folder.join("benchmark.json").display(),
        benchmark.full_id,
        benchmark.group_id
    );
    let sample: SampleFile = read_json(run_folder, folder, "sample.json")?;
    let samples =
        per_iteration(&sample).with_context(|| folder.join("sample.json").display().to_string())?;
    let estimates: Estimates = read_json(run_folder, folder, "estimates.json")?;
    let theirs = estimates.median.point_estimate;
    let ours = samples.median();
    // Equal but for rounding, unless the two files come from different measurements.
    ensure!(
        (ours - theirs).abs() <= 1e-6 * ours.abs(),
        "{}: has a median of {theirs} ns, but the samples' is {ours} ns",
        folder.join("estimates.json").display()
    );
    Ok(samples)
}

/// The nanoseconds of one iteration, for each sample.
fn per_iteration(sample: &SampleFile) -> Result<Samples> {
    let SampleFile { iters, times } = sample;
    ensure!(
        iters.len() == times.len(),
        "{} iteration counts, but {} times",
        iters.len(),
        times.len()
    );
    if let Some(bad) = iters.iter().position(|&iterations| iterations < 1.0) {
        return Err(anyhow!("sample {bad} has no iteration"));
    }
    if let Some(bad) = times.iter().position(|&time_ns| time_ns <= 0.0) {
        return Err(anyhow!("sample {bad} took no time"));
    }
    let values = times.iter().zip(iters).map(|(time_ns, iterations)| time_ns / iterations);
    let values = values.collect::<Vec<_>>();
    let raw = iters.iter().all(|&iterations| iterations == 1.0);
    Ok(if raw { Samples::raw(values) } else { Samples::averaged(values) }?)
}

/// Reads a JSON file of the run; messages name it relative to the run's folder.
fn read_json<T: DeserializeOwned>(run_folder: &Path, folder: &Path, name: &str) -> Result<T> {
    let path = folder.join(name);
    let bytes =
        std::fs::read(run_folder.join(&path)).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&bytes).with_context(|| path.display().to_string())
}

/// Reads the artifact manifest: the run's own copy, else that of the last build.
fn read_artifacts(
    layout: &Layout,
    run: &Run,
    warnings: &mut Vec<String>,
) -> Option<ArtifactManifest> {
    let name = ArtifactManifest::FILE;
    let folders = [run.directory.clone(), layout.artifacts()];
    let Some(bytes) = folders.iter().find_map(|folder| std::fs::read(folder.join(name)).ok())
    else {
        warnings.push(format!(
            "There is no artifact manifest (`{name}`): without it, sizes and the runtimes' modes \
             are unknown, so there are no ratios. `cargo xtask build` writes it."
        ));
        return None;
    };
    if hexadecimal(&Sha256::digest(&bytes)) != run.manifest.artifacts_sha256 {
        warnings.push(
            "The artifacts have been rebuilt since this run: sizes are those of today's \
             artifacts, not of those that were measured."
                .into(),
        );
    }
    match serde_json::from_slice::<ArtifactManifest>(&bytes) {
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

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The exact median of counts or integers, as a float; 0 when there are none.
pub fn median_of(values: impl Iterator<Item = u64>) -> f64 {
    median(&values.map(|value| value as f64).collect::<Vec<_>>()).unwrap_or(0.0)
}
