//! How cargo is called, and what it tells of what it has built.

use std::ffi::OsString;
use std::fs;
use std::io::{BufReader, Read};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};
use cargo_metadata::{Message, TargetKind};
use lumos_record::{ArtifactKind, Layout, Variant};

use super::wanted::Wanted;
use crate::process;
use crate::toolchain::WASM;

/// The folder that cargo builds a function's form in: one per set of flags that dependencies are
/// compiled with, or each would be compiled time and again.
pub fn folder(wanted: &Wanted) -> String {
    match wanted.platform {
        // The bench targets' own.
        Some(_) if wanted.kind == ArtifactKind::Worker => "workers".to_owned(),
        Some(_) => "native".to_owned(),
        None => {
            let variant = wanted.variant.unwrap_or(Variant::DEFAULT);
            format!("{WASM}-{}", Variant { wasm_opt: false, ..variant })
        }
    }
}

/// Keeps the paths of this machine out of the artifacts.
pub fn remapped_paths(layout: &Layout) -> Vec<String> {
    let home = std::env::var("HOME").unwrap_or_default();
    let cargo = std::env::var("CARGO_HOME").unwrap_or_else(|_| format!("{home}/.cargo"));
    let root = layout.root.display();
    vec![format!("--remap-path-prefix={cargo}=cargo"), format!("--remap-path-prefix={root}=lumos")]
}

/// Has cargo tell what it builds, and hand these flags to the compiler of the last step alone.
pub fn with_flags(command: &mut Command, flags: impl IntoIterator<Item = OsString>) {
    command.args(["--quiet", "--message-format", "json-render-diagnostics", "--"]).args(flags);
}

/// Runs a cargo build, and returns the one file that it made of `package`; `compiled` is told of
/// each crate that it compiled.
///
/// # Errors
/// When cargo fails, with what it said, or leaves no such file.
pub fn output(
    command: &mut Command,
    package: &str,
    kind: &TargetKind,
    compiled: impl Fn(&str),
) -> Result<PathBuf> {
    let shown = process::show(command);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run `{shown}`"))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (messages, complaint) = thread::scope(|scope| {
        let complaint = scope.spawn(|| {
            let mut text = String::new();
            // What cannot be read is not shown; cargo's exit code tells whether it failed.
            let _ = stderr.map(|mut pipe| pipe.read_to_string(&mut text));
            text
        });
        let stream =
            stdout.into_iter().flat_map(|pipe| Message::parse_stream(BufReader::new(pipe)));
        let messages: Vec<Message> = stream
            .map_while(Result::ok)
            .inspect(|message| match message {
                Message::CompilerArtifact(built) if !built.fresh => compiled(&built.target.name),
                _ => {}
            })
            .collect();
        (messages, complaint.join().unwrap_or_else(|panic| resume_unwind(panic)))
    });
    let status = child.wait()?;
    if !status.success() {
        bail!("`{shown}` failed ({status})\n{}", complaint.trim_end());
    }
    let mut file = None;
    for message in messages {
        let Message::CompilerArtifact(artifact) = message else { continue };
        let own = artifact
            .manifest_path
            .parent()
            .is_some_and(|folder| folder.file_name().is_some_and(|name| package.ends_with(name)));
        if own && artifact.target.kind.contains(kind) {
            let finished = artifact.filenames.iter().find(|file| file.extension() != Some("rlib"));
            file = artifact.executable.as_ref().or(finished).map(PathBuf::from);
        }
    }
    file.with_context(|| format!("`{shown}` left no {kind:?}"))
}

/// The compiler's flags for a kind, beside the profile's.
pub fn flags(kind: ArtifactKind) -> Vec<String> {
    let flags: &[&str] = match kind {
        // A worker starts fastest when nothing is left to be linked or relocated.
        ArtifactKind::NativeExe => &["-Ctarget-feature=+crt-static", "-Crelocation-model=static"],
        // The guests' profile strips; the workspace's keeps symbols for profilers.
        ArtifactKind::Worker => {
            &["-Ctarget-feature=+crt-static", "-Crelocation-model=static", "-Cstrip=symbols"]
        }
        _ => &[],
    };
    flags.iter().map(|&flag| flag.to_owned()).collect()
}

/// Copies what cargo has built.
///
/// # Errors
/// When it cannot be read, or the copy not written.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("{} to {}", from.display(), to.display()))?;
    Ok(())
}
