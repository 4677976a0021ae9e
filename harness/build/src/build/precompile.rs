//! What engines compile ahead of time.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use lumos_record::{ArtifactKind, Compilation, Runtime, Variant};
use lumos_workloads::sha256_hex;

use super::Builder;
use super::wanted::Wanted;
use crate::process;
use crate::runtimes::{RuntimeCrate, WorkerDeclaration};
use crate::scope::Scope;
use crate::targets::{Arch, Platform};

impl Builder<'_> {
    /// What the crates' workers compile ahead of time, on all processors.
    pub(super) fn precompile(&mut self, crates: &[RuntimeCrate]) -> Result<()> {
        let mut jobs = Vec::new();
        for found in crates {
            for runtime in &found.runtimes {
                let is_own =
                    |worker: &WorkerDeclaration| worker.precompiles.contains(&runtime.name);
                if !found.workers.iter().any(is_own) {
                    continue;
                }
                for function in self.functions.clone() {
                    jobs.extend(self.precompilations(found, runtime, &function)?);
                }
            }
        }
        let this = &*self;
        let outcomes =
            process::in_parallel(process::processors(), jobs, |(wanted, program, module)| {
                let wanted = match this.outcome_of(wanted) {
                    Ok(outcome) => return Ok(outcome),
                    Err(wanted) => wanted,
                };
                this.make(*wanted, |wanted, output| {
                    let target =
                        wanted.platform.map_or(wanted.target.clone(), Platform::engine_target);
                    let engine = wanted.engine.as_deref().unwrap_or_default();
                    precompile(&program, engine, &module, output, &target).map(Some)
                })
            })?;
        outcomes.into_iter().for_each(|outcome| self.note(outcome));
        Ok(())
    }

    /// What an engine makes of a function: for each platform, or once for a target whose code runs
    /// on all of them; of other variants than the default for the host alone. With each, the
    /// program that compiles, and the module.
    fn precompilations(
        &mut self,
        found: &RuntimeCrate,
        runtime: &Runtime,
        function: &str,
    ) -> Result<Vec<(Wanted, PathBuf, PathBuf)>> {
        let portable = found.targets.get(&runtime.name).map(String::as_str);
        let platforms: Vec<(Option<Platform>, bool)> = match portable {
            Some(_) => vec![(None, true)],
            None => {
                self.platforms.iter().map(|&(platform, asked)| (Some(platform), asked)).collect()
            }
        };
        let host = Arch::host()?;
        let mut jobs = Vec::new();
        for variant in [None].into_iter().chain(Variant::ALL.map(Some)) {
            for &(platform, is_asked) in &platforms {
                let is_of_host = platform.is_none_or(Platform::is_host);
                if variant.is_some_and(|variant| variant == Variant::DEFAULT || !is_of_host) {
                    continue;
                }
                let request = &self.request.scope;
                let is_asked =
                    is_asked && request.has_precompiled(&runtime.name, function, variant);
                let mut wanted = precompiled(runtime, function, platform, portable, variant);
                wanted.is_asked = is_asked;
                let module = self.built(ArtifactKind::Wasm, Some(function), None, variant, host);
                let compiler = found.compiler(&runtime.name, is_of_host);
                let program = compiler.and_then(|worker| {
                    self.built(ArtifactKind::Worker, None, Some(&worker.name), None, host)
                });
                let (Some(module), Some(program)) = (module, program) else {
                    if is_asked && self.may_not_build {
                        self.lacking.push(wanted.name());
                    } else if is_asked {
                        let reason = "its module or its compiler could not be built".to_owned();
                        self.manifest.missing.insert(wanted.name(), reason);
                    }
                    continue;
                };
                // What is compiled, and by what.
                let processor =
                    platform.map_or(Ok(String::new()), |platform| platform.processor(true))?;
                let inputs = format!("{} {} {processor}", module.sha256, program.sha256);
                wanted.source_hash = sha256_hex(inputs.as_bytes());
                let [program, module] =
                    [program, module].map(|artifact| self.folder.join(&artifact.path));
                jobs.push((wanted, program, module));
            }
        }
        Ok(jobs)
    }
}

/// What an engine makes of a function, as far as it is known before it is made.
fn precompiled(
    runtime: &Runtime,
    function: &str,
    platform: Option<Platform>,
    portable: Option<&str>,
    variant: Option<Variant>,
) -> Wanted {
    let own = platform.map(|platform| platform.arch.triple());
    let target = portable.map(str::to_owned).or(own).unwrap_or_default();
    let name = match variant {
        Some(variant) => format!("{function}-{variant}.bin"),
        None => format!("{function}.bin"),
    };
    Wanted {
        kind: ArtifactKind::Precompiled,
        function: Some(function.to_owned()),
        engine: Some(runtime.name.clone()),
        engine_version: Some(runtime.engine_version.clone()),
        variant,
        platform,
        path: Path::new(&target).join("precompiled").join(&runtime.name).join(name),
        source_hash: String::new(),
        target,
        toolchain: format!("{} {}", runtime.package, runtime.engine_version),
        // Bytecode is the same anywhere.
        flags: platform.map(Platform::engine_flag).into_iter().collect(),
        is_asked: false,
        is_part: platform.is_none_or(Platform::is_host)
            && Scope::everything(false).has_variant(variant),
    }
}

/// Has a worker compile a module ahead of time for an engine; `target` is what an engine calls it.
///
/// # Errors
/// When the module is invalid, or the output cannot be written.
pub fn precompile(
    worker: &Path,
    engine: &str,
    module: &Path,
    output: &Path,
    target: &str,
) -> Result<Compilation> {
    let mut command = Command::new(worker);
    command.args(["precompile", engine]).arg(module).arg(output).arg(target);
    let output =
        command.output().with_context(|| format!("cannot run `{}`", process::show(&command)))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{engine} cannot compile it ({}): {}", output.status, complaint.trim());
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("`{}`", process::show(&command)))
}
