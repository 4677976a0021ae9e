//! What a run leaves on record: an outcome for every case, and nothing that is not true.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use lumos_bench::conformance::checkout::{Checkout, Outcome, TEN_SAMPLES, outcomes};
use lumos_bench::suites::select::Selection;
use lumos_criterion::files;
use lumos_record::{Case, Finished, Ledger, Record, Run, Suite, WorkerUse};
use regex::Regex;

use crate::{checkout, echo, fake, runtime, selection};

/// What functions do, by their names; the last six have an artifact that is not as it should be.
const FUNCTIONS: [&str; 21] = [
    "steady",
    "unloadable",
    "unlinkable",
    "trapping",
    "wrong",
    "wrong-later",
    "refusing",
    "refusing-later",
    "faulting",
    "panicking",
    "panicking-later",
    "spinning",
    "timeless",
    "unordered",
    "limping",
    "absent",
    "forgotten",
    "truncated",
    "altered",
    "outdated",
    "foreign",
];

/// Samples that are taken with [`TEN_SAMPLES`].
const SAMPLES: usize = 10;

pub fn every_case_has_one_outcome() -> Result<()> {
    let mut checkout = checkout(&[fake::ENGINE], &FUNCTIONS)?;
    checkout.manifest.runtimes.push(runtime("other", "lumos-other"));
    checkout.add_workload("steady", &[echo("small"), echo("large")])?;
    spoil_artifacts(&mut checkout)?;
    let ended = checkout.run(&selection(), &TEN_SAMPLES)?;
    let run = ended.run()?;
    ensure!(ended.status.success() && !run.truncated, "{ended}");
    let outcomes = outcomes(&run)?;
    // Two suites take no payload, so that `steady` is four cases more than the others.
    ensure!(outcomes.len() == FUNCTIONS.len() * suites() + 4, "{}", outcomes.len());
    for (case, outcome) in &outcomes {
        match outcome {
            Outcome::Finished(finished) => {
                check_finished(&checkout, &run, finished).with_context(|| case.to_string())?
            }
            _ => check_unfinished(&checkout, &run, case).with_context(|| case.to_string())?,
        }
    }
    insta::assert_snapshot!("outcomes", describe(&checkout, &run, &outcomes));
    checkout.nothing_is_left()
}

/// How many suites a run has that names none.
fn suites() -> usize {
    Suite::ALL.iter().filter(|suite| !suite.spec().on_request).count()
}

/// Does to six artifacts what must keep them from being loaded.
fn spoil_artifacts(checkout: &mut Checkout) -> Result<()> {
    let file = |name: &str| format!("{}-{name}.bin", fake::ENGINE);
    let folder = checkout.layout().artifacts();
    let manifest = &mut checkout.manifest;
    // Of the one the build tells why it is not there, of the other nothing.
    manifest.artifacts.retain(|artifact| {
        !["absent", "forgotten"].map(Some).contains(&artifact.function.as_deref())
    });
    let absent = format!("precompiled absent {}", fake::ENGINE);
    manifest.missing.insert(absent, "the target `wasm32-wasip1` is not installed".into());
    fs::write(folder.join(file("truncated")), "trunc")?;
    fs::write(folder.join(file("altered")), "alterer")?;
    for artifact in &mut manifest.artifacts {
        match artifact.function.as_deref() {
            Some("outdated") => artifact.engine_version = Some("0.9".into()),
            Some("foreign") => artifact.target = "riscv64gc-unknown-linux-gnu".into(),
            _ => {}
        }
    }
    Ok(())
}

/// The records of one case.
struct Recorded<'r> {
    ledgers: Vec<&'r Ledger>,
    workers: Vec<&'r WorkerUse>,
}

impl<'r> Recorded<'r> {
    fn of(run: &'r Run, of: &Case) -> Self {
        let mut found = Self { ledgers: Vec::new(), workers: Vec::new() };
        for record in &run.records {
            match record {
                Record::Phases(ledger) if ledger.case == *of => found.ledgers.push(ledger),
                Record::Worker(worker) if worker.case == *of => found.workers.push(worker),
                _ => {}
            }
        }
        found
    }
}

