//! `cargo xtask compare`: what became faster or slower between two runs or Criterion baselines.
//!
//! What is compared and how stands in [`lumos_report::compare`]; [`git`] measures two revisions
//! before.

pub mod git;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use lumos_model::{Comparison, MINIMAL_EFFECT};
use lumos_record::Layout;
use lumos_report::compare::side::{self, Sides};
use lumos_report::compare::{Gate, compare, percent, show};

/// Compares runs, or Criterion baselines: what became faster, what slower.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What to compare with: a Criterion baseline, or a run by the name of its folder
    base: String,
    /// What to compare [default: the newest run, or Criterion's `new` where there is no run]
    new: Option<String>,
    /// Take both for revisions: build them in worktrees, and measure them in turns; NEW defaults
    /// to HEAD
    #[arg(long)]
    git: bool,
    /// The rounds in which revisions are measured
    #[arg(long, value_name = "NUMBER", requires = "git",
          default_value_t = Comparison::FEWEST_ROUNDS as u32,
          value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Of revisions, arguments for `cargo xtask bench`, such as `--profile quick --suite call`
    #[arg(last = true, value_name = "BENCH", requires = "git")]
    bench: Vec<String>,
    /// Only benchmarks whose id contains this [may be repeated]
    #[arg(long, value_name = "TEXT")]
    filter: Vec<String>,
    /// The smallest difference that matters, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = MINIMAL_EFFECT * 100.0,
          value_parser = percent)]
    minimal_effect: f64,
    /// How to print the comparisons
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// Write to a file instead of the terminal
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Exit with 3 if something became slower, with its whole interval beyond that many percent, or
    /// beyond the minimal effect: `slower` or `slower:10`; with 1 where it cannot be judged
    #[arg(long, value_name = "slower[:PERCENT]", value_parser = Gate::from_str)]
    fail_on: Option<Gate>,
}

/// How comparisons are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For a terminal: what changed, and what may have.
    Table,
    /// For a pull request: the same.
    Markdown,
    /// Everything.
    Json,
}

/// The exit code when the gate is closed.
const GATE_CLOSED: u8 = 3;

/// Runs the command; the exit code is 3 when the gate is closed.
///
/// # Errors
/// When a side cannot be found or read, both have no benchmark in common, or a gate is asked for
/// where there can be no verdict.
pub fn run(layout: &Layout, arguments: &Arguments) -> Result<ExitCode> {
    let new = arguments.new.as_deref();
    // Commits take long to measure.
    let folder = arguments.output.as_deref().and_then(Path::parent);
    if let Some(folder) = folder.filter(|folder| !folder.as_os_str().is_empty())
        && !folder.is_dir()
    {
        bail!("{}: there is no such folder to write to", folder.display());
    }
    let Sides { base, new } = match arguments.git {
        true => {
            let revisions = [arguments.base.as_str(), new.unwrap_or("HEAD")];
            git::measure(layout, revisions, arguments.rounds, &arguments.bench)?
        }
        false => side::read(layout, &arguments.base, new)?,
    };
    let found = compare(base, new, &arguments.filter, arguments.minimal_effect / 100.0)?;
    let text = match arguments.format {
        Format::Table => show::table(&found),
        Format::Markdown => show::markdown(&found),
        Format::Json => serde_json::to_string_pretty(&found)? + "\n",
    };
    match &arguments.output {
        Some(path) => std::fs::write(path, text).with_context(|| path.display().to_string())?,
        // A reader that has seen enough, such as `head`, is no error.
        None => drop(std::io::stdout().write_all(text.as_bytes())),
    }
    let Some(gate) = arguments.fail_on else { return Ok(ExitCode::SUCCESS) };
    let Some(why) = gate.closed(&found)? else { return Ok(ExitCode::SUCCESS) };
    eprintln!("{why}");
    Ok(ExitCode::from(GATE_CLOSED))
}
