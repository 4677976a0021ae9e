//! `cargo xtask ci`: everything that a change must pass.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use lumos_record::Layout;
use serde_json::Value;

use crate::{bench, process, report, test, tidy};

/// Checks format, lints, architecture and documents, runs every test, and makes a small run.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

/// Runs the command.
///
/// # Errors
/// At the first check that fails.
pub fn run(layout: &Layout) -> Result<()> {
    step("format", || {
        for folder in [".", "guest-functions"] {
            cargo(layout, folder, &["fmt", "--all", "--check"])?;
        }
        Ok(())
    })?;
    step("architecture", || tidy::run(layout))?;
    step("results in README.md", || report::run(layout, &report::Arguments::checking()))?;
    step("tests", || test::run(layout, &test::Arguments::default()))?;
    step("tests without a container engine", || {
        let mut command = process::cargo();
        command.current_dir(&layout.root).args(["test", "--locked", "--release", "--workspace"]);
        command.args(["--exclude", "xtask", "--test", test::CONTAINER_ENGINE]);
        process::run(command.env("DOCKER_HOST", "unix:///nonexistent"))
    })?;
    step("lints", || {
        for folder in [".", "guest-functions"] {
            let arguments =
                ["clippy", "--locked", "--workspace", "--all-targets", "--", "-Dwarnings"];
            cargo(layout, folder, &arguments)?;
        }
        Ok(())
    })?;
    step("documents", || {
        let mut command = process::cargo();
        command.current_dir(&layout.root).args(["doc", "--locked", "--workspace", "--no-deps"]);
        process::run(command.env("RUSTDOCFLAGS", "-Dwarnings"))
    })?;
    step("a small run", || small_run(layout))
}

fn step(name: &str, check: impl FnOnce() -> Result<()>) -> Result<()> {
    eprintln!("\n=== {name}");
    check().with_context(|| format!("the check of the {name} failed"))
}

fn cargo(layout: &Layout, folder: &str, arguments: &[&str]) -> Result<()> {
    let mut command = process::cargo();
    command.current_dir(layout.root.join(folder)).args(arguments);
    if folder == "guest-functions" {
        command.env("CARGO_TARGET_DIR", layout.lumos().join("build/tests"));
    }
    process::run(&mut command)
}

/// A quick run of two functions, whose report must have no failures and no holes.
fn small_run(layout: &Layout) -> Result<()> {
    let code = bench::run(layout, &bench::Arguments::sample(["noop", "json"]))?;
    ensure!(code == ExitCode::SUCCESS, "the run has failures");
    let path = layout.report().join("report.json");
    let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
    let report: Value = serde_json::from_slice(&text)?;
    let rows = |name: &str| report[name].as_array().map_or(0, Vec::len);
    for name in ["artifacts", "estimates", "ratios", "phases", "memory", "claims"] {
        ensure!(rows(name) > 0, "report.json: {name} is empty");
    }
    for name in ["failures", "unrecorded"] {
        if rows(name) > 0 {
            bail!("report.json: {name} is not empty: {}", report[name]);
        }
    }
    let excused = |skip: &&Value| takes_an_engine(&report, skip) && !engine_answers();
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

fn engine_answers() -> bool {
    let mut command = Command::new("docker");
    process::try_output(command.args(["info", "--format", "{{.ID}}"])).is_some()
}
