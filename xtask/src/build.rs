//! `cargo xtask build`: from sources to artifacts, and the manifest that says what they are.

mod scope;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{BufReader, Read};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use cargo_metadata::{Message, TargetKind};
use lumos_record::{
    Artifact, ArtifactKind, ArtifactManifest, Compilation, Layout, Need, Runtime, SCHEMA_VERSION,
    Toolchain, Variant,
};
use lumos_workloads::sha256_hex;

use crate::images::{self, Base, Images};
use crate::progress::Progress;
use crate::runtimes::{self, RuntimeCrate, WorkerDeclaration};
use crate::targets::{self, Arch, CpuLevel, Platform};
use crate::toolchain::{Guests, WASM};
use crate::{process, setup, source, stages, text};

pub use scope::Scope;

/// Builds every artifact that is missing or stale, after setting up what that takes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Build everything anew
    #[arg(long)]
    force: bool,
    /// The architectures to build for: host, x86_64, aarch64 or all
    #[arg(long, value_name = "ARCHITECTURE", default_value = "host")]
    target: String,
    /// What of a processor native code and precompiled Wasm may use: native, x86-64-v2, x86-64-v3
    /// or armv8-a [may be repeated, for one architecture each]
    #[arg(long, value_name = "NAME")]
    isa: Vec<CpuLevel>,
    /// Build the functions' Wasm in every way that the suite `variants` compares
    #[arg(long)]
    variants: bool,
    /// Build what these take and nothing else, as a bench target asks for it.
    #[arg(long, hide = true, value_name = "JSON")]
    needs: Option<String>,
}

/// The environment variable that, where it is not empty, has what would have to be built named
/// instead.
const NO_BUILD: &str = "LUMOS_NO_BUILD";

/// What a build is to make, beside what is there and still fresh.
#[derive(Debug)]
pub struct BuildRequest {
    /// All of it anew.
    pub force: bool,
    /// For these platforms.
    pub platforms: Vec<Platform>,
    /// What of everything.
    pub scope: Scope,
}

impl BuildRequest {
    /// What something on this host takes.
    ///
    /// # Errors
    /// When artifacts are built for no such architecture.
    pub fn host(scope: Scope) -> Result<Self> {
        Ok(Self { force: false, platforms: vec![Platform::host()?], scope })
    }

    /// Every platform, and whether it is asked for: of the others, what is fresh is kept.
    fn all_platforms(&self) -> Result<Vec<(Platform, bool)>> {
        let is_asked = |arch: Arch| self.platforms.iter().any(|platform| platform.arch == arch);
        let others: Vec<Arch> = Arch::ALL.into_iter().filter(|&arch| !is_asked(arch)).collect();
        let others = Platform::all(&others, &[])?.into_iter().map(|platform| (platform, false));
        let asked = self.platforms.iter().map(|&platform| (platform, true));
        let mut all: Vec<(Platform, bool)> = asked.chain(others).collect();
        // The manifest's order is the same, whatever is asked for.
        all.sort_by_key(|(platform, _)| platform.arch);
        Ok(all)
    }
}

/// Runs the command.
///
/// # Errors
/// When the set-up is incomplete, or the workspace cannot be read. A function that does not
/// compile is an error too, after everything else was built.
pub fn run(layout: &Layout, arguments: &Arguments) -> Result<()> {
    let architectures = targets::architectures(&arguments.target)?;
    let platforms = Platform::all(&architectures, &arguments.isa)?;
    let scope = match &arguments.needs {
        Some(needs) => Scope::of(serde_json::from_str::<Vec<Need>>(needs).context("--needs")?),
        None => Scope::everything(arguments.variants),
    };
    let manifest = build(layout, &BuildRequest { force: arguments.force, platforms, scope })?;
    if arguments.needs.is_some() {
        return Ok(());
    }
    let folder = layout.artifacts();
    let (images, files): (Vec<&Artifact>, Vec<&Artifact>) =
        manifest.artifacts.iter().partition(|artifact| artifact.kind == ArtifactKind::Image);
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let mut targets: BTreeMap<&str, usize> = BTreeMap::new();
    for artifact in &manifest.artifacts {
        *targets.entry(&artifact.target).or_default() += 1;
    }
    println!(
        "{} artifacts, {:.1} MiB, and {} images, {:.1} MiB, in {}",
        files.len(),
        mebibytes(files.iter().map(|artifact| artifact.bytes).sum()),
        images.len(),
        // Images share layers: what they take is not the sum of their sizes.
        mebibytes(images::blob_bytes(&folder.join(images::FOLDER))?),
        folder.display()
    );
    let targets = targets.iter().map(|(target, count)| format!("{count} for {target}"));
    println!("{}", targets.collect::<Vec<_>>().join(", "));
    for (name, reason) in &manifest.missing {
        println!("missing: {name}: {reason}");
    }
    Ok(())
}

