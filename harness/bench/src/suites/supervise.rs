//! The supervisor: runs the measuring process of a runtime, ends it when a guest hangs inside it,
//! and starts another for the cases that are left.

use std::collections::HashSet;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use lumos_record::protocol::{read_variable, variable};
use lumos_record::{Case, Event, Failure, Layout, Record, Runtime};
use serde::{Deserialize, Serialize};

use super::select::Selection;
use super::session::Session;
use super::watch::Watch;
use crate::sandbox::SocketDirectory;
use crate::sandbox::process::describe_end;

/// How often the supervisor looks: rarely enough not to disturb what is measured.
const GLANCE: Duration = Duration::from_millis(50);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note_interrupt(_signal: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Has signals that ask for an end be noted from now on, but for those that this process was started
/// to ignore, as by `nohup`.
pub fn note_interrupts() {
    let handler: extern "C" fn(libc::c_int) = note_interrupt;
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the handler only stores to an atomic, and what was set may be set again.
        unsafe {
            if libc::signal(signal, handler as libc::sighandler_t) == libc::SIG_IGN {
                libc::signal(signal, libc::SIG_IGN);
            }
        }
    }
}

/// Which of the runtimes a measuring process measures.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Part {
    /// The crate.
    pub package: String,
    /// The engine's name.
    pub runtime: String,
    /// The sandbox.
    pub sandbox: String,
}

impl Part {
    /// The part of a runtime.
    pub fn of(runtime: &Runtime) -> Self {
        Self {
            package: runtime.package.clone(),
            runtime: runtime.name.clone(),
            sandbox: runtime.sandbox.clone(),
        }
    }

    /// The part of this process; none where it measures all runtimes of its crate.
    ///
    /// # Errors
    /// When the variable is set to something else.
    pub fn from_environment() -> Result<Option<Self>> {
        Ok(read_variable(variable::PART)?)
    }
}

/// A runtime in a round.
pub struct Side<'s> {
    /// The checkout.
    pub layout: &'s Layout,
    /// The bench target of the runtime's crate.
    pub program: &'s Path,
    /// The runtime.
    pub part: &'s Part,
    /// The cases.
    pub cases: &'s HashSet<Case>,
    /// What was asked for.
    pub selection: &'s Selection,
    /// The folder of the run.
    pub run: &'s Path,
}

/// How a side ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With that exit code.
    Exit(u8),
    /// Because the user asked for it.
    Interrupted,
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

impl Side<'_> {
    /// Runs measuring processes until all cases have an outcome, with that value of
    /// [`lumos_turns::Turns::VARIABLE`].
    ///
    /// # Errors
    /// When a process cannot be started, or a run not be recorded.
    pub fn measure(&self, turn: &str) -> Result<Ended> {
        let sockets = SocketDirectory::create().context("cannot make a folder for sockets")?;
        let limit = self.selection.invocation_timeout();
        let mut session = Session::join(self.run)?;
        loop {
            let watch_file = sockets.path().join("watch");
            let watch = Watch::shared(&watch_file, limit)
                .with_context(|| watch_file.display().to_string())?;
            watch.disarm();
            let mut child = self.start(turn, sockets.path(), &watch_file)?;
            let end = wait(&mut child, watch, limit)?;
            let case = session.in_progress(self.cases)?;
            let (case, cause) = match (end, case) {
                (End::Interrupted, _) => return Ok(Ended::Interrupted),
                (End::Exit(code), None) => return Ok(Ended::Exit(code)),
                (End::Exit(code), Some(case)) => {
                    let code = format!("exit code {code}");
                    (case, format!("the function ended the measuring process with {code}"))
                }
                (End::Died(cause), Some(case)) => (case, cause),
                (End::Died(cause), None) => {
                    anyhow::bail!("the measuring process ended between two cases: {cause}");
                }
            };
            Event::Failed { case: case.clone(), cause: cause.clone() }.tell();
            session.write(&Record::Failure(Failure { case, cause }))?;
        }
    }

    fn start(&self, turn: &str, sockets: &Path, watch: &Path) -> Result<Child> {
        Command::new(self.program)
            .args(std::env::args_os().skip(1))
            .env(variable::SELECTION, serde_json::to_string(self.selection)?)
            .env(variable::PART, serde_json::to_string(self.part)?)
            .env(variable::RUN, self.run)
            .env(variable::SOCKETS, sockets)
            .env(variable::WATCH, watch)
            .env(lumos_turns::Turns::VARIABLE, turn)
            // The process does not have to ask cargo, which takes half a second.
            .env("CARGO_TARGET_DIR", &self.layout.target)
            .spawn()
            .with_context(|| self.program.display().to_string())
    }
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
