//! `cargo xtask clean`: removes what runs have left on the node.

use anyhow::{Result, bail};
use lumos_record::Layout;

use crate::{emulation, process, runtimes};

/// Removes what runs have left on the node, outside of cargo's target directory.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Remove the containers and images of every run, and the cgroups and sockets of those that
    /// are over
    #[arg(long)]
    containers: bool,
}

/// Runs the command.
///
/// # Errors
/// When something cannot be removed.
pub fn run(layout: &Layout, arguments: &Arguments) -> Result<()> {
    if !arguments.containers {
        bail!("say what to remove: `cargo xtask clean --containers`");
    }
    for found in runtimes::read(layout, &Default::default())? {
        let Some(program) = &found.clean else { continue };
        let mut command = process::cargo();
        command.current_dir(&layout.root).args(["run", "--quiet", "--release", "--locked"]);
        process::run(command.args(["--package", &found.package, "--bin", program]))?;
    }
    for name in emulation::remove_leftovers() {
        println!("removed the kernel's handler {name}");
    }
    Ok(())
}
