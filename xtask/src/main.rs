//! Lumos' command line: `cargo xtask <command>`; a command is a module.

use std::path::Path;

use anyhow::Result;
use clap::{Parser, Subcommand};
use lumos_record::Layout;

mod build;
mod process;
mod progress;
mod report;
mod runtimes;
mod setup;
mod source;
mod toolchain;

/// Measures how serverless functions really run.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Setup(setup::Arguments),
    Build(build::Arguments),
    Report(report::Arguments),
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let layout = Layout::find(Path::new(env!("CARGO_MANIFEST_DIR")))?;
    match arguments.command {
        Command::Setup(_) => setup::run(),
        Command::Build(arguments) => build::run(&layout, &arguments),
        Command::Report(arguments) => report::run(&layout, &arguments),
    }
}