/// Sets up and builds; returns the manifest.
///
/// # Errors
/// As [`run`].
pub fn build(layout: &Layout, request: &BuildRequest) -> Result<ArtifactManifest> {
    let folder = layout.artifacts();
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    // Two builds at once would install and write the same files.
    let lock = File::create(folder.join("lock")).context("the artifacts' lock")?;
    if let Err(TryLockError::WouldBlock) = lock.try_lock() {
        eprintln!("Another build is under way in {}: waiting for its end.", folder.display());
    }
    lock.lock().context("the artifacts' lock")?;
    let mut architectures = vec![Arch::host()?];
    architectures.extend(request.platforms.iter().map(|platform| platform.arch));
    let guests = setup::ensure(&architectures)?;
    let crates = runtimes::read(layout, &guests.record)?;
    // A manifest that cannot be read is no reason to fail, but to build.
    let before = ArtifactManifest::read(&folder).ok();
    if request.scope.is_nothing() {
        return declare(&folder, guests, before, &crates);
    }
    Builder::new(layout, guests, before.unwrap_or_default(), request)?.build(&crates)
}

/// Notes in the manifest which runtimes there are, and leaves alone what is said of artifacts:
/// those are looked at when they are asked for.
fn declare(
    folder: &Path,
    guests: Guests,
    before: Option<ArtifactManifest>,
    crates: &[RuntimeCrate],
) -> Result<ArtifactManifest> {
    let before = before.unwrap_or_else(|| ArtifactManifest { partial: true, ..empty(&guests) });
    let manifest = ArtifactManifest { runtimes: declared(crates), ..before };
    write(folder, &manifest)?;
    Ok(manifest)
}

/// The manifest of a build that has not begun.
fn empty(guests: &Guests) -> ArtifactManifest {
    ArtifactManifest {
        schema_version: SCHEMA_VERSION,
        toolchain: guests.record.clone(),
        ..ArtifactManifest::default()
    }
}

/// The runtimes of all crates.
fn declared(crates: &[RuntimeCrate]) -> Vec<Runtime> {
    crates.iter().flat_map(|found| found.runtimes.clone()).collect()
}

/// Writes the manifest. It is untouched when nothing has changed: runs name it by its hash.
fn write(folder: &Path, manifest: &ArtifactManifest) -> Result<()> {
    place(&folder.join(ArtifactManifest::FILE), &serde_json::to_vec_pretty(manifest)?)
}

struct Builder<'b> {
    layout: &'b Layout,
    request: &'b BuildRequest,
    folder: PathBuf,
    guests: Guests,
    platforms: Vec<(Platform, bool)>,
    before: ArtifactManifest,
    /// The manifest that an interruption leaves.
    kept: Mutex<ArtifactManifest>,
    functions: Vec<String>,
    manifest: ArtifactManifest,
    failures: Vec<String>,
    /// Whether what is missing or stale is named instead of built.
    may_not_build: bool,
    lacking: Vec<String>,
    /// What Binaryen's optimiser calls itself, or why there is none.
    optimiser: Result<String, String>,
    progress: Arc<OnceLock<Progress>>,
}

/// An artifact to be built, as far as it is known beforehand.
struct Wanted {
    kind: ArtifactKind,
    function: Option<String>,
    engine: Option<String>,
    engine_version: Option<String>,
    variant: Option<Variant>,
    /// None where it is the same on all of them.
    platform: Option<Platform>,
    path: PathBuf,
    source_hash: String,
    target: String,
    toolchain: String,
    flags: Vec<String>,
    /// Whether it is to be made, and not only kept if it is fresh.
    is_asked: bool,
    /// Whether a build of everything for the host makes it.
    is_part: bool,
}

impl Wanted {
    /// How the manifest's `missing` and the harness's refusals name it.
    fn name(&self) -> String {
        let variant = self.variant.map(|variant| variant.to_string());
        let parts = [self.function.as_deref(), self.engine.as_deref(), variant.as_deref()];
        let parts = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let suffix = self.platform.map(Platform::suffix).unwrap_or_default();
        format!("{} {parts}{suffix}", self.kind)
    }
}

/// What became of a request.
enum Outcome {
    Artifact(Box<Artifact>),
    /// It was not asked for, and there is none that is fresh; whether a whole build has it.
    Nothing {
        is_part: bool,
    },
    /// It would have to be built, and nothing may be.
    Lacking {
        name: String,
    },
    /// This machine lacks what it takes.
    Missing {
        name: String,
        reason: String,
    },
    Failed {
        name: String,
        reason: String,
    },
}

/// What becomes of a request; else the request, for something to be built.
type Settled = Result<Outcome, Box<Wanted>>;

/// What a build step leaves beside its file.
type Made = Option<Compilation>;

