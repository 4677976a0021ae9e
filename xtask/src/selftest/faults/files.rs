//! Files that are half-written, hold garbage, are gone, or are something else.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lumos_criterion::files;
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
    type Provoke = fn(&Field, Damage) -> Result<()>;
    let damaged: [(&str, &[Damage], Provoke); 7] = [
        ("a worker", &[Half, Absent], worker),
        ("a layer of an image", &[Half, Flipped, Absent], layer),
        (
            "the records of the newest run: the file",
            &[Half, Garbage, Empty, Absent, Folder],
            records,
        ),
        ("the samples of a case: the file", &[Half, Garbage, Absent], samples),
        ("the manifest of a run: the file", &[Half, Garbage, Folder], run_manifest),
        ("what Criterion keeps of a baseline: the file", &[Half, Garbage, Absent], baseline),
        ("the file of a function", &[Half, Garbage, Folder], workload),
    ];
    for (what, damages, provoke) in damaged {
        for &damage in damages {
            let name = format!("{what} {}", damage.name());
            faults.push(Fault::new(name, move |field| provoke(field, damage)));
        }
    }
    faults.push(Fault::new("the report is a folder", report_is_a_folder));
    faults.push(Fault::new("the log of measuring processes is a folder", log_is_a_folder));
    faults.push(Fault::new("the folder of runs is a file", runs_are_a_file));
    faults
}

fn run_all(field: &Field) -> Result<()> {
    let patience = Duration::from_secs(600);
    field.start(&field.all())?.wait(patience)?.succeeds(&["0 skipped, 0 failed"])?;
    field.measured(&field.cases.all())
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
    field.forget_images()?;
    run_all(field)
}

/// A small run whose samples were saved as a baseline.
fn measure(field: &Field) -> Result<PathBuf> {
    let mut words = field.small()?;
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
    let found = files::find(&run)?.into_values().flatten().next();
    damage.apply(&found.context("the run has no samples")?.join(files::SAMPLE))?;
    // The case has failed, and the report says why.
    let ended = field.run(&["report"])?;
    ended.says(&["1 failed"])?;
    let text = fs::read_to_string(field.layout.report().join("report.md"))?;
    ensure!(text.contains(files::SAMPLE), "the report does not name the file");
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
    field.run(&field.small()?)?.succeeds(&[])?;
    let saved = files::find(&field.layout.criterion())?.remove("main").unwrap_or_default();
    let folder = saved.first().context("no baseline was saved")?;
    damage.apply(&folder.join(files::SAMPLE))?;
    field.run(&["compare", "main"])?.fails(&[files::SAMPLE])
}

fn workload(field: &Field, damage: Damage) -> Result<()> {
    let path = field.layout.workloads().join("noop.toml");
    let whole = fs::read(&path)?;
    damage.apply(&path)?;
    let ended = field.run(&field.small()?)?;
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
    let ended = field.run(&field.small()?)?;
    fs::remove_dir(&path)?;
    ended.fails(&["bench.log"])
}

fn runs_are_a_file(field: &Field) -> Result<()> {
    let path = field.layout.runs();
    let _ = fs::remove_dir_all(&path);
    fs::write(&path, "no folder")?;
    let ended = field.run(&field.small()?)?;
    fs::remove_file(&path)?;
    ended.fails(&["runs"])
}
