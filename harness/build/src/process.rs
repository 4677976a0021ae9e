//! Other programs: what they are called with, and what to say when they fail.

use std::ffi::OsStr;
use std::io::{Read, Seek};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

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

/// Does something with each of these, on so many threads; the results are in their order.
///
/// # Errors
/// The first of the work's errors.
pub fn in_parallel<T: Send, R: Send>(
    threads: usize,
    items: impl IntoIterator<Item = T, IntoIter: Send>,
    work: impl Fn(T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let left = Mutex::new(items.into_iter().enumerate());
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    let of_one = || {
        let work = &work;
        std::iter::from_fn(next).map(move |(index, item)| Ok((index, work(item)?))).collect()
    };
    let mut done: Vec<(usize, R)> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(of_one)).collect();
        let ended = threads.into_iter().map(|thread| -> Result<Vec<_>> {
            thread.join().unwrap_or_else(|panic| resume_unwind(panic))
        });
        ended.collect::<Result<Vec<_>>>()
    })?
    .into_iter()
    .flatten()
    .collect();
    done.sort_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, made)| made).collect())
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

/// Runs a command, and returns whether it succeeded with what it wrote to either stream.
///
/// # Errors
/// When it cannot be started.
pub fn both_outputs(command: &mut Command) -> Result<(bool, String)> {
    let shown = show(command);
    let cannot = || format!("cannot run `{shown}`");
    // A pipe would be open for as long as anything that the command started.
    let mut file = tempfile::tempfile().with_context(cannot)?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file.try_clone()?);
    let status = command.status().with_context(cannot)?;
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).with_context(cannot)?;
    Ok((status.success(), String::from_utf8_lossy(&bytes).into_owned()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_in_parallel_and_told_in_order() {
        let squares = in_parallel(3, 0..20_u32, |number| Ok(number * number)).unwrap();
        assert_eq!(squares, (0..20).map(|number| number * number).collect::<Vec<_>>());
        let failed = in_parallel(2, 0..9, |number| match number {
            5 => bail!("not five"),
            number => Ok(number),
        });
        assert_eq!(failed.unwrap_err().to_string(), "not five");
        assert!(in_parallel(0, Vec::<u8>::new(), Ok).unwrap().is_empty());
    }

    #[test]
    fn both_streams_are_read_in_their_order() {
        let script = "echo one; echo two >&2; echo three; exit 3";
        let ran = both_outputs(Command::new("sh").args(["-c", script])).unwrap();
        assert_eq!(ran, (false, "one\ntwo\nthree\n".to_owned()));
        let error = both_outputs(&mut Command::new("no-such-program")).unwrap_err();
        assert!(error.to_string().contains("no-such-program"));
    }
}
