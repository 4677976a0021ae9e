//! Other programs: what they are called with, and what to say when they fail.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

/// Where cargo builds, once that is known.
static TARGET: OnceLock<PathBuf> = OnceLock::new();

/// Has every [`cargo`] build in a folder, wherever it is started.
pub fn build_in(target: &Path) {
    // What was set first stays: there is one checkout.
    let _ = TARGET.set(target.to_owned());
}

/// The cargo that runs this program.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    if let Some(target) = TARGET.get() {
        command.env("CARGO_TARGET_DIR", target);
    }
    command
}

/// How many processors there are to work with.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The rustc that belongs to [`cargo`].
pub fn rustc() -> Command {
    Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

/// The same command for when nothing else wants the processor.
pub fn at_lowest_priority(command: &Command) -> Command {
    let mut nice = Command::new("nice");
    nice.args(["-n", "19"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => nice.env(name, value),
            None => nice.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        nice.current_dir(folder);
    }
    nice
}

/// How a command would be typed.
pub fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Runs a command whose output goes to the terminal.
///
/// # Errors
/// When it cannot be started or does not succeed; the message holds the command.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run `{}`", show(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", show(command));
    }
    Ok(())
}

/// Runs a command whose output goes to the terminal, and calls `notice` once, at the first line of
/// its standard error that begins with a word.
///
/// # Errors
/// As [`run`].
pub fn run_and_notice(command: &mut Command, word: &str, notice: impl FnOnce()) -> Result<()> {
    let shown = show(command);
    let cannot = || format!("cannot run `{shown}`");
    let mut child = command.stderr(Stdio::piped()).spawn().with_context(cannot)?;
    let mut notice = Some(notice);
    let lines = child.stderr.take().into_iter().flat_map(|pipe| BufReader::new(pipe).split(b'\n'));
    for line in lines.map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        eprintln!("{line}");
        if line.trim_start().starts_with(word)
            && let Some(notice) = notice.take()
        {
            notice();
        }
    }
    let status = child.wait().with_context(cannot)?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// Runs a command and returns its standard output; its standard error goes to the terminal.
///
/// # Errors
/// As [`run`].
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run `{}`", show(command)))?;
    if !output.status.success() {
        bail!("`{}` failed ({})", show(command), output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}`", show(command)))
}

/// Runs a command and returns its standard output; its standard error is shown when it fails.
///
/// # Errors
/// As [`run`], with what the command wrote to standard error.
pub fn quiet_output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run `{}`", show(command)))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed ({})\n{}", show(command), output.status, complaint.trim_end());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}`", show(command)))
}

/// What a command prints, if it succeeds; both of its streams are kept from the terminal.
pub fn try_output(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

/// Whether Docker's engine, or one like it, answers.
pub fn container_engine_answers() -> bool {
    try_output(Command::new("docker").args(["info", "--format", "{{.ID}}"])).is_some()
}

/// Where a program is on the PATH.
pub fn find(program: impl AsRef<OsStr>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let program = Path::new(program.as_ref());
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Whether this process may install packages.
pub fn is_root() -> bool {
    // SAFETY: the call cannot fail.
    unsafe { libc::geteuid() == 0 }
}
