//! The runtime crates, as their `Cargo.toml`s declare them under `[package.metadata.lumos]`.
//!
//! No other module knows which runtimes there are.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use cargo_metadata::{Metadata, MetadataCommand, Package};
use lumos_record::{ArtifactKind, Layout, Mode, Profile, Runtime, Suite, Toolchain};
use serde::Deserialize;

/// What a runtime crate declares.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    /// The dependency whose version is the engine's; none for native code.
    engine: Option<String>,
    runtime: Vec<RuntimeWire>,
    #[serde(default)]
    worker: Vec<WorkerDeclaration>,
    /// A program that removes what the crate's sandbox may have left on the node.
    clean: Option<String>,
    /// A program that checks a model against the world.
    check: Option<CheckDeclaration>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuntimeWire {
    name: String,
    sandbox: Option<String>,
    mode: Mode,
    loads: Option<ArtifactKind>,
    serves: ArtifactKind,
    worker: Option<String>,
    base: Option<String>,
    #[serde(default)]
    suites: Vec<Suite>,
    profile: Option<Profile>,
    /// The proposals for WebAssembly that it does not run; a test of each engine holds it to them.
    #[serde(default)]
    lacks: Vec<String>,
    /// What precompiled code is for, where that is the same on all architectures.
    target: Option<String>,
    /// The crate's feature without which it does not exist.
    feature: Option<String>,
}

/// A worker program of a runtime crate.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerDeclaration {
    /// The name of the binary.
    pub name: String,
    /// The crate's features that it is built with; those are added that are asked for, if it hosts
    /// a runtime that takes them.
    pub features: Vec<String>,
    /// The engines that it compiles for ahead of time, by
    /// `<worker> precompile <engine> <module> <output> <target>`.
    #[serde(default)]
    pub precompiles: Vec<String>,
    /// Which architectures it compiles them for.
    #[serde(default)]
    pub precompiles_for: PrecompilesFor,
}

/// Which architectures a program compiles for ahead of time; it runs on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrecompilesFor {
    /// All of them.
    #[default]
    All,
    /// The host's, and what runs on all of them: to hold code generators for others as well
    /// would take long to compile.
    Host,
    /// The others: nothing runs on it, and it is built where another architecture is asked for.
    Others,
}

impl PrecompilesFor {
    /// Whether the host's architecture, or another, is among them.
    pub fn covers(self, is_host: bool) -> bool {
        match self {
            Self::All => true,
            Self::Host => is_host,
            Self::Others => !is_host,
        }
    }
}

/// A program that a suite is followed by: it checks what a report models.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckDeclaration {
    /// The suite.
    pub suite: Suite,
    /// The name of the binary.
    pub program: String,
}

/// A crate below `runtimes/`.
#[derive(Debug, Clone)]
pub struct RuntimeCrate {
    /// The package.
    pub package: String,
    /// The runtimes that it implements.
    pub runtimes: Vec<Runtime>,
    /// Its worker programs.
    pub workers: Vec<WorkerDeclaration>,
    /// The program that removes what its sandbox may have left on the node.
    pub clean: Option<String>,
    /// The program that checks a model against the world.
    pub check: Option<CheckDeclaration>,
    /// The targets of precompiled code that is the same on all architectures, by engine.
    pub targets: BTreeMap<String, String>,
    /// The features that are asked for, of those that some of its runtimes take.
    pub features: BTreeSet<String>,
}

impl RuntimeCrate {
    /// The worker that compiles ahead of time for an engine, and for the host or others.
    pub fn compiler(&self, engine: &str, is_host: bool) -> Option<&WorkerDeclaration> {
        self.workers.iter().find(|worker| {
            let is_own = worker.precompiles.iter().any(|known| known == engine);
            is_own && worker.precompiles_for.covers(is_host)
        })
    }
}

/// The environment variable that names features of runtime crates, separated by commas: runtimes
/// that take one exist only where it is asked for.
pub const FEATURES: &str = "LUMOS_FEATURES";

