//! `cargo xtask clean`: removes what runs and comparisons have left.

use anyhow::{Result, bail};
use lumos_build::{emulation, process, runtimes};
use lumos_record::Layout;

use crate::compare::git;

/// Removes what runs have left on the node, outside of cargo's target directory, and what was
/// built to compare commits.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Remove the containers and images of every run, and the cgroups and sockets of those that
    /// are over
    #[arg(long)]
    containers: bool,
    /// Remove the worktrees of `cargo xtask compare --git`, with all that was built and measured
    /// in them
    #[arg(long)]
    commits: bool,
}

/// Runs the command.
///
/// # Errors
/// When something cannot be removed.
pub fn run(layout: &Layout, arguments: &Arguments) -> Result<()> {
    if !arguments.containers && !arguments.commits {
        bail!("say what to remove: `--containers` or `--commits`");
    }
    if arguments.commits {
        git::remove_all(layout)?;
    }
    if arguments.containers {
        remove_containers(layout)?;
    }
    Ok(())
}

fn remove_containers(layout: &Layout) -> Result<()> {
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
