//! Container images: an artifact upon a base, all of them in one OCI image layout.
//!
//! Layers are the same bytes for the same files, so an image is the same digest for the same
//! artifact and base.

mod apt;
mod bases;
mod debian;
mod distroless;
mod layer;
mod store;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use lumos_record::{Artifact, ArtifactKind, ArtifactManifest, Image};
use lumos_workloads::sha256_hex;
use oci_spec::image::{Arch as GoArch, Os, PlatformBuilder};

use bases::Finished;
pub use bases::{Base, ready};
use layer::{Content, Entry, Layer, mount_points};
use store::Store;
pub use store::blob_bytes;

use crate::scope::Scope;
use crate::targets::{Arch, Platform};
use crate::toolchain::WASM;

/// The layout's folder among the artifacts.
pub const FOLDER: &str = "images";

/// Raised when another image is made of the same artifact and base.
const VERSION: &str = "1";

/// The images of a build, platform by platform.
#[derive(Debug)]
pub struct Images<'i> {
    /// The folder of the artifacts.
    folder: &'i Path,
    /// The functions that get images.
    functions: &'i [String],
    /// The manifest of the last build.
    before: &'i ArtifactManifest,
    /// Whether what is asked for is made anew.
    force: bool,
    /// Whether anything may be made.
    may_build: bool,
    store: Store,
    /// Every image's name and digest.
    names: Vec<(String, String)>,
    /// What would have to be made, and may not.
    lacking: Vec<String>,
}

/// An image to be built.
struct Form<'f> {
    base: &'f Base,
    holds: ArtifactKind,
    engine: Option<&'f str>,
    /// What comes after the function in its name.
    tag: &'f str,
}

impl Form<'_> {
    /// Where the image holds its artifact; programs have no extension.
    const fn file(&self) -> &'static str {
        match self.holds {
            ArtifactKind::Wasm => "function.wasm",
            ArtifactKind::Precompiled => "function.bin",
            _ => "function",
        }
    }

    /// Whether an image is of this form, whatever it holds and for whichever target.
    fn is_of(&self, image: &Image) -> bool {
        image.base == self.base.name && image.holds == self.holds
    }

    fn is_program(&self) -> bool {
        ArtifactKind::NATIVE_EXECUTABLES.contains(&self.holds)
    }
}

