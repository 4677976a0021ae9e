//! What is compared: a run with its rounds, or a Criterion baseline with its own.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use lumos_criterion::Benchmark;
use lumos_criterion::files::{self, NEWEST};
use lumos_model::Samples;
use lumos_record::{ArtifactManifest, Layout, Node, Profile, Round, Run, RunManifest, Toolchain};
use serde::Serialize;

use crate::{Evidence, Outcome, evidence, load, newest_few, newest_with_figures};

/// The two sides of a comparison.
pub struct Sides {
    /// What is compared with.
    pub base: Side,
    /// What is compared.
    pub new: Side,
}

/// One side of a comparison.
#[derive(Debug, Serialize)]
pub struct Side {
    /// Its name: that of a baseline or of a run.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// How many rounds it has; where a round has several runs, how many of these.
    pub rounds: usize,
    /// How many runs a round has.
    #[serde(skip)]
    pub runs_a_round: usize,
    /// What it was measured on and with, if a run tells.
    pub provenance: Option<Provenance>,
    /// The samples of each benchmark, by its id.
    #[serde(skip)]
    pub samples: BTreeMap<String, Samples>,
    /// The instructions of what was counted instead.
    #[serde(skip)]
    pub counts: BTreeMap<String, u64>,
    /// What could not be read, and what was left out.
    #[serde(skip)]
    pub problems: Vec<String>,
}

/// What a side is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Criterion keeps it.
    Baseline,
    /// Lumos does.
    Run,
    /// A commit, measured for the comparison.
    Revision,
}

impl Kind {
    /// What is of this kind, as it stands in messages.
    fn title(self, name: &str) -> String {
        let kind = match self {
            Self::Baseline => "baseline",
            Self::Run => "run",
            Self::Revision => "revision",
        };
        format!("{kind} `{name}`")
    }
}

/// What was measured on, and with.
#[derive(Debug, Serialize)]
pub struct Provenance {
    /// The run that tells it.
    pub run: String,
    /// The commit of the checkout.
    pub commit: String,
    /// Whether it had changes.
    pub dirty: bool,
    /// The profile.
    pub profile: Profile,
    /// The compilers of the functions.
    pub toolchain: Toolchain,
    /// The node.
    pub node: Node,
    /// The flags of each kind of artifact, the settings of an engine among them.
    #[serde(skip)]
    flags: BTreeMap<String, BTreeSet<String>>,
}

/// Reads both sides.
///
/// # Errors
/// When there is no such run or baseline; the message lists those that there are.
pub fn read(layout: &Layout, base: &str, new: Option<&str>) -> Result<Sides> {
    let home = &Home::read(layout)?;
    let base = home.find(base)?;
    let new = match new {
        Some(name) => home.find(name)?,
        None => home.newest(base)?,
    };
    // A side may be tens of thousands of files.
    let [base, new] = thread::scope(|scope| {
        let sides = [base, new].map(|source| scope.spawn(move || home.side(source)));
        sides.map(|side| side.join().unwrap_or_else(|panic| resume_unwind(panic)))
    });
    Ok(Sides { base: base?, new: new? })
}

/// What a name stands for.
#[derive(Clone, Copy)]
enum Source<'h> {
    Run(&'h Path, &'h RunManifest),
    Baseline(&'h str),
}

impl Source<'_> {
    fn title(self) -> String {
        match self {
            Self::Run(_, manifest) => Kind::Run.title(&manifest.run),
            Self::Baseline(name) => Kind::Baseline.title(name),
        }
    }
}

/// What there is to compare.
struct Home<'l> {
    layout: &'l Layout,
    /// Runs by name, the newest last; what another version has written is left out.
    runs: Vec<(PathBuf, RunManifest)>,
    baselines: BTreeMap<String, Vec<PathBuf>>,
}

impl<'l> Home<'l> {
    fn read(layout: &'l Layout) -> Result<Self> {
        let runs = Run::all(&layout.runs())?.into_iter();
        let runs = runs.filter_map(|folder| {
            let manifest = Run::read_manifest(&folder).ok()?;
            Some((folder, manifest))
        });
        let criterion = layout.criterion();
        let baselines = files::find(&criterion).with_context(|| criterion.display().to_string())?;
        Ok(Self { layout, runs: runs.collect(), baselines })
    }