impl<'b> Builder<'b> {
    fn new(
        layout: &'b Layout,
        guests: Guests,
        before: ArtifactManifest,
        request: &'b BuildRequest,
    ) -> Result<Self> {
        let functions = functions(layout)?;
        let manifest = empty(&guests);
        let (folder, platforms) = (layout.artifacts(), request.all_platforms()?);
        Ok(Self {
            layout,
            request,
            folder,
            guests,
            platforms,
            kept: Mutex::new(before.clone()),
            before,
            functions,
            manifest,
            failures: Vec::new(),
            may_not_build: std::env::var_os(NO_BUILD).is_some_and(|value| !value.is_empty()),
            lacking: Vec::new(),
            optimiser: optimiser(request.scope.has_variants()),
            progress: Arc::default(),
        })
    }

    fn build(mut self, crates: &[RuntimeCrate]) -> Result<ArtifactManifest> {
        self.manifest.runtimes = declared(crates);
        let mut wanted = self.all_forms()?;
        wanted.extend(self.all_workers(crates)?);
        let settled = self.settle(wanted)?;
        // Bases come over the network, and from other programs: meanwhile compilers run.
        let bases = self.begin_bases();
        self.tell(&settled);
        let compiled = self.compile(settled, crates).and_then(|()| self.precompile(crates));
        // They are waited for in any case: nothing goes on behind a build that has ended.
        let bases = bases.join().unwrap_or_else(|panic| resume_unwind(panic));
        compiled?;
        self.images(bases?)?;
        if !self.lacking.is_empty() {
            bail!("{NO_BUILD} is set, and these are missing or stale: {}", self.lacking.join(", "));
        }
        write(&self.folder, &self.manifest)?;
        if self.failures.is_empty() {
            return Ok(self.manifest);
        }
        bail!(
            "these could not be built, and their messages are above: {}",
            self.failures.join(", ")
        )
    }

    /// Says what becomes of each, or gives it back where it has to be built.
    fn settle(&self, all: Vec<Wanted>) -> Result<Vec<Settled>> {
        process::in_parallel(process::processors(), all, |wanted| Ok(self.outcome_of(wanted)))
    }

    /// Says how much there is to build, and about how long that takes: as long as it took before,
    /// or as others of its kind, or as where that was tried.
    fn tell(&self, settled: &[Settled]) {
        let left: Vec<&Wanted> =
            settled.iter().filter_map(|settled| settled.as_ref().err().map(Box::as_ref)).collect();
        if left.is_empty() {
            return;
        }
        let seconds: f64 = left.iter().map(|wanted| self.expected_seconds(wanted)).sum();
        let workers = left.iter().filter(|wanted| wanted.kind == ArtifactKind::Worker).count();
        eprintln!(
            "To build: {} forms of functions and {workers} workers, about {}; then what engines \
             precompile, and images",
            left.len() - workers,
            stages::duration(seconds)
        );
    }

    fn expected_seconds(&self, wanted: &Wanted) -> f64 {
        /// Two processors took so long for a form of a function, and for a worker.
        const USUAL: [f64; 2] = [2.5, 20.0];
        let times = |is_like: &dyn Fn(&Artifact) -> bool| -> Option<f64> {
            let like = self.before.artifacts.iter().filter(|known| is_like(known));
            let times: Vec<f64> = like.map(|known| known.build_time_ns as f64 / 1e9).collect();
            (!times.is_empty()).then(|| times.iter().sum::<f64>() / times.len() as f64)
        };
        let is_worker = wanted.kind == ArtifactKind::Worker;
        // Two folders of cargo's are busy with forms at once.
        let share = if is_worker { 1.0 } else { 0.5 };
        let known = times(&|known| is_same(known, wanted))
            .or_else(|| times(&|known| known.kind == wanted.kind));
        known.map_or(USUAL[usize::from(is_worker)], |seconds| seconds * share)
    }

