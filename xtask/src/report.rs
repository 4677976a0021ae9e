//! `cargo xtask report`: from a run's records to tables.

use anyhow::Result;
use lumos_record::Layout;

/// Reads a run and writes its report.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

/// Writes the report.
pub fn run(_layout: &Layout, _arguments: &Arguments) -> Result<()> {
    Ok(())
}
