//! `cargo xtask bench --wasm`: a WASI command that somebody else has built, on every Wasm engine.
//!
//! The module gets a checkout of its own, `target/lumos/modules/<name>`, in which it is the only
//! function: its workload, its artifacts, and the runs and the report of it.

mod inspect;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use lumos_build::progress::Progress;
use lumos_build::runtimes::{self, RuntimeCrate};
use lumos_build::targets::{Arch, Platform};
use lumos_build::toolchain::WASM;
use lumos_build::{process, text};
use lumos_record::{
    Artifact, ArtifactKind, ArtifactManifest, Lane, Layout, Need, Runtime, SCHEMA_VERSION,
    Toolchain, place, shown,
};
use lumos_workloads::{Workloads, sha256_hex};
use serde_json::json;

use inspect::{Inspected, inspect};

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
    #[arg(
        long,
        value_name = "CODE",
        requires = "wasm",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
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
        self.read(runtimes)?;
        let workloads = Workloads::read(&layout.workloads())?;
        let function = workloads.benchmarked().next().context("there is no function")?;
        let lanes = [Lane::InProcess, Lane::Served];
        let of_runtime = |runtime: &Runtime| {
            lanes.map(|lane| runtime.needs(lane, &function.function, None)).concat()
        };
        Ok(runtimes.iter().filter(|runtime| runs_wasm(runtime)).flat_map(of_runtime).collect())
    }

    /// The bytes of the module, and what it takes of what some runtime lacks.
    fn read(&self, runtimes: &[Runtime]) -> Result<(&Path, Vec<u8>, Inspected)> {
        let file = self.wasm.as_deref().context("no module was named")?;
        let module = fs::read(file).with_context(|| file.display().to_string())?;
        let lacks = runtimes.iter().flat_map(|runtime| &runtime.lacks).map(String::as_str);
        let lacks: BTreeSet<&str> = lacks.collect();
        let inspected = inspect(&module, &Vec::from_iter(lacks));
        Ok((file, module, inspected.with_context(|| file.display().to_string())?))
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
        let (file, module, inspected) = self.read(&runtimes)?;
        let name = name(file);
        let root = layout.lumos().join("modules").join(&name);
        let own = Layout::at(root);
        for folder in [own.guests(), own.workloads(), own.artifacts()] {
            fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        self.write_workload(&own, &name, file, &inspected)?;
        let manifest =
            artifacts(layout, &own, manifest, runtimes, &name, &module, &inspected.proposals)?;
        Ok((own, manifest))
    }

    fn write_workload(
        &self,
        own: &Layout,
        name: &str,
        module: &Path,
        inspected: &Inspected,
    ) -> Result<()> {
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
            "summary": shown(&format!("The WASI command {}", module.display())),
            "command": true,
            "proposals": inspected.proposals,
            "memory_bytes": inspected.memory_bytes,
            "payload": [payload],
        });
        let path = own.workloads().join(format!("{name}.toml"));
        Ok(place(&path, toml::to_string(&workload)?.as_bytes())?)
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

/// Whether a runtime runs Wasm, in processes.
fn runs_wasm(runtime: &Runtime) -> bool {
    runtime.sandbox == Runtime::PROCESS
        && matches!(runtime.serves, ArtifactKind::Wasm | ArtifactKind::Precompiled)
}

