//! `cargo xtask overhead`: what the harness itself costs.

use anyhow::Result;
use lumos_record::Layout;

/// Measures what the harness itself costs, as ratios to bare peers.
#[derive(Debug, clap::Args)]
pub struct Arguments {}

/// Runs the command.
pub fn run(_layout: &Layout, _arguments: &Arguments) -> Result<()> {
    Ok(())
}
