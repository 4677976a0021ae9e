//! Where a worker lives, as seen by the harness.

pub mod cgroup;
pub mod complaints;
pub mod connection;
pub mod process;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lumos_abi::Timings;
use lumos_record::StateBackend;
pub use lumos_record::{ArtifactManifest, CpuTime, Emulator, Layout, Phase};
use lumos_state::Backend;

pub use crate::trouble::Trouble;
use crate::{Checked, InvokeError, Limits};
use connection::Connection;

/// What a sandbox is made with.
#[derive(Debug, Clone, Copy)]
pub struct SandboxContext<'s> {
    /// A folder for the sandbox's sockets, removed after the run.
    pub sockets: &'s Path,
    /// How long a worker may be silent.
    pub timeout: Duration,
    /// Where things are in the checkout.
    pub layout: &'s Layout,
    /// What runs the workers' programs, where they are another architecture's.
    pub emulator: Option<&'s Emulator>,
}

impl SandboxContext<'_> {
    /// The architecture of the workers.
    pub fn arch(&self) -> &str {
        self.emulator.map_or(std::env::consts::ARCH, |emulator| &emulator.arch)
    }

    /// Why a sandbox whose programs are started by others cannot run the workers, if it cannot.
    pub fn lacks(&self) -> Option<String> {
        let emulator = self.emulator?;
        let reason = emulator.lacks.as_ref()?;
        Some(format!("the kernel runs no programs for {}: {reason}", emulator.arch))
    }
}

/// What a sandbox is to run: a program, and the arguments that tell it what to load.
#[derive(Debug, Clone)]
pub struct WorkerSpec {
    /// The worker's program: an engine's worker, the function itself, or the manifest of an
    /// image that holds it.
    pub program: Checked,
    /// The engine that the worker is to use, if it is an engine's.
    pub engine: Option<String>,
    /// The artifact that the engine is to load.
    pub artifact: Option<Checked>,
    /// Where the function's state is; none where it keeps none.
    pub state: Option<State>,
}

/// Where a function's state is on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// In what.
    pub backend: StateBackend,
    /// A folder that holds nothing else. A sandbox shows it to its workers, wherever it likes.
    pub folder: PathBuf,
}

impl State {
    /// The environment variable that tells a worker of it.
    pub const VARIABLE: &str = lumos_state::VARIABLE;
    /// The folder of values, in [`State::folder`].
    pub const VALUES: &str = "values";
    /// The socket of Redis, in [`State::folder`].
    pub const REDIS: &str = "redis.sock";

    /// What to tell a worker that finds the folder elsewhere.
    pub fn seen_at(&self, folder: &Path) -> Backend {
        match self.backend {
            StateBackend::Directory => Backend::Directory(folder.join(Self::VALUES)),
            StateBackend::Redis => Backend::Redis(folder.join(Self::REDIS)),
        }
    }

    /// What to tell a worker that sees the node's files.
    pub fn seen(&self) -> Backend {
        self.seen_at(&self.folder)
    }
}

/// The end of a phase, by the monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The phase that ended.
    pub phase: Phase,
    /// When, in nanoseconds of the monotonic clock.
    pub end_ns: u64,
}

/// The marks of a launch: those that the harness made, and then those that the worker announced.
///
/// The harness may be given the processor late, and learn that the program runs when that has
/// long begun its work. The program's first statement is then the better witness.
pub fn sequence(mut own: Vec<Mark>, announced: &[Mark]) -> Vec<Mark> {
    if let Some(first) = announced.first() {
        for mark in &mut own {
            mark.end_ns = mark.end_ns.min(first.end_ns);
        }
    }
    own.extend_from_slice(announced);
    own
}

/// How a worker ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Teardown {
    /// The processor time of its whole life.
    pub cpu: CpuTime,
    /// What the kernel says of its end, when that was not a plain success.
    pub trouble: Option<String>,
}

/// Why a worker could not be launched, or had to be given up: a sentence for a failure record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchError(pub String);

impl std::fmt::Display for LaunchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LaunchError {}

/// Keeps workers apart from the harness and from each other.
///
/// No implementation reads a clock around its work; it hands on the marks of the phases.
pub trait Sandbox {
    /// A running worker.
    type Worker;

    /// Gets ready to launch a worker spec, which is no part of any time that is measured.
    ///
    /// # Errors
    /// When the node lacks what it takes, or it does not work.
    fn prepare(&self, worker_spec: &WorkerSpec) -> Result<(), Trouble> {
        let _ = worker_spec;
        Ok(())
    }

    /// What the sandbox is made of on this node, by name: versions and drivers that a reader of
    /// its figures has to know. Empty where there is nothing to tell.
    fn facts(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// Makes sure that workers can be held to limits.
    ///
    /// # Errors
    /// When the node or this process's rights do not allow it.
    fn check_limits(&self, limits: &Limits) -> Result<(), Trouble> {
        let _ = limits;
        Ok(())
    }

    /// Starts a worker, until it can accept a request.
    ///
    /// # Errors
    /// When it does not announce itself in time; nothing of it is left then.
    fn launch(
        &self,
        worker_spec: &WorkerSpec,
        limits: &Limits,
    ) -> Result<Self::Worker, LaunchError>;

    /// The phases that the launch went through, in order.
    fn marks<'w>(&self, worker: &'w Self::Worker) -> &'w [Mark];

