//! `cargo xtask report`: the figures of a run as a report, or of the last one in the documents.

use std::path::PathBuf;

use anyhow::Result;
use lumos_record::Layout;
use lumos_report::export::{self, Export};
use lumos_report::splice;

/// Reads a run and writes its report: JSON, CSV, Markdown and a page of HTML.
#[derive(Debug, Default, clap::Args)]
pub struct Arguments {
    /// The run to report, by the name of its folder [default: the newest]
    #[arg(long, value_name = "NAME")]
    run: Option<String>,
    /// Where to write [default: target/lumos/report]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Print the figures of every case in this format instead of writing a report
    #[arg(long, value_name = "FORMAT", conflicts_with_all = ["output", "splice"])]
    format: Option<Export>,
    /// Print which fields the tables of report.json have instead of writing a report, and what they
    /// say
    #[arg(long, conflicts_with_all = ["output", "splice", "format"])]
    fields: bool,
    /// Also write the results in README.md and docs/results.md, and the extract that they come
    /// from, docs/results.json
    #[arg(long)]
    splice: bool,
    /// Only check that the results in README.md and docs/results.md are those of
    /// docs/results.json; needs no run
    #[arg(long, conflicts_with_all = ["run", "output", "splice", "format", "fields"])]
    check: bool,
}

impl Arguments {
    /// What `--check` asks for.
    pub fn checking() -> Self {
        Self { check: true, ..Self::default() }
    }
}

/// Runs the command.
///
/// # Errors
/// When there is no such run, it cannot be read, or a file cannot be written; with `--check`,
/// when the documents do not show what the extract gives.
pub fn run(layout: &Layout, arguments: &Arguments) -> Result<()> {
    if arguments.check {
        splice::check(layout)?;
        println!("The results in README.md and docs/results.md are those of docs/results.json.");
        return Ok(());
    }
    let folder = lumos_report::find_run(layout, arguments.run.as_deref())?;
    if let Some(format) = arguments.format {
        print!("{}", export::render(&lumos_report::read(layout, &folder)?, format)?);
        return Ok(());
    }
    if arguments.fields {
        print!("{}", lumos_report::fields(&lumos_report::read(layout, &folder)?));
        return Ok(());
    }
    let output = arguments.output.clone().unwrap_or_else(|| layout.report());
    let mut summary = lumos_report::generate(layout, &folder, &output)?;
    if arguments.splice {
        summary.paths.extend(splice::splice(layout, &lumos_report::read(layout, &folder)?)?);
    }
    print!("{summary}");
    Ok(())
}
