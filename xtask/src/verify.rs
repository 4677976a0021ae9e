//! `cargo xtask verify`: every function on every runtime, checked and not timed.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use lumos_record::Layout;

use crate::bench;

/// Has every runtime answer every function, and compares the answers with the workloads' digests.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Every payload of every function, which takes a long time; else the first one, which is the
    /// least work
    #[arg(long)]
    pub all: bool,
}

/// Runs the command.
///
/// # Errors
/// When an answer is wrong, or a case does not run.
pub fn run(layout: &Layout, arguments: &Arguments) -> Result<()> {
    let code = bench::run(layout, &bench::Arguments::verifying(arguments.all))?;
    ensure!(code == ExitCode::SUCCESS, "some answers are wrong: the failures are above");
    Ok(())
}
