//! Files that are half-written, hold garbage, are gone, or are something else.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use lumos_record::{ArtifactKind, ArtifactManifest, Run, Suite};

use super::Fault;
use super::field::{Field, Length};

/// What is done to a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    /// The second half of it is gone.
    Half,
    /// Every byte of it is another.
    Garbage,
    /// A byte in its middle is another.
    Flipped,
    Empty,
    Absent,
    /// It is a folder.
    Folder,
    /// Another file with more behind it has been put in its place, as by a build.
    Replaced,
}

impl Damage {
    fn name(self) -> &'static str {
        match self {
            Self::Half => "is half-written",
            Self::Garbage => "holds garbage",
            Self::Flipped => "has another byte",
            Self::Empty => "is empty",
            Self::Absent => "is gone",
            Self::Folder => "is a folder",
            Self::Replaced => "is replaced",
        }
    }

    fn apply(self, path: &Path) -> Result<()> {
        let whole = fs::read(path).with_context(|| path.display().to_string())?;
        let permissions = fs::metadata(path)?.permissions();
        // A file that is linked from elsewhere stays what it is there.
        fs::remove_file(path)?;
        let damaged = match self {
            Self::Half => whole[..whole.len() / 2].to_vec(),
            Self::Garbage => whole.iter().map(|byte| !byte).collect(),
            Self::Flipped => {
                let mut other = whole;
                let middle = other.len() / 2;
                other[middle] ^= 1;
                other
            }
            Self::Empty => Vec::new(),
            Self::Absent => return Ok(()),
            Self::Folder => return Ok(fs::create_dir(path)?),
            Self::Replaced => [whole, vec![0]].concat(),
        };
        fs::write(path, damaged)?;
        Ok(fs::set_permissions(path, permissions)?)
    }
}

/// Every fault of this kind.
pub fn all() -> Vec<Fault> {
    use Damage::{Absent, Empty, Flipped, Folder, Garbage, Half};
    let mut faults = Vec::new();
    // What was built is built again.
    for kind in [ArtifactKind::NativeExe, ArtifactKind::Wasm, ArtifactKind::Image] {
        for damage in [Half, Flipped, Absent] {
            let name = format!("the artifact {kind} {}", damage.name());
            faults.push(Fault::new(name, move |field| artifact(field, kind, damage)));
        }
    }
    faults
        .push(Fault::new("the artifact of a function is replaced while it is measured", replaced));
    for damage in [Half, Absent] {
        let name = format!("a worker {}", damage.name());
        faults.push(Fault::new(name, move |field| worker(field, damage)));
    }
    for damage in [Half, Flipped, Absent] {
        let name = format!("a layer of an image {}", damage.name());
        faults.push(Fault::new(name, move |field| layer(field, damage)));
    }
    for damage in [Half, Garbage, Empty, Absent, Folder] {
        let name = format!("the records of the newest run: the file {}", damage.name());
        faults.push(Fault::new(name, move |field| records(field, damage)));
    }
    for damage in [Half, Garbage, Absent] {
        let name = format!("the samples of a case: the file {}", damage.name());
        faults.push(Fault::new(name, move |field| samples(field, damage)));
    }
    for damage in [Half, Garbage, Folder] {
        let name = format!("the manifest of a run: the file {}", damage.name());
        faults.push(Fault::new(name, move |field| run_manifest(field, damage)));
    }
    for damage in [Half, Garbage, Absent] {
        let name = format!("what Criterion keeps of a baseline: the file {}", damage.name());
        faults.push(Fault::new(name, move |field| baseline(field, damage)));
    }
    for damage in [Half, Garbage, Folder] {
        let name = format!("the file of a function {}", damage.name());
        faults.push(Fault::new(name, move |field| workload(field, damage)));
    }
    faults.push(Fault::new("the report is a folder", report_is_a_folder));
    faults.push(Fault::new("the log of measuring processes is a folder", log_is_a_folder));
    faults.push(Fault::new("the folder of runs is a file", runs_are_a_file));
    faults
}

