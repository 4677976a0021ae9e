//! Lumos' command line: `cargo xtask <command>`; a command is a module.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use interrupt::Interrupted;
use lumos_record::{Layout, while_somebody_reads};

mod bench;
mod bless;
mod build;
mod ci;
mod clean;
mod compare;
mod doctor;
#[cfg(test)]
mod documents;
mod foreign;
mod interrupt;
mod new_function;
mod overhead;
mod report;
mod selftest;
mod setup;
mod test;
mod tidy;
mod verify;

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
    Doctor(doctor::Arguments),
    Build(build::Arguments),
    Bench(Box<bench::Arguments>),
    Report(report::Arguments),
    Compare(compare::Arguments),
    Selftest(selftest::Arguments),
    Overhead(overhead::Arguments),
    Bless(bless::Arguments),
    NewFunction(new_function::Arguments),
    Verify(verify::Arguments),
    Clean(clean::Arguments),
    Tidy(tidy::Arguments),
    Test(test::Arguments),
    Ci(ci::Arguments),
}

fn main() -> ExitCode {
    while_somebody_reads(|| match run(&Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            match error.is::<Interrupted>() {
                true => ExitCode::from(Interrupted::EXIT_CODE),
                false => ExitCode::FAILURE,
            }
        }
    })
}

fn run(command: &Command) -> Result<ExitCode> {
    let layout = Layout::of_process(env!("CARGO_MANIFEST_DIR"))?;
    lumos_build::process::build_in(&layout.target);
    match command {
        Command::Setup(arguments) => setup::run(arguments),
        Command::Doctor(_) => doctor::run(&layout),
        Command::Build(arguments) => build::run(&layout, arguments),
        Command::Bench(arguments) => return bench::run(&layout, arguments),
        Command::Compare(arguments) => return compare::run(&layout, arguments),
        Command::Report(arguments) => report::run(&layout, arguments),
        Command::Selftest(arguments) => selftest::run(&layout, arguments),
        Command::Overhead(arguments) => overhead::run(&layout, arguments),
        Command::Bless(arguments) => bless::run(&layout, arguments),
        Command::NewFunction(arguments) => new_function::run(&layout, arguments),
        Command::Verify(arguments) => verify::run(&layout, arguments),
        Command::Clean(arguments) => clean::run(&layout, arguments),
        Command::Tidy(_) => tidy::run(&layout),
        Command::Test(arguments) => test::run(&layout, arguments),
        Command::Ci(arguments) => ci::run(&layout, arguments),
    }?;
    Ok(ExitCode::SUCCESS)
}
