//! `cargo xtask test`: sets up what is missing, builds, and runs every test.

use std::process::Command;

use anyhow::Result;
use lumos_record::Layout;
use lumos_workloads::Workloads;

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
    /// On the host, also take every function where a sample of them stands for all: upon every
    /// base of images, and as a WASI command
    #[arg(long)]
    full: bool,
    /// Arguments for the test programs, such as a part of a test's name
    #[arg(last = true, value_name = "TEST")]
    tests: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// When the build or a test fails.
pub fn run(layout: &Layout, arguments: &Arguments) -> Result<()> {
    let architectures = targets::architectures(&arguments.target)?;
    architectures.iter().try_for_each(|arch| match arch.is_host() {
        true => test_host(layout, arguments.full, &arguments.tests),
        false => bench::verify_emulated(layout, arch.name(), bench::Emulated::Every),
    })
}

fn test_host(layout: &Layout, full: bool, tests: &[String]) -> Result<()> {
    build(layout, full)?;
    for mut command in suites(layout, full)? {
        if !tests.is_empty() {
            command.arg("--").args(tests);
        }
        process::run(&mut command)?;
    }
    Ok(())
}

/// The environment variable that has the tests of runtime crates take every function.
const FULL: &str = "LUMOS_TEST_FULL";

fn build(layout: &Layout, full: bool) -> Result<()> {
    let workloads = Workloads::read_drafts(&layout.workloads())?;
    let sample = workloads.functions.iter().filter(|workload| workload.is_sample());
    let scope = match full {
        true => Scope::everything(false),
        false => Scope::tests(sample.map(|workload| workload.function.clone())),
    };
    build::build(layout, &Wish::host(scope)?).map(drop)
}

/// Sets up what is missing, builds what the tests take, and compiles the tests.
///
/// # Errors
/// When something does not compile.
pub fn compile(layout: &Layout, full: bool) -> Result<()> {
    build(layout, full)?;
    suites(layout, full)?.iter_mut().try_for_each(|command| process::run(command.arg("--no-run")))
}

/// The commands that run all tests, one after the other: from the quickest to the slowest to
/// compile. Engines are tested optimised: that is how they are measured, and the interpreters need
/// it.
///
/// # Errors
/// When the runtime crates cannot be read.
pub fn suites(layout: &Layout, full: bool) -> Result<Vec<Command>> {
    let without_engines = ["xtask", "lumos-model", "lumos-record", "lumos-workloads"];
    let suite = |folder: &str, selection: &[&str]| {
        let mut command = cargo(layout, folder);
        command.args(["test", "--locked"]).args(selection);
        command
    };
    let without_engines = without_engines.map(|package| ["--package", package]).concat();
    let mut engines = suite(".", &["--release", "--workspace", "--exclude", "xtask"]);
    engines.args(runtimes::feature_arguments(layout, |_| true)?);
    engines.envs(full.then_some((FULL, "1")));
    let functions = suite(FUNCTIONS, &["--workspace"]);
    Ok(vec![functions, suite(".", &without_engines), engines])
}

/// The folder of the functions' workspace.
pub const FUNCTIONS: &str = "guest-functions";

/// cargo in a folder of the checkout; functions have a target directory of their own for what is
/// tested on the host.
pub fn cargo(layout: &Layout, folder: &str) -> Command {
    let mut command = process::cargo();
    command.current_dir(layout.root.join(folder));
    if folder == FUNCTIONS {
        command.env("CARGO_TARGET_DIR", layout.lumos().join("build/tests"));
    }
    command
}
