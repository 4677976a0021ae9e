//! An artifact before it is made.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use lumos_record::{Artifact, ArtifactKind, Compilation, Variant};
use lumos_workloads::sha256_hex;

use crate::targets::Platform;
use crate::text;

/// What a build step leaves beside its file.
pub type Made = Option<Compilation>;

/// An artifact to be built, as far as it is known beforehand.
pub struct Wanted {
    pub kind: ArtifactKind,
    pub function: Option<String>,
    pub engine: Option<String>,
    pub engine_version: Option<String>,
    pub variant: Option<Variant>,
    /// None where it is the same on all of them.
    pub platform: Option<Platform>,
    pub path: PathBuf,
    pub source_hash: String,
    pub target: String,
    pub toolchain: String,
    pub flags: Vec<String>,
    /// Whether it is to be made, and not only kept if it is fresh.
    pub is_asked: bool,
    /// Whether a build of everything for the host makes it.
    pub is_part: bool,
}

impl Wanted {
    /// How the manifest's `missing` and the harness's refusals name it.
    pub fn name(&self) -> String {
        let variant = self.variant.map(|variant| variant.to_string());
        let parts = [self.function.as_deref(), self.engine.as_deref(), variant.as_deref()];
        let parts = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let suffix = self.platform.map(Platform::suffix).unwrap_or_default();
        format!("{} {parts}{suffix}", self.kind)
    }

    /// Whether an artifact is what is wanted, fresh or not.
    pub fn is(&self, known: &Artifact) -> bool {
        known.kind == self.kind
            && known.function == self.function
            && known.engine == self.engine
            && known.variant == self.variant
            && known.target == self.target
    }

    /// Whether an artifact that is what is wanted was made from the same, by the same.
    pub fn is_fresh(&self, known: &Artifact) -> bool {
        known.source_hash == self.source_hash
            && known.flags == self.flags
            && known.toolchain == self.toolchain
            && known.engine_version == self.engine_version
            && known.path == self.path
    }

    /// The artifact that was made of it, as the manifest has it.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn made(self, file: &Path, build_time_ns: u64, made: Made) -> Result<Artifact> {
        let bytes = fs::read(file).with_context(|| file.display().to_string())?;
        let counted = made.as_ref().and_then(|compilation| compilation.text_bytes);
        Ok(Artifact {
            function: self.function,
            engine: self.engine,
            engine_version: self.engine_version,
            bytes: bytes.len() as u64,
            sha256: sha256_hex(&bytes),
            source_hash: self.source_hash,
            toolchain: self.toolchain,
            flags: self.flags,
            build_time_ns,
            // An engine whose format is its own says itself how much of it is code.
            text_bytes: counted.or_else(|| text::bytes(&bytes)),
            variant: self.variant,
            compilation: made,
            ..Artifact::new(self.kind, self.path, self.target)
        })
    }
}
