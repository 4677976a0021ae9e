//! Precompiled code is refused, by name of the difference, unless it is what this build made for
//! this engine and this processor.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use lumos_record::{Artifact, ArtifactKind, Profile, Runtime};

use super::Built;
use super::checkout::{Outcome, outcomes};
use crate::suites::select::Selection;
use crate::{Checked, Engine, Limits, Target};

/// The function that is compiled.
const FUNCTION: &str = "noop";

/// What is made to differ, and a part of the message that tells of it.
type Difference = (fn(&mut Artifact, &Path) -> Result<()>, &'static str);

const DIFFERENCES: [Difference; 7] = [
    (
        |artifact, folder| {
            let mut bytes = fs::read(&artifact.path)?;
            let last = bytes.last_mut().context("an empty artifact")?;
            *last ^= 1;
            artifact.path = folder.join("altered");
            Ok(fs::write(&artifact.path, bytes)?)
        },
        "SHA-256",
    ),
    (
        |artifact, folder| {
            let bytes = fs::read(&artifact.path)?;
            artifact.path = folder.join("truncated");
            Ok(fs::write(&artifact.path, &bytes[..bytes.len() / 2])?)
        },
        "bytes instead of",
    ),
    (
        |artifact, _| {
            artifact.engine_version = Some("0.0.1".to_owned());
            Ok(())
        },
        "compiled by engine version 0.0.1",
    ),
    (
        |artifact, _| {
            let compilation = artifact.compilation.as_mut().context("no compilation")?;
            compilation.settings.push("metering=fuel".to_owned());
            Ok(())
        },
        "compiled with metering=fuel",
    ),
    (
        |artifact, _| {
            artifact.compilation = None;
            Ok(())
        },
        "does not say how it was compiled",
    ),
    (
        |artifact, _| {
            let compilation = artifact.compilation.as_mut().context("no compilation")?;
            compilation.cpu_features.push("warp-drive".to_owned());
            Ok(())
        },
        "warp-drive, which this processor lacks",
    ),
    (
        |artifact, _| {
            artifact.target = foreign().to_owned();
            Ok(())
        },
        "built for",
    ),
];

/// A target whose code this processor cannot run.
fn foreign() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "x86_64-unknown-linux-gnu",
        _ => "aarch64-unknown-linux-gnu",
    }
}

/// Runs every case with an artifact that differs in one thing.
pub(super) fn check(built: &Built, runtime: &Runtime) -> Result<()> {
    for (alter, message) in DIFFERENCES {
        let mut checkout = built.checkout(runtime, FUNCTION)?;
        let folder = checkout.layout().artifacts();
        for artifact in &mut checkout.manifest.artifacts {
            let is_own = artifact.engine.as_deref() == Some(&runtime.name);
            if artifact.kind == ArtifactKind::Precompiled
                && is_own
                && artifact.runs_on(std::env::consts::ARCH)
            {
                alter(artifact, &folder)?;
            }
        }
        let ended = checkout.run(
            &Selection { profile: Profile::Standard, verify: true, ..Selection::default() },
            &[],
        )?;
        let outcomes = outcomes(&ended.run()?)?;
        ensure!(!outcomes.is_empty(), "no case has an outcome: {ended}");
        for (case, outcome) in outcomes {
            let Outcome::Skipped(reason) = &outcome else {
                anyhow::bail!("{case}, where `{message}` was due: {outcome:?}");
            };
            ensure!(reason.contains(message), "{case}: no `{message}` in: {reason}");
            ensure!(reason.contains("cargo xtask build"), "{case}: no remedy in: {reason}");
        }
    }
    Ok(())
}

/// Machine code of another architecture is refused by the engine too, whatever a manifest says.
pub(super) fn check_foreign<E: Engine>(
    built: &Built,
    runtime: &Runtime,
    new_engine: fn(&str, &Limits) -> Result<E>,
) -> Result<()> {
    let engine = new_engine(&runtime.name, &Limits::default())?;
    let plain = Runtime { loads: Some(ArtifactKind::Wasm), ..runtime.clone() };
    let module = built.artifacts.function(&plain, ArtifactKind::Wasm, FUNCTION, &[])?;
    let module = fs::read(module.path())?;
    let target = Target::Named { triple: foreign().to_owned(), features: Vec::new() };
    let code = match built_elsewhere(built, runtime) {
        Some(path) => fs::read(path)?,
        None => match engine.compile(&module, &target) {
            Ok(compiled) => compiled.bytes,
            // Its compiler for other architectures is another program.
            Err(error) => relabelled(engine.compile(&module, &Target::Host)?.bytes, &error)?,
        },
    };
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("foreign.bin");
    fs::write(&path, code)?;
    // SAFETY: it is what the engine wrote, and has to be refused before any of it runs.
    let artifact = unsafe { Checked::assume(path) };
    ensure!(engine.load(&artifact).is_err(), "code for {} was loaded", foreign());
    Ok(())
}

/// What was built for the other architecture, if anything was.
fn built_elsewhere(built: &Built, runtime: &Runtime) -> Option<PathBuf> {
    let artifacts = &built.artifacts;
    let found = artifacts.manifest.artifacts.iter().find(|artifact| {
        artifact.kind == ArtifactKind::Precompiled
            && artifact.engine.as_deref() == Some(&runtime.name)
            && artifact.target == foreign()
    });
    found.map(|artifact| artifacts.directory.join(&artifact.path))
}

/// Machine code of this architecture that says of itself that it is for another, by a name that is
/// as long; `error` is why there is no other.
fn relabelled(mut code: Vec<u8>, error: &anyhow::Error) -> Result<Vec<u8>> {
    let (own, other) = match std::env::consts::ARCH {
        "aarch64" => (&b"aarch64"[..], &b"riscv64"[..]),
        _ => (&b"x86_64"[..], &b"mips64"[..]),
    };
    let starts: Vec<usize> = code
        .windows(own.len())
        .enumerate()
        .filter_map(|(start, bytes)| (bytes == own).then_some(start))
        .collect();
    ensure!(!starts.is_empty(), "its code does not say what it is for, and {error:#}");
    for start in starts {
        code[start..start + own.len()].copy_from_slice(other);
    }
    Ok(code)
}