    fn find<'h>(&'h self, name: &'h str) -> Result<Source<'h>> {
        if let Some((folder, manifest)) = self.runs.iter().find(|(_, found)| found.run == name) {
            return Ok(Source::Run(folder, manifest));
        }
        if files::names(&self.baselines).contains(name) || self.baselines.contains_key(name) {
            return Ok(Source::Baseline(name));
        }
        let runs: Vec<&str> = self.runs.iter().map(|(_, run)| run.run.as_str()).collect();
        let known: Vec<&str> = files::names(&self.baselines).into_iter().collect();
        let damaged = match self.layout.runs().join(name).is_dir() {
            true => " (its folder is there and cannot be read)",
            false => "",
        };
        bail!(
            "there is no baseline and no run `{name}`{damaged}. Baselines: {}. Runs, the newest \
             last: {} (in {}). `cargo xtask bench -- --save-baseline {name}` saves such a baseline",
            newest_few(&known),
            newest_few(&runs),
            self.layout.runs().display()
        )
    }

    /// The newest run that has samples, or what Criterion measured last where there is no run.
    fn newest(&self, base: Source<'_>) -> Result<Source<'_>> {
        let folders = Run::all(&self.layout.runs())?;
        let newest = newest_with_figures(&folders)?;
        let Some((folder, manifest)) = self.runs.iter().find(|(folder, _)| Some(folder) == newest)
        else {
            if !self.baselines.contains_key(NEWEST) {
                bail!("there is no run to compare with {}: `cargo xtask bench`", base.title());
            }
            return Ok(Source::Baseline(NEWEST));
        };
        if self.told_by(base).is_some_and(|(_, known)| Self::is_of_series(manifest, known)) {
            bail!(
                "the newest run is {} itself: measure again with `cargo xtask bench`, or name \
                 what to compare with it",
                base.title()
            );
        }
        Ok(Source::Run(folder, manifest))
    }

    fn side(&self, source: Source<'_>) -> Result<Side> {
        match source {
            Source::Run(folder, _) => run(self.layout, folder),
            Source::Baseline(name) => Ok(self.baseline(name)),
        }
    }

    /// Whether two runs are one, or rounds of one series.
    fn is_of_series(one: &RunManifest, other: &RunManifest) -> bool {
        let rounds = one.round.as_ref().zip(other.round.as_ref());
        one.run == other.run || rounds.is_some_and(|(one, other)| one.series == other.series)
    }

    /// The run that tells what a side was measured on and with.
    fn told_by<'h>(&'h self, source: Source<'h>) -> Option<(&'h Path, &'h RunManifest)> {
        let saved_by = |name: &str, manifest: &RunManifest| match name {
            // Every run leaves its samples there.
            NEWEST => true,
            _ => manifest.baseline.as_deref() == Some(name),
        };
        match source {
            Source::Run(folder, manifest) => Some((folder, manifest)),
            Source::Baseline(name) => {
                let mut newest_first = self.runs.iter().rev();
                let found = newest_first.find(|(_, manifest)| saved_by(name, manifest));
                found.map(|(folder, manifest)| (folder.as_path(), manifest))
            }
        }
    }

    /// A baseline: its rounds if it has any, else itself; where it has both, what is newer.
    fn baseline(&self, name: &str) -> Side {
        let mut problems = Vec::new();
        let mut rounds: BTreeMap<String, BTreeMap<u32, Samples>> = BTreeMap::new();
        let mut numbers = BTreeSet::new();
        let of_round = |found: &str| match Round::of_baseline(found) {
            Some((all, number)) if all == name => Some(number),
            _ => None,
        };
        let newest = |is_meant: &dyn Fn(&str) -> bool| {
            let folders = self.baselines.iter().filter(|(found, _)| is_meant(found));
            folders.flat_map(|(_, folders)| folders).filter_map(|folder| saved(folder)).max()
        };
        let of_rounds = newest(&|found| of_round(found).is_some());
        let alone = newest(&|found| found == name);
        let has_rounds = of_rounds.is_some() && of_rounds >= alone;
        if of_rounds.is_some() && !has_rounds {
            problems
                .push("its rounds are older than what was saved without rounds: left out".into());
        }
        for (found, folders) in &self.baselines {
            let number = match of_round(found) {
                Some(number) if has_rounds => number,
                None if found == name && !has_rounds => 1,
                _ => continue,
            };
            numbers.insert(number);
            for folder in folders {
                match read_benchmark(folder) {
                    Ok((id, samples)) => {
                        drop(rounds.entry(id).or_default().insert(number, samples))
                    }
                    Err(error) => problems.push(format!("left out: {error:#}")),
                }
            }
        }
        let joined = rounds.into_iter().filter_map(|(id, rounds)| {
            // There is one round at least.
            Some((id, Samples::in_rounds(rounds).ok()?))
        });
        Side {
            name: name.to_owned(),
            kind: Kind::Baseline,
            rounds: numbers.len(),
            runs_a_round: 1,
            provenance: self.told_by(Source::Baseline(name)).map(|(folder, manifest)| {
                let artifacts = std::fs::read(folder.join(ArtifactManifest::FILE)).ok();
                let artifacts = artifacts.and_then(|bytes| lumos_record::from_json(&bytes).ok());
                Provenance::of(manifest, artifacts.as_ref())
            }),
            samples: joined.collect(),
            // Criterion keeps times alone.
            counts: BTreeMap::new(),
            problems,
        }
    }
}

