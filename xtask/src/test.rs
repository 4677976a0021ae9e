//! `cargo xtask test`: sets up what is missing, builds, and runs every test.

use std::process::Command;

use anyhow::Result;
use lumos_record::Layout;

use crate::build::{Scope, Wish};
use crate::{bench, build, process, runtimes, targets};

/// The tests that take a container engine, and show skips without one.
pub const CONTAINER_ENGINE: &str = "containers";

/// Sets up what is missing and runs the whole test suite.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Run every function on every runtime that serves, as programs of this architecture in an
    /// emulator, and check the answers: x86_64 or aarch64; `host` runs the test suite
    #[arg(long, value_name = "ARCHITECTURE", default_value = "host")]
    target: String,
    /// Arguments for the test programs, such as a part of a test's name
    #[arg(last = true, value_name = "TEST")]
    tests: Vec<String>,
}

impl Default for Arguments {
    fn default() -> Self {
        Self { target: "host".to_owned(), tests: Vec::new() }
    }
}

/// Runs the command.
///
/// # Errors
/// When the build or a test fails.
pub fn run(layout: &Layout, arguments: &Arguments) -> Result<()> {
    let architectures = targets::architectures(&arguments.target)?;
    architectures.iter().try_for_each(|arch| match arch.is_host() {
        true => test_host(layout, &arguments.tests),
        false => bench::verify_emulated(layout, arch.name(), bench::Emulated::Every),
    })
}

fn test_host(layout: &Layout, tests: &[String]) -> Result<()> {
    build::build(layout, &Wish::host(Scope::tests())?)?;
    for mut command in suites(layout)? {
        if !tests.is_empty() {
            command.arg("--").args(tests);
        }
        process::run(&mut command)?;
    }
    Ok(())
}

/// Sets up what is missing, builds what the tests take, and compiles the tests.
///
/// # Errors
/// When something does not compile.
pub fn compile(layout: &Layout) -> Result<()> {
    build::build(layout, &Wish::host(Scope::tests())?)?;
    suites(layout)?.iter_mut().try_for_each(|command| process::run(command.arg("--no-run")))
}

/// The commands that run all tests, one after the other: from the quickest to the slowest to
/// compile. Engines are tested optimised: that is how they are measured, and the interpreters need
/// it.
///
/// # Errors
/// When the runtime crates cannot be read.
pub fn suites(layout: &Layout) -> Result<Vec<Command>> {
    let without_engines = ["xtask", "lumos-model", "lumos-record", "lumos-workloads"];
    let suite = |folder: &str, selection: &[&str]| {
        let mut command = process::cargo();
        command.current_dir(layout.root.join(folder)).args(["test", "--locked"]).args(selection);
        command
    };
    let mut functions = suite("guest-functions", &["--workspace"]);
    functions.env("CARGO_TARGET_DIR", layout.lumos().join("build/tests"));
    let without_engines = without_engines.map(|package| ["--package", package]).concat();
    let mut engines = suite(".", &["--release", "--workspace", "--exclude", "xtask"]);
    engines.args(runtimes::feature_arguments(layout, |_| true)?);
    Ok(vec![functions, suite(".", &without_engines), engines])
}
