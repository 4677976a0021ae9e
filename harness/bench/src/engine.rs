//! What an engine is to the harness: a typestate from artifact to response.

use std::path::{Path, PathBuf};

use anyhow::Result;
use lumos_abi::worker::InvokeError;

/// An artifact whose hash, engine version and target have been compared with the manifest.
///
/// Loading precompiled code is unsafe unless it is what its engine wrote, so an engine takes
/// no bare path.
#[derive(Debug, Clone)]
pub struct Checked {
    path: PathBuf,
}

impl Checked {
    /// Declares the file at `path` checked.
    ///
    /// # Safety
    /// The caller has compared the file with the manifest, and nothing writes to it while it
    /// is loaded. In a worker the harness has done so before it launched the worker: hashing
    /// there would be timed as a part of the cold start.
    pub unsafe fn assume(path: PathBuf) -> Self {
        Self { path }
    }

    /// Where the artifact is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// What a function may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most memory in bytes: of the Wasm instance, of the worker's private memory, and of a
    /// cgroup where there is one.
    pub memory_bytes: u64,
    /// Thousandths of a processor, which a cgroup holds the worker to; none means all.
    pub cpus_milli: Option<u32>,
    /// Whether a worker that is a plain process has a cgroup too; a container always has one.
    pub cgroup: bool,
}

impl Default for Limits {
    /// 1 GiB, more than any function here needs.
    fn default() -> Self {
        Self { memory_bytes: 1 << 30, cpus_milli: None, cgroup: false }
    }
}

impl Limits {
    /// The default, with another limit of memory unless that is 0.
    pub fn of_memory(memory_bytes: u64) -> Self {
        match memory_bytes {
            0 => Self::default(),
            memory_bytes => Self { memory_bytes, ..Self::default() },
        }
    }
}

/// Executes a function inside this process.
///
/// No implementation reads a clock. What a step makes is dropped after the clock has stopped.
pub trait Engine {
    /// Code in memory, ready to be linked.
    type Module;
    /// A module whose imports are resolved.
    type Linked;
    /// A function that can be called, with its state.
    type Instance;

    /// Reads an artifact, and parses, compiles or maps it.
    ///
    /// # Errors
    /// When the file is not what the engine loads; the message says what it is instead.
    fn load(&self, artifact: &Checked) -> Result<Self::Module>;

    /// Resolves the module's imports, once for all of its instances.
    ///
    /// # Errors
    /// When an import is unknown; the message names it.
    fn link(&self, module: &Self::Module) -> Result<Self::Linked>;

    /// Makes an instance and resolves its exports, so that `invoke` looks nothing up.
    ///
    /// # Errors
    /// When an export is missing, or the initialiser traps.
    fn instantiate(&self, linked: &Self::Linked) -> Result<Self::Instance>;

    /// Serves one request; the response is appended to `response`.
    ///
    /// # Errors
    /// See [`InvokeError`]; after a fault the instance is lost.
    fn invoke(
        &self,
        instance: &mut Self::Instance,
        request: &[u8],
        response: &mut Vec<u8>,
    ) -> Result<(), InvokeError>;
}

/// The engine of a crate that has none, since its runtimes are measured in the served lane alone.
#[derive(Debug)]
pub enum NoEngine {}

impl Engine for NoEngine {
    type Module = ();
    type Linked = ();
    type Instance = ();

    fn load(&self, _artifact: &Checked) -> Result<()> {
        match *self {}
    }

    fn link(&self, _module: &()) -> Result<()> {
        match *self {}
    }

    fn instantiate(&self, _linked: &()) -> Result<()> {
        match *self {}
    }

    fn invoke(&self, _: &mut (), _: &[u8], _: &mut Vec<u8>) -> Result<(), InvokeError> {
        match *self {}
    }
}
