//! What was built: artifacts, the runtimes that load them, and the toolchain behind both.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Suite;
use crate::vocabulary::{Lane, Profile, UnknownName, names};
use crate::{Case, Variant};

/// One built form of a function, or the program that serves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArtifactKind {
    /// A static executable: the worker of the native runtime.
    NativeExe,
    /// The same, linked to the C library of whatever holds it: for images that have one.
    NativeExeDynamic,
    /// A shared library with the exports of the Wasm module.
    NativeLib,
    /// A WASI reactor.
    Wasm,
    /// A WASI command, from standard input to standard output.
    WasmCommand,
    /// Machine code or bytecode compiled ahead of time by one engine.
    Precompiled,
    /// A container image.
    Image,
    /// A program that hosts an engine and serves any function.
    Worker,
}

names!(ArtifactKind, "artifact kind", {
    NativeExe => "native-exe",
    NativeExeDynamic => "native-exe-dynamic",
    NativeLib => "native-lib",
    Wasm => "wasm",
    WasmCommand => "wasm-command",
    Precompiled => "precompiled",
    Image => "image",
    Worker => "worker",
});

impl ArtifactKind {
    /// The kinds that run by themselves, outside or inside of a container.
    pub const NATIVE_EXECUTABLES: &[Self] = &[Self::NativeExe, Self::NativeExeDynamic];
}

/// How an engine comes from its artifact to running code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Machine code from the function's source, no Wasm.
    Native,
    /// Wasm compiled to machine code before it is deployed.
    Aot,
    /// Wasm compiled to machine code by an optimising compiler when it is loaded.
    Jit,
    /// Wasm compiled to machine code in one pass when it is loaded.
    Baseline,
    /// Wasm interpreted.
    Interpreted,
}

names!(Mode, "mode", {
    Native => "native",
    Aot => "aot",
    Jit => "jit",
    Baseline => "baseline",
    Interpreted => "interpreted",
});

/// A file that `cargo xtask build` made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// What it is.
    pub kind: ArtifactKind,
    /// The function that it holds; none for a worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// The engine that made it (precompiled), or the worker's name; none otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The version of that engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_version: Option<String>,
    /// Where it is, relative to the folder of the artifact manifest.
    pub path: PathBuf,
    /// Its size: that of the file or, of an image, of its unpacked layers.
    pub bytes: u64,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// SHA-256 over the sources that it was built from, in hexadecimal.
    pub source_hash: String,
    /// The target triple.
    pub target: String,
    /// The compiler that built it: the first line of `rustc -vV` or the engine and its version.
    pub toolchain: String,
    /// The flags that it was built with.
    pub flags: Vec<String>,
    /// How long its build took, on the wall clock.
    pub build_time_ns: u64,
    /// How much of it is code: the text section of machine code or of an engine's bytecode, the
    /// code section of a Wasm module. None where that cannot be told, as of images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_bytes: Option<u64>,
    /// How its Wasm was built; none for what every suite but `variants` measures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<Variant>,
    /// What compiling it ahead of time took, and what it was compiled for; none for what is not
    /// precompiled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compilation: Option<Compilation>,
    /// What an image is made of; none for what is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
}

impl Artifact {
    /// What is known of an artifact wherever it comes from; nothing else is said of it.
    pub fn new(kind: ArtifactKind, path: impl Into<PathBuf>, target: impl Into<String>) -> Self {
        Self {
            kind,
            function: None,
            engine: None,
            engine_version: None,
            path: path.into(),
            bytes: 0,
            sha256: String::new(),
            source_hash: String::new(),
            target: target.into(),
            toolchain: String::new(),
            flags: Vec::new(),
            build_time_ns: 0,
            text_bytes: None,
            variant: None,
            compilation: None,
            image: None,
        }
    }

    /// Whether it can be used on an architecture: Wasm and bytecode can anywhere.
    pub fn runs_on(&self, arch: &str) -> bool {
        let own = self.target.split('-').next().unwrap_or_default();
        own == arch || own.starts_with("wasm") || own.starts_with("pulley")
    }
}

/// What compiling a module ahead of time took, and what its code relies on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compilation {
    /// The times of compilations of the same module, one after the other on one thread, without
    /// reading and writing files: the engine's compiler and the writing of its format to memory.
    pub compile_ns: Vec<u64>,
    /// The most memory that was resident of the compiler's process by the end of the first; none
    /// if it cannot be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_rss_bytes: Option<u64>,
    /// The code in what was written; none if it cannot be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_bytes: Option<u64>,
    /// The engine's settings, which those of the engine that loads it must equal.
    pub settings: Vec<String>,
    /// The features that a processor must have to run it, by the names that rustc gives them.
    pub cpu_features: Vec<String>,
}

