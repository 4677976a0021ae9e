//! Two commits, each in a worktree of its own, measured in turns.

use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use lumos_build::process;
use lumos_record::protocol::variable;
use lumos_record::{Layout, Measuring, Run};
use lumos_report::compare::side::{self, Sides};

use crate::bench;

/// A commit, checked out and built.
struct Build {
    /// What the user called it.
    revision: String,
    commit: String,
    layout: Layout,
}

/// What a worktree takes over of another checkout's target directory: what the command line, the
/// bench targets and the workers are compiled from, the artifacts, and what images start from.
const TAKEN_OVER: [&str; 9] = [
    "debug/.fingerprint",
    "debug/build",
    "debug/deps",
    "release/.fingerprint",
    "release/build",
    "release/deps",
    "lumos/artifacts",
    "lumos/build",
    "lumos/images",
];

/// How often a round runs each side: A B, then B A.
///
/// Some processes are slower than others of the same program from their start to their end. Of
/// more and shorter ones, fewer are affected.
pub const RUNS_A_ROUND: usize = 2;

/// What to know of revisions that were measured one after the other.
const NOT_IN_TURNS: &str = "one of the revisions is of before samples were taken in turns: within \
                            a round, all of a side's were taken before any of the other's";

/// Builds both revisions and measures them in rounds, and each round in turns, A B and then B A,
/// with these arguments for `cargo xtask bench`. The checkout itself stays as it is; worktrees and
/// builds are kept by commit, for the next time.
///
/// # Errors
/// When there is no such revision, or one does not build, then its worktree is removed; or it
/// cannot run these arguments.
pub fn measure(
    layout: &Layout,
    revisions: [&str; 2],
    rounds: u32,
    arguments: &[String],
) -> Result<Sides> {
    // Both have to exist before the first is built.
    let commits: Vec<String> =
        revisions.iter().map(|revision| commit(layout, revision)).collect::<Result<_>>()?;
    if commits[0] == commits[1] {
        bail!(
            "`{}` and `{}` are both the commit {:.12}: commit the changes that are to be measured",
            revisions[0],
            revisions[1],
            commits[0]
        );
    }
    refuse_unfit(arguments)?;
    let mut builds: Vec<Build> = Vec::new();
    for (revision, commit) in revisions.into_iter().zip(commits) {
        let build = Build::check_out(layout, builds.last(), revision, &commit)?;
        eprintln!("building {build}");
        if !build.lists(arguments, true)? {
            // Where it is the arguments that are wrong, what was built serves the next call.
            if !arguments.is_empty() && build.lists(&[], false)? {
                bail!("{build} cannot run `cargo xtask bench {}`: see above", arguments.join(" "));
            }
            build.remove(layout);
            bail!("{build} does not build: see above");
        }
        builds.push(build);
    }
    let _alone = Measuring::begin(layout, "cargo xtask compare --git")?;
    let mut runs: [Vec<PathBuf>; 2] = Default::default();
    let mut pairs = 0;
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        for first in 0..RUNS_A_ROUND {
            let run = |side: usize, turn: &str| builds[side].bench(arguments, turn);
            let taken = lumos_turns::take(2, first, |_| {}, run)?;
            for (runs, run) in runs.iter_mut().zip(taken.sides) {
                runs.push(run?);
            }
            pairs += taken.pairs;
        }
    }
    let read = |side: usize| {
        let found = side::runs(&builds[side].layout, &runs[side])?;
        let name = builds[side].revision.clone();
        let (kind, runs_a_round) = (side::Kind::Revision, RUNS_A_ROUND);
        anyhow::Ok(side::Side { name, kind, runs_a_round, ..found })
    };
    let (base, mut new) = (read(0)?, read(1)?);
    if pairs == 0 && !new.samples.is_empty() {
        new.problems.push(NOT_IN_TURNS.to_owned());
    }
    Ok(Sides { base, new })
}

/// Refuses arguments with which a call of `cargo xtask bench` would not be one run in turns.
fn refuse_unfit(arguments: &[String]) -> Result<()> {
    let (own, criterion) = split(arguments);
    if own.iter().any(|word| bench::option(word) == "--rounds") {
        bail!("--rounds belongs before the `--`: rounds are of both revisions");
    }
    if arguments.iter().any(|word| word == "--list") {
        bail!("--list measures nothing: `cargo xtask bench --list` lists cases");
    }
    lumos_criterion::Arguments::parse(criterion)?;
    Ok(())
}

/// Removes all worktrees, with what was built and measured in them.
///
/// # Errors
/// When one cannot be removed.
pub fn remove_all(layout: &Layout) -> Result<()> {
    let folder = folder(layout);
    if folder.is_dir() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
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
    command.args(["rev-parse", "--verify", "--end-of-options"]);
    let output = command.arg(format!("{revision}^{{commit}}")).output().context("git")?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let is_shallow =
            process::try_output(git(&layout.root).args(["rev-parse", "--is-shallow-repository"]));
        let remedy = match is_shallow.as_deref() {
            Some("true") => "this clone is shallow: `git fetch --unshallow` brings what it lacks",
            Some(_) => "see `git log` and `git branch --all`",
            None => "git does not tell what there is",
        };
        bail!("there is no revision `{revision}` in this checkout (git says: {words}): {remedy}");
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder);
    command
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:.12})", self.revision, self.commit)
    }
}

