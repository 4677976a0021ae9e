//! `cargo xtask test`: sets up what is missing, builds, and runs every test.

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::Message;
use lumos_build::progress::Progress;
use lumos_build::{BuildRequest, Scope, process, runtimes, targets};
use lumos_record::protocol::variable;
use lumos_record::{ArtifactKind, Layout, Toolchain};
use lumos_workloads::Workloads;

use crate::bench;

/// Sets up what is missing and runs the whole test suite.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Run every function on every runtime that serves, as programs of this architecture in an
    /// emulator, and check the answers: x86_64 or aarch64; `host` runs the test suite
    #[arg(long, value_name = "ARCHITECTURE", default_value = "host")]
    target: String,
    /// On the host, also take every function where a sample of them stands for all: upon every
    /// base of images, and as a WASI command
    #[arg(long)]
    full: bool,
    /// Arguments for the test programs, such as a part of a test's name
    #[arg(last = true, value_name = "TEST")]
    tests: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// When the build or a test fails.
pub fn run(layout: &Layout, arguments: &Arguments) -> Result<()> {
    let architectures = targets::architectures(&arguments.target)?;
    architectures.iter().try_for_each(|arch| match arch.is_host() {
        true => run_all(compile(layout, arguments.full)?, &arguments.tests),
        false => bench::verify_emulated(layout, arch.name(), bench::Emulated::Every),
    })
}

/// A test program, compiled.
#[derive(Debug, Clone)]
pub struct Program {
    /// Its package's folder in the checkout, and its target.
    pub name: String,
    file: PathBuf,
    /// The package's folder.
    folder: PathBuf,
    /// The checkout's target directory.
    target: PathBuf,
    variables: Vec<(&'static str, &'static str)>,
    /// Whether it waits for containers most of its time.
    waits: bool,
}

impl Program {
    /// The same, where no container engine can be reached: its tests show skips.
    pub fn without_container_engine(&self) -> Self {
        let mut other = self.clone();
        other.name += " without a container engine";
        other.variables.push(("DOCKER_HOST", "unix:///nonexistent"));
        other
    }

    /// Whether its tests take a container engine, and show skips without one.
    pub fn takes_container_engine(&self) -> bool {
        self.name.ends_with(" containers")
    }

    fn command(&self, tests: &[String]) -> Command {
        let mut command = Command::new(&self.file);
        command.args(tests).current_dir(&self.folder);
        // As cargo sets them; a test may call cargo again.
        command.env("CARGO_MANIFEST_DIR", &self.folder);
        command.env("CARGO", process::cargo().get_program());
        command.env("CARGO_TARGET_DIR", &self.target);
        command.envs(self.variables.iter().copied());
        command
    }
}

/// How the line of a test begins that shows skips, where a node makes no such sandboxes.
const SKIPS: &str = "test skips::";

/// The folder of the functions' workspace.
pub const FUNCTIONS: &str = "guest-functions";

/// Sets up what is missing, builds what the tests take, and compiles them.
///
/// # Errors
/// When something does not compile.
pub fn compile(layout: &Layout, full: bool) -> Result<Vec<Program>> {
    let workloads = Workloads::read_drafts(&layout.workloads())?;
    let sample = workloads.functions.iter().filter(|workload| workload.is_sample());
    let scope = match full {
        true => Scope::everything(false),
        false => Scope::tests(sample.map(|workload| workload.function.clone())),
    };
    lumos_build::build(layout, &BuildRequest::host(scope)?)?;
    let crates = runtimes::read(layout, &Toolchain::default())?;
    let wait_for_containers: BTreeSet<&str> = crates
        .iter()
        .filter(|found| found.runtimes.iter().all(|run| run.serves == ArtifactKind::Image))
        .map(|found| found.package.as_str())
        .collect();
    let mut programs = Vec::new();
    for mut command in suites(layout)? {
        command.args(["--no-run", "--message-format", "json-render-diagnostics"]);
        let messages = process::output(&mut command)?;
        for message in Message::parse_stream(messages.as_bytes()) {
            let Message::CompilerArtifact(built) = message? else { continue };
            let Some(file) = built.executable.filter(|_| built.profile.test) else { continue };
            let folder = built.manifest_path.parent().context("a package without a folder")?;
            let place = folder.strip_prefix(&layout.root).unwrap_or(folder);
            programs.push(Program {
                name: format!("{place} {}", built.target.name),
                file: file.into(),
                folder: folder.into(),
                target: layout.target.clone(),
                variables: if full { vec![(variable::TEST_FULL, "1")] } else { Vec::new() },
                // By the rules that `tidy` keeps.
                waits: folder.file_name().is_some_and(|folder| {
                    wait_for_containers.contains(format!("lumos-{folder}").as_str())
                }),
            });
        }
    }
    Ok(programs)
}

