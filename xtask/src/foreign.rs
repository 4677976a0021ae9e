//! `cargo xtask bench --wasm`: a WASI command that somebody else has built, on every Wasm engine.
//!
//! The module gets a checkout of its own, `target/lumos/modules/<name>`, in which it is the only
//! function: its workload, its artifacts, and the runs and the report of it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use lumos_build::targets::{Arch, Platform};
use lumos_build::toolchain::WASM;
use lumos_build::{place, runtimes, text};
use lumos_record::{
    Artifact, ArtifactKind, ArtifactManifest, Compilation, Lane, Layout, Need, Runtime,
    SCHEMA_VERSION, Toolchain,
};
use lumos_workloads::{Workloads, sha256_hex};
use serde_json::json;
use wasmparser::{Encoding, Parser, Payload};

/// A module and what it is to do.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Module {
    /// Measure this WASI command instead of the functions: cold starts, and a fresh instance per
    /// run, on every Wasm engine
    #[arg(long, value_name = "FILE")]
    wasm: Option<PathBuf>,
    /// What the command finds on its standard input; nothing by default
    #[arg(long, value_name = "FILE", requires = "wasm")]
    stdin: Option<PathBuf>,
    /// What it has to write to its standard output; by default all engines only have to agree
    #[arg(long, value_name = "FILE", requires = "wasm")]
    expect: Option<PathBuf>,
    /// The code that the command exits with when all is well
    #[arg(long, value_name = "CODE", requires = "wasm", default_value_t = 0)]
    exit_code: i32,
}

impl Module {
    /// Whether a module is measured instead of the functions.
    pub const fn is_given(&self) -> bool {
        self.wasm.is_some()
    }

    /// What a build has to make for the module, once it was looked at: the workers of those
    /// runtimes that run Wasm, and what compiles ahead of time for them, shown on a function.
    ///
    /// # Errors
    /// When the file cannot be read, or is no WASI command.
    pub fn needs(&self, layout: &Layout, runtimes: &[Runtime]) -> Result<BTreeSet<Need>> {
        self.read()?;
        let workloads = Workloads::read(&layout.workloads())?;
        let function = workloads.benchmarked().next().context("there is no function")?;
        let lanes = [Lane::InProcess, Lane::Served];
        let of_runtime = |runtime: &Runtime| {
            lanes.map(|lane| runtime.needs(lane, &function.function, None)).concat()
        };
        Ok(runtimes.iter().filter(|runtime| runs_wasm(runtime)).flat_map(of_runtime).collect())
    }

    /// The bytes of the module.
    fn read(&self) -> Result<(&Path, Vec<u8>)> {
        let file = self.wasm.as_deref().context("no module was named")?;
        let module = fs::read(file).with_context(|| file.display().to_string())?;
        check(&module).with_context(|| file.display().to_string())?;
        Ok((file, module))
    }

