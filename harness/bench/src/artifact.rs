//! From the manifest to artifacts that may be loaded.

use std::fmt;
use std::path::{Path, PathBuf};

use lumos_record::{Artifact, ArtifactKind, ArtifactManifest, Runtime};
use lumos_workloads::sha256_hex;

use crate::Checked;

/// Why an artifact may not be loaded; each says how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The manifest has no such artifact; with the reason, if the build recorded one.
    Missing(String),
    /// The file cannot be read.
    Unreadable(PathBuf, String),
    /// The file's size or hash is not the manifest's.
    Altered(PathBuf, String),
    /// It was made by another version of the engine.
    EngineVersion(PathBuf, String),
    /// It was built for another target.
    Target(PathBuf, String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(what) => write!(f, "{what}"),
            Self::Unreadable(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Altered(path, difference) => {
                write!(f, "{} is not what was built: {difference}", path.display())
            }
            Self::EngineVersion(path, difference) | Self::Target(path, difference) => {
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
}

impl Artifacts {
    /// Reads the manifest of a folder.
    ///
    /// # Errors
    /// When there is none, or it cannot be read; the message names the file and the remedy.
    pub fn read(directory: &Path) -> anyhow::Result<Self> {
        let manifest = ArtifactManifest::read(directory)
            .map_err(|error| anyhow::anyhow!("{error}; `cargo xtask build` writes it"))?;
        Ok(Self { manifest, directory: directory.to_owned() })
    }

    /// Finds and checks the artifact of a function that a runtime loads as a `kind`.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn function(
        &self,
        runtime: &Runtime,
        kind: ArtifactKind,
        function: &str,
    ) -> Result<Checked, Refusal> {
        let artifact = self.manifest.for_runtime(runtime, kind, function);
        let what = match (kind, &runtime.base) {
            (ArtifactKind::Precompiled, _) => format!("{kind} {function} {}", runtime.name),
            (ArtifactKind::Image, Some(base)) => format!("{kind} {function} {base}"),
            _ => format!("{kind} {function}"),
        };
        self.check(artifact, &what, Some(&runtime.engine_version))
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
        engine_version: Option<&str>,
    ) -> Result<Checked, Refusal> {
        let Some(artifact) = artifact else {
            let reason = self.manifest.missing.get(what).map_or("", String::as_str);
            let separator = if reason.is_empty() { "" } else { ": " };
            return Err(Refusal::Missing(format!("there is no {what}{separator}{reason}")));
        };
        let path = self.directory.join(&artifact.path);
        check_provenance(artifact, &path, engine_version)?;
        let bytes = std::fs::read(&path)
            .map_err(|error| Refusal::Unreadable(path.clone(), error.to_string()))?;
        // An image's bytes are those of its layers, and the file is its manifest.
        if artifact.image.is_none() && bytes.len() as u64 != artifact.bytes {
            let difference = format!("{} bytes instead of {}", bytes.len(), artifact.bytes);
            return Err(Refusal::Altered(path, difference));
        }
        let sha256 = sha256_hex(&bytes);
        if sha256 != artifact.sha256 {
            let difference = format!("SHA-256 {sha256} instead of {}", artifact.sha256);
            return Err(Refusal::Altered(path, difference));
        }
        // SAFETY: compared with the manifest just now; only a build writes to the folder.
        Ok(unsafe { Checked::assume(path) })
    }
}

/// Compares what is recorded of an artifact with what would load it.
fn check_provenance(
    artifact: &Artifact,
    path: &Path,
    engine_version: Option<&str>,
) -> Result<(), Refusal> {
    let (built_by, loads) = (artifact.engine_version.as_deref(), engine_version);
    if artifact.kind == ArtifactKind::Precompiled && built_by != loads {
        let difference = format!(
            "compiled by engine version {}, and the engine that loads it is {}",
            built_by.unwrap_or("unknown"),
            loads.unwrap_or("unknown")
        );
        return Err(Refusal::EngineVersion(path.to_owned(), difference));
    }
    // Wasm runs anywhere; everything else is bound to an architecture.
    let portable = matches!(artifact.kind, ArtifactKind::Wasm | ArtifactKind::WasmCommand);
    let architecture = artifact.target.split('-').next().unwrap_or_default();
    let bytecode = architecture.starts_with("pulley");
    if !portable && !bytecode && architecture != std::env::consts::ARCH {
        let difference =
            format!("built for {}, and this node is {}", artifact.target, std::env::consts::ARCH);
        return Err(Refusal::Target(path.to_owned(), difference));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumos_record::Mode;

    fn runtime() -> Runtime {
        Runtime::plain("fake-aot", "lumos-fake", Mode::Aot, "2.0", ArtifactKind::Precompiled)
    }

    fn built(directory: &Path) -> Artifacts {
        let bytes = b"machine code";
        std::fs::write(directory.join("noop.bin"), bytes).unwrap();
        let artifact = Artifact {
            kind: ArtifactKind::Precompiled,
            function: Some("noop".into()),
            engine: Some("fake-aot".into()),
            engine_version: Some("2.0".into()),
            path: "noop.bin".into(),
            bytes: bytes.len() as u64,
            sha256: sha256_hex(bytes),
            source_hash: String::new(),
            target: format!("{}-unknown-linux-gnu", std::env::consts::ARCH),
            toolchain: String::new(),
            flags: Vec::new(),
            build_time_ns: 0,
            text_bytes: None,
            variant: None,
            compilation: None,
            image: None,
        };
        let manifest = ArtifactManifest {
            runtimes: vec![runtime()],
            artifacts: vec![artifact],
            ..ArtifactManifest::default()
        };
        Artifacts { manifest, directory: directory.to_owned() }
    }

    fn refusal(artifacts: &Artifacts, function: &str) -> String {
        let kind = ArtifactKind::Precompiled;
        let refusal = artifacts.function(&runtime(), kind, function).unwrap_err().to_string();
        assert!(refusal.contains("cargo xtask build"), "no remedy in: {refusal}");
        refusal
    }

    #[test]
    fn what_was_built_is_accepted() {
        let directory = tempfile::tempdir().unwrap();
        let artifacts = built(directory.path());
        artifacts.function(&runtime(), ArtifactKind::Precompiled, "noop").unwrap();
    }

    #[test]
    fn truncated_altered_and_absent_files_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let artifacts = built(directory.path());
        let file = directory.path().join("noop.bin");
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
    fn an_absent_artifact_is_named_with_the_builds_reason() {
        let directory = tempfile::tempdir().unwrap();
        let mut artifacts = built(directory.path());
        assert!(refusal(&artifacts, "json").contains("there is no precompiled json fake-aot"));
        let what = "precompiled json fake-aot".to_owned();
        artifacts.manifest.missing.insert(what, "the compiler ran out of memory".into());
        assert!(refusal(&artifacts, "json").contains("ran out of memory"));
    }
}
