//! From the manifest to artifacts that may be loaded.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lumos_record::{Artifact, ArtifactKind, ArtifactManifest, Runtime, Variant};
use lumos_workloads::sha256_hex;

use crate::{Checked, cpu};

/// Why an artifact may not be loaded; each says how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The build could not make it, for the reason that it recorded; and the arguments with which
    /// a build makes it.
    Missing(String, String),
    /// The manifest does not know of it: no build was asked for it; with the arguments of one that
    /// is.
    Absent(String, String),
    /// The file cannot be read.
    Unreadable(PathBuf, String),
    /// The file's size or hash is not the manifest's.
    Altered(PathBuf, String),
    /// It was made by another version of the engine.
    EngineVersion(PathBuf, String),
    /// It was compiled with other settings than those of the engine that would load it.
    Settings(PathBuf, String),
    /// It was built for another target.
    Target(PathBuf, String),
    /// It relies on what this processor does not have.
    Processor(PathBuf, String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(what, arguments) | Self::Absent(what, arguments) => {
                return write!(f, "{what}; `cargo xtask build{arguments}` builds it");
            }
            Self::Unreadable(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Altered(path, difference) => {
                write!(f, "{} is not what was built: {difference}", path.display())
            }
            Self::EngineVersion(path, difference)
            | Self::Settings(path, difference)
            | Self::Target(path, difference)
            | Self::Processor(path, difference) => {
                write!(f, "{} cannot be loaded here: {difference}", path.display())
            }
        }?;
        f.write_str("; `cargo xtask build` builds it again")
    }
}

impl std::error::Error for Refusal {}

/// The artifacts that a build left, and their folder.
#[derive(Debug, Clone)]
pub struct Artifacts {
    /// What the build recorded.
    pub manifest: ArtifactManifest,
    /// The folder that the manifest's paths are relative to.
    pub directory: PathBuf,
    /// The architecture of the workers that are to be run: this program's own, or one that is
    /// emulated.
    pub arch: String,
    /// What the processor of an architecture that is emulated offers.
    features: Vec<String>,
    /// How the Wasm among them was built, where one way was chosen.
    variant: Option<Variant>,
    /// What is known of the files.
    files: Arc<Mutex<Files>>,
}

/// What is known of files in a process.
#[derive(Debug, Default)]
struct Files {
    /// Those whose hash was the manifest's, as they were then. Each is hashed once in a process,
    /// though many cases load it.
    hashed: HashMap<PathBuf, Identity>,
    /// What the case in progress takes.
    in_use: Vec<Artifact>,
}

/// What changes when somebody writes to a file or puts another in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    inode: u64,
    bytes: u64,
    /// Of the last change of the file or of its inode, in nanoseconds since 1970.
    changed_ns: i64,
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        let changed_ns = metadata.ctime().saturating_mul(1_000_000_000) + metadata.ctime_nsec();
        Self { inode: metadata.ino(), bytes: metadata.len(), changed_ns }
    }
}

impl Artifacts {
    /// Reads the manifest of a folder, as it concerns this program's architecture.
    ///
    /// # Errors
    /// When there is none, or it cannot be read; the message names the file and the remedy.
    pub fn read(directory: &Path) -> anyhow::Result<Self> {
        let features = cpu::features().into_iter().map(str::to_owned).collect();
        Self::read_for(directory, std::env::consts::ARCH, features)
    }

    /// Reads the manifest of a folder, as it concerns an architecture whose processor offers
    /// `features`. What is there for another one alone stays in it, to be refused by name.
    ///
    /// # Errors
    /// As [`Artifacts::read`].
    pub fn read_for(directory: &Path, arch: &str, features: Vec<String>) -> anyhow::Result<Self> {
        let mut manifest = ArtifactManifest::read(directory)
            .map_err(|error| anyhow::anyhow!("{error}; `cargo xtask build` writes it"))?;
        // What is found first is what is wanted.
        manifest.artifacts.sort_by_key(|artifact| !artifact.runs_on(arch));
        let (directory, arch) = (directory.to_owned(), arch.to_owned());
        let files = Arc::default();
        Ok(Self { manifest, directory, arch, features, variant: None, files })
    }

    /// The artifacts of which what holds Wasm, and what was made of it, was built in one way.
    pub fn of_variant(&self, variant: Variant) -> Self {
        let manifest = self.manifest.clone().of_variant(variant);
        Self { manifest, variant: Some(variant), ..self.clone() }
    }

