//! `cargo xtask test`: sets up what is missing, builds, and runs every test.

use anyhow::Result;
use lumos_record::Layout;

use crate::{build, process};

/// The tests that take a container engine, and show skips without one.
pub const CONTAINER_ENGINE: &str = "containers";

/// Sets up what is missing and runs the whole test suite.
#[derive(Debug, Default, clap::Args)]
pub struct Arguments {
    /// Arguments for the test programs, such as a part of a test's name
    #[arg(last = true, value_name = "TEST")]
    tests: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// When the build or a test fails.
pub fn run(layout: &Layout, arguments: &Arguments) -> Result<()> {
    build::build(layout, &build::Wish::host()?)?;
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
    for (folder, selection) in suites {
        let mut command = process::cargo();
        command.current_dir(layout.root.join(folder)).args(["test", "--locked"]).args(selection);
        if folder == "guest-functions" {
            command.env("CARGO_TARGET_DIR", layout.lumos().join("build/tests"));
        }
        if !arguments.tests.is_empty() {
            command.arg("--").args(&arguments.tests);
        }
        process::run(&mut command)?;
    }
    Ok(())
}