    fn all_forms(&self) -> Result<Vec<Wanted>> {
        let forms = self.functions.iter().map(|function| self.forms(function));
        Ok(forms.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
    }

    /// Compiles what is left of forms and workers. To link with the whole program in view keeps
    /// one processor busy, and cargo does one thing at a time in a folder: so each folder has a
    /// thread of its own.
    fn compile(&mut self, settled: Vec<Settled>, crates: &[RuntimeCrate]) -> Result<()> {
        let mut outcomes = Vec::new();
        let mut queues: BTreeMap<String, Vec<(usize, Wanted)>> = BTreeMap::new();
        for (index, settled) in settled.into_iter().enumerate() {
            outcomes.push(match settled {
                Ok(outcome) => outcome,
                Err(wanted) => {
                    queues.entry(cargo_folder(&wanted)).or_default().push((index, *wanted));
                    Outcome::Nothing { is_part: false }
                }
            });
        }
        let this = &*self;
        let compile = |wanted: &Wanted, output: &Path| match wanted.kind {
            ArtifactKind::Worker => this.compile_worker(crates, wanted, output),
            _ => this.compile_guest(wanted, output),
        };
        let made = process::in_parallel(queues.len(), queues.into_values(), |queue| {
            let of_one = |(index, wanted)| Ok((index, this.make(wanted, compile)?));
            queue.into_iter().map(of_one).collect::<Result<Vec<_>>>()
        })?;
        made.into_iter().flatten().for_each(|(index, outcome)| outcomes[index] = outcome);
        // In the order of the requests, whoever was first.
        outcomes.into_iter().for_each(|outcome| self.note(outcome));
        Ok(())
    }

    /// The forms of a function that its source is compiled to.
    fn forms(&self, function: &str) -> Result<Vec<Wanted>> {
        let sources = source::guest_hash(self.layout, function)?;
        // Of a build for all that a processor offers, the processor is a source.
        let mut natives = BTreeMap::new();
        for (platform, _) in &self.platforms {
            let own = match platform.processor(false)?.as_str() {
                "" => sources.clone(),
                processor => sha256_hex(format!("{sources} {processor}").as_bytes()),
            };
            natives.insert(platform.arch, own);
        }
        let wanted = |kind, platform: Option<Platform>, variant: Option<Variant>, is_asked| {
            let target = platform.map_or(WASM.to_owned(), |platform| platform.arch.triple());
            let folder = Path::new(&target).join(function);
            let path = match variant {
                Some(variant) => folder.join(variant.to_string()).join(file_name(kind)),
                None => folder.join(file_name(kind)),
            };
            let mut flags = flags(kind);
            flags.extend(platform.iter().flat_map(|platform| platform.guest_flags()));
            flags.extend(
                variant_flags(variant.unwrap_or(Variant::DEFAULT)).filter(|_| platform.is_none()),
            );
            Wanted {
                kind,
                function: Some(function.to_owned()),
                engine: None,
                engine_version: None,
                variant,
                platform,
                path,
                source_hash: platform.map_or(&sources, |own| &natives[&own.arch]).clone(),
                toolchain: match (&self.optimiser, variant) {
                    (Ok(optimiser), Some(Variant { wasm_opt: true, .. })) => {
                        format!("{}, {optimiser}", self.guests.record.rustc)
                    }
                    _ => self.guests.record.rustc.clone(),
                },
                flags,
                target,
                is_asked,
                is_part: platform.is_none_or(Platform::is_host)
                    && Scope::everything(false).has_variant(variant),
            }
        };
        let mut all = Vec::new();
        let has = |kind, variant| self.request.scope.has_form(kind, function, variant);
        for kind in [ArtifactKind::Wasm, ArtifactKind::WasmCommand] {
            all.push(wanted(kind, None, None, has(kind, None)));
        }
        let natives =
            [ArtifactKind::NativeExe, ArtifactKind::NativeExeDynamic, ArtifactKind::NativeLib];
        for &(platform, is_asked) in &self.platforms {
            let own = |kind| wanted(kind, Some(platform), None, is_asked && has(kind, None));
            all.extend(natives.map(own));
        }
        for variant in Variant::ALL.into_iter().filter(|&variant| variant != Variant::DEFAULT) {
            let (kind, variant) = (ArtifactKind::Wasm, Some(variant));
            all.push(wanted(kind, None, variant, has(kind, variant)));
        }
        Ok(all)
    }

    fn compile_guest(&self, wanted: &Wanted, output: &Path) -> Result<Made> {
        let folder = self.layout.lumos().join("build").join(cargo_folder(wanted));
        let (mut command, kind) = self.guest_command(wanted)?;
        command.env("CARGO_TARGET_DIR", folder);
        let function = wanted.function.as_deref().unwrap_or_default();
        let built = cargo_output(&mut command, function, &kind, |_| {})?;
        match wanted.variant {
            Some(variant) if variant.wasm_opt => wasm_opt(&built, variant, output)?,
            _ => copy(&built, output)?,
        }
        Ok(None)
    }

    /// What compiles a form of a function, and the kind of what that leaves.
    ///
    /// Dependencies are compiled once for all forms of a target: what is a form's own reaches the
    /// compiler at the last step, in which the whole program is optimised. A library has one
    /// crate type there, since cargo leaves that optimisation out of a library that has a second.
    fn guest_command(&self, wanted: &Wanted) -> Result<(Command, TargetKind)> {
        let function = wanted.function.as_deref().unwrap_or_default();
        let mut shared = remapped_paths(self.layout);
        let mut command = match wanted.platform {
            Some(platform) => {
                shared.extend(platform.guest_flags());
                self.guests.cargo_for("rustc", platform, &shared)
            }
            None => {
                let variant = wanted.variant.unwrap_or(Variant::DEFAULT);
                shared.extend(variant.simd.then(|| SIMD.to_owned()));
                let mut command = self.guests.cargo_for_wasm("rustc", &shared);
                command.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", variant.opt_level());
                command
            }
        };
        command.current_dir(self.layout.guests()).args(["--package", function]);
        let kind = match wanted.kind {
            ArtifactKind::NativeLib | ArtifactKind::Wasm => {
                command.args(["--lib", "--crate-type", "cdylib"]);
                TargetKind::CDyLib
            }
            _ => {
                command.args(["--bin", function]);
                TargetKind::Bin
            }
        };
        let mut own: Vec<OsString> = flags(wanted.kind).into_iter().map(OsString::from).collect();
        if wanted.kind == ArtifactKind::Wasm {
            own.extend(self.guests.reactor_arguments()?);
        }
        with_flags(&mut command, own);
        Ok((command, kind))
    }

    fn all_workers(&self, crates: &[RuntimeCrate]) -> Result<Vec<Wanted>> {
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
                        flags: flags(ArtifactKind::Worker).into_iter().chain(features).collect(),
                        is_asked,
                        is_part: is_host && is_part,
                    });
                }
            }
        }
        Ok(all)
    }

    fn compile_worker(
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
        with_flags(&mut command, own.map(OsString::from));
        let compiled = |name: &str| {
            if let Some(progress) = self.progress.get() {
                progress.now(&format!("{}: {name}", wanted.name()));
            }
        };
        let built = cargo_output(&mut command, package, &TargetKind::Bin, compiled)?;
        copy(&built, output)?;
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

    /// What the crates' workers compile ahead of time, on all processors.
    fn precompile(&mut self, crates: &[RuntimeCrate]) -> Result<()> {
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

    /// An artifact of this build that can be used on an architecture.
    fn built(
        &self,
        kind: ArtifactKind,
        function: Option<&str>,
        engine: Option<&str>,
        variant: Option<Variant>,
        arch: Arch,
    ) -> Option<&Artifact> {
        self.manifest.artifacts.iter().find(|artifact| {
            artifact.kind == kind
                && artifact.function.as_deref() == function
                && artifact.engine.as_deref() == engine
                && artifact.variant == variant
                && artifact.runs_on(arch.name())
        })
    }

    /// Makes what images are built upon, for each platform in its order.
    fn begin_bases(&self) -> JoinHandle<Result<Vec<Vec<Base>>>> {
        let folder = self.layout.lumos().join("images");
        let (scope, force) = (self.request.scope.clone(), self.request.force);
        let (may_build, platforms) = (!self.may_not_build, self.platforms.clone());
        let progress = Arc::clone(&self.progress);
        thread::spawn(move || {
            let of_platform = |(platform, is_asked): (Platform, bool)| {
                let scope = Some(&scope).filter(|_| is_asked && may_build);
                let mut at = |step: &str| at(&progress, step);
                images::ready(&folder, platform.arch, scope, force, &mut at)
            };
            platforms.into_iter().map(of_platform).collect()
        })
    }

    /// The container images of what was built.
    fn images(&mut self, bases: Vec<Vec<Base>>) -> Result<()> {
        let mut at = |step: &str| at(&self.progress, step);
        let keep = |image: &Artifact| keep(&self.folder, &self.kept, image);
        let mut notes = BTreeMap::new();
        let (force, may_build) = (self.request.force, !self.may_not_build);
        let mut images =
            Images::begin(&self.folder, &self.functions, &self.before, force, may_build)?;
        for (&(platform, is_asked), bases) in self.platforms.iter().zip(bases) {
            let scope = Some(&self.request.scope).filter(|_| is_asked);
            images.add(platform, scope, &bases, &mut self.manifest, &mut at, &keep)?;
            let is_meant = |base: &Base| scope.is_some_and(|scope| scope.has_base(base.name));
            for base in bases.into_iter().filter(is_meant).filter(|_| may_build) {
                if let Err(reason) = base.layer {
                    notes.insert(format!("{}{}", base.name, platform.suffix()), reason);
                }
            }
        }
        self.lacking.extend(images.lacking());
        // Where nothing may be built, nothing is removed either.
        if self.lacking.is_empty() {
            images.finish()?;
        }
        self.progress = Arc::default();
        for (name, reason) in notes {
            eprintln!("note: no images on {name}: {reason}");
        }
        Ok(())
    }

    /// What becomes of a request without building anything; else the request.
    fn outcome_of(&self, wanted: Wanted) -> Settled {
        if let Some(artifact) = self.unchanged(&wanted) {
            return Ok(Outcome::Artifact(Box::new(artifact)));
        }
        if !wanted.is_asked {
            return Ok(Outcome::Nothing { is_part: wanted.is_part });
        }
        if self.may_not_build {
            return Ok(Outcome::Lacking { name: wanted.name() });
        }
        match &self.optimiser {
            Err(reason) if wanted.variant.is_some_and(|variant| variant.wasm_opt) => {
                Ok(Outcome::Missing { name: wanted.name(), reason: reason.clone() })
            }
            _ => Err(Box::new(wanted)),
        }
    }

    /// Builds an artifact. It is in its place as a whole or not at all, and what was built before
    /// an interruption is not built again.
    #[expect(clippy::disallowed_methods, reason = "how long a build took is no measurement")]
    fn make(
        &self,
        wanted: Wanted,
        make: impl FnOnce(&Wanted, &Path) -> Result<Made>,
    ) -> Result<Outcome> {
        let name = wanted.name();
        at(&self.progress, &name);
        let output = self.folder.join(&wanted.path);
        if let Some(parent) = output.parent() {
            fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        }
        let draft = draft_of(&output);
        let start = Instant::now();
        let made = make(&wanted, &draft).and_then(|made| {
            let build_time_ns = start.elapsed().as_nanos() as u64;
            fs::rename(&draft, &output).with_context(|| output.display().to_string())?;
            describe(wanted, &output, build_time_ns, made)
        });
        match made {
            Ok(artifact) => {
                keep(&self.folder, &self.kept, &artifact)?;
                Ok(Outcome::Artifact(Box::new(artifact)))
            }
            Err(error) => {
                // Often there is nothing: what failed has written nothing.
                let _ = fs::remove_file(&draft);
                eprintln!("{name}: {error:#}");
                Ok(Outcome::Failed { name, reason: format!("{error:#}") })
            }
        }
    }

    fn note(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Artifact(artifact) => self.manifest.artifacts.push(*artifact),
            Outcome::Nothing { is_part } => self.manifest.partial |= is_part,
            Outcome::Lacking { name } => self.lacking.push(name),
            Outcome::Missing { name, reason } => {
                self.manifest.missing.insert(name, reason);
            }
            Outcome::Failed { name, reason } => {
                self.manifest.missing.insert(name.clone(), reason);
                self.failures.push(name);
            }
        }
    }

    fn unchanged(&self, wanted: &Wanted) -> Option<Artifact> {
        if self.request.force && wanted.is_asked {
            return None;
        }
        let known = self.before.artifacts.iter().find(|known| is_same(known, wanted))?;
        let same = known.source_hash == wanted.source_hash
            && known.flags == wanted.flags
            && known.toolchain == wanted.toolchain
            && known.engine_version == wanted.engine_version
            && known.path == wanted.path;
        let file = fs::read(self.folder.join(&known.path)).ok().filter(|_| same)?;
        (sha256_hex(&file) == known.sha256).then(|| known.clone())
    }
}