    /// Finds and checks the artifact of a function that a runtime loads as a `kind`; `settings`
    /// are those of the engine that would load it, see [`crate::Engine::settings`].
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn function(
        &self,
        runtime: &Runtime,
        kind: ArtifactKind,
        function: &str,
        settings: &[String],
    ) -> Result<Checked, Refusal> {
        let artifact = self.manifest.for_runtime(runtime, kind, function);
        let what = match (kind, &runtime.base) {
            (ArtifactKind::Precompiled, _) => format!("{kind} {function} {}", runtime.name),
            (ArtifactKind::Image, Some(base)) => format!("{kind} {function} {base}"),
            _ => format!("{kind} {function}"),
        };
        let loader = Loader { engine_version: &runtime.engine_version, settings };
        self.check(artifact, &what, Some(&loader))
    }

    /// Finds and checks a worker program.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn worker(&self, name: &str) -> Result<Checked, Refusal> {
        let artifact = self.manifest.find(ArtifactKind::Worker, None, Some(name));
        self.check(artifact, &format!("worker {name}"), None)
    }

    fn check(
        &self,
        artifact: Option<&Artifact>,
        what: &str,
        loader: Option<&Loader<'_>>,
    ) -> Result<Checked, Refusal> {
        let Some(artifact) = artifact else {
            let (mut what, mut arguments) = (what.to_owned(), String::new());
            if let Some(variant) = self.variant.filter(|&variant| variant != Variant::DEFAULT) {
                what += &format!(" {variant}");
                arguments += " --variants";
            }
            if self.arch != std::env::consts::ARCH {
                what += &format!(" for {}", self.arch);
                arguments += &format!(" --target {}", self.arch);
            }
            return Err(match self.manifest.missing.get(&what) {
                Some(reason) => {
                    Refusal::Missing(format!("there is no {what}: {reason}"), arguments)
                }
                None => {
                    let part =
                        if self.manifest.partial { ": the last build was of a part" } else { "" };
                    Refusal::Absent(format!("there is no {what}{part}"), arguments)
                }
            });
        };
        let path = self.directory.join(&artifact.path);
        self.check_target(artifact, &path)?;
        if let (ArtifactKind::Precompiled, Some(loader)) = (artifact.kind, loader) {
            self.check_provenance(artifact, &path, loader)?;
        }
        self.check_bytes(artifact, &path)?;
        self.files().in_use.push(artifact.clone());
        // SAFETY: compared with the manifest; only a build writes to the folder.
        Ok(unsafe { Checked::assume(path) })
    }

    /// Compares a file with what the manifest says of it, unless it is as it was when that was done.
    fn check_bytes(&self, artifact: &Artifact, path: &Path) -> Result<(), Refusal> {
        let unreadable =
            |error: std::io::Error| Refusal::Unreadable(path.to_owned(), error.to_string());
        let identity = Identity::of(&fs::metadata(path).map_err(unreadable)?);
        if self.files().hashed.get(path) == Some(&identity) {
            return Ok(());
        }
        let bytes = fs::read(path).map_err(unreadable)?;
        // An image's bytes are those of its layers, and the file is its manifest.
        if artifact.image.is_none() && bytes.len() as u64 != artifact.bytes {
            let difference = format!("{} bytes instead of {}", bytes.len(), artifact.bytes);
            return Err(Refusal::Altered(path.to_owned(), difference));
        }
        let sha256 = sha256_hex(&bytes);
        if sha256 != artifact.sha256 {
            let difference = format!("SHA-256 {sha256} instead of {}", artifact.sha256);
            return Err(Refusal::Altered(path.to_owned(), difference));
        }
        self.files().hashed.insert(path.to_owned(), identity);
        Ok(())
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a case, which has taken nothing yet.
    pub fn begin_case(&self) {
        self.files().in_use.clear();
    }

    /// Makes sure that everything that the case in progress has taken is still what was built: a
    /// build, or the function itself, may have written to it or put another in its place.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub fn check_unchanged(&self) -> Result<(), String> {
        let taken = std::mem::take(&mut self.files().in_use);
        taken.iter().try_for_each(|artifact| {
            let path = self.directory.join(&artifact.path);
            self.check_bytes(artifact, &path)
                .map_err(|refusal| format!("not the same all the while it was measured: {refusal}"))
        })
    }

    /// Compares the architecture that an artifact was built for with that of the workers.
    fn check_target(&self, artifact: &Artifact, path: &Path) -> Result<(), Refusal> {
        if artifact.runs_on(&self.arch) {
            return Ok(());
        }
        let difference = format!("built for {}, and needed for {}", artifact.target, self.arch);
        Err(Refusal::Target(path.to_owned(), difference))
    }

    /// Compares what is recorded of precompiled code with what would load and run it.
    fn check_provenance(
        &self,
        artifact: &Artifact,
        path: &Path,
        loader: &Loader<'_>,
    ) -> Result<(), Refusal> {
        let built_by = artifact.engine_version.as_deref().unwrap_or("unknown");
        if built_by != loader.engine_version {
            let difference = format!(
                "compiled by engine version {built_by}, and the engine that loads it is {}",
                loader.engine_version
            );
            return Err(Refusal::EngineVersion(path.to_owned(), difference));
        }
        let Some(compilation) = &artifact.compilation else {
            let difference = "the manifest does not say how it was compiled".to_owned();
            return Err(Refusal::Settings(path.to_owned(), difference));
        };
        if compilation.settings != loader.settings {
            let only = |these: &[String], those: &[String]| {
                let only: Vec<&str> =
                    these.iter().filter(|s| !those.contains(s)).map(String::as_str).collect();
                if only.is_empty() { "nothing else".to_owned() } else { only.join(", ") }
            };
            let difference = format!(
                "compiled with {}, and the engine that loads it has {}",
                only(&compilation.settings, loader.settings),
                only(loader.settings, &compilation.settings)
            );
            return Err(Refusal::Settings(path.to_owned(), difference));
        }
        let lacking: Vec<&str> = compilation
            .cpu_features
            .iter()
            .map(String::as_str)
            .filter(|&feature| !self.features.iter().any(|offered| offered == feature))
            .collect();
        if !lacking.is_empty() {
            let whose = match self.arch == std::env::consts::ARCH {
                true => "this processor lacks",
                false => "the emulated processor is not known to have",
            };
            let difference = format!("its code uses {}, which {whose}", lacking.join(", "));
            return Err(Refusal::Processor(path.to_owned(), difference));
        }
        Ok(())
    }
}