    /// Makes the module's checkout from a build of what it [`needs`](Self::needs).
    ///
    /// # Errors
    /// When a file cannot be read, or the module is no WASI command.
    pub fn checkout(
        &self,
        layout: &Layout,
        manifest: &ArtifactManifest,
        runtimes: Vec<Runtime>,
    ) -> Result<(Layout, ArtifactManifest)> {
        let (file, module) = self.read()?;
        let name = name(file);
        let root = layout.lumos().join("modules").join(&name);
        let own = Layout::at(root);
        for folder in [own.guests(), own.workloads(), own.artifacts()] {
            fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        self.write_workload(&own, &name, file)?;
        let manifest = artifacts(layout, &own, manifest, runtimes, &name, &module)?;
        Ok((own, manifest))
    }

    fn write_workload(&self, own: &Layout, name: &str, module: &Path) -> Result<()> {
        let read = |file: &Path| fs::read(file).with_context(|| file.display().to_string());
        let mut request = json!({ "kind": "command", "exit": self.exit_code });
        let mut asked = self.exit_code.to_le_bytes().to_vec();
        if let Some(file) = &self.stdin {
            let path = fs::canonicalize(file).with_context(|| file.display().to_string())?;
            asked.extend(read(&path)?);
            let path = path.to_str().context("the path of the standard input is no text")?;
            request["stdin"] = path.into();
        }
        let mut payload = json!({
            "id": PAYLOAD,
            "profile": "quick",
            "request": request,
            "request_sha256": sha256_hex(&asked),
        });
        if let Some(file) = &self.expect {
            payload["response_sha256"] = sha256_hex(&read(file)?).into();
        }
        let workload = json!({
            "function": name,
            "summary": format!("The WASI command {}", module.display()),
            "command": true,
            "payload": [payload],
        });
        let path = own.workloads().join(format!("{name}.toml"));
        place(&path, toml::to_string(&workload)?.as_bytes())
    }
}

/// What the command's standard input is called among its payloads.
const PAYLOAD: &str = "stdin";

/// What a module is called: the file's name, in the letters that a function's may have.
fn name(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy().to_lowercase();
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = stem.chars().map(allowed).collect();
    match name.starts_with(|c: char| c.is_ascii_lowercase()) {
        true => name,
        false => format!("module-{name}"),
    }
}

/// Makes sure that a file is a WASI command, as far as its exports tell.
fn check(module: &[u8]) -> Result<()> {
    ensure!(
        module.starts_with(b"\0asm"),
        "this is no WebAssembly: it does not begin with `\\0asm` (text has to be assembled first)"
    );
    let (mut starts, mut exports) = (false, Vec::new());
    for payload in Parser::new(0).parse_all(module) {
        match payload.context("the module is malformed")? {
            Payload::Version { encoding: Encoding::Component, .. } => bail!(
                "this is a component (WASI preview 2), and Lumos runs core modules (WASI preview \
                 1): build it for {WASM}"
            ),
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export.context("the module is malformed")?;
                    starts |= export.name == START;
                    exports.push(export.name.to_owned());
                }
            }
            _ => {}
        }
    }
    let list = if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") };
    ensure!(starts, "this is no WASI command: it exports no `{START}`, but {list}");
    Ok(())
}

/// Whether a runtime runs Wasm, in processes.
fn runs_wasm(runtime: &Runtime) -> bool {
    runtime.sandbox == Runtime::PROCESS
        && matches!(runtime.serves, ArtifactKind::Wasm | ArtifactKind::Precompiled)
}

/// What a WASI command exports.
const START: &str = "_start";