impl Build {
    /// Makes the commit's worktree, unless there is one; `other` is that of the other revision,
    /// if it was built already.
    fn check_out(
        layout: &Layout,
        other: Option<&Self>,
        revision: &str,
        commit: &str,
    ) -> Result<Self> {
        let name: String = commit.chars().take(12).collect();
        let own = Layout::at(folder(layout).join(name));
        let build = Self { revision: revision.to_owned(), commit: commit.to_owned(), layout: own };
        if !build.layout.guests().is_dir() || build.part().exists() {
            // Somebody may have removed a part of it, or stopped this in the middle.
            build.remove(layout);
            let mut add = git(&layout.root);
            add.args(["worktree", "add", "--quiet", "--detach"]);
            process::quiet_output(add.arg(&build.layout.root).arg(commit))?;
            let like = other.filter(|other| build.has_the_same_dependencies(&other.layout));
            build.take_over(like.map_or(layout, |other| &other.layout));
        }
        Ok(build)
    }

    /// Whether what was built elsewhere has all the dependencies that this takes, compiled.
    fn has_the_same_dependencies(&self, elsewhere: &Layout) -> bool {
        let lock = |layout: &Layout| fs::read(layout.root.join("Cargo.lock")).ok();
        lock(&self.layout) == lock(elsewhere)
    }

    /// Copies what another checkout has built, as if the commit had been checked out there: of
    /// that, cargo and `cargo xtask build` take what is still right, such as all dependencies that
    /// are the same.
    fn take_over(&self, from: &Layout) {
        let part = self.part();
        let copy = |folder: &str| {
            let (from, to) = (from.target.join(folder), part.join(folder));
            if !from.is_dir() {
                return Ok(());
            }
            fs::create_dir_all(to.parent().unwrap_or(&part))?;
            let mut copy = Command::new("cp");
            copy.args(["--archive", "--reflink=auto"]).arg(from).arg(to);
            process::quiet_output(&mut copy).map(drop)
        };
        let copied = TAKEN_OVER.into_iter().try_for_each(copy);
        if let Err(error) = copied.and_then(|()| Ok(fs::rename(&part, &self.layout.target)?)) {
            // As where another cargo writes there at the same time.
            eprintln!(
                "what {} has built cannot be copied, so all is built anew: {error:#}",
                from.root.display()
            );
            let _ = fs::remove_dir_all(&part);
        }
    }

    /// Where a copy grows: cargo would trust half of one.
    fn part(&self) -> PathBuf {
        self.layout.root.join("target.part")
    }

    /// The command line of the commit, which is another program than this one.
    fn xtask(&self, arguments: &[String]) -> Command {
        let mut command = process::cargo();
        command.current_dir(&self.layout.root).args(["xtask", "bench"]).args(arguments);
        // Each commit is built in a place of its own, whatever configuration says.
        command.env("CARGO_TARGET_DIR", &self.layout.target);
        command.env_remove("CRITERION_HOME").env_remove(variable::ROOT);
        command
    }

    /// Sets up and lists the cases of a run, if it can and has any, and `builds` what they take;
    /// what a compiler says goes to the terminal.
    fn lists(&self, arguments: &[String], builds: bool) -> Result<bool> {
        let mut command = self.xtask(&with(arguments, &["--list"]));
        command.envs(builds.then_some((bench::LIST_BUILDS, "1")));
        let output = command.stderr(Stdio::inherit()).output().context("cargo")?;
        Ok(output.status.success() && !output.stdout.is_empty())
    }

    /// Measures once, in turns with the other side, and gives the folder of the run.
    fn bench(&self, arguments: &[String], turn: &str) -> Result<PathBuf> {
        let runs = self.layout.runs();
        let before = Run::all(&runs)?;
        // Rounds are of both revisions.
        let mut command = self.xtask(&with(arguments, &["--rounds", "1"]));
        command
            .env(lumos_turns::Turns::VARIABLE, turn)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("cargo")?;
        // Both sides speak at the same time.
        let lines =
            child.stderr.take().into_iter().flat_map(|pipe| BufReader::new(pipe).split(b'\n'));
        for line in lines.map_while(Result::ok) {
            eprintln!("{:.20}: {}", self.revision, String::from_utf8_lossy(&line));
        }
        let status = child.wait()?;
        // A failed case ends in 1, and is on record like any other outcome.
        let run = Run::all(&runs)?.pop().filter(|run| !before.contains(run));
        run.with_context(|| format!("{} has left no run ({status}): see above", self.revision))
    }

    /// Removes the worktree, with all that was built in it.
    fn remove(&self, layout: &Layout) {
        // Whatever is wrong with it, the error to report is why it is removed.
        let _ = fs::remove_dir_all(&self.layout.root);
        let _ = process::quiet_output(git(&layout.root).args(["worktree", "prune"]));
    }
}

/// The arguments for `cargo xtask bench` itself, and those for Criterion, with the `--` before them.
fn split(arguments: &[String]) -> (&[String], &[String]) {
    let end = arguments.iter().position(|word| word == "--").unwrap_or(arguments.len());
    arguments.split_at(end)
}

/// The arguments with others before those for Criterion.
fn with(arguments: &[String], others: &[&str]) -> Vec<String> {
    let (own, criterion) = split(arguments);
    let others = others.iter().map(|&other| other.to_owned());
    own.iter().cloned().chain(others).chain(criterion.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_no_run_in_turns_is_refused() {
        let refusal = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            refuse_unfit(&words).err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert_eq!(refusal("--suite call --profile quick -- --sample-size 40"), "");
        assert!(refusal("--suite call --rounds=5").contains("before the `--`"));
        assert!(refusal("--rounds 5").contains("before the `--`"));
        assert!(refusal("--suite call -- --quick").contains("in turns"));
    }

    #[test]
    fn arguments_for_criterion_stay_at_the_end() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            with(&words("--suite call -- -n"), &["--list"]),
            words("--suite call --list -- -n")
        );
        assert_eq!(with(&words("--suite call"), &["--list"]), words("--suite call --list"));
    }
}