fn run_all(field: &Field) -> Result<()> {
    let all = field.cases.all();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let words = field.bench(Length::Short, &["warm", "call"], &all, &[]);
    let patience = Duration::from_secs(600);
    field.start(&words)?.wait(patience)?.succeeds(&["0 skipped, 0 failed"])?;
    field.measured(&all)
}

/// The path of what was built for the function that is measured.
///
/// # Errors
/// When it is not built.
pub fn built(field: &Field, kind: ArtifactKind) -> Result<PathBuf> {
    let folder = field.layout.artifacts();
    let manifest = ArtifactManifest::read(&folder)?.on(std::env::consts::ARCH);
    let mut all = manifest.artifacts.iter();
    let found = all.find(|artifact| {
        artifact.kind == kind
            && artifact.variant.is_none()
            && (kind == ArtifactKind::Worker || artifact.function.as_deref() == Some("noop"))
            && artifact.image.as_ref().is_none_or(|image| image.base == "scratch")
    });
    Ok(folder.join(&found.with_context(|| format!("no {kind} is built"))?.path))
}

fn artifact(field: &Field, kind: ArtifactKind, damage: Damage) -> Result<()> {
    damage.apply(&built(field, kind)?)?;
    run_all(field)
}

fn replaced(field: &Field) -> Result<()> {
    let bystander = field.cases.bystander()?;
    let engine = field.cases.engine.as_str();
    let words = field.bench(Length::Long("1000"), &["cold_start"], &[bystander, engine], &[]);
    let mut started = field.start(&words)?;
    started.until("the case has begun", |_| field.is_under_way(bystander, Suite::ColdStart))?;
    std::thread::sleep(Duration::from_millis(200));
    Damage::Replaced.apply(&built(field, ArtifactKind::NativeExe)?)?;
    started.wait_usually()?.fails(&["1 failed"])?;
    let cause = field.cause(bystander, Suite::ColdStart)?;
    ensure!(cause.contains("is not what was built"), "the cause is: {cause}");
    field.measured(&[engine]).context("the other cases")
}

fn worker(field: &Field, damage: Damage) -> Result<()> {
    let folder = field.layout.artifacts();
    let manifest = ArtifactManifest::read(&folder)?.on(std::env::consts::ARCH);
    let engine = field.cases.engine.as_str();
    let runtime =
        manifest.runtimes.iter().find(|run| run.is_called(lumos_record::Lane::Served, engine));
    let name = runtime.and_then(|runtime| runtime.worker.clone()).context("no worker")?;
    let is_own = |artifact: &&lumos_record::Artifact| {
        artifact.kind == ArtifactKind::Worker && artifact.engine.as_deref() == Some(&name)
    };
    let found = manifest.artifacts.iter().find(is_own).context("the worker is not built")?;
    damage.apply(&folder.join(&found.path))?;
    run_all(field)
}

/// The layer is read when it is unpacked, or handed to a container engine.
fn layer(field: &Field, damage: Damage) -> Result<()> {
    let manifest = built(field, ArtifactKind::Image)?;
    let text: serde_json::Value = serde_json::from_slice(&fs::read(&manifest)?)?;
    let digest = text["layers"][0]["digest"].as_str().context("an image without layers")?;
    let digest = digest.rsplit(':').next().unwrap_or_default();
    damage.apply(&manifest.with_file_name(digest))?;
    let unpacked = field.layout.lumos().join("rootfs");
    if unpacked.exists() {
        fs::remove_dir_all(unpacked)?;
    }
    run_all(field)
}

/// A small run whose samples were saved as a baseline.
fn measure(field: &Field) -> Result<PathBuf> {
    let bystander = field.cases.bystander()?;
    let mut words = field.bench(Length::Short, &["warm"], &[bystander], &[]);
    words.extend(["--save-baseline", "main"]);
    field.run(&words)?.succeeds(&["0 skipped, 0 failed"])?;
    field.newest_run()
}

