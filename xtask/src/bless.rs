//! `cargo xtask bless`: writes into `workloads/*.toml` what the native build answers.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use lumos_record::{ArtifactKind, Layout};
use lumos_workloads::{Blessing, Payload, Workload, Workloads, bless, sha256_hex};

use crate::build;

/// Records the digests of requests, and of the native build's responses, in `workloads/*.toml`.
///
/// To be used when a function or a payload is new, or is meant to answer something else.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only these functions
    functions: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// When a function is unknown, does not build, or refuses a request.
pub fn run(layout: &Layout, arguments: &Arguments) -> Result<()> {
    let manifest = build::build(layout, &build::Wish::host()?)?.on(std::env::consts::ARCH);
    let workloads = Workloads::read_drafts(&layout.workloads())?;
    for name in &arguments.functions {
        workloads.function(name).with_context(|| {
            let known: Vec<&str> =
                workloads.functions.iter().map(|known| known.function.as_str()).collect();
            match layout.guests().join(name).is_dir() {
                true => format!("guest-functions/{name} has no workloads/{name}.toml"),
                false => format!("unknown function `{name}`: known are {}", known.join(", ")),
            }
        })?;
    }
    let chosen = |workload: &&Workload| match arguments.functions.as_slice() {
        [] => !workload.fixture,
        names => names.contains(&workload.function),
    };
    for workload in workloads.functions.iter().filter(chosen) {
        let function = workload.function.as_str();
        let artifact = manifest
            .find(ArtifactKind::NativeExe, Some(function), None)
            .with_context(|| format!("there is no native build of `{function}`"))?;
        let program = layout.artifacts().join(&artifact.path);
        let values = tempfile::tempdir().context("cannot make a folder for the state")?;
        let blessings: Result<Vec<Blessing>> = workload
            .payloads
            .iter()
            .map(|payload| answer(&program, payload, values.path()))
            .collect();
        let blessings = blessings.with_context(|| function.to_owned())?;
        bless(&workload.file, &blessings)?;
        println!("{}: {} payloads", workload.file.display(), blessings.len());
    }
    Ok(())
}

/// What a program answers, which finds its state in the folder `values`.
fn answer(program: &Path, payload: &Payload, values: &Path) -> Result<Blessing> {
    if let Some((key, before)) =
        payload.value.as_ref().and_then(|value| Some((&value.key, value.before.as_ref()?)))
    {
        std::fs::write(values.join(key), before.generate())?;
    }
    let request = payload.generate();
    let mut command = Command::new(program);
    command.env("LUMOS_STATE", format!("directory:{}", values.display()));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    let request_sha256 = sha256_hex(&request);
    // The function may answer before it has read everything.
    let writer = std::thread::spawn(move || stdin.write_all(&request));
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("payload {}: {}", payload.id, output.status);
    }
    // A function that ignores its request closes the pipe early, which is its right.
    let _ = writer.join();
    let response_sha256 = sha256_hex(&output.stdout);
    Ok(Blessing { payload: payload.id.clone(), request_sha256, response_sha256 })
}