/// Compiles the module for the engines that load precompiled code, and writes the manifest of the
/// checkout: the module, and the workers of all engines.
fn artifacts(
    layout: &Layout,
    own: &Layout,
    manifest: &ArtifactManifest,
    mut runtimes: Vec<Runtime>,
    name: &str,
    module: &[u8],
) -> Result<ArtifactManifest> {
    let platform = Platform::host()?;
    let (from, to) = (layout.artifacts(), own.artifacts());
    let arch = Arch::host()?;
    let on_host = manifest.clone().on(arch.name());
    runtimes.retain(runs_wasm);
    let mut found = ArtifactManifest {
        schema_version: SCHEMA_VERSION,
        toolchain: manifest.toolchain.clone(),
        runtimes: runtimes.clone(),
        ..ArtifactManifest::default()
    };
    let workers = on_host.artifacts.iter().filter(|artifact| artifact.kind == ArtifactKind::Worker);
    for worker in workers {
        let link = to.join(&worker.path);
        if let Some(folder) = link.parent() {
            fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
        // An earlier link may lead to where nothing is any more.
        let _ = fs::remove_file(&link);
        symlink(from.join(&worker.path), &link).with_context(|| link.display().to_string())?;
        found.artifacts.push(worker.clone());
    }
    let file = PathBuf::from(format!("{name}.wasm"));
    fs::write(to.join(&file), module).with_context(|| file.display().to_string())?;
    found.artifacts.push(foreign(&to, name, None, file.clone(), WASM.to_owned(), None)?);
    for runtime in runtimes.iter().filter(|run| run.serves == ArtifactKind::Precompiled) {
        let made = precompile(layout, &on_host, runtime, platform, &to.join(&file), &to, name);
        match made {
            Ok(artifact) => found.artifacts.push(artifact),
            // The other engines can still be measured.
            Err(error) => {
                let missing = format!("{} {name} {}", ArtifactKind::Precompiled, runtime.name);
                eprintln!("{missing}: {error:#}");
                found.missing.insert(missing, format!("{error:#}"));
            }
        }
    }
    place(&to.join(ArtifactManifest::FILE), &serde_json::to_vec_pretty(&found)?)?;
    Ok(found)
}

fn precompile(
    layout: &Layout,
    on_host: &ArtifactManifest,
    runtime: &Runtime,
    platform: Platform,
    module: &Path,
    to: &Path,
    name: &str,
) -> Result<Artifact> {
    // Any function's artifact of the engine says what the engine compiles for.
    let like = on_host
        .artifacts
        .iter()
        .find(|artifact| {
            artifact.kind == ArtifactKind::Precompiled
                && artifact.engine.as_deref() == Some(&runtime.name)
        })
        .with_context(|| format!("nothing was precompiled for {}", runtime.name))?;
    let target = match like.target == platform.arch.triple() {
        true => platform.engine_target(),
        false => like.target.clone(),
    };
    let file = PathBuf::from(format!("{name}-{}.bin", runtime.name));
    let crates = runtimes::read(layout, &Toolchain::default())?;
    let compiler = crates
        .iter()
        .find_map(|found| found.compiler(&runtime.name, true))
        .and_then(|worker| on_host.find(ArtifactKind::Worker, None, Some(&worker.name)))
        .with_context(|| format!("there is no compiler for {}", runtime.name))?;
    let compiler = layout.artifacts().join(&compiler.path);
    let compilation =
        lumos_build::precompile(&compiler, &runtime.name, module, &to.join(&file), &target)?;
    let mut artifact =
        foreign(to, name, Some(runtime), file, like.target.clone(), Some(compilation))?;
    artifact.flags.clone_from(&like.flags);
    Ok(artifact)
}

/// An entry of the manifest for a file that was not built here.
fn foreign(
    folder: &Path,
    name: &str,
    runtime: Option<&Runtime>,
    path: PathBuf,
    target: String,
    compilation: Option<Compilation>,
) -> Result<Artifact> {
    let bytes = fs::read(folder.join(&path)).with_context(|| path.display().to_string())?;
    let sha256 = sha256_hex(&bytes);
    let kind = if runtime.is_some() { ArtifactKind::Precompiled } else { ArtifactKind::Wasm };
    Ok(Artifact {
        function: Some(name.to_owned()),
        engine: runtime.map(|runtime| runtime.name.clone()),
        engine_version: runtime.map(|runtime| runtime.engine_version.clone()),
        bytes: bytes.len() as u64,
        source_hash: sha256.clone(),
        sha256,
        toolchain: "built elsewhere".to_owned(),
        text_bytes: compilation
            .as_ref()
            .and_then(|compilation| compilation.text_bytes)
            .or_else(|| text::bytes(&bytes)),
        compilation,
        ..Artifact::new(kind, path, target)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_called_as_its_file() {
        for (file, expected) in [
            ("a/Cowsay.wasm", "cowsay"),
            ("wasm_grep-1.0.wasm", "wasm-grep-1-0"),
            ("7zip.wasm", "module-7zip"),
            ("grüße.wasm", "gr--e"),
        ] {
            assert_eq!(name(Path::new(file)), expected);
        }
    }

    #[test]
    fn what_is_no_command_is_refused_with_what_it_is() {
        let complaint = |bytes: &[u8]| format!("{:#}", check(bytes).unwrap_err());
        assert!(complaint(b"#!/bin/sh").contains("no WebAssembly"));
        assert!(complaint(b"").contains("no WebAssembly"));
        assert!(complaint(b"\0asm\x0d\0\x01\0").contains("component"));
        assert!(complaint(b"\0asm\x01\0\0\0").contains("exports no `_start`, but nothing"));
        let memory = b"\0asm\x01\0\0\0\x05\x03\x01\0\x01\x07\x0a\x01\x06memory\x02\0";
        assert!(complaint(memory).contains("exports no `_start`, but memory"));
        assert!(complaint(&memory[..20]).contains("malformed"));
    }
}