fn records(field: &Field, damage: Damage) -> Result<()> {
    let run = measure(field)?;
    let name = run.file_name().context("a run has a name")?.to_string_lossy().into_owned();
    damage.apply(&run.join(Run::RECORDS))?;
    let ended = field.run(&["report"])?;
    match damage {
        // Its last line was cut, as by a crash, and what is before it is whole.
        Damage::Half => ended.says(&[&name]),
        // It is no run any more, or one that cannot be read.
        _ => ended.fails(&["run"]),
    }
}

fn samples(field: &Field, damage: Damage) -> Result<()> {
    let run = measure(field)?;
    let sample = find(&run, "sample.json")?;
    damage.apply(&sample)?;
    // The case has failed, and the report says why.
    let ended = field.run(&["report"])?;
    ended.says(&["1 failed"])?;
    let text = fs::read_to_string(field.layout.report().join("report.md"))?;
    ensure!(text.contains("sample.json"), "the report does not name the file");
    Ok(())
}

fn run_manifest(field: &Field, damage: Damage) -> Result<()> {
    let run = measure(field)?;
    damage.apply(&run.join(ArtifactManifest::FILE))?;
    let ended = field.run(&["report"])?;
    ended.says(&[ArtifactManifest::FILE])
}

fn baseline(field: &Field, damage: Damage) -> Result<()> {
    measure(field)?;
    // A run that is not the baseline's, to be compared with it.
    let bystander = field.cases.bystander()?;
    field.run(&field.bench(Length::Short, &["warm"], &[bystander], &[]))?.succeeds(&[])?;
    let criterion = field.layout.criterion();
    let folder = folder_of(&criterion, "main").context("no baseline was saved")?;
    damage.apply(&folder.join("sample.json"))?;
    field.run(&["compare", "main"])?.fails(&["sample.json"])
}

fn workload(field: &Field, damage: Damage) -> Result<()> {
    let path = field.layout.workloads().join("noop.toml");
    let whole = fs::read(&path)?;
    damage.apply(&path)?;
    let bystander = field.cases.bystander()?;
    let ended = field.run(&field.bench(Length::Short, &["warm"], &[bystander], &[]))?;
    // The sources are not what the next run is to mend.
    if path.is_dir() {
        fs::remove_dir(&path)?;
    }
    fs::write(&path, whole)?;
    ended.fails(&["noop.toml"])
}

fn report_is_a_folder(field: &Field) -> Result<()> {
    measure(field)?;
    let path = field.layout.report().join("report.html");
    fs::remove_file(&path)?;
    fs::create_dir(&path)?;
    let ended = field.run(&["report"])?;
    fs::remove_dir(&path)?;
    ended.fails(&["report.html"])
}

fn log_is_a_folder(field: &Field) -> Result<()> {
    let path = field.layout.lumos().join("bench.log");
    let _ = fs::remove_file(&path);
    fs::create_dir(&path)?;
    let bystander = field.cases.bystander()?;
    let ended = field.run(&field.bench(Length::Short, &["warm"], &[bystander], &[]))?;
    fs::remove_dir(&path)?;
    ended.fails(&["bench.log"])
}

fn runs_are_a_file(field: &Field) -> Result<()> {
    let path = field.layout.runs();
    let _ = fs::remove_dir_all(&path);
    fs::write(&path, "no folder")?;
    let bystander = field.cases.bystander()?;
    let ended = field.run(&field.bench(Length::Short, &["warm"], &[bystander], &[]))?;
    fs::remove_file(&path)?;
    ended.fails(&["runs"])
}

/// The first file of a name below a folder.
fn find(folder: &Path, name: &str) -> Result<PathBuf> {
    for entry in fs::read_dir(folder)?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            if let Ok(found) = find(&path, name) {
                return Ok(found);
            }
        } else if entry.file_name() == name {
            return Ok(path);
        }
    }
    bail!("no {name} below {}", folder.display())
}

fn folder_of(folder: &Path, name: &str) -> Option<PathBuf> {
    let folders = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let mut folders: Vec<PathBuf> = folders.filter(|path| path.is_dir()).collect();
    folders.sort();
    let own = folders.iter().find(|path| path.file_name().is_some_and(|own| own == name));
    own.cloned().or_else(|| folders.iter().find_map(|inner| folder_of(inner, name)))
}
