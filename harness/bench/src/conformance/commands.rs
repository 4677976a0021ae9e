//! WASI commands that somebody else may have built: what they read and write, what they may use,
//! and how they end.
//!
//! The modules are in the folder `modules`, as text and as the bytes that it stands for.

use std::fs;
use std::thread;

use anyhow::{Context, Result, anyhow, bail, ensure};
use lumos_abi::worker::STACK_OF_HOST_BYTES;
use lumos_record::{ArtifactKind, Runtime};

use super::Built;
use crate::{Checked, Engine, InvokeError, Limits, Target};

macro_rules! module {
    ($name:literal) => {
        include_bytes!(concat!("modules/", $name, ".wasm"))
    };
}

/// `(func (export "_start") unreachable)`
const TRAPS: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0\
    \x0a\x05\x01\x03\0\0\x0b";

/// A command for each proposal for WebAssembly that it uses.
const PROPOSALS: &[(&str, &[u8])] = &[
    ("custom-page-sizes", module!("proposals/custom-page-sizes")),
    ("exceptions", module!("proposals/exceptions")),
    ("extended-const", module!("proposals/extended-const")),
    ("function-references", module!("proposals/function-references")),
    ("gc", module!("proposals/gc")),
    ("legacy-exceptions", module!("proposals/legacy-exceptions")),
    ("memory64", module!("proposals/memory64")),
    ("multi-memory", module!("proposals/multi-memory")),
    ("reference-types", module!("proposals/reference-types")),
    ("relaxed-simd", module!("proposals/relaxed-simd")),
    ("simd", module!("proposals/simd")),
    ("stack-switching", module!("proposals/stack-switching")),
    ("tail-call", module!("proposals/tail-call")),
    ("threads", module!("proposals/threads")),
    ("wide-arithmetic", module!("proposals/wide-arithmetic")),
];

/// Runs commands on an engine.
pub(super) fn check<E: Engine>(
    built: &Built,
    runtime: &Runtime,
    new_engine: fn(&str, &Limits) -> Result<E>,
) -> Result<()> {
    let limits = Limits::default();
    // As the first thread of a measuring process has it.
    let stack_bytes = usize::try_from(limits.stack_bytes + STACK_OF_HOST_BYTES)?;
    thread::scope(|scope| {
        let check = || {
            let commands = Commands { engine: new_engine(&runtime.name, &limits)?, runtime };
            commands.check_streams(&echo(built)?)?;
            commands.check_ends()?;
            commands.check_limits()?;
            commands.check_proposals()
        };
        let checking = thread::Builder::new().stack_size(stack_bytes).spawn_scoped(scope, check)?;
        checking.join().map_err(|_| anyhow!("the engine panicked"))?
    })
}

/// An engine that runs commands.
struct Commands<'r, E> {
    engine: E,
    runtime: &'r Runtime,
}

