//! From sources to artifacts, and the manifest that says what they are.

mod cargo;
mod forms;
mod precompile;
mod wanted;
mod workers;

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use lumos_record::{
    Artifact, ArtifactKind, ArtifactManifest, Layout, Runtime, SCHEMA_VERSION, Variant, draft_of,
    place,
};
use lumos_workloads::sha256_hex;

use crate::images::{self, Base, Images};
use crate::progress::Progress;
use crate::runtimes::{self, RuntimeCrate};
use crate::scope::Scope;
use crate::targets::{Arch, Platform};
use crate::toolchain::Guests;
use crate::{process, setup, stages};
use wanted::{Made, Wanted};

pub use precompile::precompile;

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

/// Sets up and builds; returns the manifest.
///
/// # Errors
/// When the set-up is incomplete, or the workspace cannot be read. A function that does not
/// compile is an error too, after everything else was built.
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
    Ok(place(&folder.join(ArtifactManifest::FILE), &serde_json::to_vec_pretty(manifest)?)?)
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
            optimiser: forms::optimiser(request.scope.has_variants()),
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
        let known =
            times(&|known| wanted.is(known)).or_else(|| times(&|known| known.kind == wanted.kind));
        known.map_or(USUAL[usize::from(is_worker)], |seconds| seconds * share)
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
                    queues.entry(cargo::folder(&wanted)).or_default().push((index, *wanted));
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
            wanted.made(&output, build_time_ns, made)
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
        let known = self.before.artifacts.iter().find(|known| wanted.is(known))?;
        let file =
            fs::read(self.folder.join(&known.path)).ok().filter(|_| wanted.is_fresh(known))?;
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

/// Says what is being built. Most builds have nothing to do, and then say nothing.
fn at(progress: &OnceLock<Progress>, step: &str) {
    progress.get_or_init(|| Progress::begin("building", 0)).at(step);
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

#[cfg(test)]
mod tests;