/// Notes an artifact in the manifest of the last build, for the next one to find.
fn keep(folder: &Path, kept: &Mutex<ArtifactManifest>, artifact: &Artifact) -> Result<()> {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.artifacts.retain(|known| known.path != artifact.path);
    kept.artifacts.push(artifact.clone());
    write(folder, &kept)
}

/// Whether an artifact is what is wanted, fresh or not.
fn is_same(known: &Artifact, wanted: &Wanted) -> bool {
    known.kind == wanted.kind
        && known.function == wanted.function
        && known.engine == wanted.engine
        && known.variant == wanted.variant
        && known.target == wanted.target
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
    let printed = process::quiet_output(&mut command)?;
    serde_json::from_str(&printed).with_context(|| format!("`{}`", process::show(&command)))
}

/// Says what is being built. Most builds have nothing to do, and then say nothing.
fn at(progress: &OnceLock<Progress>, step: &str) {
    progress.get_or_init(|| Progress::begin("building", 0)).at(step);
}

fn describe(wanted: Wanted, file: &Path, build_time_ns: u64, made: Made) -> Result<Artifact> {
    let bytes = fs::read(file).with_context(|| file.display().to_string())?;
    let Wanted { kind, function, engine, engine_version, variant, path, source_hash, .. } = wanted;
    let Wanted { target, toolchain, flags, .. } = wanted;
    let counted = made.as_ref().and_then(|compilation| compilation.text_bytes);
    Ok(Artifact {
        kind,
        function,
        engine,
        engine_version,
        path,
        bytes: bytes.len() as u64,
        sha256: sha256_hex(&bytes),
        source_hash,
        target,
        toolchain,
        flags,
        build_time_ns,
        // An engine whose format is its own says itself how much of it is code.
        text_bytes: counted.or_else(|| text::bytes(&bytes)),
        variant,
        compilation: made,
        image: None,
    })
}