/// Compiles the module for the engines that load precompiled code and can run it, unless that was
/// done before, and writes the manifest of the checkout: the module, and the workers of all engines.
fn artifacts(
    layout: &Layout,
    own: &Layout,
    manifest: &ArtifactManifest,
    mut runtimes: Vec<Runtime>,
    name: &str,
    module: &[u8],
    proposals: &[String],
) -> Result<ArtifactManifest> {
    let platform = Platform::host()?;
    let (from, to) = (layout.artifacts(), own.artifacts());
    let on_host = manifest.clone().on(Arch::host()?.name());
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
    let sha256 = sha256_hex(module);
    let entry = Artifact::new(ArtifactKind::Wasm, file.clone(), WASM);
    found.artifacts.push(foreign(&to, name, sha256.clone(), entry)?);
    let compiles = |runtime: &&Runtime| {
        runtime.serves == ArtifactKind::Precompiled
            && !proposals.iter().any(|proposal| runtime.lacks.contains(proposal))
    };
    let compiler = Compiler {
        from: &from,
        crates: runtimes::read(layout, &Toolchain::default())?,
        on_host: &on_host,
        // A manifest that cannot be read is no reason to fail, but to compile.
        before: ArtifactManifest::read(&to).unwrap_or_default(),
        platform,
        to: &to,
        name,
        module: to.join(&file),
        module_sha256: sha256,
    };
    let compiling: Vec<&Runtime> = runtimes.iter().filter(compiles).collect();
    let progress = Progress::begin("compiling", compiling.len());
    let made = process::in_parallel(process::processors(), compiling, |runtime| {
        Ok((runtime, compiler.precompiled(runtime, &progress)))
    })?;
    drop(progress);
    for (runtime, made) in made {
        match made {
            Ok(artifact) => found.artifacts.push(artifact),
            // The other engines can still be measured.
            Err(error) => {
                let missing = format!("{} {name} {}", ArtifactKind::Precompiled, runtime.name);
                found.missing.insert(missing, format!("{error:#}"));
            }
        }
    }
    place(&to.join(ArtifactManifest::FILE), &serde_json::to_vec_pretty(&found)?)?;
    Ok(found)
}

/// What compiles a module ahead of time.
struct Compiler<'c> {
    /// The folder of the compilers.
    from: &'c Path,
    crates: Vec<RuntimeCrate>,
    on_host: &'c ArtifactManifest,
    /// What was compiled before.
    before: ArtifactManifest,
    platform: Platform,
    /// The folder of the module.
    to: &'c Path,
    name: &'c str,
    module: PathBuf,
    module_sha256: String,
}

impl Compiler<'_> {
    /// What a runtime loads of the module: what was made of the same module by the same compiler
    /// for the same processor, else what is made now.
    fn precompiled(&self, runtime: &Runtime, progress: &Progress) -> Result<Artifact> {
        let Self { on_host, platform, name, .. } = self;
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
        let worker = self
            .crates
            .iter()
            .find_map(|found| found.compiler(&runtime.name, true))
            .and_then(|worker| on_host.find(ArtifactKind::Worker, None, Some(&worker.name)))
            .with_context(|| format!("there is no compiler for {}", runtime.name))?;
        let processor = platform.processor(true)?;
        let inputs = [&self.module_sha256, &worker.sha256, &target, &processor];
        let source_hash = sha256_hex(inputs.map(String::as_str).join(" ").as_bytes());
        if let Some(kept) = self.kept(runtime, &source_hash) {
            progress.advance(1);
            return Ok(kept);
        }
        progress.at(&format!("{name} for {}", runtime.name));
        let file = PathBuf::from(format!("{name}-{}.bin", runtime.name));
        let output = self.to.join(&file);
        let compiler = self.from.join(&worker.path);
        let compiled =
            lumos_build::precompile(&compiler, &runtime.name, &self.module, &output, &target);
        progress.advance(1);
        let compilation = compiled?;
        let entry = Artifact {
            engine: Some(runtime.name.clone()),
            engine_version: Some(runtime.engine_version.clone()),
            flags: like.flags.clone(),
            text_bytes: compilation.text_bytes,
            compilation: Some(compilation),
            ..Artifact::new(ArtifactKind::Precompiled, file, like.target.clone())
        };
        foreign(self.to, name, source_hash, entry)
    }

    /// What was made before of the same, if it is still there.
    fn kept(&self, runtime: &Runtime, source_hash: &str) -> Option<Artifact> {
        let kept = self.before.artifacts.iter().find(|artifact| {
            artifact.engine.as_deref() == Some(&runtime.name) && artifact.source_hash == source_hash
        })?;
        let bytes = fs::read(self.to.join(&kept.path)).ok()?;
        (sha256_hex(&bytes) == kept.sha256).then(|| kept.clone())
    }
}

/// An entry of the manifest for a file that was not built here, with what the file tells.
fn foreign(folder: &Path, name: &str, source_hash: String, entry: Artifact) -> Result<Artifact> {
    let bytes =
        fs::read(folder.join(&entry.path)).with_context(|| entry.path.display().to_string())?;
    Ok(Artifact {
        function: Some(name.to_owned()),
        bytes: bytes.len() as u64,
        source_hash,
        sha256: sha256_hex(&bytes),
        toolchain: "built elsewhere".to_owned(),
        text_bytes: entry.text_bytes.or_else(|| text::bytes(&bytes)),
        ..entry
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
}
