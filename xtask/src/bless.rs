//! `cargo xtask bless`: writes into `workloads/*.toml` what the native build answers.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use lumos_build::{BuildRequest, Scope};
use lumos_record::{ArtifactKind, Layout, Need};
use lumos_workloads::{Blessing, Payload, Workload, Workloads, bless, sha256_hex};

/// Records the digests of requests, and of the native build's responses, in `workloads/*.toml` and
/// in `workloads/chains/*.toml`.
///
/// To be used when a function or a payload is new, or is meant to answer something else.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only these functions and chains
    functions: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// When a function is unknown, does not build, or refuses a request.
pub fn run(layout: &Layout, arguments: &Arguments) -> Result<()> {
    let workloads = Workloads::read_drafts(&layout.workloads())?;
    for name in &arguments.functions {
        let chain = workloads.chain(name).map(|chain| &chain.workload);
        workloads.function(name).or(chain).with_context(|| {
            let chains = workloads.chains.iter().map(|chain| &chain.workload);
            let known: Vec<&str> = workloads
                .functions
                .iter()
                .chain(chains)
                .map(|known| known.function.as_str())
                .collect();
            match layout.guests().join(name).is_dir() {
                true => format!("guest-functions/{name} has no workloads/{name}.toml"),
                false => format!("unknown function `{name}`: known are {}", known.join(", ")),
            }
        })?;
    }
    let chosen = |workload: &Workload| match arguments.functions.as_slice() {
        [] => !workload.fixture,
        names => names.contains(&workload.function),
    };
    let chains = || workloads.chains.iter().filter(|chain| chosen(&chain.workload));
    let functions = || workloads.functions.iter().filter(|workload| chosen(workload));
    let steps = chains().flat_map(|chain| chain.steps.iter().map(|step| &step.function));
    let needed = functions().map(|workload| &workload.function).chain(steps);
    let needs = needed.map(|function| Need::form(ArtifactKind::NativeExe, function, None));
    let wanted = BuildRequest::host(Scope::of(needs))?;
    let manifest = lumos_build::build(layout, &wanted)?.on(std::env::consts::ARCH);
    let program = |function: &str| {
        let artifact = manifest
            .find(ArtifactKind::NativeExe, Some(function), None)
            .with_context(|| format!("there is no native build of `{function}`"))?;
        anyhow::Ok(layout.artifacts().join(&artifact.path))
    };
    for workload in functions() {
        let function = workload.function.as_str();
        let program = program(function)?;
        let values = tempfile::tempdir().context("cannot make a folder for the state")?;
        let blessings: Result<Vec<Blessing>> = workload
            .payloads
            .iter()
            .map(|payload| blessing(&program, payload, values.path()))
            .collect();
        write(workload, blessings)?;
    }
    for chain in chains() {
        let values = tempfile::tempdir().context("cannot make a folder for the state")?;
        let of_payload = |payload: &Payload| {
            let mut body = payload.generate();
            let request_sha256 = sha256_hex(&body);
            let mut response_sha256 = Vec::new();
            for step in &chain.steps {
                let request = [step.header.generate(), body].concat();
                body = answer(&program(&step.function)?, request, values.path())
                    .with_context(|| format!("payload {}, step {}", payload.id, step.name))?;
                response_sha256.push(sha256_hex(&body));
            }
            Ok(Blessing { payload: payload.id.clone(), request_sha256, response_sha256 })
        };
        write(&chain.workload, chain.workload.payloads.iter().map(of_payload).collect())?;
    }
    Ok(())
}

/// Writes what was found into the file of a function or a chain.
fn write(workload: &Workload, blessings: Result<Vec<Blessing>>) -> Result<()> {
    let blessings = blessings.with_context(|| workload.function.clone())?;
    bless(&workload.file, &blessings)?;
    println!("{}: {} payloads", workload.file.display(), blessings.len());
    Ok(())
}

/// The digests of a payload, by a program that finds its state in the folder `values`.
fn blessing(program: &Path, payload: &Payload, values: &Path) -> Result<Blessing> {
    if let Some((key, before)) =
        payload.value.as_ref().and_then(|value| Some((&value.key, value.before.as_ref()?)))
    {
        std::fs::write(values.join(key), before.generate())?;
    }
    let request = payload.generate();
    let request_sha256 = sha256_hex(&request);
    let response =
        answer(program, request, values).with_context(|| format!("payload {}", payload.id))?;
    let response_sha256 = vec![sha256_hex(&response)];
    Ok(Blessing { payload: payload.id.clone(), request_sha256, response_sha256 })
}

/// What a program answers, which finds its state in the folder `values`.
fn answer(program: &Path, request: Vec<u8>, values: &Path) -> Result<Vec<u8>> {
    let mut command = Command::new(program);
    command.env("LUMOS_STATE", format!("directory:{}", values.display()));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    // The function may answer before it has read everything.
    let writer = std::thread::spawn(move || stdin.write_all(&request));
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("the program ended: {}", output.status);
    }
    // A function that ignores its request closes the pipe early, which is its right.
    let _ = writer.join();
    Ok(output.stdout)
}
