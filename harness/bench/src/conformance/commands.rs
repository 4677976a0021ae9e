//! WASI commands that somebody else may have built: what they read and write, and how they end.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use lumos_record::{ArtifactKind, Runtime};

use super::Built;
use crate::{Checked, Engine, InvokeError, Limits, Target};

/// `(func (export "_start") unreachable)`
const TRAPS: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x0a\x01\x06_start\0\0\
    \x0a\x05\x01\x03\0\0\x0b";

/// `(import "env" "gone" (func))`, which `_start` calls.
const LACKS: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x0c\x01\x03env\x04gone\0\0\
    \x03\x02\x01\0\x07\x0a\x01\x06_start\0\x01\x0a\x06\x01\x04\0\x10\0\x0b";

/// Calls WASI's `proc_exit` with 7.
const EXITS: &[u8] = b"\0asm\x01\0\0\0\x01\x08\x02\x60\0\0\x60\x01\x7f\0\
    \x02\x24\x01\x16wasi_snapshot_preview1\x09proc_exit\0\x01\x03\x02\x01\0\x05\x03\x01\0\x01\
    \x07\x13\x02\x06memory\x02\0\x06_start\0\x01\x0a\x08\x01\x06\0\x41\x07\x10\0\x0b";

/// Runs commands on an engine.
pub(super) fn check<E: Engine>(
    built: &Built,
    runtime: &Runtime,
    new_engine: fn(&str, &Limits) -> Result<E>,
) -> Result<()> {
    let engine = new_engine(&runtime.name, &Limits::default())?;
    let load = |module: &[u8]| -> Result<E::Module> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("command");
        let bytes = match runtime.loads {
            Some(ArtifactKind::Precompiled) => engine.compile(module, &Target::Host)?.bytes,
            _ => module.to_owned(),
        };
        fs::write(&path, bytes)?;
        // SAFETY: it is what this very engine has compiled, or a module.
        engine.load(&unsafe { Checked::assume(path) })
    };
    let module = load(&echo(built)?)?;
    // It is a function as well, which the engine would rather call.
    ensure!(!engine.is_command(&module), "`echo` is taken for somebody else's command");
    ensure!(engine.lacking_imports(&module).is_empty(), "{:?}", engine.lacking_imports(&module));
    let linked = engine.link(&module)?;
    // Each run is one of its own: what one has read is not there for the next.
    for stdin in [&b"some words"[..], b"", &[7; 100_000]] {
        let mut response = Vec::new();
        run(&engine, &linked, 0, stdin, &mut response)?;
        ensure!(response == stdin, "{} bytes came back of {}", response.len(), stdin.len());
    }

    let exits = load(EXITS)?;
    ensure!(engine.is_command(&exits), "a module with `_start` is no command");
    let linked = engine.link(&exits)?;
    run(&engine, &linked, 7, b"", &mut Vec::new())?;
    complains(&engine, &linked, "exited with 7 instead of 0")?;

    let traps = load(TRAPS)?;
    complains(&engine, &engine.link(&traps)?, "trapped")?;

    let lacking = engine.lacking_imports(&load(LACKS)?);
    ensure!(lacking.len() == 1 && lacking[0].contains("gone"), "{lacking:?}");
    Ok(())
}

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
    response: &mut Vec<u8>,
) -> Result<(), InvokeError> {
    let request = [&exit.to_le_bytes(), stdin].concat();
    engine.run(linked, &request, response)
}

/// Makes sure that a run ends in a failure with those words.
fn complains<E: Engine>(engine: &E, linked: &E::Linked, words: &str) -> Result<()> {
    match run(engine, linked, 0, b"", &mut Vec::new()) {
        Ok(()) => bail!("a run succeeded that should have {words}"),
        Err(error) => {
            let message = error.to_string();
            ensure!(message.contains(words), "no `{words}` in: {message}");
            Ok(())
        }
    }
}