/// The folder that cargo builds a function's form in: one per set of flags that dependencies are
/// compiled with, or each would be compiled time and again.
fn cargo_folder(wanted: &Wanted) -> String {
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

/// What a function's artifact of a kind is called in its folder.
const fn file_name(kind: ArtifactKind) -> &'static str {
    match kind {
        ArtifactKind::NativeLib => "native-lib.so",
        ArtifactKind::Wasm => "reactor.wasm",
        ArtifactKind::WasmCommand => "command.wasm",
        _ => kind.name(),
    }
}

/// What lets the compiler use the instructions of `simd128`.
const SIMD: &str = "-Ctarget-feature=+simd128";

/// How the manifest tells variants apart, beside their name.
fn variant_flags(variant: Variant) -> impl Iterator<Item = String> {
    let opt_level = (variant.opt_level() != "3").then(|| "-Copt-level=s".to_owned());
    let simd = variant.simd.then(|| SIMD.to_owned());
    let optimiser = variant.wasm_opt.then(|| optimiser_arguments(variant).join(" "));
    [opt_level, simd, optimiser].into_iter().flatten()
}

/// What Binaryen's optimiser is called with: the same aim, and the features that rustc's target
/// has.
fn optimiser_arguments(variant: Variant) -> Vec<&'static str> {
    let mut arguments = vec![
        setup::WASM_OPT,
        if variant.for_size { "-Os" } else { "-O3" },
        "--enable-bulk-memory",
        "--enable-multivalue",
        "--enable-mutable-globals",
        "--enable-nontrapping-float-to-int",
        "--enable-reference-types",
        "--enable-sign-ext",
    ];
    arguments.extend(variant.simd.then_some("--enable-simd"));
    arguments
}