/// What a container image is made of.
///
/// Images are kept in one OCI image layout; the artifact's path is that of the image's manifest
/// among the layout's blobs, so its hash is the image's digest, and vouches for every layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// What it is built upon: `scratch`, `distroless` or `debian`.
    pub base: String,
    /// The kind of artifact that it adds to its base.
    pub holds: ArtifactKind,
    /// The unpacked bytes of the base's layers: 0 for `scratch`.
    pub base_bytes: u64,
    /// The gzip-compressed bytes of all layers: what a registry sends.
    pub compressed_bytes: u64,
    /// The part of it that is the base's.
    pub base_compressed_bytes: u64,
}

impl Image {
    /// The base that is none.
    pub const SCRATCH: &str = "scratch";

    /// How many layers it has: its own, and that of its base.
    pub fn layers(&self) -> u64 {
        if self.base == Self::SCRATCH { 1 } else { 2 }
    }
}

/// A runtime as its crate declares it in `[package.metadata.lumos]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// The engine's name, such as `wasmi-lazy`: the runtime's name in the in-process lane.
    pub name: String,
    /// The sandbox of its workers, such as `process`: the rest of its name in the served lane.
    #[serde(default = "process")]
    pub sandbox: String,
    /// The crate that implements it.
    pub package: String,
    /// How it runs code.
    pub mode: Mode,
    /// The version of the engine library, or of the compiler for native code.
    pub engine_version: String,
    /// What it loads in the in-process lane; none when it has no part in that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loads: Option<ArtifactKind>,
    /// What its worker is given in the served lane: for `native-exe` and `image`, the artifact
    /// is the worker.
    pub serves: ArtifactKind,
    /// The worker program that hosts it; none where the artifact is the worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The base of the images that it serves; none when it serves no images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The suites that measure it; empty means all of its lanes, but for `pull`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suites: Vec<Suite>,
    /// The least profile that measures it.
    #[serde(default = "quick")]
    pub profile: Profile,
    /// The proposals for WebAssembly that it does not run, such as `exceptions`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<String>,
}

/// The sandbox of runtimes that declare none.
fn process() -> String {
    Runtime::PROCESS.to_owned()
}

const fn quick() -> Profile {
    Profile::Quick
}

impl Runtime {
    /// The sandbox that is a plain process.
    pub const PROCESS: &str = "process";

    /// A runtime whose workers are processes, and which loads the same in both lanes.
    pub fn plain(
        name: &str,
        package: &str,
        mode: Mode,
        engine_version: &str,
        artifact: ArtifactKind,
    ) -> Self {
        Self {
            name: name.to_owned(),
            sandbox: Self::PROCESS.to_owned(),
            package: package.to_owned(),
            mode,
            engine_version: engine_version.to_owned(),
            loads: Some(artifact),
            serves: artifact,
            worker: None,
            base: None,
            suites: Vec::new(),
            profile: Profile::Quick,
            lacks: Vec::new(),
        }
    }

    /// Its name in a lane: the engine's, in the served lane followed by the sandbox's.
    pub fn name_in(&self, lane: Lane) -> String {
        match lane {
            Lane::InProcess => self.name.clone(),
            Lane::Served => format!("{}-{}", self.name, self.sandbox),
        }
    }

    /// Whether it is what has that name in a lane. An engine's name in the measuring process is
    /// also that of its runtimes in sandboxes, which load nothing there.
    pub fn is_called(&self, lane: Lane, name: &str) -> bool {
        self.is_in(lane) && self.name_in(lane) == name
    }

    fn is_in(&self, lane: Lane) -> bool {
        lane == Lane::Served || self.loads.is_some()
    }

    /// Whether a suite measures it in a profile.
    pub fn takes_part(&self, suite: Suite, profile: Profile) -> bool {
        self.is_in(suite.lane())
            && profile >= self.profile
            && match self.suites.is_empty() {
                true => !suite.spec().only_where_declared,
                false => self.suites.contains(&suite),
            }
    }

    /// Those of `all` that a case is compared with. Wasm is compared with native code in every
    /// sandbox of its lane, in its own first, where what differs is the engine alone. Native code
    /// in a container is compared with native code in a plain process. None where `all` does not
    /// hold the case's own.
    pub fn references<'r>(all: &'r [Self], case: &Case) -> Vec<&'r Self> {
        let lane = case.suite.lane();
        let Some(own) = all.iter().find(|runtime| runtime.is_called(lane, &case.runtime)) else {
            return Vec::new();
        };
        let native = all.iter().filter(|runtime| {
            let is_measured = runtime.takes_part(case.suite, Profile::Full);
            let plain = runtime.sandbox == Self::PROCESS;
            let is_own = runtime.name_in(lane) == case.runtime;
            runtime.mode == Mode::Native
                && is_measured
                && !is_own
                && (own.mode != Mode::Native || plain)
        });
        let mut references: Vec<&Self> = native.collect();
        references.sort_by_key(|reference| {
            (reference.sandbox != own.sandbox, reference.sandbox != Self::PROCESS)
        });
        references
    }
}