impl<'i> Images<'i> {
    /// Opens the layout among the artifacts.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(
        folder: &'i Path,
        functions: &'i [String],
        before: &'i ArtifactManifest,
        force: bool,
        may_build: bool,
    ) -> Result<Self> {
        let store = Store::open(&folder.join(FOLDER))?;
        let (names, lacking) = (Vec::new(), Vec::new());
        Ok(Self { folder, functions, before, force, may_build, store, names, lacking })
    }

    /// Adds every function's images for a platform to the manifest, which has the artifacts that
    /// they hold; of what is not in the scope, or where there is none, those that are there and
    /// fresh. `at` is told of each image that was not there, and `keep` when it has been made.
    ///
    /// # Errors
    /// When the layout cannot be written, or that of `keep`. An image that lacks its base or its
    /// artifact is no error: it is in the manifest with the reason.
    pub fn add(
        &mut self,
        platform: Platform,
        scope: Option<&Scope>,
        bases: &[Base],
        manifest: &mut ArtifactManifest,
        at: &mut dyn FnMut(&str),
        keep: &dyn Fn(&Artifact) -> Result<()>,
    ) -> Result<()> {
        let scratch = Base::scratch();
        // What holds Wasm or bytecode is the same for all platforms.
        let own = manifest.clone().on(platform.arch.name());
        let engines = precompilers(&own);
        for function in self.functions {
            for form in forms(bases, &scratch, &engines) {
                let name =
                    format!("{} {function} {}{}", ArtifactKind::Image, form.tag, platform.suffix());
                let has =
                    |scope: &Scope| scope.has_image(form.base.name, function, form.is_program());
                let is_asked = scope.is_some_and(has);
                let (base, held) = match ingredients(&own, function, &form, platform) {
                    Ok(ingredients) => ingredients,
                    // The lack of what it would hold is told of that.
                    Err(Lack::NotAsked) => continue,
                    Err(Lack::Reason(reason)) if is_asked && self.may_build => {
                        manifest.missing.insert(name, reason);
                        continue;
                    }
                    // Nobody has looked, so that what was found out before is what is known.
                    Err(Lack::Reason(_)) => {
                        match self.before.missing.get(&name) {
                            Some(reason) => _ = manifest.missing.insert(name, reason.clone()),
                            None if is_asked => self.lacking.push(name),
                            None => manifest.partial |= platform.is_host(),
                        }
                        continue;
                    }
                };
                let target = image_target(held, platform);
                let is_present = |known: &Artifact| {
                    known.target == target
                        && known.function.as_deref() == Some(function)
                        && known.image.as_ref().is_some_and(|image| form.is_of(image))
                        && known.engine.as_deref() == form.engine
                };
                if manifest.artifacts.iter().any(is_present) {
                    continue;
                }
                let is_made = is_asked && self.may_build;
                let image =
                    self.image(function, &form, base, held, target, is_made, &mut || at(&name))?;
                let Some((image, is_new)) = image else {
                    manifest.partial |= platform.is_host();
                    self.lacking.extend(is_asked.then_some(name));
                    continue;
                };
                if is_new {
                    keep(&image)?;
                }
                self.names.push((format!("lumos/{function}:{}", form.tag), image.sha256.clone()));
                manifest.artifacts.push(image);
            }
        }
        Ok(())
    }

    /// The names of the images that would have to be made, and may not.
    pub fn lacking(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lacking)
    }

    /// Writes the index, and leaves nothing else in the layout than what was added.
    ///
    /// # Errors
    /// When the layout cannot be written.
    pub fn finish(self) -> Result<()> {
        self.store.finish(&self.names)
    }

    /// An image, and whether it is new: that of the last build when nothing differs, else one that
    /// is made, where that is wanted.
    #[expect(clippy::disallowed_methods, reason = "how long a build took is no measurement")]
    #[expect(clippy::too_many_arguments, reason = "an image is made of all of these")]
    fn image(
        &self,
        function: &str,
        form: &Form<'_>,
        base: Option<&Finished>,
        held: &Artifact,
        target: &str,
        is_made: bool,
        at: &mut dyn FnMut(),
    ) -> Result<Option<(Artifact, bool)>> {
        let store = &self.store;
        let toolchain = base.map_or(&held.toolchain, |base| &base.contents);
        let base_digest = base.map_or("", |base| &base.layer.digest);
        let inputs = [VERSION, target, form.file(), &held.sha256, base_digest, toolchain];
        let source_hash = sha256_hex(inputs.join("\n").as_bytes());
        if !(self.force && is_made)
            && let Some(known) = self.unchanged(function, form, &source_hash)
            && store.is_complete(&known.sha256)
        {
            return Ok(Some((known.clone(), false)));
        }
        if !is_made {
            return Ok(None);
        }
        at();
        let start = Instant::now();
        let mode = if form.is_program() { 0o755 } else { 0o644 };
        let mut entries = mount_points();
        let contents = Content::File(self.folder.join(&held.path));
        entries.push(Entry::new(form.file(), contents).with_mode(mode));
        let own = store.add_layer(entries)?;
        if let Some(base) = base {
            store.take_layer(&base.layer, &base.file)?;
        }
        let base_layer = base.map(|base| &base.layer);
        let layers: Vec<&Layer> = base_layer.into_iter().chain([&own]).collect();
        let entry_point = form.is_program().then(|| format!("/{}", form.file()));
        let digest = store.add_image(&describe(target)?, entry_point.as_deref(), &layers)?;
        let path = Path::new(FOLDER).join(store::BLOBS).join(&digest);
        let image = Artifact {
            function: Some(function.to_owned()),
            engine: form.engine.map(str::to_owned),
            engine_version: held.engine_version.clone(),
            bytes: layers.iter().map(|layer| layer.bytes).sum(),
            sha256: digest,
            source_hash,
            toolchain: toolchain.clone(),
            build_time_ns: start.elapsed().as_nanos() as u64,
            image: Some(Image {
                base: form.base.name.to_owned(),
                holds: form.holds,
                base_bytes: base_layer.map_or(0, |layer| layer.bytes),
                compressed_bytes: layers.iter().map(|layer| layer.compressed_bytes).sum(),
                base_compressed_bytes: base_layer.map_or(0, |layer| layer.compressed_bytes),
            }),
            ..Artifact::new(ArtifactKind::Image, path, target)
        };
        Ok(Some((image, true)))
    }

    fn unchanged(&self, function: &str, form: &Form<'_>, source_hash: &str) -> Option<&Artifact> {
        self.before.artifacts.iter().find(|known| {
            known.image.as_ref().is_some_and(|image| form.is_of(image))
                && known.function.as_deref() == Some(function)
                && known.engine.as_deref() == form.engine
                && known.source_hash == source_hash
        })
    }
}