/// What Binaryen's optimiser calls itself, or why there is none; it is installed where it is
/// `needed`.
fn optimiser(needed: bool) -> Result<String, String> {
    if needed {
        setup::wasm_opt().map_err(|error| format!("{error:#}"))?;
    }
    let version = process::try_output(Command::new(setup::WASM_OPT).arg("--version"));
    version
        .ok_or_else(|| format!("there is no {}: `cargo xtask setup` installs it", setup::WASM_OPT))
}

fn wasm_opt(module: &Path, variant: Variant, output: &Path) -> Result<()> {
    let arguments = optimiser_arguments(variant);
    let mut command = Command::new(arguments[0]);
    command.args(&arguments[1..]).arg(module).arg("-o").arg(output);
    process::quiet_output(&mut command).map(drop)
}

/// The compiler's flags for a kind, beside the profile's.
fn flags(kind: ArtifactKind) -> Vec<String> {
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

/// Keeps the paths of this machine out of the artifacts.
fn remapped_paths(layout: &Layout) -> Vec<String> {
    let home = std::env::var("HOME").unwrap_or_default();
    let cargo = std::env::var("CARGO_HOME").unwrap_or_else(|_| format!("{home}/.cargo"));
    let root = layout.root.display();
    vec![format!("--remap-path-prefix={cargo}=cargo"), format!("--remap-path-prefix={root}=lumos")]
}

/// The functions: the folders of the guests' workspace, without what is no function.
fn functions(layout: &Layout) -> Result<Vec<String>> {
    let guests = layout.guests();
    let mut found: Vec<String> = fs::read_dir(&guests)
        .with_context(|| guests.display().to_string())?
        .flatten()
        .filter(|entry| entry.path().join("src/main.rs").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    Ok(found)
}

/// Has cargo tell what it builds, and hand these flags to the compiler of the last step alone.
fn with_flags(command: &mut Command, flags: impl IntoIterator<Item = OsString>) {
    command.args(["--quiet", "--message-format", "json-render-diagnostics", "--"]).args(flags);
}

/// Runs a cargo build, and returns the one file that it made of `package`; `compiled` is told of
/// each crate that it compiled.
fn cargo_output(
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

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("{} to {}", from.display(), to.display()))?;
    Ok(())
}

/// Writes a file as a whole or not at all, and leaves one alone that is the same.
///
/// # Errors
/// When it cannot be written.
pub fn place(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    let draft = draft_of(path);
    let written = fs::write(&draft, bytes).with_context(|| draft.display().to_string());
    let placed =
        written.and_then(|()| fs::rename(&draft, path).with_context(|| path.display().to_string()));
    if placed.is_err() {
        // Such as where the disk is full.
        let _ = fs::remove_file(&draft);
    }
    placed
}

/// Where a file is written before it is put into its place.
fn draft_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".draft");
    path.with_file_name(name)
}

/// The kinds of artifact and how many there are of each, for the doctor.
pub fn inventory(manifest: &ArtifactManifest) -> BTreeMap<ArtifactKind, usize> {
    let mut counts = BTreeMap::new();
    for artifact in &manifest.artifacts {
        *counts.entry(artifact.kind).or_default() += 1;
    }
    counts
}

