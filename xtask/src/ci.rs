//! `cargo xtask ci`: everything that a change must pass.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use lumos_record::Layout;
use serde_json::Value;

use crate::targets::Arch;
use crate::{bench, process, report, test, tidy};

/// Checks format, lints, architecture and documents, runs every test, and makes a small run.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Also what takes longer: every payload of every function on every runtime, every function as
    /// a program of the other architecture on every runtime that serves, and the suite `variants`
    #[arg(long)]
    full: bool,
}

/// Runs the command.
///
/// # Errors
/// At the first check that fails.
pub fn run(layout: &Layout, arguments: &Arguments) -> Result<()> {
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
    // Of one profile with the tests, which have built what runs while others are compiled.
    step("lints", || {
        for folder in [".", "guest-functions"] {
            let arguments = ["clippy", "--release", "--locked", "--workspace", "--all-targets"];
            cargo(layout, folder, &[&arguments[..], &["--", "-Dwarnings"]].concat())?;
        }
        Ok(())
    })?;
    step("documents", || {
        let mut command = process::cargo();
        command.current_dir(&layout.root).args(["doc", "--release", "--locked"]);
        command.args(["--workspace", "--no-deps"]);
        process::run(command.env("RUSTDOCFLAGS", "-Dwarnings"))
    })?;
    step("a small run", || small_run(layout))?;
    step("programs of other architectures", || {
        let others = Arch::ALL.into_iter().filter(|arch| !arch.is_host());
        let what = if arguments.full { bench::Emulated::Every } else { bench::Emulated::Sample };
        others.into_iter().try_for_each(|arch| bench::verify_emulated(layout, arch.name(), what))
    })?;
    if !arguments.full {
        return Ok(());
    }
    step("every payload", || {
        let arguments = bench::Arguments::verifying(true);
        ensure!(bench::run(layout, &arguments)? == ExitCode::SUCCESS, "some answers are wrong");
        Ok(())
    })?;
    step("variants", || {
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

#[expect(clippy::disallowed_methods, reason = "tells where the time went, and measures nothing")]
fn step(name: &str, check: impl FnOnce() -> Result<()>) -> Result<()> {
    eprintln!("\n=== {name}");
    let start = Instant::now();
    check().with_context(|| format!("the check of the {name} failed"))?;
    eprintln!("=== {name}: {} s", start.elapsed().as_secs());
    Ok(())
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