impl<E: Engine> Commands<'_, E> {
    fn load(&self, module: &[u8]) -> Result<E::Module> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("command");
        let bytes = match self.runtime.loads {
            Some(ArtifactKind::Precompiled) => self.engine.compile(module, &Target::Host)?.bytes,
            _ => module.to_owned(),
        };
        fs::write(&path, bytes)?;
        // SAFETY: it is what this very engine has compiled, or a module.
        self.engine.load(&unsafe { Checked::assume(path) })
    }

    /// Runs a command that is to exit with a code, and returns what it writes.
    fn run(&self, module: &[u8], exit: i32, stdin: &[u8]) -> Result<Vec<u8>> {
        let module = self.load(module)?;
        ensure!(self.engine.is_command(&module), "a module with `_start` is no command");
        Ok(run(&self.engine, &self.engine.link(&module)?, exit, stdin)?)
    }

    /// Makes sure that a run ends in a failure with those words, and few others.
    fn complains(&self, module: &[u8], stdin: &[u8], words: &str) -> Result<()> {
        match self.run(module, 0, stdin) {
            Ok(_) => bail!("a run succeeded that should have {words}"),
            Err(error) => {
                let message = format!("{error:#}");
                ensure!(message.contains(words), "no `{words}` in: {message}");
                ensure!(message.len() < 600, "much is told: {message}");
                Ok(())
            }
        }
    }

    fn check_streams(&self, echo: &[u8]) -> Result<()> {
        let module = self.load(echo)?;
        // It is a function as well, which the engine would rather call.
        ensure!(!self.engine.is_command(&module), "`echo` is taken for somebody else's command");
        let linked = self.engine.link(&module)?;
        // Each run is one of its own: what one has read is not there for the next.
        for stdin in [&b"some words"[..], b"", &[7; 100_000]] {
            let response = run(&self.engine, &linked, 0, stdin)?;
            ensure!(response == stdin, "{} bytes came back of {}", response.len(), stdin.len());
        }
        let written = self.run(module!("start-writes"), 0, b"")?;
        ensure!(written == b"hello\nhello\n", "{}", String::from_utf8_lossy(&written));
        // No stream is a terminal, no other descriptor is open, and none has a place to look at.
        self.run(module!("terminals"), 0, b"")?;
        self.run(module!("descriptors"), 0, b"")?;
        self.run(module!("seeks"), NOT_SEEKABLE, b"").map(drop)
    }

    fn check_ends(&self) -> Result<()> {
        for code in [0, 7, 126, 200, 256, -1, i32::MIN] {
            self.run(module!("exits"), code, &code.to_le_bytes())?;
        }
        self.complains(module!("exits"), &200_i32.to_le_bytes(), "exited with 200 instead of 0")?;
        self.run(module!("start-exits"), 7, b"")?;
        self.complains(module!("start-exits"), b"", "exited with 7 instead of 0")?;
        self.complains(TRAPS, b"", "trapped")?;
        self.complains(module!("words"), b"", "its last words: … AAAA")
    }

    fn check_limits(&self) -> Result<()> {
        for deep in [500, 10_000, 50_000_i32] {
            let run = self.run(module!("recurses"), 0, &deep.to_le_bytes());
            run.with_context(|| format!("{deep} calls deep"))?;
        }
        self.complains(module!("recurses"), &i32::MAX.to_le_bytes(), "call stack exhausted")?;
        for stream in [1, 2_i32] {
            let stream = stream.to_le_bytes();
            self.complains(module!("floods"), &stream, "writes more than 64 MiB")?;
        }
        Ok(())
    }

    /// Holds what the crate declares against what the engine runs.
    fn check_proposals(&self) -> Result<()> {
        let declared = |name: &str| self.runtime.lacks.iter().any(|lacking| lacking == name);
        let outcomes = PROPOSALS.iter().filter_map(|(name, module)| {
            match (declared(name), self.run(module, 0, b"")) {
                (false, Err(error)) => Some(format!("it does not declare {name}: {error:#}")),
                (true, Ok(_)) => Some(format!("it declares {name}, and runs it")),
                _ => None,
            }
        });
        let is_known = |lacking: &String| PROPOSALS.iter().any(|(name, _)| name == lacking);
        let unknown = self.runtime.lacks.iter().filter(|lacking| !is_known(lacking));
        let unknown = unknown.map(|lacking| format!("of {lacking} nothing is known"));
        let wrong: Vec<String> = outcomes.chain(unknown).collect();
        ensure!(wrong.is_empty(), "`lacks` is wrong: {}", wrong.join("; "));
        Ok(())
    }
}

/// What all engines' WASI says to a look at where a stream is: that there is no such file.
const NOT_SEEKABLE: i32 = 8;

/// The bytes of a command that gives back what it reads.
fn echo(built: &Built) -> Result<Vec<u8>> {
    let artifacts = &built.artifacts;
    let command = artifacts.manifest.find(ArtifactKind::WasmCommand, Some("echo"), None);
    let command = command.context("`echo` was not built as a command")?;
    Ok(fs::read(artifacts.directory.join(&command.path))?)
}

fn run<E: Engine>(
    engine: &E,
    linked: &E::Linked,
    exit: i32,
    stdin: &[u8],
) -> Result<Vec<u8>, InvokeError> {
    let mut response = Vec::new();
    engine.run(linked, &[&exit.to_le_bytes(), stdin].concat(), &mut response)?;
    Ok(response)
}