/// The guests' toolchain in a line.
pub fn describe_toolchain(toolchain: &Toolchain) -> String {
    format!("{} ({}), LLVM {}", toolchain.rustc, toolchain.provider, toolchain.llvm)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// What the compiler was told of optimisation at the last step of a form, by the kind of form.
    fn options(builder: &Builder<'_>, wanted: &Wanted, folder: &Path) -> Vec<String> {
        let (log, wrapper) = (folder.join("log"), folder.join("wrapper"));
        fs::write(&wrapper, "#!/bin/sh\necho \"$@\" >> \"$RUSTC_LOG\"\nexec \"$@\"\n").unwrap();
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
        let (mut command, kind) = builder.guest_command(wanted).unwrap();
        command.env("CARGO_TARGET_DIR", folder.join(cargo_folder(wanted)));
        command.env("RUSTC_WRAPPER", &wrapper).env("RUSTC_LOG", &log);
        cargo_output(&mut command, "noop", &kind, |_| {}).unwrap();
        let log = fs::read_to_string(log).unwrap();
        let own = |line: &&str| {
            line.contains("--crate-name noop") && line.contains(&format!("--crate-type {kind}"))
        };
        let line = log.lines().rfind(own).unwrap_or_else(|| panic!("{kind}: {log}"));
        let words: Vec<&str> = line.split(' ').collect();
        let of_code = ["opt-level=", "lto", "codegen-units=", "panic=", "linker-plugin-lto"];
        let is_of_code = |option: &str| of_code.iter().any(|name| option.starts_with(name));
        let mut options: Vec<String> = words
            .iter()
            .enumerate()
            .filter_map(|(index, word)| match *word {
                "-C" => words.get(index + 1).copied(),
                word => word.strip_prefix("-C"),
            })
            .filter(|option| is_of_code(option))
            .map(str::to_owned)
            .collect();
        options.sort();
        options
    }

    #[test]
    fn every_form_of_a_function_is_optimised_alike() {
        let layout = Layout::find(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        let guests = Guests::find(&[Arch::host().unwrap()]).unwrap();
        let guests = guests.expect("`cargo xtask setup` installs what compiles functions");
        let request = BuildRequest::host(Scope::everything(false)).unwrap();
        let builder = Builder::new(&layout, guests, ArtifactManifest::default(), &request).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let forms = builder.forms("noop").unwrap();
        let forms = forms.iter().filter(|wanted| wanted.is_asked);
        let found: BTreeMap<ArtifactKind, Vec<String>> =
            forms.map(|wanted| (wanted.kind, options(&builder, wanted, folder.path()))).collect();
        assert_eq!(found.len(), 5, "{found:?}");
        for (kind, options) in found {
            let expected = ["codegen-units=1", "lto=fat", "opt-level=3", "panic=abort"];
            assert_eq!(options, expected, "{kind}");
        }
    }

    #[test]
    fn a_build_of_everything_asks_for_all_that_a_whole_one_has() {
        let layout = Layout::find(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        let guests = Guests::find(&[Arch::host().unwrap()]).unwrap();
        let guests = guests.expect("`cargo xtask setup` installs what compiles functions");
        let request = BuildRequest::host(Scope::everything(false)).unwrap();
        let builder = Builder::new(&layout, guests, ArtifactManifest::default(), &request).unwrap();
        let crates = runtimes::read(&layout, &Toolchain::default()).unwrap();
        let mut wanted = builder.all_forms().unwrap();
        wanted.extend(builder.all_workers(&crates).unwrap());
        // Compilers for other architectures alone are among what there can be.
        assert!(wanted.iter().any(|one| one.kind == ArtifactKind::Worker && !one.is_part));
        for one in wanted {
            assert_eq!(one.is_asked, one.is_part, "{}", one.name());
        }
    }

    #[test]
    fn what_was_built_is_kept_at_once_and_what_failed_leaves_nothing() {
        let checkout = Layout::find(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout { target: folder.path().to_owned(), ..checkout };
        let guests = Guests::find(&[Arch::host().unwrap()]).unwrap();
        let guests = guests.expect("`cargo xtask setup` installs what compiles functions");
        let request = BuildRequest::host(Scope::everything(false)).unwrap();
        let builder = |before| Builder::new(&layout, guests.clone(), before, &request).unwrap();
        let first = builder(ArtifactManifest::default());
        let mut forms = first.forms("noop").unwrap().into_iter();
        let (made, failed) = (forms.next().unwrap(), forms.next().unwrap());
        let files = || {
            let folder = layout.artifacts().join(WASM).join("noop");
            let names = fs::read_dir(folder).unwrap().flatten();
            names.map(|entry| entry.file_name().into_string().unwrap()).collect::<Vec<_>>()
        };
        let outcome = first.make(made, |_, output| Ok(fs::write(output, "whole").map(|()| None)?));
        assert!(matches!(outcome.unwrap(), Outcome::Artifact(_)));
        // As where the disk is full.
        let outcome = first.make(failed, |_, output| {
            fs::write(output, "ha")?;
            bail!("no space left on device")
        });
        let Outcome::Failed { reason, .. } = outcome.unwrap() else { panic!("it was made") };
        assert!(reason.contains("no space left"), "{reason}");
        assert_eq!(files(), ["reactor.wasm"]);
        // The next build finds what an interruption has left.
        let before = ArtifactManifest::read(&layout.artifacts()).unwrap();
        let second = builder(before);
        let again = second.forms("noop").unwrap().into_iter().map(|form| second.outcome_of(form));
        let kept = again.filter(|settled| matches!(settled, Ok(Outcome::Artifact(_)))).count();
        assert_eq!(kept, 1);
    }

    #[test]
    fn a_file_that_cannot_be_placed_leaves_no_draft() {
        let folder = tempfile::tempdir().unwrap();
        // A folder is where the file should be.
        let path = folder.path().join("file");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("inside"), "").unwrap();
        assert!(place(&path, b"bytes").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
