//! `cargo xtask ci`: everything that a change must pass.

use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use lumos_record::Layout;

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
    let report: serde_json::Value = serde_json::from_slice(&text)?;
    let rows = |name: &str| report[name].as_array().map_or(0, Vec::len);
    for name in ["artifacts", "estimates", "ratios", "phases", "memory", "claims"] {
        ensure!(rows(name) > 0, "report.json: {name} is empty");
    }
    for name in ["failures", "skips", "unrecorded"] {
        if rows(name) > 0 {
            bail!("report.json: {name} is not empty: {}", report[name]);
        }
    }
    println!("report.json: {} estimates, no failures, no holes", rows("estimates"));
    Ok(())
}
