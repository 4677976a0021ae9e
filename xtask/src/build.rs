//! `cargo xtask build`: from sources to artifacts, and the manifest that says what they are.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use cargo_metadata::{Message, TargetKind};
use lumos_record::{
    Artifact, ArtifactKind, ArtifactManifest, Layout, Runtime, SCHEMA_VERSION, Toolchain,
};
use lumos_workloads::sha256_hex;

use crate::images::{self, Images};
use crate::progress::Progress;
use crate::runtimes::{self, RuntimeCrate, WorkerDeclaration};
use crate::setup;
use crate::toolchain::{Guests, WASM};
use crate::{process, source};

/// Builds every artifact that is missing or stale, after setting up what that takes.
#[derive(Debug, Default, clap::Args)]
pub struct Arguments {
    /// Build everything anew
    #[arg(long)]
    force: bool,
}

/// Runs the command.
///
/// # Errors
/// When the set-up is incomplete, or the workspace cannot be read. A function that does not
/// compile is an error too, after everything else was built.
pub fn run(layout: &Layout, arguments: &Arguments) -> Result<()> {
    let manifest = build(layout, arguments.force)?;
    let folder = layout.artifacts();
    let (images, files): (Vec<&Artifact>, Vec<&Artifact>) =
        manifest.artifacts.iter().partition(|artifact| artifact.kind == ArtifactKind::Image);
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "{} artifacts, {:.1} MiB, and {} images, {:.1} MiB, in {}",
        files.len(),
        mebibytes(files.iter().map(|artifact| artifact.bytes).sum()),
        images.len(),
        // Images share layers: what they take is not the sum of their sizes.
        mebibytes(images::blob_bytes(&folder.join(images::FOLDER))?),
        folder.display()
    );
    Ok(())
}

/// Sets up and builds; returns the manifest.
///
/// # Errors
/// As [`run`].
pub fn build(layout: &Layout, force: bool) -> Result<ArtifactManifest> {
    let guests = setup::ensure()?;
    let folder = layout.artifacts();
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    // Two builds at once would write the same files.
    let lock = File::create(folder.join("lock")).context("the artifacts' lock")?;
    lock.lock().context("the artifacts' lock")?;
    let crates = runtimes::read(layout, &guests.record)?;
    let before = match force {
        true => ArtifactManifest::default(),
        // A manifest that cannot be read is no reason to fail, but to build.
        false => ArtifactManifest::read(&folder).unwrap_or_default(),
    };
    Builder::new(layout, guests, before)?.build(&crates, force)
}

struct Builder<'b> {
    layout: &'b Layout,
    folder: PathBuf,
    guests: Guests,
    before: ArtifactManifest,
    functions: Vec<String>,
    manifest: ArtifactManifest,
    failures: Vec<String>,
    progress: Option<Progress>,
}

/// An artifact to be built, as far as it is known beforehand.
struct Wanted {
    kind: ArtifactKind,
    function: Option<String>,
    engine: Option<String>,
    engine_version: Option<String>,
    path: PathBuf,
    source_hash: String,
    target: String,
    toolchain: String,
    flags: Vec<String>,
}

impl Wanted {
    /// How the manifest's `missing` and the harness's refusals name it.
    fn name(&self) -> String {
        let parts = [self.function.as_deref(), self.engine.as_deref()];
        let parts = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
        format!("{} {parts}", self.kind)
    }
}

impl<'b> Builder<'b> {
    fn new(layout: &'b Layout, guests: Guests, before: ArtifactManifest) -> Result<Self> {
        let functions = functions(layout)?;
        let manifest = ArtifactManifest {
            schema_version: SCHEMA_VERSION,
            toolchain: guests.record.clone(),
            ..ArtifactManifest::default()
        };
        let folder = layout.artifacts();
        let (failures, progress) = (Vec::new(), None);
        Ok(Self { layout, folder, guests, before, functions, manifest, failures, progress })
    }