/// The compilers that built the guests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toolchain {
    /// Who provides it: `rustup` or `debian`.
    pub provider: String,
    /// The first line of `rustc --version`.
    pub rustc: String,
    /// The version of LLVM behind it.
    pub llvm: String,
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}), LLVM {}", self.rustc, self.provider, self.llvm)
    }
}

/// Everything that `cargo xtask build` left in the artifacts folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactManifest {
    /// [`crate::SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// The guests' toolchain.
    pub toolchain: Toolchain,
    /// Every runtime crate's runtimes.
    pub runtimes: Vec<Runtime>,
    /// Every artifact.
    pub artifacts: Vec<Artifact>,
    /// Artifacts that could not be built, as `<kind> <function or engine>`, followed by ` for ` and
    /// the architecture where that is not the host's, and the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub missing: BTreeMap<String, String>,
    /// Whether the build was asked for a part of what there can be for its host, and left out what
    /// no earlier one had made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
}

impl ArtifactManifest {
    /// The manifest's name in the artifacts folder.
    pub const FILE: &str = "manifest.json";

    /// Reads the manifest of an artifacts folder.
    ///
    /// # Errors
    /// When the file is absent, or is not a manifest; the message names the file.
    pub fn read(artifacts: &Path) -> io::Result<Self> {
        crate::place::read_json(&artifacts.join(Self::FILE))
    }

    /// The manifest as it concerns one architecture.
    pub fn on(mut self, arch: &str) -> Self {
        self.artifacts.retain(|artifact| artifact.runs_on(arch));
        self
    }

    /// The manifest in which Wasm was built in one way, as is everything that was made of it.
    pub fn of_variant(mut self, variant: Variant) -> Self {
        if variant == Variant::DEFAULT {
            return self;
        }
        let of_wasm = [ArtifactKind::Wasm, ArtifactKind::WasmCommand, ArtifactKind::Precompiled];
        self.artifacts.retain(|artifact| {
            !of_wasm.contains(&artifact.kind) || artifact.variant == Some(variant)
        });
        for artifact in &mut self.artifacts {
            artifact.variant = None;
        }
        self
    }

    /// Finds the artifact of a kind, for a function and an engine, among those of no particular
    /// variant.
    pub fn find(
        &self,
        kind: ArtifactKind,
        function: Option<&str>,
        engine: Option<&str>,
    ) -> Option<&Artifact> {
        self.artifacts.iter().find(|artifact| {
            artifact.kind == kind
                && artifact.function.as_deref() == function
                && artifact.engine.as_deref() == engine
                && artifact.variant.is_none()
        })
    }

    /// Finds the image of a function that adds a kind of artifact to a base.
    pub fn image(&self, function: &str, base: &str, holds: &[ArtifactKind]) -> Option<&Artifact> {
        self.artifacts.iter().find(|artifact| {
            artifact.function.as_deref() == Some(function)
                && artifact
                    .image
                    .as_ref()
                    .is_some_and(|image| image.base == base && holds.contains(&image.holds))
        })
    }

    /// The artifact of `function` that `runtime` loads as a `kind`: precompiled ones are its own.
    pub fn for_runtime(
        &self,
        runtime: &Runtime,
        kind: ArtifactKind,
        function: &str,
    ) -> Option<&Artifact> {
        if let (ArtifactKind::Image, Some(base)) = (kind, &runtime.base) {
            return self.image(function, base, ArtifactKind::NATIVE_EXECUTABLES);
        }
        let engine = (kind == ArtifactKind::Precompiled).then_some(runtime.name.as_str());
        self.find(kind, Some(function), engine)
    }

    /// The engine of that name: the runtime that loads it in the in-process lane.
    pub fn runtime(&self, name: &str) -> Option<&Runtime> {
        self.runtimes.iter().find(|runtime| runtime.name == name && runtime.loads.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_the_measuring_process_is_that_of_what_loads_there() {
        let plain = Runtime::plain("metal", "fake", Mode::Native, "1", ArtifactKind::NativeExe);
        let inside = Runtime { loads: Some(ArtifactKind::NativeLib), ..plain.clone() };
        let boxed = Runtime { sandbox: "box".into(), loads: None, ..plain };
        // What only serves comes first, as the packages' names may have it.
        let runtimes = [boxed.clone(), inside.clone()];
        let find = |runtimes: &[Runtime], lane, name| {
            runtimes.iter().find(|runtime| runtime.is_called(lane, name)).cloned()
        };
        assert_eq!(find(&runtimes, Lane::InProcess, "metal"), Some(inside));
        assert_eq!(find(&runtimes, Lane::Served, "metal-box"), Some(boxed.clone()));
        assert_eq!(find(&[boxed], Lane::InProcess, "metal"), None);
    }
}
