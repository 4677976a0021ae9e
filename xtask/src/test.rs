//! `cargo xtask test`: sets up what is missing, builds, and runs every test.

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
    // One after the other, from the quickest to the slowest to compile. Engines are tested
    // optimised: that is how they are measured, and the interpreters need it.
    let suites: [(&str, &[&str]); 3] = [
        ("guest-functions", &["--workspace"]),
        (
            ".",
            &[
                "--package",
                "xtask",
                "--package",
                "lumos-model",
                "--package",
                "lumos-record",
                "--package",
                "lumos-workloads",
            ],
        ),
        (".", &["--release", "--workspace", "--exclude", "xtask"]),
    ];
    let features = runtimes::feature_arguments(layout, |_| true)?;
    for (folder, selection) in suites {
        let mut command = process::cargo();
        command.current_dir(layout.root.join(folder)).args(["test", "--locked"]).args(selection);
        if selection.contains(&"--release") {
            command.args(&features);
        }
        if folder == "guest-functions" {
            command.env("CARGO_TARGET_DIR", layout.lumos().join("build/tests"));
        }
        if !tests.is_empty() {
            command.arg("--").args(tests);
        }
        process::run(&mut command)?;
    }
    Ok(())
}