/// Reads a run with its rounds.
///
/// # Errors
/// When its records cannot be read.
pub fn run(layout: &Layout, folder: &Path) -> Result<Side> {
    Ok(of_evidence(evidence(layout, folder)?))
}

/// Reads runs of which each is a round.
///
/// # Errors
/// As [`run`].
pub fn runs(layout: &Layout, folders: &[PathBuf]) -> Result<Side> {
    Ok(of_evidence(load::load(layout, folders)?))
}

fn of_evidence(evidence: Evidence) -> Side {
    let rounds = evidence.rounds.as_ref().map_or(1, |rounds| rounds.counted.len());
    let manifest = evidence.manifest;
    let (mut samples, mut counts) = (BTreeMap::new(), BTreeMap::new());
    let mut problems = evidence.warnings;
    for (case, found) in evidence.cases {
        match found.outcome {
            Outcome::Samples(found) => drop(samples.insert(case.to_string(), found)),
            Outcome::Counted(found) => {
                counts.insert(case.to_string(), found.instructions);
            }
            Outcome::Failed(cause) => problems.push(format!("{case} failed: {cause}")),
            Outcome::Skipped(_) | Outcome::Interrupted => {}
        }
    }
    Side {
        name: manifest.run.clone(),
        kind: Kind::Run,
        rounds,
        runs_a_round: 1,
        provenance: Some(Provenance::of(&manifest, evidence.artifacts.as_ref())),
        samples,
        counts,
        problems,
    }
}

/// When a baseline's samples of a benchmark were written.
fn saved(folder: &Path) -> Option<SystemTime> {
    // A damaged baseline may lack its samples.
    let file = folder.join(files::SAMPLE);
    let found = std::fs::metadata(file).or_else(|_| std::fs::metadata(folder)).ok()?;
    found.modified().ok()
}

fn read_benchmark(folder: &Path) -> Result<(String, Samples)> {
    // The whole path is to stand in messages.
    let root = Path::new("");
    let benchmark: Benchmark = files::read_json(root, folder, files::BENCHMARK)?;
    Ok((benchmark.full_id, files::read_samples(root, folder)?))
}

impl Side {
    /// The side as it stands in messages.
    pub fn title(&self) -> String {
        self.kind.title(&self.name)
    }

    /// What differs beside the code, so that a verdict would say nothing of it.
    pub fn differences(&self, new: &Self) -> Vec<String> {
        let (Some(base), Some(new)) = (&self.provenance, &new.provenance) else {
            return Vec::new();
        };
        base.differences(new)
    }
}

impl Provenance {
    fn of(manifest: &RunManifest, artifacts: Option<&ArtifactManifest>) -> Self {
        let mut flags: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for artifact in artifacts.iter().flat_map(|manifest| &manifest.artifacts) {
            let engine = artifact.engine.as_deref().unwrap_or_default();
            let variant = artifact.variant.map(|variant| variant.to_string()).unwrap_or_default();
            let parts = [artifact.kind.name(), engine, &artifact.target, &variant];
            let name: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            let settings = artifact.compilation.iter().flat_map(|found| &found.settings);
            let own = artifact.flags.iter().chain(settings).cloned();
            flags.entry(name.join(" ")).or_default().extend(own);
        }
        Self {
            run: manifest.run.clone(),
            commit: manifest.revision.commit.clone(),
            dirty: manifest.revision.dirty,
            profile: manifest.profile,
            toolchain: manifest.toolchain.clone(),
            node: manifest.node.clone(),
            flags,
        }
    }

    /// The differences to another side, as `what: this / other`.
    fn differences(&self, other: &Self) -> Vec<String> {
        let mut found = self.node.differences(&other.node);
        let mut check = |what: &str, this: &str, that: &str| {
            if this != that {
                found.push(format!("{what}: {this} / {that}"));
            }
        };
        check("profile", self.profile.name(), other.profile.name());
        let (this, that) = (&self.toolchain, &other.toolchain);
        check("toolchain", &this.provider, &that.provider);
        check("rustc", &this.rustc, &that.rustc);
        check("llvm", &this.llvm, &that.llvm);
        for (artifact, this) in &self.flags {
            // What only one side has built is no difference of what both measured.
            let Some(that) = other.flags.get(artifact) else { continue };
            let only = |side: &BTreeSet<String>, other: &BTreeSet<String>| {
                let words: Vec<&str> = side.difference(other).map(String::as_str).collect();
                if words.is_empty() { "-".to_owned() } else { words.join(" ") }
            };
            check(&format!("flags of {artifact}"), &only(this, that), &only(that, this));
        }
        found
    }
}