    /// The socket of a worker.
    fn connection<'w>(&self, worker: &'w mut Self::Worker) -> &'w mut Connection;

    /// Sends one request, and replaces the contents of `response` with its answer.
    ///
    /// # Errors
    /// See [`InvokeError`]; a worker that broke the protocol, or took too long, has a fault.
    #[inline]
    fn invoke(
        &self,
        worker: &mut Self::Worker,
        request: &[u8],
        response: &mut Vec<u8>,
    ) -> Result<(), InvokeError> {
        self.connection(worker).invoke(request, response)
    }

    /// Sends one request that asks for timings; otherwise as [`Sandbox::invoke`].
    ///
    /// # Errors
    /// Those of [`Sandbox::invoke`].
    fn invoke_timed(
        &self,
        worker: &mut Self::Worker,
        request: &[u8],
        response: &mut Vec<u8>,
    ) -> Result<Timings, InvokeError> {
        self.connection(worker).invoke_timed(request, response)
    }

    /// What one reading of the clock takes inside the worker's function, in picoseconds.
    ///
    /// # Errors
    /// Those of [`Sandbox::invoke`].
    fn clock_cost_ps(&self, worker: &mut Self::Worker) -> Result<u64, InvokeError> {
        self.connection(worker).clock_cost_ps()
    }

    /// The most memory that was resident so far, in bytes; none if it cannot be told.
    fn peak_rss_bytes(&self, worker: &Self::Worker) -> Option<u64>;

    /// Ends a worker, by asking first, and releases what it held.
    fn teardown(&self, worker: Self::Worker) -> Teardown;

    /// Ends a worker that has a fault, and says what became of it.
    fn autopsy(&self, worker: Self::Worker) -> String;

    /// Unpacks every layer of a worker spec's image into an empty folder, as after a pull.
    ///
    /// # Errors
    /// When the sandbox unpacks no images by itself, a layer is not what was built, or the disk
    /// is full.
    fn unpack(&self, worker_spec: &WorkerSpec, folder: &Path) -> Result<(), Trouble> {
        let _ = (worker_spec, folder);
        Err(Trouble::Skip("this sandbox unpacks no images by itself".to_owned()))
    }

    /// Removes what processes that are no more have left behind, and says what that was.
    fn remove_leftovers(layout: &Layout) -> Vec<String>
    where
        Self: Sized,
    {
        let sockets = SocketDirectory::remove_leftovers();
        let paths = sockets.into_iter().chain(cgroup::remove_leftovers());
        let paths = paths.chain(Name::remove_leftovers(&layout.unpacking()));
        paths.map(|path| path.display().to_string()).collect()
    }
}

/// The folder of this process's sockets, removed with it.
#[derive(Debug)]
pub struct SocketDirectory(tempfile::TempDir);

impl SocketDirectory {
    /// Makes the folder, in the system's directory for temporary files.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn create() -> std::io::Result<Self> {
        let prefix = format!("{}{}-", Name::PREFIX, std::process::id());
        tempfile::Builder::new().prefix(&prefix).tempdir().map(Self)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Removes the folders of processes that are no more, and returns their paths.
    pub fn remove_leftovers() -> Vec<PathBuf> {
        Name::remove_leftovers(&std::env::temp_dir())
    }
}

/// Names of what outlives a process that is killed: sockets, cgroups, containers.
///
/// Such a name begins with `lumos-` and the process's id, so that a later process can tell whose
/// leftovers it finds.
#[derive(Debug)]
pub struct Name;

impl Name {
    /// What every name begins with.
    pub const PREFIX: &str = "lumos-";

    /// A name that this process has not given before.
    pub fn next() -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        format!("{}{}-{count}", Self::PREFIX, std::process::id())
    }

    /// The id of the process that gave a name; none if it is no such name.
    pub fn owner(name: &str) -> Option<u32> {
        name.strip_prefix(Self::PREFIX)?.split('-').next()?.parse().ok()
    }

    /// Whether a name was given by a process that is no more.
    pub fn is_leftover(name: &str) -> bool {
        Self::owner(name).is_some_and(|pid| !is_alive(pid))
    }

    /// Removes the folders in another that processes which are no more have made, and returns
    /// their paths.
    pub fn remove_leftovers(folder: &Path) -> Vec<PathBuf> {
        let mut removed = Vec::new();
        for path in
            std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
        {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if Self::is_leftover(name) && std::fs::remove_dir_all(&path).is_ok() {
                removed.push(path);
            }
        }
        removed
    }
}

/// A process that has ended, and that nobody waits for, still has an id.
fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
    state.is_some_and(|state| !['Z', 'X'].contains(&state))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(phase: Phase, end_ns: u64) -> Mark {
        Mark { phase, end_ns }
    }

    #[test]
    fn a_late_harness_does_not_hide_the_workers_phases() {
        let own = vec![mark(Phase::Create, 120), mark(Phase::Start, 170)];
        let announced = [mark(Phase::Ready, 130), mark(Phase::Load, 190)];
        let ends: Vec<u64> = sequence(own, &announced).iter().map(|mark| mark.end_ns).collect();
        assert_eq!(ends, [120, 130, 130, 190]);
    }

    #[test]
    fn folders_of_dead_processes_are_removed_and_others_stay() {
        // The largest process id that Linux allows is far below this one.
        let dead = std::env::temp_dir().join("lumos-4294967295-test");
        std::fs::create_dir_all(&dead).unwrap();
        let alive = SocketDirectory::create().unwrap();
        let removed = SocketDirectory::remove_leftovers();
        assert!(removed.contains(&dead), "{removed:?}");
        assert!(alive.path().exists() && !dead.exists());
    }
}