/// What the command line is made of. It asks its dependencies for other features than engines do:
/// compiled together, each would be compiled for itself.
const COMMAND_LINE: [&str; 3] = ["xtask", "lumos-build", "lumos-report"];

/// The commands that compile all tests, from the quickest to the slowest. Engines are tested
/// optimised: that is how they are measured, and the interpreters need it.
fn suites(layout: &Layout) -> Result<[Command; 3]> {
    let suite = |folder: &str, selection: &[&str]| {
        let mut command = cargo(layout, folder);
        command.args(["test", "--locked"]).args(selection);
        command
    };
    let without_engines = [&COMMAND_LINE[..], &["lumos-model", "lumos-record", "lumos-workloads"]];
    let each = |option, packages: &[&'static str]| -> Vec<&str> {
        packages.iter().flat_map(|&package| [option, package]).collect()
    };
    let mut engines = suite(".", &["--release", "--workspace"]);
    engines.args(each("--exclude", &COMMAND_LINE));
    engines.args(runtimes::feature_arguments(layout, |_| true)?);
    Ok([
        suite(FUNCTIONS, &["--workspace"]),
        suite(".", &each("--package", &without_engines.concat())),
        engines,
    ])
}

/// Runs test programs beside each other, and prints what each has said when it has ended: of one
/// that succeeded its last line, unless it was given arguments.
///
/// # Errors
/// When a test fails. All programs are run in any case.
pub fn run_all(programs: Vec<Program>, tests: &[String]) -> Result<()> {
    ensure!(!programs.is_empty(), "there are no tests");
    let progress = Progress::begin("testing", programs.len());
    let under_way = Mutex::new(BTreeSet::new());
    let note = |change: &dyn Fn(&mut BTreeSet<String>)| {
        let mut names = under_way.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut names);
        progress.now(&names.iter().map(String::as_str).collect::<Vec<_>>().join(" and "));
    };
    let run = |program: Program| {
        let name = program.name.clone();
        note(&|names| _ = names.insert(name.clone()));
        // One that cannot be started has failed, and the others run all the same.
        let (succeeded, text) = process::both_outputs(&mut program.command(tests))
            .unwrap_or_else(|error| (false, format!("{error:#}")));
        let said = match succeeded && tests.is_empty() {
            true => summary(&text),
            false => text.trim_end().to_owned(),
        };
        progress.say(&format!("{name}: {said}"));
        progress.advance(1);
        note(&|names| _ = names.remove(&name));
        Ok((!succeeded).then_some(name))
    };
    let run = &run;
    // What waits for containers most of its time does so beside what takes the processors.
    let (waiting, busy): (Vec<_>, Vec<_>) = programs.into_iter().partition(|one| one.waits);
    let failed = thread::scope(|scope| {
        let waiting = scope.spawn(|| process::in_parallel(waiting.len(), waiting, run));
        let busy = process::in_parallel(process::processors(), busy, run);
        let waiting = waiting.join().unwrap_or_else(|panic| resume_unwind(panic));
        anyhow::Ok(waiting?.into_iter().chain(busy?))
    })?;
    let failed: Vec<String> = failed.flatten().collect();
    if !failed.is_empty() {
        bail!("tests failed, and their messages are above: {}", failed.join(", "));
    }
    Ok(())
}

/// The last line of what a program has said, behind those of tests that showed skips: that a node
/// lacks what a test takes is no failure, and not to be overlooked.
fn summary(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.is_empty());
    let last = lines.clone().next_back().unwrap_or("nothing");
    let skips = lines.filter(|line| line.starts_with(SKIPS));
    skips.chain([last]).collect::<Vec<_>>().join("\n")
}

/// cargo in a folder of the checkout; functions have a target directory of their own for what is
/// tested on the host.
pub fn cargo(layout: &Layout, folder: &str) -> Command {
    let mut command = process::cargo();
    command.current_dir(layout.root.join(folder));
    if folder == FUNCTIONS {
        command.env("CARGO_TARGET_DIR", layout.lumos().join("build/tests"));
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_lacks_is_in_the_summary_of_tests() {
        let text = "\nrunning 2 tests\ntest skips::a ... ok\ntest b ... ok\n\ntest result: ok.\n\n";
        assert_eq!(summary(text), "test skips::a ... ok\ntest result: ok.");
        assert_eq!(summary(""), "nothing");
    }
}