/// A case's samples are whole, and are the ones that the records speak of.
fn check_finished(checkout: &Checkout, run: &Run, finished: &Finished) -> Result<()> {
    let case = &finished.case;
    let samples = run.directory.join(&finished.criterion);
    let (iterations, times) = read_samples(&samples)?;
    ensure!(times.len() == SAMPLES, "{} samples", times.len());
    let benchmark = read_json(&samples.join(files::BENCHMARK))?;
    ensure!(benchmark["full_id"] == case.to_string(), "{benchmark}");
    ensure!(benchmark["group_id"] == case.group(), "{benchmark}");
    check_handed_over(checkout, case, &iterations, &times)?;
    let Recorded { ledgers, workers } = Recorded::of(run, case);
    if case.suite != Suite::ColdStart {
        ensure!(ledgers.is_empty(), "phases of something that was no cold start");
        ensure!(workers.len() == usize::from(case.suite == Suite::Warm), "{workers:?}");
        return Ok(());
    }
    ensure!(iterations.iter().all(|&count| count == 1.0), "more than one cold start a sample");
    ensure!(workers.len() == SAMPLES, "{} workers", workers.len());
    // One ledger for each sample, and for that very sample.
    let outer: Vec<f64> = ledgers.iter().map(|ledger| ledger.outer_ns as f64).collect();
    ensure!(outer == times, "{outer:?} are not the samples {times:?}");
    ensure!(ledgers.iter().map(|ledger| ledger.sample).eq(0..10), "{ledgers:?}");
    // A busy node may stop the process between two readings of the clock, now and then.
    let broken = ledgers.iter().filter(|ledger| ledger.reconcile().is_err()).count();
    ensure!(broken <= 1, "{broken} ledgers do not reconcile: {ledgers:?}");
    Ok(())
}

/// Criterion has filed the same samples, of whatever number of iterations.
fn check_handed_over(
    checkout: &Checkout,
    case: &Case,
    iterations: &[f64],
    times: &[f64],
) -> Result<()> {
    let folder = files::directory(&checkout.layout(), case).join(files::NEWEST);
    ensure!(folder.join(files::ESTIMATES).is_file(), "no estimates");
    let (filed_iterations, filed) = read_samples(&folder)?;
    let each = |times: &[f64], iterations: &[f64]| -> Vec<f64> {
        times.iter().zip(iterations).map(|(time, iterations)| time / iterations).collect()
    };
    let (own, filed) = (each(times, iterations), each(&filed, &filed_iterations));
    let agree = own.iter().zip(&filed).all(|(own, filed)| (own / filed - 1.0).abs() < 1e-5);
    ensure!(own.len() == filed.len() && agree, "{own:?} became {filed:?}");
    if case.suite == Suite::ColdStart {
        ensure!(filed_iterations == iterations, "a cold start is no sample any more");
    }
    Ok(())
}

/// A case that was not measured has left nothing that could be taken for its samples.
fn check_unfinished(checkout: &Checkout, run: &Run, case: &Case) -> Result<()> {
    let Recorded { ledgers, workers } = Recorded::of(run, case);
    ensure!(ledgers.is_empty() && workers.is_empty(), "{ledgers:?} {workers:?}");
    let criterions = files::directory(&checkout.layout(), case).join(files::NEWEST);
    ensure!(!criterions.exists(), "{} is left", criterions.display());
    Ok(())
}