    fn build(mut self, crates: &[RuntimeCrate], force: bool) -> Result<ArtifactManifest> {
        self.manifest.runtimes = crates.iter().flat_map(|found| found.runtimes.clone()).collect();
        for function in self.functions.clone() {
            self.function(&function)?;
        }
        for found in crates {
            for worker in &found.workers {
                self.worker(found, worker)?;
            }
            self.precompile(found)?;
        }
        self.images(force)?;
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

    /// The forms of a function that its source is compiled to.
    fn function(&mut self, function: &str) -> Result<()> {
        let sources = source::guest_hash(self.layout, function)?;
        let forms = [
            (ArtifactKind::NativeExe, "native-exe"),
            (ArtifactKind::NativeExeDynamic, "native-exe-dynamic"),
            (ArtifactKind::NativeLib, "native-lib.so"),
            (ArtifactKind::Wasm, "reactor.wasm"),
            (ArtifactKind::WasmCommand, "command.wasm"),
        ];
        for (kind, file) in forms {
            let wasm = matches!(kind, ArtifactKind::Wasm | ArtifactKind::WasmCommand);
            let target = if wasm { WASM } else { &self.guests.host }.to_owned();
            let wanted = Wanted {
                kind,
                function: Some(function.to_owned()),
                engine: None,
                engine_version: None,
                path: Path::new(&target).join(function).join(file),
                source_hash: sources.clone(),
                toolchain: self.guests.record.rustc.clone(),
                flags: flags(kind),
                target,
            };
            self.make(wanted, |builder, wanted, output| builder.compile_guest(wanted, output))?;
        }
        Ok(())
    }

    fn compile_guest(&self, wanted: &Wanted, output: &Path) -> Result<()> {
        let function = wanted.function.as_deref().unwrap_or_default();
        let is_lib = matches!(wanted.kind, ArtifactKind::NativeLib | ArtifactKind::Wasm);
        let mut rustflags = remapped_paths(self.layout);
        let mut command = match wanted.kind {
            // A reactor's start file is its own: a command must not have it.
            ArtifactKind::Wasm => self.guests.cargo("rustc", &wanted.target, &rustflags),
            _ => {
                rustflags.extend(wanted.flags.iter().cloned());
                self.guests.cargo("build", &wanted.target, &rustflags)
            }
        };
        // One folder per set of flags, or cargo would build each dependency time and again.
        let folder = self.layout.lumos().join("build").join(match wanted.kind {
            ArtifactKind::NativeExe => "native-exe",
            ArtifactKind::NativeExeDynamic => "native-exe-dynamic",
            ArtifactKind::NativeLib => "native-lib",
            _ => WASM,
        });
        command.current_dir(self.layout.guests()).env("CARGO_TARGET_DIR", folder);
        command.args(["--package", function, if is_lib { "--lib" } else { "--bins" }]);
        let extra = match wanted.kind {
            ArtifactKind::Wasm => self.guests.reactor_arguments()?,
            _ => Vec::new(),
        };
        let kind = if is_lib { TargetKind::CDyLib } else { TargetKind::Bin };
        let built = cargo_output(&mut command, &extra, function, &kind)?;
        copy(&built, output)
    }

    fn worker(&mut self, found: &RuntimeCrate, worker: &WorkerDeclaration) -> Result<()> {
        let toolchain = process::output(process::rustc().arg("--version"))?.trim().to_owned();
        let host = &self.guests.host;
        let wanted = Wanted {
            kind: ArtifactKind::Worker,
            function: None,
            engine: Some(worker.name.clone()),
            engine_version: found.runtimes.first().map(|runtime| runtime.engine_version.clone()),
            path: Path::new(host).join("workers").join(&worker.name),
            source_hash: source::worker_hash(self.layout, &found.package)?,
            target: host.clone(),
            toolchain,
            flags: flags(ArtifactKind::Worker),
        };
        self.make(wanted, |builder, wanted, output| {
            let mut command = process::cargo();
            command.current_dir(&builder.layout.root).args(["rustc", "--release", "--locked"]);
            command.args(["--package", &found.package, "--bin", &worker.name]);
            command.args(["--no-default-features", "--features", &worker.features.join(",")]);
            // The flags reach the program alone, not its dependencies: those are the same as
            // the bench targets', and are compiled once.
            let extra: Vec<OsString> = wanted.flags.iter().map(OsString::from).collect();
            let built = cargo_output(&mut command, &extra, &found.package, &TargetKind::Bin)?;
            copy(&built, output)
        })
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
                let target = found.targets.get(engine).unwrap_or(&self.guests.host).clone();
                for function in self.functions.clone() {
                    self.precompile_one(runtime, worker, &function, &target)?;
                }
            }
        }
        Ok(())
    }

    fn precompile_one(
        &mut self,
        runtime: &Runtime,
        worker: &WorkerDeclaration,
        function: &str,
        target: &str,
    ) -> Result<()> {
        let module = self.manifest.find(ArtifactKind::Wasm, Some(function), None).cloned();
        let program = self.manifest.find(ArtifactKind::Worker, None, Some(&worker.name)).cloned();
        let mut wanted = Wanted {
            kind: ArtifactKind::Precompiled,
            function: Some(function.to_owned()),
            engine: Some(runtime.name.clone()),
            engine_version: Some(runtime.engine_version.clone()),
            path: Path::new(&self.guests.host)
                .join("precompiled")
                .join(&runtime.name)
                .join(format!("{function}.bin")),
            source_hash: String::new(),
            target: target.to_owned(),
            toolchain: format!("{} {}", runtime.package, runtime.engine_version),
            // Machine code uses what the host's processor offers; bytecode is the same anywhere.
            flags: match target == self.guests.host {
                true => vec!["target-cpu=native".to_owned()],
                false => Vec::new(),
            },
        };
        let (Some(module), Some(program)) = (module, program) else {
            let reason = "its module or its compiler could not be built".to_owned();
            self.manifest.missing.insert(wanted.name(), reason);
            return Ok(());
        };
        // What is compiled, and by what.
        wanted.source_hash = sha256_hex(format!("{} {}", module.sha256, program.sha256).as_bytes());
        self.make(wanted, |builder, _, output| {
            let mut command = Command::new(builder.folder.join(&program.path));
            command.args(["precompile", &runtime.name]);
            command.arg(builder.folder.join(&module.path)).arg(output);
            process::quiet_output(&mut command).map(drop)
        })
    }

    /// The container images of what was built.
    fn images(&mut self, force: bool) -> Result<()> {
        let mut at = |step: &str| at(&mut self.progress, step);
        let bases = images::ready(&self.layout.lumos().join("images"), force, &mut at)?;
        let images = Images {
            folder: &self.folder,
            host: &self.guests.host,
            functions: &self.functions,
            bases: &bases,
            before: &self.before,
        };
        images.build(&mut self.manifest, &mut at)?;
        drop(self.progress.take());
        for base in bases {
            if let Err(reason) = base.layer {
                eprintln!("note: no images on {}: {reason}", base.name);
            }
        }
        Ok(())
    }

    /// Takes an artifact over from the last build, or makes it; one that cannot be made is in
    /// the manifest with the reason.
    #[expect(clippy::disallowed_methods, reason = "how long a build took is no measurement")]
    fn make(
        &mut self,
        wanted: Wanted,
        make: impl FnOnce(&Self, &Wanted, &Path) -> Result<()>,
    ) -> Result<()> {
        if let Some(artifact) = self.unchanged(&wanted) {
            self.manifest.artifacts.push(artifact);
            return Ok(());
        }
        let name = wanted.name();
        at(&mut self.progress, &name);
        let output = self.folder.join(&wanted.path);
        if let Some(parent) = output.parent() {
            fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        }
        let start = Instant::now();
        match make(self, &wanted, &output) {
            Ok(()) => {
                let artifact = describe(wanted, &output, start.elapsed().as_nanos() as u64)?;
                self.manifest.artifacts.push(artifact);
            }
            Err(error) => {
                eprintln!("{name}: {error:#}");
                self.manifest.missing.insert(name.clone(), format!("{error:#}"));
                self.failures.push(name);
            }
        }
        Ok(())
    }

    fn unchanged(&self, wanted: &Wanted) -> Option<Artifact> {
        let known =
            self.before.find(wanted.kind, wanted.function.as_deref(), wanted.engine.as_deref())?;
        let same = known.source_hash == wanted.source_hash
            && known.flags == wanted.flags
            && known.toolchain == wanted.toolchain
            && known.engine_version == wanted.engine_version
            && known.target == wanted.target
            && known.path == wanted.path;
        let file = fs::read(self.folder.join(&known.path)).ok().filter(|_| same)?;
        (sha256_hex(&file) == known.sha256).then(|| known.clone())
    }
}

/// Says what is being built. Most builds have nothing to do, and then say nothing.
fn at(progress: &mut Option<Progress>, step: &str) {
    progress.get_or_insert_with(|| Progress::begin("building", 0)).at(step);
}

fn describe(wanted: Wanted, file: &Path, build_time_ns: u64) -> Result<Artifact> {
    let bytes = fs::read(file).with_context(|| file.display().to_string())?;
    let Wanted { kind, function, engine, engine_version, path, source_hash, .. } = wanted;
    let Wanted { target, toolchain, flags, .. } = wanted;
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
        text_bytes: None,
        variant: None,
        compilation: None,
        image: None,
    })
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

/// Runs a cargo build, and returns the one file that it made of `package`.
fn cargo_output(
    command: &mut Command,
    extra: &[OsString],
    package: &str,
    kind: &TargetKind,
) -> Result<PathBuf> {
    command.args(["--quiet", "--message-format", "json-render-diagnostics"]);
    if !extra.is_empty() {
        command.arg("--").args(extra);
    }
    // cargo warns of every static program that its package's shared library is left out.
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
