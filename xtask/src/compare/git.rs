//! Two commits, each in a worktree of its own, measured in turns.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use lumos_record::{Layout, Run};

use super::side::{self, Sides};
use crate::process;

/// A commit, checked out and built.
struct Build {
    /// What the user called it.
    revision: String,
    commit: String,
    layout: Layout,
}

/// Builds both revisions and measures them in rounds, A B and then B A, with these arguments for
/// `cargo xtask bench`. The checkout itself stays as it is; worktrees and builds are kept by
/// commit, for the next time.
///
/// # Errors
/// When there is no such revision, or one does not build: then its worktree is removed.
pub fn measure(
    layout: &Layout,
    revisions: [&str; 2],
    rounds: u32,
    arguments: &[String],
) -> Result<Sides> {
    // Both have to exist before the first is built.
    let commits = revisions.map(|revision| commit(layout, revision));
    let mut builds = Vec::new();
    for (revision, commit) in revisions.into_iter().zip(commits) {
        let build = Build::check_out(layout, revision, &commit?)?;
        if let Err(error) = build.build(arguments) {
            build.remove(layout);
            return Err(error);
        }
        builds.push(build);
    }
    let mut runs: [Vec<PathBuf>; 2] = Default::default();
    for round in 1..=rounds {
        let order = if round % 2 == 1 { [0, 1] } else { [1, 0] };
        for side in order {
            eprintln!("round {round} of {rounds}: {}", builds[side].revision);
            runs[side].push(builds[side].bench(arguments)?);
        }
    }
    let read = |side: usize| {
        let found = side::runs(&builds[side].layout, &runs[side])?;
        anyhow::Ok(side::Side { name: builds[side].revision.clone(), ..found })
    };
    Ok(Sides { base: read(0)?, new: read(1)? })
}

/// Removes all worktrees, with what was built and measured in them.
///
/// # Errors
/// When one cannot be removed.
pub fn remove_all(layout: &Layout) -> Result<()> {
    let folder = folder(layout);
    if folder.is_dir() {
        std::fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
        process::quiet_output(git(&layout.root).args(["worktree", "prune"]))?;
    }
    Ok(())
}

/// The folder of all worktrees.
fn folder(layout: &Layout) -> PathBuf {
    layout.lumos().join("commits")
}

/// The commit that a revision means.
fn commit(layout: &Layout, revision: &str) -> Result<String> {
    let mut command = git(&layout.root);
    command.args(["rev-parse", "--verify", "--quiet", "--end-of-options"]);
    let output = command.arg(format!("{revision}^{{commit}}")).output().context("git")?;
    if !output.status.success() {
        bail!("there is no revision `{revision}` in this checkout: see `git log` and `git branch`");
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder);
    command
}

impl Build {
    /// Makes the commit's worktree, unless there is one.
    fn check_out(layout: &Layout, revision: &str, commit: &str) -> Result<Self> {
        let name: String = commit.chars().take(12).collect();
        let root = folder(layout).join(name);
        let own = Layout::at(root);
        if !own.guests().is_dir() {
            // Git may remember a worktree that somebody has removed by hand.
            process::quiet_output(git(&layout.root).args(["worktree", "prune"]))?;
            let mut add = git(&layout.root);
            add.args(["worktree", "add", "--quiet", "--detach"]).arg(&own.root).arg(commit);
            process::quiet_output(&mut add)?;
        }
        Ok(Self { revision: revision.to_owned(), commit: commit.to_owned(), layout: own })
    }

    /// The command line of the commit, which is another program than this one.
    fn xtask(&self, arguments: &[String]) -> Command {
        let mut command = process::cargo();
        command.current_dir(&self.layout.root).args(["xtask", "bench"]).args(arguments);
        for variable in ["CARGO_TARGET_DIR", "CRITERION_HOME", "LUMOS_ROOT"] {
            command.env_remove(variable);
        }
        command
    }

    /// Sets up and builds all that a run takes; what the compiler says goes to the terminal.
    fn build(&self, arguments: &[String]) -> Result<()> {
        eprintln!("building {} ({})", self.revision, self.commit);
        let mut command = self.xtask(&with(arguments, "--list"));
        let output = command.stderr(std::process::Stdio::inherit()).output().context("cargo")?;
        if !output.status.success() {
            bail!(
                "{} ({}) does not build, or cannot run `cargo xtask bench {}`: see above",
                self.revision,
                self.commit,
                arguments.join(" ")
            );
        }
        Ok(())
    }

    /// Measures once, and gives the folder of the run.
    fn bench(&self, arguments: &[String]) -> Result<PathBuf> {
        let runs = self.layout.runs();
        let before = Run::all(&runs)?;
        let mut command = self.xtask(arguments);
        let output = command.stderr(std::process::Stdio::inherit()).output().context("cargo")?;
        // A failed case ends in 1, and is on record like any other outcome.
        let run = Run::all(&runs)?.pop().filter(|run| !before.contains(run));
        run.with_context(|| {
            format!("{} has left no run ({}): see above", self.revision, output.status)
        })
    }

    /// Removes the worktree, with all that was built in it.
    fn remove(&self, layout: &Layout) {
        // Whatever is wrong with it, the error to report is why it is removed.
        let _ = std::fs::remove_dir_all(&self.layout.root);
        let _ = process::quiet_output(git(&layout.root).args(["worktree", "prune"]));
    }
}

/// The arguments with another before those for Criterion.
fn with(arguments: &[String], another: &str) -> Vec<String> {
    let end = arguments.iter().position(|word| word == "--").unwrap_or(arguments.len());
    let mut all = arguments.to_vec();
    all.insert(end, another.to_owned());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_for_criterion_stay_at_the_end() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            with(&words("--suite call -- -n"), "--list"),
            words("--suite call --list -- -n")
        );
        assert_eq!(with(&words("--suite call"), "--list"), words("--suite call --list"));
    }
}
