//! Where a worker lives, as seen by the harness.

pub mod connection;
pub mod process;

use std::path::PathBuf;

use lumos_record::{CpuTime, Phase};

use crate::{Checked, InvokeError, Limits};

/// What a sandbox is to run: a program, and the arguments that tell it what to load.
#[derive(Debug, Clone)]
pub struct Servant {
    /// The worker's program: an engine's worker, or the function itself.
    pub program: Checked,
    /// The engine that the worker is to use, if it is an engine's.
    pub engine: Option<String>,
    /// The artifact that the engine is to load.
    pub artifact: Option<Checked>,
}

/// The end of a phase, by the monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The phase that ended.
    pub phase: Phase,
    /// When, in nanoseconds of the monotonic clock.
    pub end_ns: u64,
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

    /// The sandbox's part of a runtime's name, such as `process`.
    fn name(&self) -> &str;

    /// Starts a worker, until it can accept a request.
    ///
    /// # Errors
    /// When it does not announce itself in time; nothing of it is left then.
    fn launch(&self, servant: &Servant, limits: &Limits) -> Result<Self::Worker, LaunchError>;

    /// The phases that the launch went through, in order.
    fn marks<'w>(&self, worker: &'w Self::Worker) -> &'w [Mark];

    /// Sends one request, and replaces the contents of `response` with its answer.
    ///
    /// # Errors
    /// See [`InvokeError`]; a worker that broke the protocol, or took too long, has a fault.
    fn invoke(
        &self,
        worker: &mut Self::Worker,
        request: &[u8],
        response: &mut Vec<u8>,
    ) -> Result<(), InvokeError>;

    /// The most memory that was resident so far, in bytes; none if it cannot be told.
    fn peak_rss_bytes(&self, worker: &Self::Worker) -> Option<u64>;

    /// Ends a worker, by asking first, and releases what it held.
    fn teardown(&self, worker: Self::Worker) -> Teardown;

    /// Ends a worker that has a fault, and says what became of it.
    fn autopsy(&self, worker: Self::Worker) -> String;
}

/// The folder of this process's sockets, removed with it.
///
/// Its name holds the process id, so that a later process can tell whose leftovers it finds.
#[derive(Debug)]
pub struct SocketDirectory(tempfile::TempDir);

impl SocketDirectory {
    const PREFIX: &str = "lumos-";

    /// Makes the folder, in the system's directory for temporary files.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn create() -> std::io::Result<Self> {
        let prefix = format!("{}{}-", Self::PREFIX, std::process::id());
        tempfile::Builder::new().prefix(&prefix).tempdir().map(Self)
    }

    /// Where it is.
    pub fn path(&self) -> &std::path::Path {
        self.0.path()
    }

    /// Removes the folders of processes that are no more, and returns their paths.
    pub fn remove_leftovers() -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(std::env::temp_dir()) else { return Vec::new() };
        let mut removed = Vec::new();
        for path in entries.flatten().map(|entry| entry.path()) {
            if Self::owner(&path).is_some_and(|pid| !is_alive(pid))
                && std::fs::remove_dir_all(&path).is_ok()
            {
                removed.push(path);
            }
        }
        removed
    }

    fn owner(path: &std::path::Path) -> Option<u32> {
        let name = path.file_name()?.to_str()?.strip_prefix(Self::PREFIX)?;
        name.split('-').next()?.parse().ok()
    }
}

fn is_alive(pid: u32) -> bool {
    std::path::Path::new("/proc").join(pid.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

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