/// What would load an artifact.
struct Loader<'l> {
    engine_version: &'l str,
    settings: &'l [String],
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suites::Trouble;
    use lumos_record::{Compilation, Mode};

    fn runtime() -> Runtime {
        Runtime::plain("fake-aot", "lumos-fake", Mode::Aot, "2.0", ArtifactKind::Precompiled)
    }

    fn built(directory: &Path) -> Artifacts {
        let bytes = b"machine code";
        std::fs::write(directory.join("noop.bin"), bytes).unwrap();
        let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let artifact = Artifact {
            function: Some("noop".into()),
            engine: Some("fake-aot".into()),
            engine_version: Some("2.0".into()),
            bytes: bytes.len() as u64,
            sha256: sha256_hex(bytes),
            compilation: Some(Compilation {
                compile_ns: vec![1],
                settings: settings(),
                ..Compilation::default()
            }),
            ..Artifact::new(ArtifactKind::Precompiled, "noop.bin", target)
        };
        let manifest = ArtifactManifest {
            runtimes: vec![runtime()],
            artifacts: vec![artifact],
            ..ArtifactManifest::default()
        };
        let arch = std::env::consts::ARCH.to_owned();
        let features = cpu::features().into_iter().map(str::to_owned).collect();
        let files = Arc::default();
        let directory = directory.to_owned();
        Artifacts { manifest, directory, arch, features, variant: None, files }
    }

    fn settings() -> Vec<String> {
        vec!["compiler=fake".to_owned(), "opt-level=speed".to_owned()]
    }

    /// How the one artifact was compiled, to be altered.
    fn compilation(artifacts: &mut Artifacts) -> &mut Compilation {
        artifacts.manifest.artifacts[0].compilation.as_mut().unwrap()
    }

    fn refusal(artifacts: &Artifacts, function: &str) -> String {
        let kind = ArtifactKind::Precompiled;
        let refusal = artifacts.function(&runtime(), kind, function, &settings());
        let refusal = refusal.unwrap_err().to_string();
        assert!(refusal.contains("cargo xtask build"), "no remedy in: {refusal}");
        refusal
    }

    #[test]
    fn what_was_built_is_accepted() {
        let directory = tempfile::tempdir().unwrap();
        let artifacts = built(directory.path());
        artifacts.function(&runtime(), ArtifactKind::Precompiled, "noop", &settings()).unwrap();
    }

    #[test]
    fn truncated_altered_and_absent_files_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let artifacts = built(directory.path());
        let file = directory.path().join("noop.bin");
        artifacts.function(&runtime(), ArtifactKind::Precompiled, "noop", &settings()).unwrap();
        // The clock of files is coarse.
        std::thread::sleep(std::time::Duration::from_millis(20));
        std::fs::write(&file, b"machine").unwrap();
        assert!(refusal(&artifacts, "noop").contains("7 bytes instead of 12"));
        std::fs::write(&file, b"machine c0de").unwrap();
        assert!(refusal(&artifacts, "noop").contains("SHA-256"));
        std::fs::remove_file(&file).unwrap();
        assert!(refusal(&artifacts, "noop").contains("noop.bin"));
    }

    #[test]
    fn another_engine_version_and_architecture_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let mut artifacts = built(directory.path());
        artifacts.manifest.artifacts[0].engine_version = Some("1.9".into());
        let message = refusal(&artifacts, "noop");
        assert!(message.contains("1.9") && message.contains("2.0"), "{message}");
        artifacts.manifest.artifacts[0].engine_version = Some("2.0".into());
        artifacts.manifest.artifacts[0].target = "riscv64gc-unknown-linux-gnu".into();
        let message = refusal(&artifacts, "noop");
        assert!(message.contains("riscv64gc") && message.contains(std::env::consts::ARCH));
    }

    #[test]
    fn other_settings_are_refused_and_named() {
        let directory = tempfile::tempdir().unwrap();
        let mut artifacts = built(directory.path());
        compilation(&mut artifacts).settings[1] = "opt-level=size".into();
        let message = refusal(&artifacts, "noop");
        assert!(message.contains("compiled with opt-level=size, and"), "{message}");
        assert!(message.contains("has opt-level=speed"), "{message}");
        assert!(!message.contains("compiler=fake"), "{message}");
        compilation(&mut artifacts).settings = [settings(), vec!["metering=on".into()]].concat();
        let message = refusal(&artifacts, "noop");
        assert!(message.contains("with metering=on, and") && message.contains("nothing else"));
        artifacts.manifest.artifacts[0].compilation = None;
        assert!(refusal(&artifacts, "noop").contains("does not say how"));
    }

    #[test]
    fn a_processor_that_lacks_a_feature_is_told_which() {
        let directory = tempfile::tempdir().unwrap();
        let mut artifacts = built(directory.path());
        let offered = cpu::features().into_iter().map(str::to_owned);
        compilation(&mut artifacts).cpu_features = offered.collect();
        artifacts.function(&runtime(), ArtifactKind::Precompiled, "noop", &settings()).unwrap();
        compilation(&mut artifacts).cpu_features.push("warp-drive".into());
        let message = refusal(&artifacts, "noop");
        assert!(message.contains("uses warp-drive, which this processor lacks"), "{message}");
    }

    #[test]
    fn a_manifest_for_two_architectures_is_read_for_one() {
        let directory = tempfile::tempdir().unwrap();
        let mut artifacts = built(directory.path());
        let mut other = artifacts.manifest.artifacts[0].clone();
        other.target = "riscv64gc-unknown-linux-gnu".into();
        artifacts.manifest.artifacts.insert(0, other);
        let text = serde_json::to_vec(&artifacts.manifest).unwrap();
        std::fs::write(directory.path().join(ArtifactManifest::FILE), text).unwrap();
        let own = Artifacts::read(directory.path()).unwrap();
        own.function(&runtime(), ArtifactKind::Precompiled, "noop", &settings()).unwrap();
        let other = Artifacts::read_for(directory.path(), "arm", Vec::new()).unwrap();
        assert!(refusal(&other, "noop").contains("and needed for arm"));
        assert!(refusal(&other, "json").contains("no precompiled json fake-aot for arm"));
    }

    #[test]
    fn an_absent_artifact_is_named_with_the_builds_reason() {
        let directory = tempfile::tempdir().unwrap();
        let mut artifacts = built(directory.path());
        assert!(refusal(&artifacts, "json").contains("there is no precompiled json fake-aot"));
        let trouble = |artifacts: &Artifacts| {
            let kind = ArtifactKind::Precompiled;
            Trouble::from(artifacts.function(&runtime(), kind, "json", &settings()).unwrap_err())
        };
        // Nobody asked for it, and whoever measures had to.
        assert!(matches!(trouble(&artifacts), Trouble::Failure(_)));
        let what = "precompiled json fake-aot".to_owned();
        artifacts.manifest.missing.insert(what, "the compiler ran out of memory".into());
        assert!(refusal(&artifacts, "json").contains("ran out of memory"));
        assert!(matches!(trouble(&artifacts), Trouble::Skip(_)));
    }
}