/// The workspace's packages, without their dependencies.
///
/// # Errors
/// When cargo cannot read the workspace.
pub fn metadata(layout: &Layout) -> Result<Metadata> {
    MetadataCommand::new()
        .manifest_path(layout.root.join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("cargo cannot read the workspace")
}

/// Every runtime crate; the order is that of the packages' names.
///
/// # Errors
/// When a declaration is malformed, or names a dependency that is not locked.
pub fn read(layout: &Layout, guests: &Toolchain) -> Result<Vec<RuntimeCrate>> {
    let lock = std::fs::read_to_string(layout.root.join("Cargo.lock")).context("Cargo.lock")?;
    let mut packages = metadata(layout)?.packages;
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    let variable = std::env::var(FEATURES).unwrap_or_default();
    let asked: BTreeSet<&str> = variable.split(',').filter(|name| !name.is_empty()).collect();
    let crates: Result<Vec<RuntimeCrate>> = packages
        .iter()
        .filter(|package| !package.metadata["lumos"].is_null())
        .map(|package| {
            parse(package, &lock, guests, &asked).with_context(|| package.manifest_path.to_string())
        })
        .collect();
    let crates = crates?;
    let unknown = asked.iter().find(|&&name| !crates.iter().any(|c| c.features.contains(name)));
    if let Some(unknown) = unknown {
        bail!("{FEATURES}={variable}: no runtime takes a feature `{unknown}`");
    }
    Ok(crates)
}

/// cargo's arguments for the features that are asked for, of packages that it is told to compile.
///
/// # Errors
/// As [`read`].
pub fn feature_arguments(layout: &Layout, has: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    let crates = read(layout, &Toolchain::default())?;
    let crates = crates.iter().filter(|found| has(&found.package));
    let features = crates.flat_map(|found| {
        let names = found.features.iter().map(|feature| format!("{}/{feature}", found.package));
        names.collect::<Vec<String>>()
    });
    Ok(features.flat_map(|feature| ["--features".to_owned(), feature]).collect())
}

fn parse(
    package: &Package,
    lock: &str,
    guests: &Toolchain,
    asked: &BTreeSet<&str>,
) -> Result<RuntimeCrate> {
    let mut wire: Wire = serde_json::from_value(package.metadata["lumos"].clone())
        .context("[package.metadata.lumos]")?;
    let engine_version = match &wire.engine {
        Some(engine) => locked_version(lock, engine)?,
        None => guests.rustc.clone(),
    };
    let mut features = BTreeSet::new();
    wire.runtime.retain(|runtime| match runtime.feature.as_deref() {
        Some(feature) if asked.contains(feature) => {
            features.insert(feature.to_owned());
            true
        }
        Some(_) => false,
        None => true,
    });
    for worker in &mut wire.worker {
        let hosted =
            wire.runtime.iter().filter(|hosted| hosted.worker.as_ref() == Some(&worker.name));
        worker.features.extend(hosted.filter_map(|hosted| hosted.feature.clone()));
    }
    let mut targets = BTreeMap::new();
    let runtimes = wire.runtime.into_iter().map(|runtime| {
        let RuntimeWire { name, sandbox, mode, loads, serves, worker, .. } = runtime;
        let RuntimeWire { base, suites, profile, lacks, target, .. } = runtime;
        if let Some(target) = target {
            targets.insert(name.clone(), target);
        }
        Runtime {
            name,
            sandbox: sandbox.unwrap_or_else(|| Runtime::PROCESS.to_owned()),
            package: package.name.to_string(),
            mode,
            engine_version: engine_version.clone(),
            loads,
            serves,
            worker,
            base,
            suites,
            profile: profile.unwrap_or(Profile::Quick),
            lacks,
        }
    });
    let runtimes: Vec<Runtime> = runtimes.collect();
    for runtime in &runtimes {
        let is_worker = matches!(runtime.serves, ArtifactKind::NativeExe | ArtifactKind::Image);
        match &runtime.worker {
            Some(worker) if !wire.worker.iter().any(|declared| &declared.name == worker) => {
                bail!("runtime {}: there is no worker {worker}", runtime.name);
            }
            None if !is_worker => bail!(
                "runtime {} serves `{}` and declares no `worker` to host it",
                runtime.name,
                runtime.serves
            ),
            _ => {}
        }
    }
    let (package, workers) = (package.name.to_string(), wire.worker);
    let (clean, check) = (wire.clean, wire.check);
    Ok(RuntimeCrate { package, runtimes, workers, clean, check, targets, features })
}

/// The version of a package in a lock file.
fn locked_version(lock: &str, name: &str) -> Result<String> {
    #[derive(Deserialize)]
    struct Lock {
        package: Vec<Locked>,
    }
    #[derive(Deserialize)]
    struct Locked {
        name: String,
        version: String,
    }
    let lock: Lock = toml::from_str(lock).context("Cargo.lock")?;
    let found = lock.package.into_iter().find(|package| package.name == name);
    Ok(found.with_context(|| format!("Cargo.lock has no package `{name}`"))?.version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_folder_of_runtimes_declares_some() {
        let layout = Layout::find(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        let crates = read(&layout, &Toolchain::default()).unwrap();
        let folders = std::fs::read_dir(layout.root.join("runtimes")).unwrap().count();
        assert_eq!(crates.len(), folders);
        assert!(crates.iter().all(|found| !found.runtimes.is_empty()));
    }

    #[test]
    fn a_locked_version_is_found_and_an_absent_one_is_named() {
        let lock = "[[package]]\nname = \"engine\"\nversion = \"1.2.3\"\n";
        assert_eq!(locked_version(lock, "engine").unwrap(), "1.2.3");
        assert!(locked_version(lock, "motor").unwrap_err().to_string().contains("motor"));
    }
}