/// The engines that have compiled some function ahead of time.
fn precompilers(manifest: &ArtifactManifest) -> BTreeSet<String> {
    let precompiled =
        manifest.artifacts.iter().filter(|artifact| artifact.kind == ArtifactKind::Precompiled);
    precompiled.filter_map(|artifact| artifact.engine.clone()).collect()
}

/// The images of a function: a program upon each base, and Wasm and what engines made of it upon
/// none, since their engine is outside.
fn forms<'f>(
    bases: &'f [Base],
    scratch: &'f Base,
    engines: &'f BTreeSet<String>,
) -> impl Iterator<Item = Form<'f>> {
    let native =
        bases.iter().map(|base| Form { base, holds: base.holds, engine: None, tag: base.name });
    let wasm = Form { base: scratch, holds: ArtifactKind::Wasm, engine: None, tag: "wasm" };
    let precompiled = engines.iter().map(|engine| Form {
        base: scratch,
        holds: ArtifactKind::Precompiled,
        engine: Some(engine),
        tag: engine,
    });
    native.chain([wasm]).chain(precompiled)
}

/// Why there is nothing that an image could be made of.
enum Lack {
    /// It could not be made.
    Reason(String),
    /// What it would hold was not asked for.
    NotAsked,
}

/// The base's layer, if it has one, and the artifact that an image adds to it; else what lacks.
fn ingredients<'i>(
    manifest: &'i ArtifactManifest,
    function: &str,
    form: &Form<'i>,
    platform: Platform,
) -> Result<(Option<&'i Finished>, &'i Artifact), Lack> {
    let base = form.base.layer.as_ref().map_err(|reason| Lack::Reason(reason.clone()))?;
    let held = manifest.find(form.holds, Some(function), form.engine).ok_or_else(|| {
        let own = [Some(function), form.engine].into_iter().flatten().collect::<Vec<_>>().join(" ");
        let suffix = if form.holds == ArtifactKind::Wasm { "" } else { &platform.suffix() };
        match manifest.missing.contains_key(&format!("{} {own}{suffix}", form.holds)) {
            true => Lack::Reason(format!("its {} could not be built", form.holds)),
            false => Lack::NotAsked,
        }
    })?;
    Ok((base.as_ref(), held))
}

/// The target of an image that holds an artifact: bytecode is called by the architecture of the
/// program that reads it, since images know no other.
fn image_target(held: &Artifact, platform: Platform) -> &'static str {
    match (held.kind, platform.arch) {
        (ArtifactKind::Wasm, _) => WASM,
        (_, Arch::X86_64) => "x86_64-unknown-linux-gnu",
        (_, Arch::Aarch64) => "aarch64-unknown-linux-gnu",
    }
}

/// A target in the words of images, which are those of Go.
fn describe(target: &str) -> Result<oci_spec::image::Platform> {
    let (architecture, os) = match target.split('-').next().unwrap_or_default() {
        _ if target == WASM => (GoArch::Wasm, Os::from("wasip1")),
        "x86_64" => (GoArch::Amd64, Os::Linux),
        "aarch64" => (GoArch::ARM64, Os::Linux),
        other => (GoArch::from(other), Os::Linux),
    };
    Ok(PlatformBuilder::default().architecture(architecture).os(os).build()?)
}

#[cfg(test)]
mod tests;
