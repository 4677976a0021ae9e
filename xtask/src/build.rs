//! `cargo xtask build`: from sources to artifacts, and the manifest that says what they are.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use cargo_metadata::{Message, TargetKind};
use lumos_record::{
    Artifact, ArtifactKind, ArtifactManifest, Compilation, Layout, Runtime, SCHEMA_VERSION,
    Toolchain, Variant,
};
use lumos_workloads::sha256_hex;

use crate::images::{self, Images};
use crate::progress::Progress;
use crate::runtimes::{self, RuntimeCrate, WorkerDeclaration};
use crate::targets::{self, Arch, Isa, Platform};
use crate::toolchain::{Guests, WASM};
use crate::{process, setup, source, text};

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
    isa: Vec<Isa>,
    /// Build the functions' Wasm in every way that the suite `variants` compares
    #[arg(long)]
    variants: bool,
}

/// What a build is to make, beside what is there and still fresh.
#[derive(Debug)]
pub struct Wish {
    /// Everything anew.
    pub force: bool,
    /// For these platforms.
    pub platforms: Vec<Platform>,
    /// Every variant of the functions' Wasm.
    pub variants: bool,
    /// Of other platforms, the workers that link a compiler too: they take the longest.
    pub compilers: bool,
}

impl Wish {
    /// What measuring on this host takes.
    ///
    /// # Errors
    /// When artifacts are built for no such architecture.
    pub fn host() -> Result<Self> {
        let platforms = vec![Platform::host()?];
        Ok(Self { force: false, platforms, variants: false, compilers: true })
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
    let Arguments { force, variants, .. } = *arguments;
    let wish = Wish { force, platforms, variants, compilers: true };
    let manifest = build(layout, &wish)?;
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
pub fn build(layout: &Layout, wish: &Wish) -> Result<ArtifactManifest> {
    let mut architectures = vec![Arch::host()?];
    architectures.extend(wish.platforms.iter().map(|platform| platform.arch));
    let guests = setup::ensure(&architectures)?;
    let folder = layout.artifacts();
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    // Two builds at once would write the same files.
    let lock = File::create(folder.join("lock")).context("the artifacts' lock")?;
    lock.lock().context("the artifacts' lock")?;
    let crates = runtimes::read(layout, &guests.record)?;
    // A manifest that cannot be read is no reason to fail, but to build.
    let before = ArtifactManifest::read(&folder).unwrap_or_default();
    Builder::new(layout, guests, before, wish)?.build(&crates)
}

struct Builder<'b> {
    layout: &'b Layout,
    wish: &'b Wish,
    folder: PathBuf,
    guests: Guests,
    platforms: Vec<(Platform, bool)>,
    before: ArtifactManifest,
    functions: Vec<String>,
    manifest: ArtifactManifest,
    failures: Vec<String>,
    /// What Binaryen's optimiser calls itself, or why there is none.
    optimiser: Result<String, String>,
    progress: OnceLock<Progress>,
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

/// What became of a wish.
enum Outcome {
    Artifact(Box<Artifact>),
    /// It was not asked for, and there is none that is fresh.
    Nothing,
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

/// What a build step leaves beside its file.
type Made = Option<Compilation>;

impl<'b> Builder<'b> {
    fn new(
        layout: &'b Layout,
        guests: Guests,
        before: ArtifactManifest,
        wish: &'b Wish,
    ) -> Result<Self> {
        let functions = functions(layout)?;
        let manifest = ArtifactManifest {
            schema_version: SCHEMA_VERSION,
            toolchain: guests.record.clone(),
            ..ArtifactManifest::default()
        };
        let (folder, platforms) = (layout.artifacts(), wish.all_platforms()?);
        Ok(Self {
            layout,
            wish,
            folder,
            guests,
            platforms,
            before,
            functions,
            manifest,
            failures: Vec::new(),
            optimiser: optimiser(wish.variants),
            progress: OnceLock::new(),
        })
    }

    fn build(mut self, crates: &[RuntimeCrate]) -> Result<ArtifactManifest> {
        self.manifest.runtimes = crates.iter().flat_map(|found| found.runtimes.clone()).collect();
        self.guests()?;
        for found in crates {
            for worker in &found.workers {
                self.worker(found, worker)?;
            }
            self.precompile(found)?;
        }
        self.images()?;
        let text = serde_json::to_vec_pretty(&self.manifest)?;
        // Untouched when nothing has changed: runs name the manifest by its hash.
        place(&self.folder.join(ArtifactManifest::FILE), &text)?;
        if self.failures.is_empty() {
            return Ok(self.manifest);
        }
        bail!(
            "these could not be built, and their messages are above: {}",
            self.failures.join(", ")
        )
    }

    /// All forms of all functions that their sources are compiled to. To link with the whole
    /// program in view keeps one processor busy, so each folder that cargo locks has a thread of
    /// its own.
    fn guests(&mut self) -> Result<()> {
        let mut all = Vec::new();
        for function in &self.functions {
            all.extend(self.forms(function)?);
        }
        let count = all.len();
        let mut queues: BTreeMap<String, Vec<(usize, Wanted)>> = BTreeMap::new();
        for (index, wanted) in all.into_iter().enumerate() {
            queues.entry(cargo_folder(&wanted)).or_default().push((index, wanted));
        }
        let mut outcomes: Vec<Outcome> = (0..count).map(|_| Outcome::Nothing).collect();
        let this = &*self;
        thread::scope(|scope| {
            let of_queue = |queue: Vec<(usize, Wanted)>| -> Result<Vec<(usize, Outcome)>> {
                let of_one = |(index, wanted)| {
                    let outcome =
                        this.outcome(wanted, |wanted, output| this.compile_guest(wanted, output))?;
                    Ok((index, outcome))
                };
                queue.into_iter().map(of_one).collect()
            };
            let threads: Vec<_> =
                queues.into_values().map(|queue| scope.spawn(move || of_queue(queue))).collect();
            for thread in threads {
                let made = thread.join().unwrap_or_else(|panic| resume_unwind(panic))?;
                made.into_iter().for_each(|(index, outcome)| outcomes[index] = outcome);
            }
            Ok::<_, anyhow::Error>(())
        })?;
        // In the order of the wishes, whoever was first.
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
            }
        };
        let mut all = Vec::new();
        for kind in [ArtifactKind::Wasm, ArtifactKind::WasmCommand] {
            all.push(wanted(kind, None, None, true));
        }
        let natives =
            [ArtifactKind::NativeExe, ArtifactKind::NativeExeDynamic, ArtifactKind::NativeLib];
        for &(platform, is_asked) in &self.platforms {
            all.extend(natives.map(|kind| wanted(kind, Some(platform), None, is_asked)));
        }
        for variant in Variant::ALL.into_iter().filter(|&variant| variant != Variant::DEFAULT) {
            all.push(wanted(ArtifactKind::Wasm, None, Some(variant), self.wish.variants));
        }
        Ok(all)
    }

    fn compile_guest(&self, wanted: &Wanted, output: &Path) -> Result<Made> {
        let folder = self.layout.lumos().join("build").join(cargo_folder(wanted));
        let (mut command, kind) = self.guest_command(wanted)?;
        command.env("CARGO_TARGET_DIR", folder);
        let function = wanted.function.as_deref().unwrap_or_default();
        let built = cargo_output(&mut command, function, &kind)?;
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

    fn worker(&mut self, found: &RuntimeCrate, worker: &WorkerDeclaration) -> Result<()> {
        let source_hash = source::worker_hash(self.layout, &found.package)?;
        let version = process::output(process::rustc().arg("--version"))?.trim().to_owned();
        for (platform, is_asked) in self.platforms.clone() {
            let is_host = platform.is_host();
            // What compiles ahead of time does so here, for all platforms.
            let links_compiler = !worker.precompiles.is_empty();
            let is_compiler = is_host && links_compiler;
            let is_asked = is_asked && (is_host || !links_compiler || self.wish.compilers);
            let target = platform.arch.triple();
            let features = worker.features.iter().map(|feature| format!("feature={feature}"));
            let features: Vec<String> = features.collect();
            let wanted = Wanted {
                kind: ArtifactKind::Worker,
                function: None,
                engine: Some(worker.name.clone()),
                engine_version: found
                    .runtimes
                    .first()
                    .map(|runtime| runtime.engine_version.clone()),
                variant: None,
                platform: Some(platform),
                path: Path::new(&target).join("workers").join(&worker.name),
                source_hash: source_hash.clone(),
                target,
                toolchain: if is_host { &version } else { &self.guests.record.rustc }.clone(),
                flags: [flags(ArtifactKind::Worker), features].concat(),
                is_asked: is_asked || is_compiler,
            };
            self.make(wanted, |builder, wanted, output| {
                // The compiler of the bench targets, so that both share their dependencies.
                let mut command = match is_host {
                    true => process::cargo(),
                    false => builder.guests.cargo_for("rustc", platform, &[]),
                };
                if is_host {
                    command.args(["rustc", "--release", "--locked"]);
                }
                command.current_dir(&builder.layout.root);
                command.args(["--package", &found.package, "--bin", &worker.name]);
                command.args(["--no-default-features", "--features", &worker.features.join(",")]);
                // The flags reach the program alone, not its dependencies: those are the same as
                // the bench targets', and are compiled once.
                let own = wanted.flags.iter().filter(|flag| flag.starts_with('-'));
                with_flags(&mut command, own.map(OsString::from));
                let built = cargo_output(&mut command, &found.package, &TargetKind::Bin)?;
                copy(&built, output)?;
                Ok(None)
            })?;
        }
        Ok(())
    }

    /// What a crate's workers compile ahead of time.
    fn precompile(&mut self, found: &RuntimeCrate) -> Result<()> {
        for worker in &found.workers {
            for engine in &worker.precompiles {
                let Some(runtime) = found.runtimes.iter().find(|known| &known.name == engine)
                else {
                    bail!(
                        "{}: worker {} precompiles for {engine}, which is no runtime of the \
                           crate",
                        found.package,
                        worker.name
                    );
                };
                let portable = found.targets.get(engine).map(String::as_str);
                for function in self.functions.clone() {
                    self.precompile_function(runtime, worker, &function, portable)?;
                }
            }
        }
        Ok(())
    }

    /// What an engine makes of a function: for each platform, or once for the target `portable`,
    /// whose code runs on all of them; of other variants than the default for the host alone.
    fn precompile_function(
        &mut self,
        runtime: &Runtime,
        worker: &WorkerDeclaration,
        function: &str,
        portable: Option<&str>,
    ) -> Result<()> {
        let platforms: Vec<(Option<Platform>, bool)> = match portable {
            Some(_) => vec![(None, true)],
            None => {
                self.platforms.iter().map(|&(platform, asked)| (Some(platform), asked)).collect()
            }
        };
        for variant in [None].into_iter().chain(Variant::ALL.map(Some)) {
            for &(platform, is_asked) in &platforms {
                let is_measured = platform.is_none_or(Platform::is_host);
                let is_asked = match variant {
                    None => is_asked,
                    Some(Variant::DEFAULT) => continue,
                    Some(_) if !is_measured => continue,
                    Some(_) => is_asked && self.wish.variants,
                };
                let target = (platform, portable);
                self.precompile_one(runtime, worker, function, target, variant, is_asked)?;
            }
        }
        Ok(())
    }

    fn precompile_one(
        &mut self,
        runtime: &Runtime,
        worker: &WorkerDeclaration,
        function: &str,
        (platform, portable): (Option<Platform>, Option<&str>),
        variant: Option<Variant>,
        is_asked: bool,
    ) -> Result<()> {
        let host = Arch::host()?;
        let module = self.built(ArtifactKind::Wasm, Some(function), None, variant, host).cloned();
        let program =
            self.built(ArtifactKind::Worker, None, Some(&worker.name), None, host).cloned();
        let target = match (portable, platform) {
            (Some(portable), _) => portable.to_owned(),
            (None, Some(platform)) => platform.arch.triple(),
            (None, None) => self.guests.host.clone(),
        };
        let folder = Path::new(&target).join("precompiled").join(&runtime.name);
        let name = match variant {
            Some(variant) => format!("{function}-{variant}.bin"),
            None => format!("{function}.bin"),
        };
        let mut wanted = Wanted {
            kind: ArtifactKind::Precompiled,
            function: Some(function.to_owned()),
            engine: Some(runtime.name.clone()),
            engine_version: Some(runtime.engine_version.clone()),
            variant,
            platform,
            path: folder.join(name),
            source_hash: String::new(),
            target,
            toolchain: format!("{} {}", runtime.package, runtime.engine_version),
            // Bytecode is the same anywhere.
            flags: platform.map(Platform::engine_flag).into_iter().collect(),
            is_asked,
        };
        let (Some(module), Some(program)) = (module, program) else {
            if is_asked {
                let reason = "its module or its compiler could not be built".to_owned();
                self.manifest.missing.insert(wanted.name(), reason);
            }
            return Ok(());
        };
        // What is compiled, and by what.
        let processor = platform.map_or(Ok(String::new()), |platform| platform.processor(true))?;
        let inputs = format!("{} {} {processor}", module.sha256, program.sha256);
        wanted.source_hash = sha256_hex(inputs.as_bytes());
        self.make(wanted, |builder, wanted, output| {
            let target = wanted.platform.map_or(wanted.target.clone(), Platform::engine_target);
            let (program, module) =
                (builder.folder.join(&program.path), builder.folder.join(&module.path));
            precompile(&program, &runtime.name, &module, output, &target).map(Some)
        })
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

    /// The container images of what was built.
    fn images(&mut self) -> Result<()> {
        let mut at = |step: &str| at(&self.progress, step);
        let folder = self.layout.lumos().join("images");
        let mut notes = BTreeMap::new();
        let mut images =
            Images::begin(&self.folder, &self.functions, &self.before, self.wish.force)?;
        for &(platform, is_asked) in &self.platforms {
            let make = match (is_asked, self.wish.force) {
                (false, _) => images::Make::Nothing,
                (true, false) => images::Make::Missing,
                (true, true) => images::Make::All,
            };
            let bases = images::ready(&folder, platform.arch, make, &mut at)?;
            images.add(platform, is_asked, &bases, &mut self.manifest, &mut at)?;
            for base in bases.into_iter().filter(|_| is_asked) {
                if let Err(reason) = base.layer {
                    notes.insert(format!("{}{}", base.name, platform.suffix()), reason);
                }
            }
        }
        images.finish()?;
        drop(self.progress.take());
        for (name, reason) in notes {
            eprintln!("note: no images on {name}: {reason}");
        }
        Ok(())
    }

    /// Takes an artifact over from the last build, or makes it; one that cannot be made is in
    /// the manifest with the reason.
    fn make(
        &mut self,
        wanted: Wanted,
        make: impl FnOnce(&Self, &Wanted, &Path) -> Result<Made>,
    ) -> Result<()> {
        let this = &*self;
        let outcome = this.outcome(wanted, |wanted, output| make(this, wanted, output))?;
        self.note(outcome);
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "how long a build took is no measurement")]
    fn outcome(
        &self,
        wanted: Wanted,
        make: impl FnOnce(&Wanted, &Path) -> Result<Made>,
    ) -> Result<Outcome> {
        if let Some(artifact) = self.unchanged(&wanted) {
            return Ok(Outcome::Artifact(Box::new(artifact)));
        }
        if !wanted.is_asked {
            return Ok(Outcome::Nothing);
        }
        let name = wanted.name();
        if wanted.variant.is_some_and(|variant| variant.wasm_opt)
            && let Err(reason) = &self.optimiser
        {
            return Ok(Outcome::Missing { name, reason: reason.clone() });
        }
        at(&self.progress, &name);
        let output = self.folder.join(&wanted.path);
        if let Some(parent) = output.parent() {
            fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        }
        let start = Instant::now();
        Ok(match make(&wanted, &output) {
            Ok(made) => {
                let build_time_ns = start.elapsed().as_nanos() as u64;
                Outcome::Artifact(Box::new(describe(wanted, &output, build_time_ns, made)?))
            }
            Err(error) => {
                eprintln!("{name}: {error:#}");
                Outcome::Failed { name, reason: format!("{error:#}") }
            }
        })
    }

    fn note(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Artifact(artifact) => self.manifest.artifacts.push(*artifact),
            Outcome::Nothing => {}
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
        if self.wish.force && wanted.is_asked {
            return None;
        }
        let known = self.before.artifacts.iter().find(|known| {
            known.kind == wanted.kind
                && known.function == wanted.function
                && known.engine == wanted.engine
                && known.variant == wanted.variant
                && known.target == wanted.target
        })?;
        let same = known.source_hash == wanted.source_hash
            && known.flags == wanted.flags
            && known.toolchain == wanted.toolchain
            && known.engine_version == wanted.engine_version
            && known.path == wanted.path;
        let file = fs::read(self.folder.join(&known.path)).ok().filter(|_| same)?;
        (sha256_hex(&file) == known.sha256).then(|| known.clone())
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

/// Runs a cargo build, and returns the one file that it made of `package`.
fn cargo_output(command: &mut Command, package: &str, kind: &TargetKind) -> Result<PathBuf> {
    let messages = process::quiet_output(command)?;
    let mut file = None;
    for message in Message::parse_stream(messages.as_bytes()) {
        let Ok(Message::CompilerArtifact(artifact)) = message else { continue };
        let own = artifact
            .manifest_path
            .parent()
            .is_some_and(|folder| folder.file_name().is_some_and(|name| package.ends_with(name)));
        if own && artifact.target.kind.contains(kind) {
            let finished = artifact.filenames.iter().find(|file| file.extension() != Some("rlib"));
            file = artifact.executable.as_ref().or(finished).map(PathBuf::from);
        }
    }
    file.with_context(|| format!("`{}` left no {kind:?}", process::show(command)))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    // A worker that still runs keeps its old file; writing into it would fail.
    let _ = fs::remove_file(to);
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
    let draft = path.with_extension("draft");
    fs::write(&draft, bytes).with_context(|| draft.display().to_string())?;
    fs::rename(&draft, path).with_context(|| path.display().to_string())
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
