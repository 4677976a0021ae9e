//! `cargo xtask ci`: everything that a change must pass.

use std::panic::resume_unwind;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use lumos_build::process;
use lumos_build::targets::Arch;
use lumos_record::Layout;
use serde_json::Value;

use crate::{bench, report, test, tidy};

/// Checks format, lints, architecture and documents, runs every test, and makes a small run.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Also what takes longer: every function upon every base of images and as a WASI command,
    /// every payload of every function on every runtime, every function as
    /// a program of the other architecture on every runtime that serves, and the suite `variants`
    #[arg(long)]
    full: bool,
}

/// Runs the command.
///
/// # Errors
/// At the first check that fails.
pub fn run(layout: &Layout, arguments: &Arguments) -> Result<()> {
    let mut steps = Steps::default();
    let checked = checks(layout, arguments, &mut steps);
    eprintln!("\n{}", steps.table());
    checked
}

fn checks(layout: &Layout, arguments: &Arguments, steps: &mut Steps) -> Result<()> {
    steps.step("format", || {
        for folder in [".", test::FUNCTIONS] {
            process::run(test::cargo(layout, folder).args(["fmt", "--all", "--check"]))?;
        }
        Ok(())
    })?;
    steps.step("architecture", || tidy::run(layout))?;
    steps.step("results in documents", || report::run(layout, &report::Arguments::checking()))?;
    let full = arguments.full;
    let programs =
        steps.step("building and compiling the tests", || test::compile(layout, full))?;
    steps.step("tests, and beside them lints and documents", || tests(layout, programs))?;
    steps.step("a small run", || small_run(layout))?;
    steps.step("programs of other architectures", || {
        let others = Arch::ALL.into_iter().filter(|arch| !arch.is_host());
        let what = if arguments.full { bench::Emulated::Every } else { bench::Emulated::Sample };
        others.into_iter().try_for_each(|arch| bench::verify_emulated(layout, arch.name(), what))
    })?;
    if !arguments.full {
        return Ok(());
    }
    steps.step("every payload", || {
        let arguments = bench::Arguments::verifying(true);
        ensure!(bench::run(layout, &arguments)? == ExitCode::SUCCESS, "some answers are wrong");
        Ok(())
    })?;
    steps.step("variants", || {
        let arguments = bench::Arguments::variants();
        ensure!(bench::run(layout, &arguments)? == ExitCode::SUCCESS, "some variants fail");
        let rows = read_report(layout)?["variants"].as_array().map_or(0, Vec::len);
        ensure!(rows > 0, "report.json: variants is empty");
        Ok(())
    })
}

fn read_report(layout: &Layout) -> Result<Value> {
    let path = layout.report().join("report.json");
    let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
    Ok(serde_json::from_slice(&text)?)
}

/// Every test, and once more those that take a container engine, where none can be reached. Many
/// wait for containers or for a time to pass; meanwhile lints are looked for.
fn tests(layout: &Layout, mut programs: Vec<test::Program>) -> Result<()> {
    let once_more = programs.iter().filter(|program| program.takes_container_engine());
    let once_more: Vec<_> = once_more.map(test::Program::without_container_engine).collect();
    ensure!(!once_more.is_empty(), "no test takes a container engine");
    programs.extend(once_more);
    thread::scope(|scope| {
        let linting = scope.spawn(|| lints_and_documents(layout));
        let tested = test::run_all(programs, &[]);
        let linted = linting.join().unwrap_or_else(|panic| resume_unwind(panic));
        match (tested, linted) {
            (Err(tested), Err(linted)) => Err(tested.context(format!("{linted:#}"))),
            (tested, linted) => tested.and(linted),
        }
    })
}

/// Lints and documents, when nothing else wants the processor. They are of one profile with the
/// tests, which have built what runs while others are compiled.
fn lints_and_documents(layout: &Layout) -> Result<()> {
    let lints = |folder| {
        let mut command = test::cargo(layout, folder);
        command.args(["clippy", "--release", "--locked", "--workspace", "--all-targets"]);
        command.args(["--quiet", "--", "-Dwarnings"]);
        command
    };
    let mut documents = test::cargo(layout, ".");
    documents.args(["doc", "--release", "--locked", "--workspace", "--no-deps", "--quiet"]);
    documents.env("RUSTDOCFLAGS", "-Dwarnings");
    for command in [lints("."), lints(test::FUNCTIONS), documents] {
        process::quiet_output(&mut process::at_lowest_priority(&command))?;
    }
    Ok(())
}

/// How long each step took.
#[derive(Debug, Default)]
struct Steps(Vec<(&'static str, u64)>);

impl Steps {
    #[expect(clippy::disallowed_methods, reason = "tells where the time went, measures nothing")]
    fn step<T>(&mut self, name: &'static str, check: impl FnOnce() -> Result<T>) -> Result<T> {
        eprintln!("\n=== {name}");
        let start = Instant::now();
        let checked = check().with_context(|| format!("{name} failed"));
        let seconds = start.elapsed().as_secs();
        eprintln!("=== {name}: {seconds} s");
        self.0.push((name, seconds));
        checked
    }

    fn table(&self) -> String {
        let all = self.0.iter().map(|(_, seconds)| seconds).sum();
        let lines = self.0.iter().copied().chain([("all", all)]);
        let lines = lines.map(|(name, seconds)| format!("{seconds:>6} s  {name}"));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// A quick run of two functions, whose report must have no failures and no holes.
fn small_run(layout: &Layout) -> Result<()> {
    let code = bench::run(layout, &bench::Arguments::sample(bench::SAMPLE))?;
    ensure!(code == ExitCode::SUCCESS, "the run has failures");
    let report = read_report(layout)?;
    let rows = |name: &str| report[name].as_array().map_or(0, Vec::len);
    for name in ["artifacts", "estimates", "ratios", "phases", "memory", "claims"] {
        ensure!(rows(name) > 0, "report.json: {name} is empty");
    }
    for name in ["failures", "unrecorded"] {
        if rows(name) > 0 {
            bail!("report.json: {name} is not empty: {}", report[name]);
        }
    }
    let excused =
        |skip: &&Value| takes_an_engine(&report, skip) && !process::container_engine_answers();
    let skips = report["skips"].as_array().map_or(&[][..], Vec::as_slice);
    if let Some(skip) = skips.iter().find(|skip| !excused(skip)) {
        bail!("report.json: skipped without need: {skip}");
    }
    println!(
        "report.json: {} estimates, {} skips for want of a container engine, no failures, no holes",
        rows("estimates"),
        skips.len()
    );
    Ok(())
}

/// Whether a skipped case's runtime serves images, which may take an engine that is not here.
fn takes_an_engine(report: &Value, skip: &Value) -> bool {
    let runtimes = report["runtimes"].as_array().map_or(&[][..], Vec::as_slice);
    let served = |runtime: &Value| -> Option<String> {
        Some(format!("{}-{}", runtime["name"].as_str()?, runtime["sandbox"].as_str()?))
    };
    runtimes.iter().any(|runtime| {
        runtime["serves"] == "image" && served(runtime).as_deref() == skip["runtime"].as_str()
    })
}
