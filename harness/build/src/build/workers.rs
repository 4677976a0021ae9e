//! The workers of runtimes.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result};
use cargo_metadata::TargetKind;
use lumos_record::ArtifactKind;

use super::wanted::{Made, Wanted};
use super::{Builder, cargo};
use crate::runtimes::{RuntimeCrate, WorkerDeclaration};
use crate::scope::Scope;
use crate::targets::Platform;
use crate::{process, source};

impl Builder<'_> {
    pub(super) fn all_workers(&self, crates: &[RuntimeCrate]) -> Result<Vec<Wanted>> {
        let version = process::output(process::rustc().arg("--version"))?.trim().to_owned();
        let mut all = Vec::new();
        for found in crates {
            let source_hash = source::worker_hash(self.layout, &found.package)?;
            for worker in &found.workers {
                for &(platform, is_asked) in &self.platforms {
                    let is_host = platform.is_host();
                    let is_asked = (is_asked && self.request.scope.has_worker(found, worker))
                        || (is_host && self.compiles(found, worker));
                    let is_part = Scope::everything(false).has_worker(found, worker)
                        || !worker.precompiles.is_empty() && worker.precompiles_for.covers(true);
                    let target = platform.arch.triple();
                    let first = found.runtimes.first();
                    let features = worker.features.iter();
                    let features = features.map(|feature| format!("feature={feature}"));
                    all.push(Wanted {
                        kind: ArtifactKind::Worker,
                        function: None,
                        engine: Some(worker.name.clone()),
                        engine_version: first.map(|runtime| runtime.engine_version.clone()),
                        variant: None,
                        platform: Some(platform),
                        path: Path::new(&target).join("workers").join(&worker.name),
                        source_hash: source_hash.clone(),
                        target,
                        toolchain: match is_host {
                            true => version.clone(),
                            false => self.guests.record.rustc.clone(),
                        },
                        flags: cargo::flags(ArtifactKind::Worker)
                            .into_iter()
                            .chain(features)
                            .collect(),
                        is_asked,
                        is_part: is_host && is_part,
                    });
                }
            }
        }
        Ok(all)
    }

    pub(super) fn compile_worker(
        &self,
        crates: &[RuntimeCrate],
        wanted: &Wanted,
        output: &Path,
    ) -> Result<Made> {
        let name = wanted.engine.as_deref().unwrap_or_default();
        let declares = |found: &&RuntimeCrate| found.workers.iter().any(|own| own.name == name);
        let package = &crates.iter().find(declares).context("nobody declares it")?.package;
        // The compiler of the bench targets, so that both share their dependencies.
        let mut command = match wanted.platform {
            Some(platform) if !platform.is_host() => self.guests.cargo_for("rustc", platform, &[]),
            _ => {
                let mut command = process::cargo();
                command.args(["rustc", "--release", "--locked"]);
                command
            }
        };
        let features = wanted.flags.iter().filter_map(|flag| flag.strip_prefix("feature="));
        let features: Vec<&str> = features.collect();
        command.current_dir(&self.layout.root).args(["--package", package, "--bin", name]);
        command.args(["--no-default-features", "--features", &features.join(",")]);
        // The flags reach the program alone, not its dependencies: those are the same as the bench
        // targets', and are compiled once.
        let own = wanted.flags.iter().filter(|flag| flag.starts_with('-'));
        cargo::with_flags(&mut command, own.map(OsString::from));
        let compiled = |name: &str| {
            if let Some(progress) = self.progress.get() {
                progress.now(&format!("{}: {name}", wanted.name()));
            }
        };
        let built = cargo::output(&mut command, package, &TargetKind::Bin, compiled)?;
        cargo::copy(&built, output)?;
        Ok(None)
    }

    /// Whether a worker of a crate compiles something ahead of time that is asked for.
    fn compiles(&self, found: &RuntimeCrate, worker: &WorkerDeclaration) -> bool {
        let is_meant = |(platform, is_asked): &(Platform, bool)| {
            *is_asked && worker.precompiles_for.covers(platform.is_host())
        };
        worker.precompiles.iter().any(|engine| {
            let is_asked = match found.targets.contains_key(engine) {
                true => worker.precompiles_for.covers(true),
                false => self.platforms.iter().any(is_meant),
            };
            is_asked && self.request.scope.has_engine(engine)
        })
    }
}
