//! The supervisor: runs the measuring process, ends it when a guest hangs inside it, and starts
//! another for the cases that are left.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use lumos_record::{Failure, Layout, Record};

use super::session::Session;
use super::watch::Watch;
use crate::sandbox::SocketDirectory;
use crate::sandbox::process::describe_end;

/// The environment variable that names the folder for sockets to the measuring process.
pub const SOCKETS: &str = "LUMOS_SOCKETS";

/// How often the supervisor looks: rarely enough not to disturb what is measured.
const GLANCE: Duration = Duration::from_millis(50);

/// The exit code of a Rust program whose main thread panicked.
const PANICKED: u8 = 101;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note_interrupt(_signal: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// How a measuring process ended.
enum End {
    /// By itself.
    Exit(u8),
    /// Because the user asked for it.
    Interrupted,
    /// In the middle of a case, for this reason.
    Died(String),
}

/// Runs this program again as the measuring process, until all cases have an outcome. Before and
/// after, `remove_leftovers` removes what processes that are no more have left behind.
///
/// # Errors
/// When a process cannot be started, or a run not be recorded.
pub fn run(
    layout: &Layout,
    session: &mut Session,
    limit: Duration,
    remove_leftovers: impl Fn() -> Vec<String>,
) -> Result<ExitCode> {
    for leftover in remove_leftovers() {
        eprintln!("removed what an earlier run left behind: {leftover}");
    }
    let code = measure(layout, session, limit);
    // A measuring process that was ended had no time to tidy up.
    remove_leftovers();
    code
}

fn measure(layout: &Layout, session: &mut Session, limit: Duration) -> Result<ExitCode> {
    let sockets = SocketDirectory::create().context("cannot make a folder for sockets")?;
    let handler: extern "C" fn(libc::c_int) = note_interrupt;
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the handler only stores to an atomic.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
    loop {
        let watch_file = sockets.path().join("watch");
        let watch = Watch::shared(&watch_file, limit)?;
        watch.disarm();
        let mut child = start(layout, session.directory(), sockets.path(), &watch_file)?;
        let end = wait(&mut child, watch, limit)?;
        let case = session.in_progress(child.id())?;
        let (case, cause) = match (end, case) {
            (End::Interrupted, _) => return Ok(ExitCode::from(130)),
            // Criterion panics when its arguments ask for what it does not have.
            (End::Exit(code), None) | (End::Exit(code @ PANICKED), _) => {
                return Ok(ExitCode::from(code));
            }
            (End::Exit(code), Some(case)) => {
                (case, format!("the function ended the measuring process with exit code {code}"))
            }
            (End::Died(cause), Some(case)) => (case, cause),
            (End::Died(cause), None) => {
                anyhow::bail!("the measuring process ended between two cases: {cause}");
            }
        };
        eprintln!("FAILED {case}: {cause}; going on with the other cases");
        session.write(&Record::Failure(Failure { case, cause }))?;
    }
}

fn start(layout: &Layout, run: &Path, sockets: &Path, watch: &Path) -> Result<Child> {
    let program = std::env::current_exe()?;
    Command::new(&program)
        .args(std::env::args_os().skip(1))
        .env(Session::RUN, run)
        .env(SOCKETS, sockets)
        .env(Watch::VARIABLE, watch)
        // Neither the process nor its Criterion has to ask cargo, which takes half a second.
        .env("CARGO_TARGET_DIR", &layout.target)
        .env("CRITERION_HOME", layout.criterion())
        .spawn()
        .with_context(|| program.display().to_string())
}

fn wait(child: &mut Child, watch: Watch, limit: Duration) -> Result<End> {
    loop {
        let ended = child.try_wait()?;
        if INTERRUPTED.load(Ordering::Relaxed) {
            // From a terminal the signal reaches both processes: no function is to blame then.
            if ended.is_none() {
                end(child)?;
            }
            return Ok(End::Interrupted);
        }
        if let Some(status) = ended {
            return Ok(end_of(&status));
        }
        if watch.has_expired() {
            end(child)?;
            return Ok(End::Died(format!(
                "no answer within {} s: the measuring process was ended",
                limit.as_secs_f64()
            )));
        }
        std::thread::sleep(GLANCE);
    }
}

fn end(child: &mut Child) -> Result<()> {
    child.kill()?;
    child.wait()?;
    Ok(())
}

fn end_of(status: &ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Exit(u8::try_from(code).unwrap_or(1)),
        (None, Some(libc::SIGINT | libc::SIGTERM | libc::SIGHUP)) => End::Interrupted,
        _ => End::Died(format!(
            "the measuring process broke while the function ran in it ({})",
            describe_end(status)
        )),
    }
}
