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

use crate::build::Scope;
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
        let image = Artifact {
            kind: ArtifactKind::Image,
            function: Some(function.to_owned()),
            engine: form.engine.map(str::to_owned),
            engine_version: held.engine_version.clone(),
            path: Path::new(FOLDER).join(store::BLOBS).join(&digest),
            bytes: layers.iter().map(|layer| layer.bytes).sum(),
            sha256: digest,
            source_hash,
            target: target.to_owned(),
            toolchain: toolchain.clone(),
            flags: Vec::new(),
            build_time_ns: start.elapsed().as_nanos() as u64,
            text_bytes: None,
            variant: None,
            compilation: None,
            image: Some(Image {
                base: form.base.name.to_owned(),
                holds: form.holds,
                base_bytes: base_layer.map_or(0, |layer| layer.bytes),
                compressed_bytes: layers.iter().map(|layer| layer.compressed_bytes).sum(),
                base_compressed_bytes: base_layer.map_or(0, |layer| layer.compressed_bytes),
            }),
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
mod tests {
    use std::cell::RefCell;
    use std::fs::{self, File};
    use std::io::Read;
    use std::path::PathBuf;

    use flate2::read::GzDecoder;
    use oci_spec::image::{
        ANNOTATION_REF_NAME, ImageConfiguration, ImageIndex, ImageManifest, MediaType,
    };

    use super::*;

    const HOST: &str = "x86_64-unknown-linux-gnu";

    /// A folder of artifacts that are no programs, and a base that is not Debian.
    struct Fake {
        folder: tempfile::TempDir,
        bases: Vec<Base>,
        architectures: Vec<Arch>,
        manifest: ArtifactManifest,
    }

    impl Fake {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("base.tar.gz");
            let certificates = Entry::new("certificates", Content::Bytes(b"trust".to_vec()));
            let entries = mount_points().into_iter().chain([certificates]).collect();
            let layer = layer::write(entries, File::create(&file).unwrap()).unwrap();
            let contents = "libc6 2.36".to_owned();
            let based = |name, layer| Base { name, holds: ArtifactKind::NativeExeDynamic, layer };
            let bases = vec![
                Base::scratch(),
                based("distroless", Ok(Some(Finished { layer, contents, file }))),
                based("debian", Err("needs root: be root".to_owned())),
            ];
            let architectures = vec![Arch::X86_64];
            let manifest = ArtifactManifest::default();
            let mut fake = Self { folder, bases, architectures, manifest };
            fake.artifact(ArtifactKind::NativeExe, None, b"static");
            fake.artifact(ArtifactKind::NativeExeDynamic, None, b"dynamic");
            fake.artifact(ArtifactKind::Wasm, None, b"wasm");
            fake.artifact(ArtifactKind::Precompiled, Some("fast"), b"machine code");
            fake
        }

        fn artifact(&mut self, kind: ArtifactKind, engine: Option<&str>, bytes: &[u8]) {
            let path = PathBuf::from(kind.to_string());
            fs::write(self.folder.path().join(&path), bytes).unwrap();
            self.manifest.artifacts.retain(|artifact| artifact.kind != kind);
            self.manifest.artifacts.push(Artifact {
                kind,
                function: Some("noop".to_owned()),
                engine: engine.map(str::to_owned),
                engine_version: None,
                path,
                bytes: bytes.len() as u64,
                sha256: sha256_hex(bytes),
                source_hash: String::new(),
                target: HOST.to_owned(),
                toolchain: "rustc 1.95".to_owned(),
                flags: Vec::new(),
                build_time_ns: 1,
                text_bytes: None,
                variant: None,
                compilation: None,
                image: None,
            });
        }

        /// The manifest with the images, and the names of those that were not there before.
        fn build(&self, before: &ArtifactManifest) -> (ArtifactManifest, Vec<String>) {
            let mut built = Vec::new();
            let (manifest, lacking) = self.made(before, true, &mut |name| built.push(name));
            assert!(lacking.is_empty());
            (manifest, built)
        }

        /// The same, where images may be made or not, with the names of those that would have to
        /// be.
        fn made(
            &self,
            before: &ArtifactManifest,
            may_build: bool,
            built: &mut dyn FnMut(String),
        ) -> (ArtifactManifest, Vec<String>) {
            let mut manifest = self.manifest.clone();
            let kept = RefCell::new(Vec::<String>::new());
            let functions = ["noop".to_owned()];
            let folder = self.folder.path();
            let mut images = Images::begin(folder, &functions, before, false, may_build).unwrap();
            let mut begun = 0;
            let mut at = |name: &str| {
                begun += 1;
                built(name.to_owned());
            };
            let keep = |image: &Artifact| {
                kept.borrow_mut().push(image.sha256.clone());
                Ok(())
            };
            let scope = Some(Scope::everything(false));
            for platform in Platform::all(&self.architectures, &[]).unwrap() {
                let (scope, bases) = (scope.as_ref(), &self.bases);
                images.add(platform, scope, bases, &mut manifest, &mut at, &keep).unwrap();
            }
            let lacking = images.lacking();
            if lacking.is_empty() {
                images.finish().unwrap();
            }
            // What was made is kept at once, for the next build to find.
            let kept = kept.into_inner();
            assert_eq!(kept.len(), begun);
            let is_there = |sha256: &String| {
                manifest.artifacts.iter().any(|artifact| &artifact.sha256 == sha256)
            };
            assert!(kept.iter().all(is_there));
            (manifest, lacking)
        }

        fn blob(&self, digest: &str) -> Vec<u8> {
            let path = self.folder.path().join(FOLDER).join(store::BLOBS).join(digest);
            let bytes = fs::read(&path).unwrap();
            assert_eq!(sha256_hex(&bytes), digest, "a blob is called by its digest");
            bytes
        }

        fn blobs(&self) -> usize {
            let folder = self.folder.path().join(FOLDER).join(store::BLOBS);
            fs::read_dir(folder).unwrap().count()
        }
    }

    #[test]
    fn an_image_is_read_back_from_the_index_to_its_files() {
        let fake = Fake::new();
        let (manifest, _) = fake.build(&ArtifactManifest::default());
        let folder = fake.folder.path().join(FOLDER);
        assert_eq!(
            fs::read_to_string(folder.join("oci-layout")).unwrap(),
            r#"{"imageLayoutVersion":"1.0.0"}"#
        );
        let index = ImageIndex::from_file(folder.join(store::INDEX)).unwrap();
        let mut seen = Vec::new();
        for descriptor in index.manifests() {
            let name = &descriptor.annotations().as_ref().unwrap()[ANNOTATION_REF_NAME];
            let bytes = fake.blob(descriptor.digest().digest());
            assert_eq!(bytes.len() as u64, descriptor.size());
            let image = ImageManifest::from_reader(bytes.as_slice()).unwrap();
            let config = fake.blob(image.config().digest().digest());
            let config = ImageConfiguration::from_reader(config.as_slice()).unwrap();
            let platform = descriptor.platform().as_ref().unwrap();
            assert_eq!(platform.architecture(), config.architecture());
            assert_eq!(platform.os(), config.os());
            assert_eq!(config.rootfs().diff_ids().len(), image.layers().len());
            let (mut sum, mut compressed, mut last) = (0, 0, Vec::new());
            for (layer, diff_id) in image.layers().iter().zip(config.rootfs().diff_ids()) {
                let blob = fake.blob(layer.digest().digest());
                assert_eq!(blob.len() as u64, layer.size());
                last.clear();
                GzDecoder::new(blob.as_slice()).read_to_end(&mut last).unwrap();
                assert_eq!(&format!("sha256:{}", sha256_hex(&last)), diff_id);
                (sum, compressed) = (sum + last.len() as u64, compressed + layer.size());
            }
            let paths: Vec<String> = tar::Archive::new(last.as_slice())
                .entries()
                .unwrap()
                .map(|entry| entry.unwrap().path().unwrap().display().to_string())
                .collect();
            let artifact = manifest
                .artifacts
                .iter()
                .find(|artifact| artifact.sha256 == descriptor.digest().digest())
                .unwrap();
            assert_eq!(artifact.bytes, sum);
            assert_eq!(artifact.image.as_ref().unwrap().compressed_bytes, compressed);
            assert_eq!(
                sha256_hex(&fs::read(fake.folder.path().join(&artifact.path)).unwrap()),
                artifact.sha256
            );
            let entry_point = config.config().as_ref().unwrap().entrypoint().clone();
            seen.push((
                name.clone(),
                format!("{}/{}", config.os(), config.architecture()),
                image.layers().len(),
                entry_point.unwrap_or_default().join(" "),
                paths.into_iter().find(|path| path.starts_with("function")).unwrap(),
            ));
        }
        let expected = [
            ("lumos/noop:scratch", "linux/amd64", 1, "/function", "function"),
            ("lumos/noop:distroless", "linux/amd64", 2, "/function", "function"),
            ("lumos/noop:wasm", "wasip1/wasm", 1, "", "function.wasm"),
            ("lumos/noop:fast", "linux/amd64", 1, "", "function.bin"),
        ];
        let expected = expected.map(|(name, platform, layers, entry_point, file)| {
            (name.into(), platform.into(), layers, entry_point.into(), file.into())
        });
        assert_eq!(seen, expected);
    }

    #[test]
    fn images_of_one_name_for_two_architectures_have_an_index_of_their_own() {
        let mut fake = Fake::new();
        let mut arm = fake.manifest.artifacts[0].clone();
        assert_eq!(arm.kind, ArtifactKind::NativeExe);
        arm.target = Arch::Aarch64.triple();
        fake.manifest.artifacts.push(arm);
        fake.architectures.push(Arch::Aarch64);
        let (manifest, built) = fake.build(&ArtifactManifest::default());
        let host = |arch: Arch| if arch.is_host() { "" } else { " for " };
        let scratch = |arch: Arch| match host(arch) {
            "" => "image noop scratch".to_owned(),
            for_ => format!("image noop scratch{for_}{arch}"),
        };
        assert_eq!(built.iter().filter(|name| name.starts_with("image noop scratch")).count(), 2);
        assert!(built.contains(&scratch(Arch::X86_64)) && built.contains(&scratch(Arch::Aarch64)));
        let folder = fake.folder.path().join(FOLDER);
        let index = ImageIndex::from_file(folder.join(store::INDEX)).unwrap();
        let of_name = |name: &str| {
            let mut found = index
                .manifests()
                .iter()
                .filter(|image| image.annotations().as_ref().unwrap()[ANNOTATION_REF_NAME] == name);
            (found.next().unwrap().clone(), found.count())
        };
        let (scratch, others) = of_name("lumos/noop:scratch");
        assert_eq!((scratch.media_type(), others), (&MediaType::ImageIndex, 0));
        let inner = fake.blob(scratch.digest().digest());
        let inner = ImageIndex::from_reader(inner.as_slice()).unwrap();
        let platforms: Vec<String> = inner
            .manifests()
            .iter()
            .map(|image| image.platform().as_ref().unwrap().architecture().to_string())
            .collect();
        assert_eq!(platforms, ["amd64", "arm64"]);
        // Wasm is the same on both, and has one image.
        assert_eq!(of_name("lumos/noop:wasm").0.media_type(), &MediaType::ImageManifest);
        let native = ArtifactKind::NATIVE_EXECUTABLES;
        let arm = manifest.clone().on("aarch64");
        let x86 = manifest.on("x86_64");
        let digest = |manifest: &ArtifactManifest| {
            manifest.image("noop", Image::SCRATCH, native).unwrap().sha256.clone()
        };
        assert_ne!(digest(&arm), digest(&x86));
    }

    #[test]
    fn the_manifest_tells_images_apart() {
        let (manifest, _) = Fake::new().build(&ArtifactManifest::default());
        let native = ArtifactKind::NATIVE_EXECUTABLES;
        let scratch = manifest.image("noop", Image::SCRATCH, native).unwrap();
        let distroless = manifest.image("noop", "distroless", native).unwrap();
        let base = distroless.image.as_ref().unwrap().base_bytes;
        assert_eq!(distroless.bytes, base + scratch.bytes);
        assert_eq!(distroless.toolchain, "libc6 2.36");
        let wasm = manifest.image("noop", Image::SCRATCH, &[ArtifactKind::Wasm]).unwrap();
        assert_eq!((wasm.target.as_str(), wasm.toolchain.as_str()), (WASM, "rustc 1.95"));
    }

    #[test]
    fn what_lacks_is_missing_with_the_reason() {
        let mut fake = Fake::new();
        fake.manifest.artifacts.retain(|artifact| artifact.kind != ArtifactKind::NativeExe);
        fake.manifest.missing.insert("native-exe noop".to_owned(), "it fails".to_owned());
        let (manifest, built) = fake.build(&ArtifactManifest::default());
        assert_eq!(built, ["image noop distroless", "image noop wasm", "image noop fast"]);
        assert_eq!(manifest.missing["image noop debian"], "needs root: be root");
        assert_eq!(manifest.missing["image noop scratch"], "its native-exe could not be built");
        assert_eq!((manifest.missing.len(), manifest.partial), (3, false));
    }

    #[test]
    fn what_was_not_asked_for_is_no_failure_of_its_image() {
        let mut fake = Fake::new();
        fake.manifest.artifacts.retain(|artifact| artifact.kind != ArtifactKind::Wasm);
        let (manifest, built) = fake.build(&ArtifactManifest::default());
        assert_eq!(built, ["image noop scratch", "image noop distroless", "image noop fast"]);
        assert_eq!(manifest.missing.keys().collect::<Vec<_>>(), ["image noop debian"]);
        // Nor is it named where nothing may be made: no build would make it.
        let (kept, lacking) = fake.made(&manifest, false, &mut |name| panic!("{name} was made"));
        assert!(lacking.is_empty());
        assert_eq!(kept.missing, manifest.missing);
    }

    #[test]
    fn what_would_have_to_be_made_is_named_where_nothing_may_be() {
        let mut fake = Fake::new();
        let (first, _) = fake.build(&ArtifactManifest::default());
        let lacking = |fake: &Fake, before: &ArtifactManifest| {
            fake.made(before, false, &mut |name| panic!("{name} was made")).1
        };
        let images = |names: [&str; 4]| names.map(|name| format!("image noop {name}"));
        let none = ArtifactManifest::default();
        let all = ["scratch", "distroless", "debian", "wasm"];
        let named = lacking(&fake, &none);
        assert_eq!(named, [&images(all)[..], &["image noop fast".to_owned()]].concat());
        // What this node cannot make is not asked for again and again.
        assert!(lacking(&fake, &first).is_empty());
        fake.artifact(ArtifactKind::NativeExe, None, b"another");
        assert_eq!(lacking(&fake, &first), ["image noop scratch"]);
    }

    #[test]
    fn what_has_not_changed_is_left_alone_and_what_is_stale_is_removed() {
        let mut fake = Fake::new();
        let (first, built) = fake.build(&ArtifactManifest::default());
        assert_eq!((built.len(), fake.blobs()), (4, 4 * 3 + 1));
        let (second, built) = fake.build(&first);
        assert_eq!((second, built.len()), (first.clone(), 0));
        fake.artifact(ArtifactKind::NativeExeDynamic, None, b"another");
        let (third, built) = fake.build(&first);
        assert_eq!((built, fake.blobs()), (vec!["image noop distroless".to_owned()], 4 * 3 + 1));
        // A layer that is gone or was altered is made again, and is the same.
        let image = third.image("noop", "distroless", ArtifactKind::NATIVE_EXECUTABLES).unwrap();
        let read = ImageManifest::from_reader(fake.blob(&image.sha256).as_slice()).unwrap();
        let path = |layer: usize| {
            let digest = read.layers()[layer].digest().digest();
            fake.folder.path().join(FOLDER).join(store::BLOBS).join(digest)
        };
        fs::remove_file(path(0)).unwrap();
        fs::write(path(1), "altered").unwrap();
        let (fourth, built) = fake.build(&third);
        let again = fourth.image("noop", "distroless", ArtifactKind::NATIVE_EXECUTABLES).unwrap();
        assert_eq!((built.len(), &again.sha256), (1, &image.sha256));
    }
}