fn read_json(path: &Path) -> Result<serde_json::Value> {
    let bytes = fs::read(path).with_context(|| path.display().to_string())?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Iterations and times, one of each a sample.
fn read_samples(folder: &Path) -> Result<(Vec<f64>, Vec<f64>)> {
    let mut sample = read_json(&folder.join(files::SAMPLE))?;
    let iterations = serde_json::from_value(sample["iters"].take())?;
    Ok((iterations, serde_json::from_value(sample["times"].take())?))
}

/// A line per case, in the order of the run, without what differs from run to run.
fn describe(checkout: &Checkout, run: &Run, outcomes: &BTreeMap<Case, Outcome>) -> String {
    let mut text = String::new();
    for record in &run.records {
        let Record::Started { case } = record else { continue };
        // Writing to a string cannot fail.
        let _ = match &outcomes[case] {
            Outcome::Finished(_) => writeln!(text, "{case}: {}", measured(run, case)),
            Outcome::Counted(_) => writeln!(text, "{case}: counted"),
            Outcome::Verified => writeln!(text, "{case}: verified"),
            Outcome::Skipped(reason) => writeln!(text, "{case}: skipped, {reason}"),
            Outcome::Failed(cause) => writeln!(text, "{case}: FAILED, {cause}"),
        };
    }
    let times = Regex::new(r"\d+ ns|wall_ns: \d+").expect("a pattern");
    let digests = Regex::new("[0-9a-f]{64}").expect("a pattern");
    let text = times.replace_all(&text, "[time]");
    let text = digests.replace_all(&text, "[sha256]");
    text.replace(&checkout.layout().root.display().to_string(), "[root]")
        .replace(std::env::consts::ARCH, "[arch]")
}

fn measured(run: &Run, case: &Case) -> String {
    let Recorded { ledgers, workers } = Recorded::of(run, case);
    let mut text = "measured".to_owned();
    if let Some(ledger) = ledgers.first() {
        let phases: Vec<&str> = ledger.phases.iter().map(|span| span.phase.name()).collect();
        text += &format!(", {} ledgers of {}", ledgers.len(), phases.join(" "));
    }
    if !workers.is_empty() {
        text += &format!(", {} workers", workers.len());
    }
    text
}

/// An engine that cannot be made fails its cases; one that takes its time is not blamed for an
/// invocation before it that failed.
pub fn engines_that_fail_or_dawdle() -> Result<()> {
    let engines = [fake::ENGINE, fake::UNKNOWN_ENGINE, fake::SLOW_ENGINE];
    let checkout = checkout(&engines, &["refusing-later"])?;
    let selection = Selection { suites: vec!["call".into()], ..selection() };
    let run = checkout.run(&selection, &TEN_SAMPLES)?.run()?;
    let causes: Vec<Outcome> = outcomes(&run)?.into_values().collect();
    let failed = |cause: &str| Outcome::Failed(cause.to_owned());
    let refused = failed("the function refused the request: not today");
    let unknown = failed("this crate has no engine `fake-none`");
    ensure!(causes == [refused.clone(), unknown, refused], "{causes:?}");
    let processes = run.records.iter().filter(|record| matches!(record, Record::Process(_)));
    ensure!(processes.count() == engines.len(), "a measuring process was ended");
    Ok(())
}

/// Two bench targets of one `cargo bench` write to one run, and measure no case twice.
pub fn processes_of_a_session_share_a_run() -> Result<()> {
    let mut checkout = checkout(&[fake::ENGINE], &["steady"])?;
    checkout.session = Some("one".into());
    let of = |suites: &[&str]| Selection {
        suites: suites.iter().map(|&suite| suite.to_owned()).collect(),
        verify: true,
        ..selection()
    };
    let first = checkout.run(&of(&["call"]), &[])?.run()?;
    let both = checkout.run(&of(&["call", "fresh"]), &[])?.run()?;
    ensure!(first.directory == both.directory, "a second run: {}", both.directory.display());
    ensure!(outcomes(&both)?.len() == 2, "{:?}", both.records);
    checkout.session = Some("another".into());
    let other = checkout.run(&of(&["call"]), &[])?.run()?;
    ensure!(first.directory != other.directory, "two sessions share a run");
    Ok(())
}

/// To list cases, or to try them as `cargo test --benches` does, begins no run.
pub fn what_is_not_measured_is_not_kept() -> Result<()> {
    let checkout = checkout(&[fake::ENGINE], &["steady"])?;
    let listing = Selection { list: true, ..selection() };
    let list = checkout.run(&listing, &[])?;
    let cases: Vec<Case> = list
        .output
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect::<Result<_>>()?;
    ensure!(list.directory.is_none() && cases.len() == suites(), "{list}");
    ensure!(cases[0].to_string() == "cold_start/steady/fake-aot-box/small", "{}", cases[0]);
    let tried = checkout.run(&selection(), &["--test"])?;
    ensure!(tried.directory.is_none() && tried.status.success(), "{tried}");
    ensure!(tried.output.contains("Testing call/steady/fake-aot/small"), "{tried}");
    checkout.nothing_is_left()
}

/// This process sees the runtimes of one crate alone: that a name matches none of them is no
/// error here. `cargo xtask bench` sees all.
pub fn nothing_matches() -> Result<()> {
    let checkout = checkout(&[fake::ENGINE], &["steady"])?;
    let elsewhere = Selection { runtimes: vec!["other-*".into()], ..selection() };
    let ended = checkout.run(&elsewhere, &[])?;
    ensure!(ended.status.success() && outcomes(&ended.run()?)?.is_empty(), "{ended}");
    Ok(())
}
