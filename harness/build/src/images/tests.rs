//! Tests with artifacts that are no programs, and a base that is not Debian.

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
            function: Some("noop".to_owned()),
            engine: engine.map(str::to_owned),
            bytes: bytes.len() as u64,
            sha256: sha256_hex(bytes),
            toolchain: "rustc 1.95".to_owned(),
            build_time_ns: 1,
            ..Artifact::new(kind, path, HOST)
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
        let is_there =
            |sha256: &String| manifest.artifacts.iter().any(|artifact| &artifact.sha256 == sha256);
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
